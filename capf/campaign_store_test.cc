#include "capf/campaign_store.h"

#include <functional>

#include "capf/campaign_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using CampaignStoreTest = CampaignTest;

TEST_F(CampaignStoreTest, KeepsWhatWasOrdered) {
  CampaignOrder order = {.expires_within = 30 * kDay,
                         .authority_id = authority_,
                         .authentication = EnrolmentAuthentication::kCertificateMic,
                         .keys = {.order = KeyOrder::kEcPreferred, .rsa_bits = 3072, .curve = CapfCurve::kSecp384r1},
                         .wave_size = 50,
                         .hours = *HoursOfDay::Parse("22:00-05:30"),
                         .stop_at_failures = 7,
                         .operation_time = 2 * kDay};
  ASSERT_OK_AND_ASSIGN(const CampaignRecord created, Create(order));
  for (const CampaignRecord& campaign : {created, Load(created.id)}) {
    EXPECT_EQ(campaign.id, created.id);
    EXPECT_EQ(campaign.state, CampaignState::kCreated);
    EXPECT_EQ(campaign.state_reason, "");
    EXPECT_EQ(campaign.expires_before, clock_.Now() + 30 * kDay);
    EXPECT_EQ(campaign.authority_id, authority_);
    EXPECT_EQ(campaign.authentication, EnrolmentAuthentication::kCertificateMic);
    EXPECT_EQ(campaign.keys, order.keys);
    EXPECT_EQ(campaign.wave_size, 50);
    EXPECT_EQ(campaign.hours.ToText(), "22:00-05:30");
    EXPECT_EQ(campaign.stop_at_failures, 7);
    EXPECT_EQ(campaign.operation_time, 2 * kDay);
    EXPECT_EQ(campaign.waves, 0);
    EXPECT_EQ(campaign.created_by, kOperator);
    EXPECT_EQ(campaign.created_at, clock_.Now());
    EXPECT_EQ(campaign.counts, CampaignCounts());
  }
  EXPECT_THAT(Audit("capf."),
              ElementsAre(fmt::format(
                  "capf.campaign.create done {} campaign {}: {{\"expires_before\":\"2026-04-01T12:00:00Z\","
                  "\"authority\":\"{}\",\"authentication\":\"certificate-mic\",\"key\":\"ec-preferred:secp384r1,"
                  "rsa:3072\",\"wave_size\":\"50\",\"hours\":\"22:00-05:30\",\"stop_at_failures\":\"7\","
                  "\"operation_time\":\"2d\"}}",
                  kOperator, created.id, authority_)));
}

TEST_F(CampaignStoreTest, OneConditionIsEnough) {
  ASSERT_OK_AND_ASSIGN(const CampaignRecord by_expiry, Create({.expires_within = absl::Hours(1)}));
  EXPECT_EQ(by_expiry.authority_id, 0);
  EXPECT_EQ(by_expiry.hours.ToText(), "");
  ASSERT_OK_AND_ASSIGN(const CampaignRecord by_authority, Create({.authority_id = authority_}));
  EXPECT_EQ(by_authority.expires_before, std::nullopt);
  // The time is fixed once and for all.
  clock_.Advance(10 * kDay);
  EXPECT_EQ(Load(by_expiry.id).expires_before, by_expiry.created_at + absl::Hours(1));
}

TEST_F(CampaignStoreTest, RefusesWhatNoCampaignCanBe) {
  struct Case {
    const char* what;
    std::function<void(CampaignOrder&)> spoil;
  };
  const Case cases[] = {
      {"needs a condition", [](CampaignOrder& order) { order.expires_within.reset(); }},
      {"at most 3650d", [](CampaignOrder& order) { order.expires_within = absl::ZeroDuration(); }},
      {"at most 3650d", [](CampaignOrder& order) { order.expires_within = -kDay; }},
      {"at most 3650d", [](CampaignOrder& order) { order.expires_within = 3651 * kDay; }},
      {"at most 3650d", [](CampaignOrder& order) { order.expires_within = absl::InfiniteDuration(); }},
      {"nobody would be shown", [](CampaignOrder& order) { order.authentication = EnrolmentAuthentication::kString; }},
      {"2048, 3072 or 4096 bits, not 1024", [](CampaignOrder& order) { order.keys.rsa_bits = 1024; }},
      {"1 to 100000 devices, not 0", [](CampaignOrder& order) { order.wave_size = 0; }},
      {"1 to 100000 devices, not 100001", [](CampaignOrder& order) { order.wave_size = 100'001; }},
      {"not at -1", [](CampaignOrder& order) { order.stop_at_failures = -1; }},
      {"not at 101", [](CampaignOrder& order) { order.stop_at_failures = 101; }},
      {"from 1m to 30d", [](CampaignOrder& order) { order.operation_time = absl::Seconds(59); }},
      {"from 1m to 30d", [](CampaignOrder& order) { order.operation_time = 30 * kDay + absl::Seconds(1); }},
      {"from 1m to 30d", [](CampaignOrder& order) { order.operation_time = absl::InfiniteDuration(); }},
  };
  for (const Case& wrong : cases) {
    CampaignOrder order = {.expires_within = 30 * kDay};
    wrong.spoil(order);
    EXPECT_THAT(Create(order), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(wrong.what)));
  }
  RunByHand("INSERT INTO cluster (name) VALUES ('site-2')");
  const auto other_cluster = static_cast<int32_t>(Count("SELECT cluster_id FROM cluster WHERE name = 'site-2'"));
  for (const int32_t authority : {authority_ + 1, AddAuthority("prepared", other_cluster), -1}) {
    EXPECT_THAT(Create({.authority_id = authority}),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("trustctl ca list")));
  }
  EXPECT_EQ(Count("SELECT count(*) FROM capf_campaign"), 0);
  EXPECT_THAT(Audit("capf."), IsEmpty());

  // The limits themselves are good.
  for (const CampaignOrder& order :
       {CampaignOrder{
            .expires_within = 3650 * kDay, .wave_size = 1, .stop_at_failures = 0, .operation_time = absl::Minutes(1)},
        CampaignOrder{.expires_within = absl::Seconds(1),
        .wave_size = 100'000,
        .stop_at_failures = 100,
        .operation_time = 30 * kDay}}) {
    EXPECT_OK(Create(order));
  }
}

TEST_F(CampaignStoreTest, StartsAndPauses) {
  ASSERT_OK_AND_ASSIGN(const CampaignRecord created, Create(Order(10)));
  const int32_t id = created.id;
  EXPECT_THAT(Pause(id), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is created")));

  ASSERT_OK_AND_ASSIGN(const CampaignRecord started, Start(id));
  EXPECT_EQ(started.state, CampaignState::kRunning);
  EXPECT_THAT(Start(id), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("running already")));

  ASSERT_OK_AND_ASSIGN(const CampaignRecord paused, Pause(id));
  EXPECT_EQ(paused.state, CampaignState::kPaused);
  EXPECT_EQ(paused.state_reason, fmt::format("by {}", kOperator));
  EXPECT_THAT(Pause(id), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is paused")));

  ASSERT_OK_AND_ASSIGN(const CampaignRecord again, Start(id));
  EXPECT_EQ(again.state, CampaignState::kRunning);
  EXPECT_EQ(again.state_reason, "");

  RunByHand("UPDATE capf_campaign SET state = 'finished'");
  EXPECT_THAT(Start(id), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("create another one")));
  EXPECT_THAT(Pause(id), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is finished")));

  const std::string by = fmt::format("done {} campaign {}", kOperator, id);
  EXPECT_THAT(Audit("capf."), ElementsAre(HasSubstr("capf.campaign.create"),
                                          fmt::format("capf.campaign.start {}: {{\"was\":\"created\"}}", by),
                                          fmt::format("capf.campaign.pause {}: {{\"waves\":\"0\"}}", by),
                                          fmt::format("capf.campaign.start {}: {{\"was\":\"paused\"}}", by)));
}

TEST_F(CampaignStoreTest, AnotherClusterHasNone) {
  RunByHand("INSERT INTO cluster (name) VALUES ('site-2')");
  const auto other_cluster = static_cast<int32_t>(Count("SELECT cluster_id FROM cluster WHERE name = 'site-2'"));
  ASSERT_OK_AND_ASSIGN(const CampaignRecord created, Create(Order(10)));
  const auto not_found = StatusIs(absl::StatusCode::kNotFound, HasSubstr("trustctl capf campaign list"));
  EXPECT_THAT(InStore([&](CampaignStore& store) { return store.Load(created.id); }, other_cluster), not_found);
  EXPECT_THAT(InStore([&](CampaignStore& store) { return store.Start(created.id, "x", clock_.Now()); }, other_cluster),
              not_found);
  EXPECT_THAT(InStore([&](CampaignStore& store) { return store.Pause(created.id, "x", clock_.Now()); }, other_cluster),
              not_found);
  ASSERT_OK_AND_ASSIGN(const auto theirs, InStore([](CampaignStore& store) { return store.List(); }, other_cluster));
  EXPECT_THAT(theirs, IsEmpty());
  EXPECT_THAT(Start(created.id + 1), not_found);
  EXPECT_THAT(Load(created.id).state, CampaignState::kCreated);
}

TEST_F(CampaignStoreTest, CountsOperationsByTheirState) {
  const int32_t first = CreateAndStart(Order(10));
  const int32_t second = CreateAndStart(Order(10));
  const int32_t third = CreateAndStart(Order(10));
  const auto add = [&](int32_t campaign, int count, std::string_view state) {
    for (int i = 0; i < count; ++i) {
      const std::string device = Phone(++certificates_);
      AddOperation(device, state == "in progress" ? "pending" : state);
      RunByHand(
          fmt::format("UPDATE capf_operation SET campaign_id = {}, wave = 1 WHERE device = '{}'", campaign, device));
      if (state != "in progress") continue;
      RunByHand(
          fmt::format("UPDATE capf_operation SET state = 'in progress', session_claim = "
                      "decode(repeat('00', 16), 'hex') WHERE device = '{}'",
                      device));
    }
  };
  add(first, 1, "pending");
  add(first, 2, "in progress");
  add(first, 3, "success");
  add(first, 4, "failed");
  add(first, 5, "expired");
  add(first, 6, "cancelled");
  add(second, 7, "success");
  AddOperation(Phone(1000), "success");
  const CampaignCounts counts = {
      .pending = 1, .in_progress = 2, .success = 3, .failed = 4, .expired = 5, .cancelled = 6};
  EXPECT_EQ(Load(first).counts, counts);
  ASSERT_OK_AND_ASSIGN(const auto campaigns, InStore([](CampaignStore& store) { return store.List(); }));
  ASSERT_EQ(campaigns.size(), 3u);
  EXPECT_EQ(campaigns[0].id, third);
  EXPECT_EQ(campaigns[0].counts, CampaignCounts());
  EXPECT_EQ(campaigns[1].id, second);
  EXPECT_EQ(campaigns[1].counts, CampaignCounts{.success = 7});
  EXPECT_EQ(campaigns[2].id, first);
  EXPECT_EQ(campaigns[2].counts, counts);
}

TEST_F(CampaignStoreTest, AChangeThatCannotBeAuditedIsNone) {
  ASSERT_OK_AND_ASSIGN(const CampaignRecord created, Create(Order(10)));
  RunByHand("REVOKE EXECUTE ON FUNCTION audit_append FROM trustline_capfd");
  EXPECT_THAT(Start(created.id), Not(IsOk()));
  EXPECT_THAT(Create(Order(10)), Not(IsOk()));
  EXPECT_EQ(Text("SELECT string_agg(state, ' ') FROM capf_campaign"), "created");
}

}  // namespace
}  // namespace trustline
