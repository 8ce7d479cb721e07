// Enrolment.ScheduleOperations over real mutual TLS, as its clients see it.
#include "capf/schedule.h"

#include <algorithm>
#include <future>
#include <thread>

#include "capf/enrolment_service_testing.h"
#include "common/bytes/sha256.h"
#include "common/rpc/proto_time.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

// "SEP000000000001" and so on.
std::vector<std::string> Names(int count, int first = 1) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back(fmt::format("SEP{:012X}", first + i));
  return names;
}

class ScheduleTest : public EnrolmentServiceTest {
 protected:
  void AddDevices(const std::vector<std::string>& names) { EXPECT_OK(AddAsCad("default", names)); }
  std::string AuditDetail(std::string_view outcome = "done") {
    return Text(
        fmt::format("SELECT coalesce(string_agg(action || ' ' || subject || ' ' || detail, '; ' ORDER BY "
                    "event_id), '') FROM audit_event WHERE outcome = '{}'",
                    outcome));
  }
  std::string Operations() {
    return Text(
        "SELECT coalesce(string_agg(concat_ws(' ', device, operation, state, authentication), '; ' ORDER BY "
        "operation_id), '') FROM capf_operation");
  }
};

TEST_F(ScheduleTest, AStringIsShownOnceAndKeptAsADigest) {
  const auto stub = As(operator_.files());
  const Scheduled scheduled = Schedule(*stub, {Options(), Batch({"sep001122334466", kEnrolmentPhone})});
  ASSERT_OK(scheduled.status);
  ASSERT_THAT(scheduled.outcomes, SizeIs(2));
  EXPECT_EQ(scheduled.outcomes[0].device(), kOtherEnrolmentPhone);
  EXPECT_EQ(scheduled.outcomes[1].device(), kEnrolmentPhone);
  EXPECT_EQ(scheduled.deadline, clock_.Now() + absl::Hours(240));
  for (const auto& outcome : scheduled.outcomes) {
    EXPECT_EQ(outcome.refusal(), "");
    EXPECT_FALSE(outcome.replaced());
    EXPECT_FALSE(outcome.device_added());
    ASSERT_THAT(outcome.authentication_string(), MatchesRegex("[0-9]{8}"));
    KeptString kept;
    const auto row = superuser_->Execute("SELECT string_salt, string_hmac FROM capf_operation WHERE operation_id = $1",
                                         Parameters().Int64(outcome.operation_id()));
    ASSERT_OK(row);
    ASSERT_OK((*row)[0].Scan(kept.salt, kept.hmac));
    EXPECT_TRUE(strings_->Matches(kept, SecretBytes(outcome.authentication_string())));
    EXPECT_EQ(TimesRecorded(outcome.authentication_string()), 0);
  }
  EXPECT_EQ(Text("SELECT string_agg(DISTINCT scheduled_by || ' ' || key_order || rsa_bits || state, ',') "
                 "FROM capf_operation"),
            std::string(kEnrolmentOperator) + " rsa2048pending");
  const std::string digest = ToHex(Sha256(AsBytes("SEP001122334455\nSEP001122334466\n")));
  EXPECT_EQ(Text("SELECT actor FROM audit_event"), kEnrolmentOperator);
  EXPECT_THAT(AuditDetail(), AllOf(HasSubstr("capf.schedule 2 devices"), HasSubstr(R"("operation":"install")"),
                                   HasSubstr(R"("authentication":"string")"), HasSubstr(R"("key":"rsa:2048")"),
                                   HasSubstr(R"("deadline":"20)"), HasSubstr(R"("devices":"2")"), HasSubstr(digest)));
}

TEST_F(ScheduleTest, NoStringIsMadeThatAnotherCapfdWouldNotTake) {
  RunByHand(
      "INSERT INTO capf_string_key (check_value, set_by) VALUES (sha256('another'), 'trustline:default/capfd/x')");
  const auto stub = As(operator_.files());
  const Scheduled refused = Schedule(*stub, {Options(), Batch({kEnrolmentPhone})});
  EXPECT_THAT(refused.status, StatusIs(absl::StatusCode::kFailedPrecondition,
                                       AllOf(HasSubstr("string.key"), HasSubstr("trustline:default/capfd/x"))));
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 0);
  v1::ScheduleOperationsRequest options = Options();
  options.mutable_options()->set_authentication(v1::ENROLMENT_AUTHENTICATION_NULL);
  EXPECT_OK(Schedule(*stub, {options, Batch({kEnrolmentPhone})}).status);
}

TEST_F(ScheduleTest, WhatIsAskedForIsWhatIsScheduled) {
  const auto stub = As(operator_.files());
  v1::ScheduleOperationsRequest options = Options();
  options.mutable_options()->set_string_digits(10);
  options.mutable_options()->mutable_key()->set_order(v1::KeySpecification::ORDER_EC_PREFERRED);
  options.mutable_options()->mutable_key()->set_curve(v1::KeySpecification::CURVE_SECP384R1);
  options.mutable_options()->mutable_key()->set_rsa_bits(3072);
  const absl::Time deadline = clock_.Now() + absl::Hours(24 * 366);
  *options.mutable_options()->mutable_deadline() = ToProtoTime(deadline);
  const Scheduled first = Schedule(*stub, {options, Batch({kEnrolmentPhone})});
  ASSERT_OK(first.status);
  EXPECT_THAT(first.outcomes[0].authentication_string(), MatchesRegex("[0-9]{10}"));
  EXPECT_EQ(first.deadline, deadline);
  EXPECT_EQ(Text("SELECT concat_ws(' ', key_order, rsa_bits, curve) FROM capf_operation"),
            "ec-preferred 3072 secp384r1");
  EXPECT_THAT(AuditDetail(), AllOf(HasSubstr("capf.schedule SEP001122334455"),
                                   HasSubstr(R"("key":"ec-preferred:secp384r1,rsa:3072")")));

  options = Options();
  options.mutable_options()->set_authentication(v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_MIC);
  const Scheduled second = Schedule(*stub, {options, Batch({kEnrolmentPhone})});
  ASSERT_OK(second.status);
  EXPECT_TRUE(second.outcomes[0].replaced());
  EXPECT_EQ(second.outcomes[0].authentication_string(), "");
  EXPECT_EQ(Operations(), "SEP001122334455 install cancelled string; SEP001122334455 install pending certificate-mic");

  // Fetch and delete need a certificate in force, and are proved by it when nothing else is asked for.
  const Scheduled refused = Schedule(*stub, {Options(v1::CERTIFICATE_OPERATION_FETCH), Batch({kEnrolmentPhone})});
  ASSERT_OK(refused.status);
  EXPECT_THAT(refused.outcomes[0].refusal(), HasSubstr("no certificate in force"));
  EXPECT_EQ(refused.outcomes[0].operation_id(), 0);
  AddCertificate(kEnrolmentPhone);
  ASSERT_OK(Schedule(*stub, {Options(v1::CERTIFICATE_OPERATION_DELETE), Batch({kEnrolmentPhone})}).status);
  EXPECT_THAT(Operations(), HasSubstr("delete pending certificate-lsc"));
  EXPECT_THAT(AuditDetail(), HasSubstr(R"({"operation":"delete","authentication":"certificate-lsc","deadline":)"));
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 3);
}

TEST_F(ScheduleTest, ARefusedDeviceLeavesTheOthers) {
  RunByHand("UPDATE device SET state = 'retired', state_reason = 'broken' WHERE name = 'SEP001122334466'");
  const auto stub = As(operator_.files());
  const Scheduled scheduled =
      Schedule(*stub, {Options(), Batch({"phone 1", kEnrolmentPhone, "SEP0011223344FF"}),
                       Batch({"sep001122334455", kOtherEnrolmentPhone, "SEP0011223344FF"}), Batch({})});
  ASSERT_OK(scheduled.status);
  std::vector<std::string> refusals;
  for (const auto& outcome : scheduled.outcomes) {
    refusals.push_back(outcome.refusal());
    EXPECT_EQ(outcome.operation_id() != 0, outcome.refusal().empty()) << outcome.device();
    EXPECT_EQ(outcome.authentication_string() != "", outcome.refusal().empty()) << outcome.device();
  }
  EXPECT_THAT(refusals, ElementsAre(HasSubstr("is not a device name"), "", HasSubstr("there is no device"),
                                    HasSubstr("SEP001122334455 was named before"), HasSubstr("retired (broken)"),
                                    HasSubstr("SEP0011223344FF was named before")));
  EXPECT_EQ(scheduled.outcomes[0].device(), "phone 1");
  EXPECT_EQ(Operations(), "SEP001122334455 install pending string");
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 1);
}

TEST_F(ScheduleTest, DevicesThatAreNotKnownAreAddedWhenAskedFor) {
  constexpr char kAdded[] = "SEP001122334400";
  const auto stub = As(operator_.files());
  v1::ScheduleOperationsRequest options = Options();
  options.mutable_options()->set_add_unknown_devices(true);
  const Scheduled scheduled = Schedule(*stub, {options, Batch({kAdded, kEnrolmentPhone})});
  ASSERT_OK(scheduled.status);
  EXPECT_EQ(scheduled.outcomes[0].device(), kAdded);
  EXPECT_TRUE(scheduled.outcomes[0].device_added());
  EXPECT_THAT(scheduled.outcomes[0].authentication_string(), SizeIs(8));
  EXPECT_FALSE(scheduled.outcomes[1].device_added());
  EXPECT_NE(scheduled.outcomes[1].operation_id(), 0);
  EXPECT_THAT(AuditDetail(),
              AllOf(HasSubstr(R"("devices":"2","devices_added":"1")"),
                    HasSubstr(ToHex(Sha256(AsBytes(fmt::format("{}\n{}\n", kAdded, kEnrolmentPhone)))))));

  // Without cad the batch is left, and what is known already needs no cad.
  adding_fails_with_ = absl::UnavailableError("cad does not answer");
  const Scheduled failed = Schedule(*stub, {options, Batch({kOtherEnrolmentPhone, "SEP0011223344EE"})});
  EXPECT_THAT(failed.status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cad does not answer")));
  EXPECT_THAT(failed.outcomes, IsEmpty());
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 2);
  EXPECT_OK(Schedule(*stub, {options, Batch({kOtherEnrolmentPhone})}).status);
}

TEST_F(ScheduleTest, AllOrNothing) {
  const std::vector<std::string> known = Names(1500);
  AddDevices({known.begin(), known.begin() + 1000});
  AddDevices({known.begin() + 1000, known.end()});
  RunByHand("UPDATE device SET state = 'retired' WHERE name = 'SEP0000000005DC'");  // the last
  const auto stub = As(operator_.files());
  v1::ScheduleOperationsRequest options = Options();
  options.mutable_options()->set_all_or_nothing(true);
  options.mutable_options()->set_add_unknown_devices(true);
  const v1::ScheduleOperationsRequest first = Batch({known.begin(), known.begin() + 1000});
  v1::ScheduleOperationsRequest second = Batch({known.begin() + 1000, known.end()});
  second.mutable_devices()->add_names("SEP0011223344FF");
  second.mutable_devices()->add_names("SEP");
  const Scheduled refused = Schedule(*stub, {options, first, second});
  EXPECT_THAT(refused.status, StatusIs(kRefused, "2 of 1502 devices were refused: nothing was scheduled"));
  ASSERT_THAT(refused.outcomes, SizeIs(2));
  EXPECT_THAT(refused.outcomes[0].refusal(), HasSubstr("retired"));
  EXPECT_EQ(refused.outcomes[0].authentication_string(), "");
  EXPECT_THAT(refused.outcomes[1].refusal(), HasSubstr("is not a device name"));
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM device WHERE name = 'SEP0011223344FF'"), 0);
  audit_->Stop();
  EXPECT_EQ(AuditDetail(), "");
  EXPECT_THAT(AuditDetail("denied"), AllOf(HasSubstr("capf.schedule default"), HasSubstr("2 of 1502")));

  RunByHand("UPDATE device SET state = 'in service'");
  second.mutable_devices()->mutable_names()->RemoveLast();
  const Scheduled all = Schedule(*stub, {options, first, second});
  ASSERT_OK(all.status);
  ASSERT_THAT(all.outcomes, SizeIs(1501));
  for (size_t i = 0; i < 1500; ++i) EXPECT_EQ(all.outcomes[i].device(), known[i]);
  EXPECT_TRUE(all.outcomes[1500].device_added());
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE state = 'pending'"), 1501);
  EXPECT_THAT(AuditDetail(), AllOf(HasSubstr("capf.schedule 1501 devices"), HasSubstr(R"("devices_added":"1")")));
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE outcome = 'done'"), 1);
}

TEST_F(ScheduleTest, WhatIsPendingIsTakenBack) {
  const auto stub = As(operator_.files());
  ASSERT_OK(Schedule(*stub, {Options(), Batch({kEnrolmentPhone})}).status);
  const Scheduled taken = Schedule(*stub, {Options(v1::CERTIFICATE_OPERATION_NONE),
                                           Batch({kEnrolmentPhone, kOtherEnrolmentPhone, kEnrolmentPhone})});
  ASSERT_OK(taken.status);
  ASSERT_THAT(taken.outcomes, SizeIs(3));
  EXPECT_NE(taken.outcomes[0].operation_id(), 0);
  EXPECT_EQ(taken.outcomes[1].operation_id(), 0);
  EXPECT_EQ(taken.outcomes[1].refusal(), "");
  EXPECT_THAT(taken.outcomes[2].refusal(), HasSubstr("named before"));
  EXPECT_EQ(taken.deadline, std::nullopt);
  EXPECT_EQ(Text("SELECT state || ' ' || reason FROM capf_operation"),
            fmt::format("cancelled taken back by {}", kEnrolmentOperator));
  EXPECT_THAT(AuditDetail(), HasSubstr(R"(SEP001122334455 {"operation":"none","devices":"1","sha256":)"));
}

TEST_F(ScheduleTest, OptionsThatMakeNoSenseAreRefused) {
  const auto stub = As(operator_.files());
  const auto refusal = [&](auto change) {
    v1::ScheduleOperationsRequest options = Options();
    change(*options.mutable_options());
    const Scheduled scheduled = Schedule(*stub, {options, Batch({kEnrolmentPhone})});
    EXPECT_THAT(scheduled.outcomes, IsEmpty());
    EXPECT_THAT(scheduled.status, StatusIs(kInvalid));
    return std::string(StatusMessage(scheduled.status));
  };
  using Of = v1::ScheduleOperationsRequest::Options;
  EXPECT_THAT(refusal([](Of& o) { o.clear_operation(); }), HasSubstr("an operation is named"));
  EXPECT_THAT(refusal([](Of& o) { o.set_operation(static_cast<v1::CertificateOperation>(9)); }), HasSubstr("9"));
  EXPECT_THAT(refusal([](Of& o) { o.set_authentication(static_cast<v1::EnrolmentAuthentication>(9)); }),
              HasSubstr("authentication 9"));
  for (const int digits : {3, 11, -1}) {
    EXPECT_THAT(refusal([&](Of& o) { o.set_string_digits(digits); }), HasSubstr("4 to 10 digits"));
  }
  EXPECT_THAT(refusal([](Of& o) {
                o.set_string_digits(8);
                o.set_authentication(v1::ENROLMENT_AUTHENTICATION_NULL);
              }),
              HasSubstr("only authentication strings have digits"));
  EXPECT_THAT(refusal([&](Of& o) { *o.mutable_deadline() = ToProtoTime(clock_.Now()); }), HasSubstr("over already"));
  EXPECT_THAT(refusal([&](Of& o) {
                *o.mutable_deadline() = ToProtoTime(clock_.Now() + absl::Hours(24 * 366) + absl::Seconds(1));
              }),
              HasSubstr("more than 366d away"));
  for (const int bits : {1024, 2047, 8192, -2048}) {
    EXPECT_THAT(refusal([&](Of& o) { o.mutable_key()->set_rsa_bits(bits); }), HasSubstr("2048, 3072 or 4096"));
  }
  EXPECT_THAT(refusal([](Of& o) { o.mutable_key()->set_curve(v1::KeySpecification::CURVE_SECP521R1); }),
              HasSubstr("an RSA key has no curve"));
  EXPECT_THAT(refusal([](Of& o) {
                o.mutable_key()->set_order(v1::KeySpecification::ORDER_EC);
                o.mutable_key()->set_rsa_bits(2048);
              }),
              HasSubstr("no RSA size"));
  EXPECT_THAT(refusal([](Of& o) {
                o.mutable_key()->set_order(v1::KeySpecification::ORDER_EC);
                o.mutable_key()->set_curve(static_cast<v1::KeySpecification::Curve>(9));
              }),
              HasSubstr("curve 9"));
  EXPECT_THAT(refusal([](Of& o) { o.mutable_key()->set_order(static_cast<v1::KeySpecification::Order>(9)); }),
              HasSubstr("order of keys 9"));
  EXPECT_THAT(refusal([](Of& o) {
                o.set_operation(v1::CERTIFICATE_OPERATION_FETCH);
                o.mutable_key();
              }),
              HasSubstr("only an installation makes a key"));
  EXPECT_THAT(refusal([](Of& o) {
                o.set_operation(v1::CERTIFICATE_OPERATION_DELETE);
                o.set_add_unknown_devices(true);
              }),
              HasSubstr("only an installation adds devices"));
  EXPECT_THAT(refusal([](Of& o) {
                o.set_operation(v1::CERTIFICATE_OPERATION_NONE);
                o.mutable_key();
              }),
              HasSubstr("taken back without"));
  EXPECT_EQ(Operations(), "");
  audit_->Stop();
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'capf.schedule' AND outcome = 'denied'"),
            Count("SELECT count(*) FROM audit_event"));
  EXPECT_GT(Count("SELECT count(*) FROM audit_event"), 10);
}

TEST_F(ScheduleTest, AStreamHasAnOrderAndBounds) {
  const auto stub = As(operator_.files());
  EXPECT_THAT(Schedule(*stub, {}).status, StatusIs(kInvalid, HasSubstr("begins with its options")));
  EXPECT_THAT(Schedule(*stub, {Batch({kEnrolmentPhone})}).status,
              StatusIs(kInvalid, HasSubstr("begins with its options")));
  EXPECT_THAT(Schedule(*stub, {Options(), Options()}).status, StatusIs(kInvalid, HasSubstr("only batches of devices")));
  EXPECT_THAT(Schedule(*stub, {Options(), Batch(Names(1001))}).status,
              StatusIs(kInvalid, HasSubstr("at most 1000 devices, and here are 1001")));
  EXPECT_EQ(Operations(), "");

  v1::ScheduleOperationsRequest options = Options();
  options.mutable_options()->set_all_or_nothing(true);
  std::vector<v1::ScheduleOperationsRequest> requests = {options};
  for (int i = 0; i < 201; ++i) requests.push_back(Batch(Names(1000, 1 + 1000 * i)));
  const Scheduled many = Schedule(*stub, requests);
  EXPECT_THAT(many.status, StatusIs(kInvalid, HasSubstr("at most 200000 devices are scheduled all or none")));
  EXPECT_THAT(many.outcomes, IsEmpty());
}

TEST_F(ScheduleTest, WhoGoesAwayBeforeTheCommitHasScheduledNothing) {
  const auto stub = As(operator_.files());
  v1::ScheduleOperationsRequest options = Options();
  options.mutable_options()->set_add_unknown_devices(true);
  grpc::ClientContext context;
  std::promise<void> told;
  while_adding_ = [&] {
    context.TryCancel();
    // On the same connection: when this has been answered, the server knows of the end.
    v1::GetEnrolmentPolicyResponse response;
    EXPECT_OK(Call(*stub, &Stub::GetEnrolmentPolicy, v1::GetEnrolmentPolicyRequest(), response));
    told.set_value();
  };
  const auto stream = stub->ScheduleOperations(&context);
  ASSERT_TRUE(stream->Write(options));
  ASSERT_TRUE(stream->Write(Batch({kEnrolmentPhone, "SEP0011223344FF"})));
  v1::ScheduleOperationsResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  told.get_future().wait();
  // Returns when the call has ended on the server too.
  server_->Shutdown(absl::Seconds(30));
  EXPECT_EQ(Count("SELECT count(*) FROM device WHERE name = 'SEP0011223344FF'"), 1);
  EXPECT_EQ(Operations(), "");
  audit_->Stop();
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 0);
}

TEST_F(ScheduleTest, TwoCallsForTheSameDevicesEndBoth) {
  const std::vector<std::string> names = Names(300);
  AddDevices(names);
  std::vector<v1::ScheduleOperationsRequest> forth, back;
  v1::ScheduleOperationsRequest options = Options();
  options.mutable_options()->set_all_or_nothing(true);
  forth.push_back(options);
  back.push_back(options);
  for (const std::string& name : names) forth.push_back(Batch({name}));
  for (auto name = names.rbegin(); name != names.rend(); ++name) back.push_back(Batch({*name}));
  const auto stub = As(operator_.files());
  ASSERT_OK(Schedule(*stub, forth).status);  // so that each finds something to replace
  Scheduled other;
  std::thread thread([&] { other = Schedule(*stub, back); });
  const Scheduled one = Schedule(*stub, forth);
  thread.join();
  // Neither ends as the victim of a deadlock; who came second may be told that it did.
  EXPECT_TRUE(one.status.ok() || other.status.ok());
  for (const Scheduled& scheduled : {one, other}) {
    if (scheduled.status.ok()) continue;
    EXPECT_THAT(scheduled.status, StatusIs(kRefused));
    for (const auto& outcome : scheduled.outcomes) EXPECT_THAT(outcome.refusal(), HasSubstr("by somebody else"));
  }
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE state = 'pending'"), 300);
}

class StalledScheduleTest : public ScheduleTest {
 protected:
  absl::Duration schedule_patience() const override { return absl::Milliseconds(300); }
};

TEST_F(StalledScheduleTest, IsEndedWithWords) {
  const auto stub = As(operator_.files());
  grpc::ClientContext context;
  const auto stream = stub->ScheduleOperations(&context);
  ASSERT_TRUE(stream->Write(Options()));
  ASSERT_TRUE(stream->Write(Batch({kEnrolmentPhone})));
  v1::ScheduleOperationsResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_THAT(ToAbsl(stream->Finish()),
              StatusIs(absl::StatusCode::kAborted, AllOf(HasSubstr("nothing was received for 300ms"),
                                                         HasSubstr("what was answered is scheduled"))));
  EXPECT_EQ(Operations(), "SEP001122334455 install pending string");
}

TEST_F(ScheduleTest, ThereIsABoundToThoseThatScheduleAtOnce) {
  const auto stub = As(operator_.files());
  struct Open {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<v1::ScheduleOperationsRequest, v1::ScheduleOperationsResponse>> stream;
  };
  std::vector<std::unique_ptr<Open>> open;
  v1::ScheduleOperationsResponse response;
  for (int i = 0; i < kMostSchedules; ++i) {
    Open& call = *open.emplace_back(std::make_unique<Open>());
    call.stream = stub->ScheduleOperations(&call.context);
    ASSERT_TRUE(call.stream->Write(Options()));
    // Answered, so it was admitted.
    ASSERT_TRUE(call.stream->Write(Batch({})));
    ASSERT_TRUE(call.stream->Read(&response));
  }
  EXPECT_THAT(Schedule(*stub, {Options(), Batch({kEnrolmentPhone})}).status,
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("try again later")));
  for (const auto& call : open) {
    call->stream->WritesDone();
    EXPECT_FALSE(call->stream->Read(&response));
    EXPECT_TRUE(call->stream->Finish().ok());
  }
  EXPECT_EQ(Operations(), "");
}

}  // namespace
}  // namespace trustline
