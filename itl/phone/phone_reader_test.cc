#include "itl/phone/phone_reader.h"

#include "gmock/gmock.h"
#include "itl/phone/phone_testing.h"
#include "itl/phone/publication_review.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PhoneReaderTest : public PhoneDatabaseTest {
 protected:
  // 1 to 6: Match, Mismatch by turns; 7 Foreign; 8 says nothing. Odd ones stand in Berlin.
  void Fill() {
    for (int i = 1; i <= 8; ++i) AddDevices(i, 1, i <= 4 ? "8841" : "8861", i % 2 == 1 ? "Berlin" : "Hamburg");
    std::vector<PhoneReport> reports;
    for (int i = 1; i <= 6; ++i) reports.push_back(Report(i, i % 2 == 1 ? 0x12 : 0x11, "node1", i));
    reports.push_back(Report(7, 0x77, "elsewhere.example", 7));
    ASSERT_OK(store_->Store(1, reports));
  }
};

TEST_F(PhoneReaderTest, EveryFilterAndAllTogether) {
  Fill();
  EXPECT_THAT(Names({}),
              ElementsAre(Device(1), Device(2), Device(3), Device(4), Device(5), Device(6), Device(7), Device(8)));
  EXPECT_THAT(Names({.statuses = {PhoneStatus::kMismatch}}), ElementsAre(Device(2), Device(4), Device(6)));
  EXPECT_THAT(Names({.statuses = {PhoneStatus::kForeign, PhoneStatus::kUnknown}}), ElementsAre(Device(7), Device(8)));
  EXPECT_THAT(Names({.server = "node1"}),
              ElementsAre(Device(1), Device(2), Device(3), Device(4), Device(5), Device(6)));
  EXPECT_THAT(Names({.server = "Elsewhere.Example"}), ElementsAre(Device(7)));
  EXPECT_THAT(Names({.model = "8861"}), ElementsAre(Device(5), Device(6), Device(7), Device(8)));
  EXPECT_THAT(Names({.site = "Berlin"}), ElementsAre(Device(1), Device(3), Device(5), Device(7)));
  EXPECT_THAT(Names({.since = kStart + absl::Seconds(6)}), ElementsAre(Device(6), Device(7)));
  EXPECT_THAT(Names({.evidence_only = true}),
              ElementsAre(Device(1), Device(2), Device(3), Device(4), Device(5), Device(6), Device(7)));
  EXPECT_THAT(Names({.statuses = {PhoneStatus::kMatch},
                     .server = "node1",
                     .model = "8841",
                     .site = "Berlin",
                     .since = kStart + absl::Seconds(2),
                     .evidence_only = true}),
              ElementsAre(Device(3)));
  EXPECT_THAT(Names({.model = "7970"}), IsEmpty());
}

TEST_F(PhoneReaderTest, PagesNeitherMissNorRepeatAPhoneThatChanges) {
  Fill();
  EXPECT_THAT(Names({}, "", 3), ElementsAre(Device(1), Device(2), Device(3)));
  ASSERT_OK(store_->Store(1, {Report(2, 0x12, "node1", 50), Report(5, 0x11, "node1", 50)}));
  EXPECT_THAT(Names({}, Device(3), 3), ElementsAre(Device(4), Device(5), Device(6)));
  EXPECT_THAT(Names({}, Device(6), 3), ElementsAre(Device(7), Device(8)));
}

// Each way to read a page gives the same.
TEST_F(PhoneReaderTest, VeryManyHoldings) {
  AddDevices(1, 100);
  std::vector<PhoneReport> reports;
  for (int i = 1; i <= 100; ++i) reports.push_back(Report(i, 0x77, fmt::format("server{:03}", 100 - i)));
  ASSERT_OK(store_->Store(1, reports));
  const std::vector<std::string> names = Names({.statuses = {PhoneStatus::kForeign}}, Device(10), 5);
  EXPECT_THAT(names, ElementsAre(Device(11), Device(12), Device(13), Device(14), Device(15)));
  EXPECT_THAT(Names({.server = "server090"}), ElementsAre(Device(10)));
}

TEST_F(PhoneReaderTest, AListOfItsOwnIsJudgedWhenItComesAndWhenItGoes) {
  AddDevices(1, 2);
  ASSERT_OK(store_->Store(1, {Report(1, 0x12), Report(2, 0x12)}));
  RunByHand("INSERT INTO trust_list (cluster_id, kind, tftp_server, device, added_by) VALUES (1, 'ITL', 'node1', '" +
            Device(1) + "', 'test')");
  Publish(3, 1, 0x31);
  FakeClock clock(kStart);
  Log log({.service = "itld"});
  PublicationReview review(*pool_, *holdings_, clock, log);
  review.Review(1, "default");
  EXPECT_EQ(Said(1), "Mismatch 2/0");
  EXPECT_EQ(Said(2), "Match 2/2");
  ASSERT_OK(store_->Store(1, {Report(1, 0x31, "node1", 5)}));
  EXPECT_EQ(Said(1), "Match 1/1");
  ASSERT_OK(store_->Store(1, {Report(1, 0x31, "proxy.example", 6)}));
  EXPECT_EQ(Said(1), "Match 1/1") << "whatever name its server has";
  // Another device's own list is no match, whoever holds it.
  RunByHand("INSERT INTO trust_list (cluster_id, kind, tftp_server, device, added_by) VALUES (1, 'ITL', 'node1', '" +
            Device(2) + "', 'test')");
  Publish(4, 1, 0x41);
  ASSERT_OK(store_->Store(1, {Report(2, 0x31, "node1", 5)}));
  EXPECT_EQ(Said(2), "Mismatch 0/0");
  RunByHand("UPDATE trust_list SET removed_at = now() WHERE list_id = 3");
  review.Review(1, "default");
  EXPECT_EQ(Said(1), "Mismatch 1/2");
  ASSERT_OK(store_->Store(1, {Report(1, 0x12, "node1", 9)}));
  EXPECT_EQ(Said(1), "Match 2/2");
}

TEST_F(PhoneReaderTest, TheServerTableIsComparedOnEveryPublication) {
  FakeClock clock(kStart);
  Log log({.service = "itld"});
  PublicationReview review(*pool_, *holdings_, clock, log);
  review.Review(1, "default");
  EXPECT_EQ(Text("SELECT encode(sha1, 'hex') FROM tftp_server_hash WHERE tftp_server = 'node1'"), ToHex(Hash(0x12)));
  EXPECT_EQ(Text("SELECT host FROM tftp_server_hash WHERE tftp_server = 'node1'"), "Node1.example");
  clock.Advance(absl::Hours(1));
  Publish(1, 3, 0x13);
  review.Review(1, "default");
  EXPECT_EQ(Count("SELECT count(*) FROM tftp_server_hash WHERE changed_at = compared_at"), 1);
  EXPECT_EQ(Text("SELECT encode(sha1, 'hex') FROM tftp_server_hash WHERE tftp_server = 'node1'"), ToHex(Hash(0x13)));
}

}  // namespace
}  // namespace trustline
