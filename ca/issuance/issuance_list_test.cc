#include "ca/issuance/issuance_list.h"

#include "ca/ca_testing.h"
#include "ca/issuance/issuer.h"

namespace trustline {
namespace {

class GoodListTest : public CaDatabaseTest {
 protected:
  void SetUp() override {
    CaDatabaseTest::SetUp();
    RunByHand(
        "INSERT INTO device (cluster_id, name, added_by) SELECT 1, 'SEP00000000000' || n, 'test' "
        "FROM generate_series(1, 9) n");
  }

  // A certificate of the device SEP00000000000N that ends in so many days.
  void Issue(int device, int days) {
    Issuer issuer({.public_url = "http://ca.example"}, *pool_, *keys_, clock_);
    IssuanceOrder order = Order(fmt::format("SEP00000000000{}", device), NewPublicKeyInfo());
    order.lifetime = absl::Hours(24 * days);
    ASSERT_OK(issuer.Issue(order));
  }
  void Change(int device, std::string_view assignments) {
    RunByHand(fmt::format("UPDATE issuance SET {} WHERE device = 'SEP00000000000{}'", assignments, device));
  }
  // Last digits of the devices in the order of the list, which is the same for pages of every size.
  std::string List(const IssuanceFilter& filter) {
    const auto lease = pool_->Acquire();
    EXPECT_OK(lease);
    std::vector<std::string> all;
    for (const int32_t page_size : {1, 2, 100}) {
      std::string& devices = all.emplace_back();
      std::string after;
      do {
        const auto page = ListIssuances(**lease, 1, filter, page_size, after);
        EXPECT_OK(page);
        if (!page.ok()) return "failed";
        for (const IssuanceRecord& record : page->records) devices += record.device.back();
        after = page->next;
      } while (!after.empty());
    }
    EXPECT_EQ(all[0], all[2]);
    EXPECT_EQ(all[1], all[2]);
    return all[2];
  }
};

TEST_F(GoodListTest, WhatStandsInTheWayOfARetirementAndNothingElse) {
  Issue(1, 50);
  Issue(2, 10);
  Issue(3, 30);
  Change(3, "state = 'confirmed', confirmed_at = now()");
  Issue(4, 20);
  Change(4, "state = 'revoked', revoked_at = now(), revocation_reason = 4, revoked_by = 'test'");
  Issue(5, 20);
  Change(5, "not_after = now() - interval '1 second'");
  Issue(6, 20);
  RunByHand("UPDATE device SET state = 'retired' WHERE name = 'SEP000000000006'");
  Issue(7, 20);
  Change(7, "state = 'abandoned', abandoned_at = now(), certificate = NULL, sha256 = NULL");

  const int32_t old = authority_id_;
  SetState(old, AuthorityState::kTainted);
  const int32_t next = AddAuthority(KeyKind::kEcP256);
  SetState(next, AuthorityState::kActive);
  Issue(8, 20);
  Issue(9, 40);

  EXPECT_EQ(List({.authority_id = old, .good = true}), "231");
  EXPECT_EQ(List({.authority_id = next, .good = true}), "89");
  EXPECT_EQ(List({.authority_id = next + 1, .good = true}), "");
  // Those of all authorities, by expiry too.
  EXPECT_EQ(List({.good = true}), "28391");
  EXPECT_EQ(List({.expires_before = absl::Now() + absl::Hours(24 * 35), .good = true}), "283");
  EXPECT_EQ(List({.state = IssuanceState::kConfirmed, .good = true}), "3");
  // Other filters keep their order.
  EXPECT_EQ(List({.device_prefix = "SEP", .good = true}), "12389");
  EXPECT_EQ(List({.device_prefix = "SEP", .authority_id = old, .good = true}), "123");
  EXPECT_EQ(List({.authority_id = old}).size(), 7u);
}

}  // namespace
}  // namespace trustline
