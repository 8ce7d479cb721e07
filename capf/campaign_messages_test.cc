#include "capf/campaign_messages.h"

#include <functional>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

template <typename Message>
Message Read(const char* text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

TEST(CampaignMessagesTest, WhatIsNotGivenHasItsDefault) {
  ASSERT_OK_AND_ASSIGN(const CampaignOrder order, ReadCampaignOrder(v1::CreateCampaignRequest()));
  EXPECT_EQ(order.expires_within, std::nullopt);
  EXPECT_EQ(order.authority_id, 0);
  EXPECT_EQ(order.authentication, EnrolmentAuthentication::kCertificateLsc);
  EXPECT_EQ(order.keys, KeyPlan());
  EXPECT_EQ(order.wave_size, 200);
  EXPECT_EQ(order.hours.ToText(), "");
  EXPECT_EQ(order.stop_at_failures, 5);
  EXPECT_EQ(order.operation_time, absl::Hours(24));
}

TEST(CampaignMessagesTest, ReadsAnOrder) {
  const auto request = Read<v1::CreateCampaignRequest>(
      "expires_within { seconds: 86400 nanos: 500000000 } authority_id: 3 "
      "authentication: ENROLMENT_AUTHENTICATION_NULL key { order: ORDER_EC_PREFERRED rsa_bits: 3072 "
      "curve: CURVE_SECP384R1 } wave_size: 10 hours: '22:00-05:00' stop_at_failures: 0 "
      "operation_time { seconds: 3600 }");
  ASSERT_OK_AND_ASSIGN(const CampaignOrder order, ReadCampaignOrder(request));
  EXPECT_EQ(order.expires_within, absl::Hours(24) + absl::Milliseconds(500));
  EXPECT_EQ(order.authority_id, 3);
  EXPECT_EQ(order.authentication, EnrolmentAuthentication::kNull);
  EXPECT_EQ(order.keys, (KeyPlan{.order = KeyOrder::kEcPreferred, .rsa_bits = 3072, .curve = CapfCurve::kSecp384r1}));
  EXPECT_EQ(order.wave_size, 10);
  EXPECT_EQ(order.hours.ToText(), "22:00-05:00");
  EXPECT_EQ(order.stop_at_failures, 0);
  EXPECT_EQ(order.operation_time, absl::Hours(1));
}

TEST(CampaignMessagesTest, RefusesWhatNobodyCanOrder) {
  for (const char* text : {"authority_id: -1", "authentication: 99", "key { order: ORDER_RSA curve: CURVE_SECP256R1 }",
                           "key { rsa_bits: 1024 }", "hours: 'at night'"}) {
    EXPECT_THAT(ReadCampaignOrder(Read<v1::CreateCampaignRequest>(text)), StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
  // What is out of bounds is left to the store, which names them; it must not turn into something else.
  const auto request = Read<v1::CreateCampaignRequest>(
      "expires_within { seconds: -5 } wave_size: -2 stop_at_failures: 101 operation_time { seconds: "
      "9223372036854775807 }");
  ASSERT_OK_AND_ASSIGN(const CampaignOrder order, ReadCampaignOrder(request));
  EXPECT_EQ(order.expires_within, -absl::Seconds(5));
  EXPECT_EQ(order.wave_size, -2);
  EXPECT_EQ(order.stop_at_failures, 101);
  EXPECT_GT(order.operation_time, absl::Hours(24 * 3650));
}

TEST(CampaignMessagesTest, WritesACampaign) {
  CampaignRecord campaign = {.id = 7,
                             .state = CampaignState::kPaused,
                             .state_reason = "by somebody",
                             .expires_before = absl::FromUnixSeconds(1000),
                             .authority_id = 3,
                             .authentication = EnrolmentAuthentication::kCertificateMic,
                             .keys = {.order = KeyOrder::kEc, .curve = CapfCurve::kSecp521r1},
                             .wave_size = 200,
                             .hours = *HoursOfDay::Parse("22:00-05:00"),
                             .stop_at_failures = 5,
                             .operation_time = absl::Hours(1),
                             .waves = 4,
                             .created_by = "trustline:default/person/x",
                             .created_at = absl::FromUnixSeconds(500),
                             .counts = {.pending = 1, .in_progress = 2, .success = 3, .failed = 4, .expired = 5}};
  const auto expected = Read<v1::Campaign>(
      "campaign_id: 7 state: CAMPAIGN_STATE_PAUSED state_reason: 'by somebody' expires_before { seconds: 1000 } "
      "authority_id: 3 authentication: ENROLMENT_AUTHENTICATION_CERTIFICATE_MIC "
      "key { order: ORDER_EC curve: CURVE_SECP521R1 } wave_size: 200 hours: '22:00-05:00' stop_at_failures: 5 "
      "operation_time { seconds: 3600 } waves: 4 created_by: 'trustline:default/person/x' created_at { seconds: 500 } "
      "pending: 1 in_progress: 2 success: 3 failed: 4 expired: 5 remaining: 6");
  EXPECT_EQ(ToProto(campaign, 6).ShortDebugString(), expected.ShortDebugString());

  campaign.expires_before.reset();
  EXPECT_FALSE(ToProto(campaign).has_expires_before());
  EXPECT_EQ(ToProto(campaign).remaining(), 0);
  const std::pair<CampaignState, v1::CampaignState> states[] = {
      {CampaignState::kCreated, v1::CAMPAIGN_STATE_CREATED},
      {CampaignState::kRunning, v1::CAMPAIGN_STATE_RUNNING},
      {CampaignState::kPaused, v1::CAMPAIGN_STATE_PAUSED},
      {CampaignState::kFinished, v1::CAMPAIGN_STATE_FINISHED},
  };
  for (const auto& [state, message] : states) {
    campaign.state = state;
    EXPECT_EQ(ToProto(campaign).state(), message);
  }
}

}  // namespace
}  // namespace trustline
