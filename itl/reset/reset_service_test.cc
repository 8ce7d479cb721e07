#include "itl/reset/reset_service.h"

#include "gmock/gmock.h"
#include "itl/itl_services_testing.h"
#include "itl/reset/hook_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Stub = v1::Resets::Stub;

class ResetServiceTest : public ItlServicesTest {
 protected:
  void SetUp() override {
    ItlServicesTest::SetUp();
    RunByHand(
        "INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES (1, 'operator', 'operator', 'test');"
        "INSERT INTO device (cluster_id, name, model, site, added_by) SELECT 1, 'SEP' || lpad(n::text, 12, '0'), "
        "'8841', CASE WHEN n > 3 THEN 'Paris' ELSE 'Berlin' END, 'test' FROM generate_series(1, 5) AS n");
    ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
    UseHooks(fmt::format("b = \"{0}\"\na = \"{0}\"\n", folder_.WriteAccepting("hook")));
  }
  void TearDown() override {
    reset_server_->Shutdown(absl::ZeroDuration());
    ItlServicesTest::TearDown();
  }
  void UseHooks(const std::string& lines) {
    if (reset_server_) reset_server_->Shutdown(absl::ZeroDuration());
    const auto file = ConfigFile::Parse("[resets.hooks]\n" + lines, "itld.toml");
    ASSERT_OK(file);
    ASSERT_OK_AND_ASSIGN(hooks_, ResetHooks::Read(*file->root().Table("resets")));
    ASSERT_OK_AND_ASSIGN(service_, ResetService::Create({.authorizer = *authorizer_,
                                                         .pool = *pool_,
                                                         .import_pool = *import_pool_,
                                                         .hooks = hooks_,
                                                         .clock = clock_}));
    ASSERT_OK_AND_ASSIGN(reset_server_,
                         RpcServer::Start({.identity = itld_identity_.files()}, {service_.get()}, health_));
  }
  template <typename Request, typename Response>
  absl::Status Ask(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, Response& response, const TestIdentity* as = nullptr) {
    const auto channel = OpenChannel(fmt::format("127.0.0.1:{}", reset_server_->port()),
                                     (as != nullptr ? *as : operator_).files(), "itld");
    EXPECT_OK(channel);
    return Call(*v1::Resets::NewStub(*channel), method, request, response);
  }
  static v1::StartResetRequest Request(const std::string& hook = "a") {
    v1::StartResetRequest request;
    request.set_cluster("default");
    request.set_hook(hook);
    request.set_reason("new lists");
    return request;
  }
  absl::StatusOr<v1::Reset> Start(const v1::StartResetRequest& request) {
    v1::StartResetResponse response;
    RETURN_IF_ERROR(Ask(&Stub::StartReset, request, response));
    return response.reset();
  }
  absl::StatusOr<v1::Reset> Change(int64_t number, v1::ChangeResetRequest::Change change) {
    v1::ChangeResetRequest request;
    request.set_number(number);
    request.set_change(change);
    request.set_reason("because");
    v1::ChangeResetResponse response;
    RETURN_IF_ERROR(Ask(&Stub::ChangeReset, request, response));
    return response.reset();
  }

  const HookFolder folder_;
  const TestIdentity operator_{authority_, "trustline:default/person/operator"};
  ResetHooks hooks_;
  std::unique_ptr<ResetService> service_;
  std::unique_ptr<RpcServer> reset_server_;
};

TEST_F(ResetServiceTest, WhatIsNotGivenHasItsUsualValue) {
  ASSERT_OK_AND_ASSIGN(const v1::Reset reset, Start(Request()));
  EXPECT_EQ(reset.number(), 1);
  EXPECT_EQ(reset.state(), v1::RESET_STATE_RUNNING);
  EXPECT_EQ(reset.phones(), 5);
  EXPECT_EQ(reset.waiting(), 5);
  EXPECT_EQ(reset.wave(), 200);
  EXPECT_EQ(reset.pause_seconds(), 60);
  EXPECT_EQ(reset.hours(), "");
  EXPECT_DOUBLE_EQ(reset.stop_at_failures(), 0.05);
  EXPECT_EQ(reset.hook(), "a");
  EXPECT_EQ(reset.reason(), "new lists");
  EXPECT_EQ(reset.ordered_by(), "trustline:default/person/operator");
  EXPECT_TRUE(reset.has_ordered_at() && reset.has_next_wave_at());
  EXPECT_FALSE(reset.has_ended_at());

  v1::StartResetRequest request = Request("b");
  request.mutable_filter()->set_site("Paris");
  request.set_wave(7);
  request.set_without_pause(true);
  request.set_hours("22:00-05:00");
  request.set_stop_at_failures(0.5);
  ASSERT_OK_AND_ASSIGN(const v1::Reset chosen, Start(request));
  EXPECT_EQ(chosen.phones(), 2);
  EXPECT_EQ(chosen.wave(), 7);
  EXPECT_EQ(chosen.pause_seconds(), 0);
  EXPECT_EQ(chosen.hours(), "22:00-05:00");
  EXPECT_DOUBLE_EQ(chosen.stop_at_failures(), 0.5);
  EXPECT_EQ(chosen.hook(), "b");
}

TEST_F(ResetServiceTest, APlanChangesNothing) {
  v1::StartResetRequest request = Request();
  request.set_plan(true);
  ASSERT_OK_AND_ASSIGN(const v1::Reset reset, Start(request));
  EXPECT_EQ(reset.number(), 0);
  EXPECT_EQ(reset.phones(), 5);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action LIKE 'phones.reset%'"), 0);
}

TEST_F(ResetServiceTest, MistakesAreToldWithTheNextStep) {
  EXPECT_THAT(Start(Request("")), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a, b")));
  EXPECT_THAT(Start(Request("c")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("[resets.hooks]")));
  v1::StartResetRequest request = Request();
  request.mutable_filter()->set_site("Nowhere");
  EXPECT_THAT(Start(request), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no phone is chosen")));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset"), 0);
  request.add_devices("SEP000000000001");
  EXPECT_THAT(Start(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("either named")));
  request.clear_filter();
  request.add_devices("printer");
  EXPECT_THAT(Start(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("printer")));
  request = Request();
  request.set_hours("at night");
  EXPECT_THAT(Start(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("22:00-05:00")));
  request = Request();
  request.set_without_pause(true);
  request.set_pause_seconds(5);
  EXPECT_THAT(Start(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request = Request();
  request.mutable_filter()->add_cures(v1::PHONE_CURE_RESET);
  EXPECT_THAT(Start(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("report --cure")));
  request = Request();
  request.set_wave(-1);
  EXPECT_THAT(Start(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("10000")));
  UseHooks("");
  EXPECT_THAT(Start(Request("")), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("docs/RESETS.md")));
  v1::ListResetsResponse list;
  ASSERT_OK(Ask(&Stub::ListResets, v1::ListResetsRequest(), list));
  EXPECT_THAT(list.hooks(), IsEmpty());
}

TEST_F(ResetServiceTest, ListsAndPhonesComeInPages) {
  for (int i = 0; i < 3; ++i) ASSERT_OK(Start(Request()));
  v1::ListResetsRequest list;
  list.set_page_size(2);
  v1::ListResetsResponse resets;
  ASSERT_OK(Ask(&Stub::ListResets, list, resets));
  EXPECT_THAT(resets.hooks(), ElementsAre("a", "b"));
  ASSERT_THAT(resets.resets(), SizeIs(2));
  EXPECT_EQ(resets.resets(0).number(), 3);
  list.set_page_token(resets.next_page_token());
  ASSERT_OK(Ask(&Stub::ListResets, list, resets));
  ASSERT_THAT(resets.resets(), SizeIs(1));
  EXPECT_EQ(resets.resets(0).number(), 1);
  EXPECT_EQ(resets.next_page_token(), "");

  RunByHand(
      "UPDATE phone_reset_phone SET state = 'failed', answer = 'no such phone', at = now() WHERE reset_id = 2 AND "
      "device "
      "= 'SEP000000000002'");
  v1::ShowResetRequest show;
  show.set_number(2);
  show.set_page_size(3);
  v1::ShowResetResponse shown;
  ASSERT_OK(Ask(&Stub::ShowReset, show, shown));
  EXPECT_EQ(shown.reset().number(), 2);
  ASSERT_THAT(shown.phones(), SizeIs(3));
  EXPECT_EQ(shown.phones(0).state(), "waiting");
  EXPECT_EQ(shown.phones(1).answer(), "no such phone");
  EXPECT_TRUE(shown.phones(1).has_at());
  show.set_page_token(shown.next_page_token());
  ASSERT_OK(Ask(&Stub::ShowReset, show, shown));
  EXPECT_THAT(shown.phones(), SizeIs(2));
  EXPECT_EQ(shown.next_page_token(), "");
  show.clear_page_token();
  show.set_failed_only(true);
  ASSERT_OK(Ask(&Stub::ShowReset, show, shown));
  ASSERT_THAT(shown.phones(), SizeIs(1));
  EXPECT_EQ(shown.phones(0).device(), "SEP000000000002");

  show.set_page_token("SEP; DROP");
  EXPECT_THAT(Ask(&Stub::ShowReset, show, shown), StatusIs(absl::StatusCode::kInvalidArgument));
  list.set_page_token("x");
  EXPECT_THAT(Ask(&Stub::ListResets, list, resets), StatusIs(absl::StatusCode::kInvalidArgument));
  list.set_page_size(1001);
  EXPECT_THAT(Ask(&Stub::ListResets, list, resets), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ResetServiceTest, ItIsPausedResumedAndAborted) {
  ASSERT_OK_AND_ASSIGN(const v1::Reset reset, Start(Request()));
  EXPECT_EQ(Change(reset.number(), v1::ChangeResetRequest::CHANGE_PAUSE)->state(), v1::RESET_STATE_PAUSED);
  EXPECT_EQ(Change(reset.number(), v1::ChangeResetRequest::CHANGE_RESUME)->state(), v1::RESET_STATE_RUNNING);
  ASSERT_OK_AND_ASSIGN(const v1::Reset aborted, Change(reset.number(), v1::ChangeResetRequest::CHANGE_ABORT));
  EXPECT_EQ(aborted.state(), v1::RESET_STATE_ABORTED);
  EXPECT_EQ(aborted.state_reason(), "because");
  EXPECT_TRUE(aborted.has_ended_at());
  EXPECT_FALSE(aborted.has_next_wave_at());
  EXPECT_THAT(Change(reset.number(), v1::ChangeResetRequest::CHANGE_ABORT),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Change(reset.number(), v1::ChangeResetRequest::CHANGE_UNSPECIFIED),
              StatusIs(absl::StatusCode::kInvalidArgument));
  for (const int64_t number : {int64_t{0}, int64_t{-1}, int64_t{4711}, int64_t{1} << 40}) {
    EXPECT_THAT(Change(number, v1::ChangeResetRequest::CHANGE_PAUSE), StatusIs(absl::StatusCode::kNotFound)) << number;
  }
}

TEST_F(ResetServiceTest, ThatOfAPlanGoesOnWithThePlan) {
  ASSERT_OK_AND_ASSIGN(const v1::Reset reset, Start(Request()));
  RunByHand(
      "INSERT INTO trust_plan (cluster_id, kind, subject, state, with_resets, wave, hours, stop_at_failures, hook, "
      "reason, made_by) VALUES (1, 'rollback', '', 'paused', true, 1, '', 1, 'test', 'test', 'test')");
  RunByHand("UPDATE phone_reset SET plan_id = (SELECT plan_id FROM trust_plan)");
  EXPECT_OK(Change(reset.number(), v1::ChangeResetRequest::CHANGE_PAUSE));
  EXPECT_THAT(Change(reset.number(), v1::ChangeResetRequest::CHANGE_RESUME),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("which is paused: it goes on with that")));
  RunByHand("UPDATE trust_plan SET state = 'running'");
  EXPECT_OK(Change(reset.number(), v1::ChangeResetRequest::CHANGE_RESUME));
}

TEST_F(ResetServiceTest, OutsideItsHoursItWaits) {
  const absl::CivilSecond now = absl::ToCivilSecond(clock_.Now(), absl::UTCTimeZone());
  v1::StartResetRequest request = Request();
  const int hour = (now.hour() + 12) % 24;  // far from now
  request.set_hours(fmt::format("{:02}:00-{:02}:30", hour, hour));
  EXPECT_EQ(Start(request)->state(), v1::RESET_STATE_WAITS_FOR_HOURS);
}

TEST_F(ResetServiceTest, OnlyOperatorsOrderAndChange) {
  v1::StartResetResponse started;
  for (const TestIdentity* as : {&viewer_, &auditor_}) {
    EXPECT_THAT(Ask(&Stub::StartReset, Request(), started, as), StatusIs(absl::StatusCode::kPermissionDenied));
    v1::ChangeResetResponse changed;
    EXPECT_THAT(Ask(&Stub::ChangeReset, v1::ChangeResetRequest(), changed, as),
                StatusIs(absl::StatusCode::kPermissionDenied));
    v1::ListResetsResponse list;
    EXPECT_OK(Ask(&Stub::ListResets, v1::ListResetsRequest(), list, as));
  }
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset"), 0);
}

}  // namespace
}  // namespace trustline
