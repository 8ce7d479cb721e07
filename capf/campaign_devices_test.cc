#include "capf/campaign_devices.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "capf/campaign_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CampaignDevicesTest : public CampaignTest {
 protected:
  // Of a campaign of this order, which is made now.
  std::vector<std::string> Find(const CampaignOrder& order, int32_t limit = 1000) {
    const auto campaign = Create(order);
    EXPECT_OK(campaign);
    return campaign.ok() ? FindFor(*campaign, limit) : std::vector<std::string>();
  }
  std::vector<std::string> FindFor(const CampaignRecord& campaign, int32_t limit = 1000) {
    const auto lease = pool_->Acquire();
    EXPECT_OK(lease);
    const auto found = FindCampaignDevices(**lease, 1, campaign, limit, clock_.Now());
    EXPECT_OK(found);
    // The number says the same.
    const auto count = CountCampaignDevices(**lease, 1, campaign, clock_.Now());
    EXPECT_OK(count);
    if (!found.ok()) return {};
    EXPECT_EQ(std::min<int64_t>(count.value_or(-1), limit), static_cast<int64_t>(found->size()));
    return *found;
  }
};

TEST_F(CampaignDevicesTest, ByTheEndOfTheirCertificates) {
  AddCertificate(Phone(1), 30 * kDay);  // the end itself is no longer before the time
  AddCertificate(Phone(2), 30 * kDay - absl::Seconds(1));
  AddCertificate(Phone(3), 5 * kDay);
  AddCertificate(Phone(4), 5 * kDay);
  AddCertificate(Phone(5), absl::Seconds(1));
  AddCertificate(Phone(6), absl::ZeroDuration());  // over
  AddCertificate("CSFALICE", 5 * kDay);
  AddDevice(Phone(7));
  EXPECT_THAT(Find(Order(10)), ElementsAre(Phone(5), "CSFALICE", Phone(3), Phone(4), Phone(2)));
  EXPECT_THAT(Find(Order(10), 3), ElementsAre(Phone(5), "CSFALICE", Phone(3)));

  // The time stands still while the campaign goes on; what ends meanwhile is no longer in force.
  ASSERT_OK_AND_ASSIGN(const CampaignRecord campaign, Create(Order(10)));
  clock_.Advance(kDay);
  EXPECT_THAT(FindFor(campaign), ElementsAre("CSFALICE", Phone(3), Phone(4), Phone(2)));
}

TEST_F(CampaignDevicesTest, ByTheAuthorityOfTheirCertificates) {
  const int32_t tainted = AddAuthority("tainted");
  AddCertificate(Phone(1), 300 * kDay, tainted);
  AddCertificate(Phone(2), 10 * kDay, tainted);
  AddCertificate(Phone(3), 10 * kDay);
  EXPECT_THAT(Find({.authority_id = tainted}), ElementsAre(Phone(2), Phone(1)));
  EXPECT_THAT(Find({.expires_within = 30 * kDay, .authority_id = tainted}), ElementsAre(Phone(2)));
  EXPECT_THAT(Find({.authority_id = AddAuthority("prepared")}), IsEmpty());
}

TEST_F(CampaignDevicesTest, TheNewestCertificateInForceDecides) {
  const int32_t tainted = AddAuthority("tainted");
  // Renewed: by one that lasts longer, and by one of another authority.
  AddCertificate(Phone(1), 10 * kDay, tainted);
  AddCertificate(Phone(1), 300 * kDay);
  // The newest one ends first.
  AddCertificate(Phone(2), 300 * kDay);
  AddCertificate(Phone(2), 10 * kDay, tainted);
  // What came after it is not in force.
  int phone = 3;
  for (const char* state : {"intent", "abandoned", "revoked"}) {
    AddCertificate(Phone(phone), 10 * kDay, tainted, "signed");
    AddCertificate(Phone(phone++), 300 * kDay, authority_, state);
  }
  AddCertificate(Phone(6), 10 * kDay, tainted);
  AddCertificate(Phone(6), -kDay);
  // Nothing is in force.
  AddCertificate(Phone(7), 10 * kDay, tainted, "revoked");
  AddCertificate(Phone(8), 10 * kDay, tainted, "abandoned");

  const auto found = ElementsAre(Phone(2), Phone(3), Phone(4), Phone(5), Phone(6));
  EXPECT_THAT(Find(Order(10)), found);
  EXPECT_THAT(Find({.authority_id = tainted}), found);
}

TEST_F(CampaignDevicesTest, WhatADeviceNeverAcknowledgedDoesNotHideWhatItHas) {
  const int32_t tainted = AddAuthority("tainted");
  // It was issued a new one, and nothing shows that it has it.
  AddCertificate(Phone(1), 10 * kDay, tainted);
  AddCertificate(Phone(1), 300 * kDay, authority_, "delivered");
  // Whatever comes unacknowledged after or before a good one says nothing either.
  AddCertificate(Phone(2), 5 * kDay, tainted, "signed");
  AddCertificate(Phone(2), 300 * kDay);
  AddCertificate(Phone(2), 5 * kDay, tainted, "delivered");
  // Where nothing was acknowledged the newest one counts.
  AddCertificate(Phone(3), 300 * kDay, authority_, "signed");
  AddCertificate(Phone(3), 11 * kDay, tainted, "delivered");
  AddCertificate(Phone(4), 10 * kDay, tainted, "delivered");
  AddCertificate(Phone(4), 300 * kDay, authority_, "signed");
  // So it does where the acknowledged one is over.
  AddCertificate(Phone(5), -kDay, tainted);
  AddCertificate(Phone(5), 12 * kDay, tainted, "delivered");
  const auto found = ElementsAre(Phone(1), Phone(3), Phone(5));
  EXPECT_THAT(Find(Order(10)), found);
  EXPECT_THAT(Find({.authority_id = tainted}), found);

  // A success that cad has not been told yet is one.
  AddOperation(Phone(1), "success");
  RunByHand("UPDATE capf_operation SET unsettled = 'confirm'");
  EXPECT_THAT(Find(Order(10)), ElementsAre(Phone(3), Phone(5)));
  RunByHand("UPDATE capf_operation SET unsettled = NULL");
  EXPECT_THAT(Find(Order(10)), found);
}

TEST_F(CampaignDevicesTest, OfTheClusterAndInService) {
  RunByHand("INSERT INTO cluster (name) VALUES ('site-2')");
  const auto other = static_cast<int32_t>(Count("SELECT cluster_id FROM cluster WHERE name = 'site-2'"));
  AddPhones(5);
  AddCertificate(Phone(6), kDay, AddAuthority("active", other), "confirmed", other);
  RunByHand(fmt::format("UPDATE device SET state = 'retired' WHERE name = '{}'", Phone(2)));
  RunByHand(
      fmt::format("UPDATE device SET state = 'replaced', replaced_by = '{}' WHERE name = '{}'", Phone(4), Phone(3)));
  RunByHand(fmt::format("DELETE FROM device WHERE name = '{}'", Phone(5)));
  EXPECT_THAT(Find(Order(10)), ElementsAre(Phone(1), Phone(4)));
}

TEST_F(CampaignDevicesTest, WithoutAnOpenOperationAndOnceACampaign) {
  AddPhones(7);
  ASSERT_OK_AND_ASSIGN(const CampaignRecord campaign, Create(Order(10)));
  AddOperation(Phone(1), "pending");
  int phone = 2;
  for (const char* state : {"success", "failed", "expired", "cancelled"}) {
    AddOperation(Phone(phone), state);
    RunByHand(fmt::format("UPDATE capf_operation SET campaign_id = {}, wave = 1 WHERE device = '{}'", campaign.id,
                          Phone(phone++)));
  }
  AddOperation(Phone(6), "failed");
  EXPECT_THAT(FindFor(campaign), ElementsAre(Phone(6), Phone(7)));
  // Another campaign may try them again.
  EXPECT_THAT(Find(Order(10)), ElementsAre(Phone(2), Phone(3), Phone(4), Phone(5), Phone(6), Phone(7)));
  // Of another cluster's campaign of the same devices nothing follows.
  RunByHand("INSERT INTO cluster (name) VALUES ('site-2')");
  RunByHand(
      fmt::format("INSERT INTO capf_operation (cluster_id, device, operation, state, authentication, key_order, "
                  "rsa_bits, curve, deadline, scheduled_by) SELECT cluster_id, '{}', 'install', 'pending', "
                  "'null', 'rsa', 2048, 'secp256r1', now(), 'test' FROM cluster WHERE name = 'site-2'",
                  Phone(7)));
  EXPECT_THAT(FindFor(campaign), ElementsAre(Phone(6), Phone(7)));
}

// Every certificate of 30,000 devices ends soon, and the campaign is nearly through: the statistics of the tables are
// those of a young database, then those of a busy one.
TEST_F(CampaignDevicesTest, ManyDevices) {
  ASSERT_OK_AND_ASSIGN(const CampaignRecord campaign,
                       Create({.expires_within = 30 * kDay, .authority_id = authority_}));
  AddManyPhones(30'000);
  RunByHand(fmt::format(
      "INSERT INTO capf_operation (cluster_id, device, operation, state, authentication, key_order, rsa_bits, curve, "
      "deadline, scheduled_by, ended_at, campaign_id, wave) SELECT 1, 'SEP' || upper(lpad(to_hex(n), 12, '0')), "
      "'install', 'failed', 'null', 'rsa', 2048, 'secp256r1', now(), 'test', now(), {}, n / 200 FROM "
      "generate_series(1, 29500) n",
      campaign.id));
  for (const char* statistics : {"", "ANALYZE"}) {
    RunByHand(statistics);
    const absl::Time begin = absl::Now();
    EXPECT_EQ(FindFor(campaign, 200).size(), 200u);
    const absl::Duration took = absl::Now() - begin;
    EXPECT_LT(took, absl::Seconds(5)) << "find and count, " << (*statistics ? "with" : "without") << " statistics";
    RecordProperty(*statistics ? "analyzed" : "young", absl::FormatDuration(took));
  }
  EXPECT_EQ(Remaining(campaign.id), 500);
}

}  // namespace
}  // namespace trustline
