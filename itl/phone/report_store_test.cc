#include "itl/phone/report_store.h"

#include <thread>

#include "gmock/gmock.h"
#include "itl/phone/phone_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ReportStoreTest : public PhoneDatabaseTest {};

TEST_F(ReportStoreTest, SettlesEachKindOfReport) {
  AddDevices(1, 8);
  PhoneReport none = Report(4, 0);
  none.itl = {.state = ListSignature::State::kNotInstalled};
  PhoneReport unreadable = Report(5, 0);
  unreadable.itl = {};
  ASSERT_OK_AND_ASSIGN(const StoredReports stored,
                       store_->Store(1, {Report(1, 0x12), Report(2, 0x11), Report(3, 0x77), none, unreadable,
                                         Report(6, 0x77, "elsewhere.example"), Report(7, 0x21)}));
  EXPECT_EQ(stored.evidence, 7);
  EXPECT_EQ(stored.unreadable, 1);
  EXPECT_THAT(stored.events, SizeIs(7));
  EXPECT_EQ(Said(1), "Match 2/2");
  EXPECT_EQ(Said(2), "Mismatch 1/2");
  EXPECT_EQ(Said(3), "Mismatch 0/2");
  EXPECT_EQ(Said(4), "Not Installed 0/2");
  EXPECT_EQ(Said(5), "Unknown 0/2");
  EXPECT_EQ(Said(6), "Foreign 0/0");
  EXPECT_EQ(Said(7), "Mismatch 1/2") << "the list of another server of ours";
  EXPECT_EQ(Said(8), "Unknown 0/0");
  EXPECT_EQ(Summary(), "Match 1, Mismatch 3, Not Installed 1, Unknown 2, Foreign 1");
}

TEST_F(ReportStoreTest, APublicationTouchesNoPhone) {
  AddDevices(1, 1);
  ASSERT_OK(store_->Store(1, {Report(1, 0x12)}));
  const std::string row = Text("SELECT xmin::text || ctid::text FROM phone");
  Publish(1, 3, 0x13);
  EXPECT_EQ(Said(1), "Mismatch 2/3");
  EXPECT_EQ(Text("SELECT xmin::text || ctid::text FROM phone"), row);
  ASSERT_OK(store_->Store(1, {Report(1, 0x13, "node1", 5)}));
  EXPECT_EQ(Said(1), "Match 3/3");
}

TEST_F(ReportStoreTest, AServerHasManyNames) {
  AddDevices(1, 4);
  RunByHand(
      "INSERT INTO tftp_server_name (cluster_id, name, tftp_server, added_by) VALUES (1, '192.0.2.1', 'node1', "
      "'test')");
  ASSERT_OK(store_->Store(1, {Report(1, 0x12, "node1.example"), Report(2, 0x12, "192.0.2.1"),
                              Report(3, 0x12, "proxy.example"), Report(4, 0x77, "proxy.example")}));
  for (const int phone : {1, 2, 3}) EXPECT_EQ(Said(phone), "Match 2/2") << phone;
  EXPECT_EQ(Said(4), "Foreign 0/0");
  RunByHand(
      "INSERT INTO tftp_server_name (cluster_id, name, tftp_server, added_by) VALUES (1, 'proxy.example', 'node1', "
      "'test')");
  EXPECT_EQ(Said(4), "Mismatch 0/2") << "a name that is given later counts at once";
}

TEST_F(ReportStoreTest, DuplicatesAndAnyOrderSettleOnTheNewest) {
  AddDevices(1, 1);
  ASSERT_OK_AND_ASSIGN(StoredReports stored,
                       store_->Store(1, {Report(1, 0x12, "node1", 9), Report(1, 0x11, "node1", 8),
                                         Report(1, 0x12, "node1", 9), Report(1, 0x77, "elsewhere.example", 1)}));
  EXPECT_EQ(stored.evidence, 4);
  EXPECT_EQ(stored.older, 2);
  EXPECT_EQ(Said(1), "Match 2/2");
  ASSERT_OK_AND_ASSIGN(stored, store_->Store(1, {Report(1, 0x11, "node1", 7)}));
  EXPECT_EQ(stored.older, 1);
  EXPECT_EQ(Said(1), "Match 2/2");
  EXPECT_EQ(Count("SELECT count(*) FROM phone_held"), 3) << "the ledger has all that it was seen to hold";
  EXPECT_EQ(Count("SELECT count(*) FROM phone_history"), 1) << "a renewal is no change";
}

TEST_F(ReportStoreTest, WhatBelongsToReportsIsKeptWithThemOrNeither) {
  AddDevices(1, 1);
  RunByHand("CREATE TABLE beside (n integer); GRANT INSERT ON beside TO trustline_itld");
  constexpr Statement kBeside = {"report_store_test_beside", "INSERT INTO beside VALUES ($1)"};
  int64_t evidence = 0;
  const auto also = [&](Connection& connection, const StoredReports& stored) {
    evidence = stored.evidence;
    return connection.Execute(kBeside, Parameters().Int64(stored.claims)).status();
  };
  const std::vector<PhoneReport> reports = {Report(1, 0x12), ClaimOf(2, "203.0.113.5")};
  const auto rows = [&] {
    return fmt::format("{} {} {} {} {}", Said(1), Count("SELECT count(*) FROM phone_held"),
                       Count("SELECT count(*) FROM phone_history"), Count("SELECT count(*) FROM phone_claim"),
                       Count("SELECT count(*) FROM beside"));
  };
  EXPECT_THAT(store_->Store(1, reports,
                            [&](Connection& connection, const StoredReports& stored) -> absl::Status {
                              RETURN_IF_ERROR(also(connection, stored));
                              return FailedPrecondition("no room for what belongs to it");
                            }),
              StatusIs(absl::StatusCode::kFailedPrecondition, "no room for what belongs to it"));
  EXPECT_EQ(evidence, 1);
  EXPECT_EQ(rows(), "Unknown 0/0 0 0 0 0");

  ASSERT_OK(store_->Store(1, reports, also));
  EXPECT_EQ(rows(), "Match 2/2 1 1 1 1");
  EXPECT_EQ(Count("SELECT n FROM beside"), 1);
}

TEST_F(ReportStoreTest, UnregisteringEndsTheLiveRowAndLeavesTheLedger) {
  AddDevices(1, 1);
  PhoneReport leaves = Report(1, 0, "", 5);
  leaves.event = PhoneEventKind::kUnregistered;
  ASSERT_OK(store_->Store(1, {Report(1, 0x12), leaves}));
  EXPECT_EQ(Said(1), "Unknown 0/0");
  EXPECT_EQ(Count("SELECT count(*) FROM phone_held"), 1);
  EXPECT_EQ(Text("SELECT encode(held_sha1, 'hex') FROM phone"), ToHex(Hash(0x12)));
  EXPECT_EQ(Text("SELECT string_agg(event, ' ' ORDER BY event_id) FROM phone_history"), "reported unregistered");
}

TEST_F(ReportStoreTest, TheLedgerEndsWithTheDevice) {
  AddDevices(1, 2);
  ASSERT_OK(store_->Store(1, {Report(1, 0x12), Report(2, 0x12)}));
  RunByHand("UPDATE device SET state = 'retired' WHERE name = '" + Device(1) + "'");
  EXPECT_THAT(Said(1), HasSubstr("no device SEP000000000001"));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_held"), 1);
  EXPECT_EQ(Text("SELECT event FROM phone_history ORDER BY event_id DESC LIMIT 1"), "retired");
  EXPECT_EQ(Summary(), "Match 1");
  ASSERT_OK_AND_ASSIGN(const StoredReports stored, store_->Store(1, {Report(1, 0x12, "node1", 9)}));
  EXPECT_EQ(stored.claims, 1) << "a device out of service is none";
  RunByHand("DELETE FROM device WHERE name = '" + Device(2) + "'");
  EXPECT_EQ(Count("SELECT count(*) FROM phone"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_held"), 0);
  EXPECT_EQ(Summary(), "");
}

TEST_F(ReportStoreTest, PhonesFollowTheirDevices) {
  AddDevices(1, 1, "8841", "Berlin");
  ASSERT_OK(store_->Store(1, {Report(1, 0x12)}));
  RunByHand("UPDATE device SET site = 'Hamburg', model = '8861'");
  EXPECT_EQ(Summary("", "Hamburg"), "Match 1");
  EXPECT_EQ(Summary("8861"), "Match 1");
  EXPECT_EQ(Summary("8861", "Hamburg"), "Match 1");
  EXPECT_EQ(Summary("", "Berlin"), "");
  EXPECT_EQ(Summary("8841"), "");
  RunByHand("UPDATE device SET state = 'retired'");
  RunByHand("UPDATE device SET state = 'in service'");
  EXPECT_EQ(Said(1), "Unknown 0/0");
}

TEST_F(ReportStoreTest, CountsAreTheSameFoldedOrNot) {
  AddDevices(1, 50);
  std::vector<PhoneReport> reports;
  for (int i = 1; i <= 30; ++i) reports.push_back(Report(i, i % 2 == 0 ? 0x12 : 0x11));
  ASSERT_OK(store_->Store(1, reports));
  const std::string before = Summary();
  EXPECT_EQ(before, "Match 15, Mismatch 15, Unknown 20");
  FakeClock clock(kStart);
  Metrics metrics("itld");
  Log log({.service = "itld"});
  PhoneUpkeep upkeep({}, *pool_, clock, log, metrics);
  ASSERT_OK(upkeep.FoldCounts(kStart));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_count_change"), 0);
  EXPECT_EQ(Summary(), before);
  EXPECT_THAT(metrics.Serialize(), HasSubstr("trustline_phones{cluster=\"default\",status=\"Mismatch\"} 15"));
  ASSERT_OK(store_->Store(1, {Report(1, 0x12, "node1", 5), Report(40, 0x12, "node1", 5)}));
  EXPECT_EQ(Summary(), "Match 17, Mismatch 14, Unknown 19") << "totals and what is not folded in yet";
}

TEST_F(ReportStoreTest, TheCurveAddsUpToThePhonesAtEachMoment) {
  FakeClock clock(kStart);
  Metrics metrics("itld");
  Log log({.service = "itld"});
  PhoneUpkeep upkeep({.adoption_interval = absl::Minutes(5)}, *pool_, clock, log, metrics);
  AddDevices(1, 10);
  ASSERT_OK(upkeep.FoldCounts(kStart));
  for (int i = 1; i <= 10; ++i) {
    ASSERT_OK(store_->Store(1, {Report(i, i % 2 == 0 ? 0x11 : 0x12, "node1", i)}));
    ASSERT_OK(upkeep.FoldCounts(kStart + absl::Minutes(i)));
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<AdoptionPoint> curve,
                       PhoneHistory(*itld_, 1).Adoption(kStart, kStart + absl::Minutes(10), 11));
  for (const AdoptionPoint& point : curve) {
    int64_t total = 0;
    for (const auto& [holding_id, phones] : point.phones) total += phones;
    EXPECT_EQ(total, 10) << point.at;
  }
}

TEST_F(ReportStoreTest, TheLedgerKeepsTheListsThatAreKnown) {
  AddDevices(1, 1);
  std::vector<PhoneReport> junk;
  for (int i = 0; i < 200; ++i) {
    junk.push_back(Report(1, 0x77, "node1", 10 + i));
    junk.back().itl.sha1[0] = static_cast<uint8_t>(i);
  }
  ASSERT_OK(store_->Store(1, {Report(1, 0x11, "node1", 1), Report(1, 0x12, "node1", 2)}));
  ASSERT_OK(store_->Store(1, junk));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_held"), 100);
  EXPECT_EQ(
      Count("SELECT count(*) FROM phone_held JOIN phone_holding USING (cluster_id, holding_id) WHERE list_id <> 0"), 2);
}

TEST_F(ReportStoreTest, WhatWasTrueThenStaysTrueOfThen) {
  AddDevices(1, 1);
  ASSERT_OK(store_->Store(1, {Report(1, 0x12)}));
  RunByHand(
      "UPDATE trust_list_generation SET published_at = '2026-11-01 00:00Z'::timestamptz + generation * interval '1 "
      "day'");
  const HoldingViews views = *HoldingViews::Read(*itld_, 1);
  ASSERT_OK_AND_ASSIGN(const auto published, views.ReadPublished(*itld_));
  const int64_t holding = Count("SELECT holding_id FROM phone_holding");
  const absl::Time second = absl::FromCivil(absl::CivilDay(2026, 11, 3), absl::UTCTimeZone());
  EXPECT_EQ(views.At(second, published).Get(holding).status, PhoneStatus::kMatch);
  Publish(1, 3, 0x13);
  const HoldingViews later = *HoldingViews::Read(*itld_, 1);
  ASSERT_OK_AND_ASSIGN(const auto again, later.ReadPublished(*itld_));
  EXPECT_EQ(later.Get(holding).status, PhoneStatus::kMismatch);
  EXPECT_EQ(later.At(second, again).Get(holding).status, PhoneStatus::kMatch);
  EXPECT_EQ(later.At(second - absl::Hours(1), again).Get(holding).status, PhoneStatus::kMismatch);
}

TEST_F(ReportStoreTest, AdoptionIsACurve) {
  AddDevices(1, 10);
  FakeClock clock(kStart);
  Metrics metrics("itld");
  Log log({.service = "itld"});
  PhoneUpkeep upkeep({.adoption_interval = absl::Minutes(5)}, *pool_, clock, log, metrics);
  std::vector<PhoneReport> first;
  for (int i = 1; i <= 10; ++i) first.push_back(Report(i, 0x11));
  ASSERT_OK(store_->Store(1, first));
  ASSERT_OK(upkeep.FoldCounts(kStart));
  ASSERT_OK(store_->Store(1, {Report(1, 0x12, "node1", 5), Report(2, 0x12, "node1", 5)}));
  ASSERT_OK(upkeep.FoldCounts(kStart + absl::Minutes(1)));
  ASSERT_OK(store_->Store(1, {Report(3, 0x12, "node1", 9)}));
  ASSERT_OK(upkeep.FoldCounts(kStart + absl::Minutes(2)));
  ASSERT_OK(upkeep.FoldCounts(kStart + absl::Minutes(10)));
  ASSERT_OK_AND_ASSIGN(const std::vector<AdoptionPoint> curve,
                       PhoneHistory(*itld_, 1).Adoption(kStart, kStart + absl::Minutes(12), 5));
  const HoldingViews views = *HoldingViews::Read(*itld_, 1);
  std::vector<std::string> shares;
  for (const AdoptionPoint& point : curve) {
    std::string text;
    for (const auto& [holding_id, phones] : point.phones) {
      text += fmt::format("{}{}:{}", text.empty() ? "" : " ", views.Get(holding_id).holding.generation, phones);
    }
    shares.push_back(text);
  }
  EXPECT_THAT(shares, ElementsAre("1:10", "1:10", "1:10", "1:10", "1:7 2:3"));
}

TEST_F(ReportStoreTest, ClaimsAreKeptApart) {
  AddDevices(1, 1);
  ASSERT_OK(store_->Store(1, {Report(1, 0x11)}));
  ASSERT_OK_AND_ASSIGN(const StoredReports stored,
                       store_->Store(1, {ClaimOf(1, "203.0.113.5", 100), ClaimOf(2, "203.0.113.5", 100)}));
  EXPECT_EQ(stored.claims, 2);
  EXPECT_EQ(stored.evidence, 0);
  EXPECT_EQ(Said(1), "Mismatch 1/2") << "another's word changes nothing";
  EXPECT_EQ(Count("SELECT count(*) FROM phone_held"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_history"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_holding"), 1) << "a claim makes nothing that stays";
  ASSERT_OK_AND_ASSIGN(const std::vector<Claim> claims, ClaimStore(*itld_, 1).OfDevice(Device(1)));
  ASSERT_THAT(claims, SizeIs(1));
  EXPECT_EQ(claims[0].source, "203.0.113.5");
  EXPECT_THAT(claims[0].reason, HasSubstr("neither through a named forwarder"));
}

TEST_F(ReportStoreTest, ClaimsAreBounded) {
  std::vector<PhoneReport> invented;
  for (int i = 1; i <= 1000; ++i) invented.push_back(ClaimOf(i, "203.0.113.5", i));
  ASSERT_OK_AND_ASSIGN(StoredReports stored, store_->Store(1, invented));
  EXPECT_EQ(stored.claims, kMostClaimsOfSource);
  EXPECT_EQ(stored.dropped, 1000 - kMostClaimsOfSource);
  // Those that are there may be repeated.
  ASSERT_OK_AND_ASSIGN(stored, store_->Store(1, {ClaimOf(1, "203.0.113.5", 5000), ClaimOf(999, "203.0.113.5", 5000)}));
  EXPECT_EQ(stored.claims, 1);
  EXPECT_EQ(stored.dropped, 1);
  EXPECT_EQ(Count("SELECT reports FROM phone_claim WHERE device = 'SEP000000000001'"), 2);
  // A host has its /64 to itself.
  invented.clear();
  for (int i = 1; i <= 500; ++i) invented.push_back(ClaimOf(i, fmt::format("2001:db8::{:x}", i), i));
  ASSERT_OK_AND_ASSIGN(stored, store_->Store(1, invented));
  EXPECT_EQ(stored.claims, kMostClaimsOfSource);
  EXPECT_EQ(Text("SELECT DISTINCT source FROM phone_claim WHERE source LIKE '2001%'"), "2001:db8::/64");
  // Of many sources the newest stay.
  for (int batch = 0; batch < 12; ++batch) {
    invented.clear();
    for (int i = 0; i < 1000; ++i)
      invented.push_back(ClaimOf(i, fmt::format("198.51.{}.{}", batch, i / 10), 10'000 + batch));
    ASSERT_OK(store_->Store(1, invented));
  }
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim"), kMostClaims);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim WHERE source = '203.0.113.5'"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM phone"), 0);
  RunByHand("UPDATE phone_claim SET last_at = now() - interval '8 days' WHERE source LIKE '198.51.11.%'");
  ASSERT_OK(ClaimStore(*itld_, 1).Forget(absl::Now()));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim WHERE source LIKE '198.51.11.%'"), 0);
}

TEST_F(ReportStoreTest, AForwarderMaySpeakOfMorePhonesThanThereAre) {
  std::vector<PhoneReport> reports;
  for (int i = 1; i <= 1000; ++i) reports.push_back(Report(i, 0x12));
  ASSERT_OK_AND_ASSIGN(const StoredReports stored, store_->Store(1, reports));
  EXPECT_EQ(stored.evidence, 0);
  EXPECT_EQ(stored.claims, 1000);
  EXPECT_THAT(Text("SELECT DISTINCT reason FROM phone_claim"), HasSubstr("no such device was in service"));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_holding"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM reported_server"), 0);
}

TEST_F(ReportStoreTest, OfClaimsTheNewestCountsInAnyOrder) {
  ASSERT_OK(store_->Store(1, {ClaimOf(1, "203.0.113.5", 9)}));
  PhoneReport older = ClaimOf(1, "203.0.113.5", 8);
  older.itl.sha1 = Hash(0x77);
  older.address = "192.0.2.200";
  ASSERT_OK(store_->Store(1, {older}));
  EXPECT_EQ(Text("SELECT itl || ' ' || address || ' ' || reports FROM phone_claim"),
            ToHex(Hash(0x12)) + " 192.0.2.100 2");
}

TEST_F(ReportStoreTest, StreamsDoNotWaitForEachOtherForEver) {
  AddDevices(1, 200);
  std::vector<std::thread> streams;
  std::atomic<int> failures = 0;
  for (int stream = 0; stream < 4; ++stream) {
    streams.emplace_back([&, stream] {
      for (int round = 0; round < 10; ++round) {
        std::vector<PhoneReport> reports;
        // The same phones in opposite orders.
        for (int i = 1; i <= 200; ++i) {
          const int device = stream % 2 == 0 ? i : 201 - i;
          reports.push_back(Report(device, round % 2 == 0 ? 0x11 : 0x12, fmt::format("server{}", round), round));
        }
        if (!store_->Store(1, reports).ok()) ++failures;
      }
    });
  }
  for (std::thread& stream : streams) stream.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(Summary(), "Match 200") << "by the hash, whatever the server is called";
}

TEST_F(ReportStoreTest, NamesOfServersAreBounded) {
  AddDevices(1, 3);
  RunByHand(
      "INSERT INTO reported_server (cluster_id, name) SELECT 1, 'invented' || n FROM generate_series(1, 9999) AS n");
  ASSERT_OK(store_->Store(1, {Report(1, 0x77, "one.example"), Report(2, 0x77, "two.example")}));
  ASSERT_OK(store_->Store(1, {Report(3, 0x77, "three.example")}));
  EXPECT_EQ(Count("SELECT count(*) FROM reported_server"), 10'000);
  EXPECT_EQ(Summary(), "Foreign 3");
}

}  // namespace
}  // namespace trustline
