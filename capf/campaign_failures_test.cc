#include "capf/campaign_runner_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

using CampaignFailuresTest = CampaignRunnerTest;

TEST_F(CampaignFailuresTest, PausesWhenTooMuchFailed) {
  AddPhones(130);
  CampaignOrder order = Order(125);
  order.stop_at_failures = 5;
  const int32_t id = CreateAndStart(order);
  Step();
  EndSome(114, "success");
  EndSome(5, "failed");
  Step();  // 5 of 119 are less
  EXPECT_EQ(Load(id).state, CampaignState::kRunning);
  EndSome(1, "failed");
  EndSome(1, "cancelled");
  Step();  // 6 of 120 are the limit
  CampaignRecord campaign = Load(id);
  EXPECT_EQ(campaign.state, CampaignState::kPaused);
  const std::string reason = "6 of 120 ended without success (5.0 %), the limit is 5 %";
  EXPECT_EQ(campaign.state_reason, reason);
  EXPECT_EQ(campaign.counts, (CampaignCounts{.pending = 4, .success = 114, .failed = 6, .cancelled = 1}));
  EXPECT_THAT(Audit("capf.campaign.pause"),
              ElementsAre(fmt::format("capf.campaign.pause done {} campaign {}: {{\"reason\":\"{}\",\"waves\":\"1\"}}",
                                      kDaemon, id, reason)));
  EXPECT_THAT(Logged("CAPF_CAMPAIGN_PAUSED"), ElementsAre(AllOf(HasSubstr(reason), HasSubstr("warning"))));
  EndSome(4, "failed");
  Step(2);
  EXPECT_EQ(Load(id).waves, 1);
  EXPECT_THAT(Audit("capf.campaign.pause"), SizeIs(1));

  // Started again it goes on: what had failed, and what failed while it paused, is not held against it once more.
  ASSERT_OK(Start(id));
  Step(2);
  campaign = Load(id);
  EXPECT_EQ(campaign.state, CampaignState::kRunning);
  EXPECT_EQ(campaign.waves, 2);
  EXPECT_EQ(campaign.counts.pending, 5);
  EndSome(4, "success");
  Step();
  EXPECT_EQ(Load(id).state, CampaignState::kRunning);
  EndSome(1, "expired");
  Step();
  EXPECT_EQ(Load(id).state_reason, "1 of 5 ended without success (20.0 %), the limit is 5 %");
  ASSERT_OK(Start(id));
  Step();
  EXPECT_EQ(Load(id).state, CampaignState::kFinished);
}

TEST_F(CampaignFailuresTest, AFewThatEndedSayNothingYet) {
  AddPhones(60);
  CampaignOrder order = Order(50);
  order.stop_at_failures = 10;
  const int32_t id = CreateAndStart(order);
  Step();
  EndSome(2, "failed");
  EndSome(17, "success");
  Step();
  EXPECT_EQ(Load(id).state, CampaignState::kRunning);
  EndSome(1, "success");
  Step();
  EXPECT_EQ(Load(id).state_reason, "2 of 20 ended without success (10.0 %), the limit is 10 %");

  // A small wave is judged when it has ended.
  order.wave_size = 15;
  order.stop_at_failures = 1;
  RunByHand("UPDATE capf_operation SET state = 'success', ended_at = now() WHERE ended_at IS NULL");
  const int32_t small = CreateAndStart(order);
  Step();
  EndSome(1, "expired");
  EndSome(13, "success");
  Step();
  EXPECT_EQ(Load(small).state, CampaignState::kRunning);
  EndSome(1, "success");
  Step();
  EXPECT_EQ(Load(small).state_reason, "1 of 15 ended without success (6.7 %), the limit is 1 %");

  // And so is one that has fewer devices than it could have.
  ASSERT_OK_AND_ASSIGN(const CampaignRecord first, Pause(CreateAndStart(Order(1))));
  RunByHand(fmt::format("UPDATE issuance SET state = 'revoked', revoked_at = now() WHERE device > '{}'", Phone(3)));
  order.wave_size = 50;
  const int32_t last = CreateAndStart(order);
  Step();
  EXPECT_EQ(Load(last).counts.pending, 3);
  EndSome(2, "failed");
  Step();
  EXPECT_EQ(Load(last).state, CampaignState::kRunning);
  EndSome(1, "failed");
  Step();
  EXPECT_EQ(Load(last).state_reason, "3 of 3 ended without success (100.0 %), the limit is 1 %");
}

TEST_F(CampaignFailuresTest, SmallWavesNeedFewer) {
  AddPhones(30);
  CampaignOrder order = Order(15);
  order.stop_at_failures = 6;
  const int32_t id = CreateAndStart(order);
  Step();
  EndSome(15, "success");
  Step();
  EXPECT_EQ(Load(id).waves, 2);
  EndSome(1, "failed");
  Step();
  EXPECT_EQ(Load(id).state_reason, "1 of 16 ended without success (6.2 %), the limit is 6 %");
}

TEST_F(CampaignFailuresTest, WithoutALimitNothingStopsIt) {
  AddPhones(25);
  const int32_t id = CreateAndStart(Order(24));
  Step();
  EndSome(24, "failed");
  Step();
  EndSome(1, "failed");
  Step();
  EXPECT_EQ(Load(id).state, CampaignState::kFinished);
}

TEST_F(CampaignFailuresTest, WhatWentWellLongAgoDoesNotHideFailures) {
  AddPhones(60);
  CampaignOrder order = Order(500);
  order.stop_at_failures = 5;
  const int32_t id = CreateAndStart(order);
  // Nine waves without a failure.
  RunByHand(fmt::format(
      "INSERT INTO capf_operation (cluster_id, device, operation, state, authentication, key_order, rsa_bits, curve, "
      "deadline, scheduled_by, ended_at, campaign_id, wave) SELECT 1, 'CSF' || n, 'install', 'success', 'null', 'rsa', "
      "2048, 'secp256r1', now(), 'test', now(), {}, n % 9 + 1 FROM generate_series(1, 4500) n; "
      "UPDATE capf_campaign SET waves = 9",
      id));
  Step();
  EndSome(52, "failed");
  Step();
  EXPECT_EQ(Load(id).state, CampaignState::kRunning);
  EndSome(1, "failed");
  Step();
  EXPECT_EQ(Load(id).state_reason, "53 of 1053 ended without success (5.0 %), the limit is 5 %");
}

TEST_F(CampaignFailuresTest, PausedByAnOperatorItKeepsItsFailures) {
  AddPhones(50);
  CampaignOrder order = Order(25);
  order.stop_at_failures = 20;
  const int32_t id = CreateAndStart(order);
  Step();
  EndSome(21, "success");
  EndSome(4, "failed");
  ASSERT_OK(Pause(id));
  Step();
  EXPECT_EQ(Load(id).waves, 1);
  ASSERT_OK(Start(id));
  Step();
  EXPECT_EQ(Load(id).waves, 2);
  EndSome(6, "failed");
  Step();
  EXPECT_EQ(Load(id).state_reason, "10 of 31 ended without success (32.3 %), the limit is 20 %");
}

}  // namespace
}  // namespace trustline
