#include "itl/list/phone_reading.h"

#include "common/postgres/transaction.h"
#include "itl/itl_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

class PhoneReadingTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    RunByHand("INSERT INTO cluster (name) VALUES ('other')");
    AddPhone(1, kFirst, "8845");
    AddPhone(1, kSecond, "8845");
    AddPhone(1, kThird, "7960");
  }
  void AddPhone(int cluster, std::string_view name, std::string_view model) {
    RunByHand(fmt::format("INSERT INTO device (cluster_id, name, model, added_by) VALUES ({}, '{}', '{}', 'test')",
                          cluster, name, model));
  }
  template <typename Body>
  auto With(Body body) {
    return RunInTransaction(*itld_, {}, [&](Connection& connection) {
      PhoneReading reading(connection, 1);
      return body(reading);
    });
  }
  absl::Status Record(std::string_view device, std::string_view model, PhoneReads ability) {
    return With([&](PhoneReading& reading) { return reading.Record(device, model, ability, kTestActor); });
  }
  // "devices without-SHA-512 without-1.1".
  std::string Counted() {
    const auto count = With([](PhoneReading& reading) { return reading.Count(); });
    EXPECT_OK(count);
    return count.ok() ? fmt::format("{} {} {}", count->devices, count->without_sha512, count->without_version_1_1) : "";
  }
  std::string AbilityOf(std::string_view device) {
    const auto ability = With([&](PhoneReading& reading) { return reading.Of(device); });
    EXPECT_OK(ability);
    return ability.ok() ? fmt::format("{} {}", ability->sha512, ability->version_1_1) : "";
  }
  absl::Status Check(DigestAlgorithm digest, FileVersion version) {
    return With([&](PhoneReading& reading) { return reading.CheckAll(digest, version); });
  }

  static constexpr char kFirst[] = "SEP000000000001";
  static constexpr char kSecond[] = "SEP000000000002";
  static constexpr char kThird[] = "SEP000000000003";
};

TEST_F(PhoneReadingTest, APhoneThatIsNotRecordedReadsTheOldForms) {
  EXPECT_EQ(Counted(), "3 3 3");
  EXPECT_EQ(AbilityOf(kFirst), "false false");
  EXPECT_EQ(AbilityOf("SEP0000000000FF"), "false false");
  EXPECT_OK(Check(DigestAlgorithm::kSha1, kSignerVersion));
  EXPECT_THAT(Check(DigestAlgorithm::kSha512, kSignerVersion),
              StatusIs(kRefused, AllOf(HasSubstr("3 of 3 devices in service are not recorded to read SHA-512"),
                                       HasSubstr("trustctl itl able --model MODEL --sha512"))));
  EXPECT_THAT(
      Check(DigestAlgorithm::kSha1, kSignerVersionWithEc),
      StatusIs(kRefused, AllOf(HasSubstr("3 of 3 devices in service are not recorded to read signer version 1.1"),
                               HasSubstr("--signer-version-1.1"))));
}

TEST_F(PhoneReadingTest, AModelsPhonesReadWhatTheirModelDoes) {
  ASSERT_OK(Record("", "8845", {.sha512 = true, .version_1_1 = false}));
  EXPECT_EQ(Counted(), "3 1 3");
  EXPECT_EQ(AbilityOf(kFirst), "true false");
  EXPECT_EQ(AbilityOf(kThird), "false false");
  EXPECT_THAT(Check(DigestAlgorithm::kSha512, kSignerVersion), StatusIs(kRefused, HasSubstr("1 of 3 devices")));
  ASSERT_OK(Record("", "7960", {.sha512 = true, .version_1_1 = true}));
  EXPECT_OK(Check(DigestAlgorithm::kSha512, kSignerVersion));
  EXPECT_THAT(Check(DigestAlgorithm::kSha512, kSignerVersionWithEc),
              StatusIs(kRefused, HasSubstr("2 of 3 devices in service are not recorded to read signer version 1.1")));
  ASSERT_OK(Record("", "8845", {.sha512 = true, .version_1_1 = true}));
  EXPECT_OK(Check(DigestAlgorithm::kSha512, kSignerVersionWithEc));
  // A new phone of an unknown model makes it untrue again.
  AddPhone(1, "SEP000000000004", "");
  EXPECT_THAT(Check(DigestAlgorithm::kSha512, kSignerVersion), StatusIs(kRefused, HasSubstr("1 of 4 devices")));
}

TEST_F(PhoneReadingTest, ADevicesOwnRecordCounts) {
  ASSERT_OK(Record("", "8845", {.sha512 = true, .version_1_1 = true}));
  ASSERT_OK(Record(kFirst, "", {.sha512 = false, .version_1_1 = true}));
  EXPECT_EQ(AbilityOf(kFirst), "false true");
  EXPECT_EQ(AbilityOf(kSecond), "true true");
  EXPECT_EQ(Counted(), "3 2 1");
  ASSERT_OK(Record(kThird, "", {.sha512 = true, .version_1_1 = false}));
  EXPECT_EQ(AbilityOf(kThird), "true false");
  EXPECT_EQ(Counted(), "3 1 1");
  // Said anew.
  ASSERT_OK(Record(kFirst, "", {.sha512 = true, .version_1_1 = true}));
  EXPECT_EQ(AbilityOf(kFirst), "true true");
  EXPECT_EQ(Counted(), "3 0 1");
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reading"), 3);
}

TEST_F(PhoneReadingTest, WhatIsOutOfServiceDoesNotCount) {
  RunByHand(fmt::format("UPDATE device SET state = 'retired' WHERE name = '{}'", kThird));
  EXPECT_EQ(Counted(), "2 2 2");
  RunByHand(fmt::format("UPDATE device SET state = 'replaced', replaced_by = '{}' WHERE name = '{}'", kFirst, kSecond));
  EXPECT_EQ(Counted(), "1 1 1");
  ASSERT_OK(Record(kFirst, "", {.sha512 = true, .version_1_1 = true}));
  EXPECT_OK(Check(DigestAlgorithm::kSha512, kSignerVersionWithEc));
}

TEST_F(PhoneReadingTest, AnotherClustersPhonesAreAnotherMatter) {
  AddPhone(2, "SEP000000000009", "8845");
  RunByHand(
      "INSERT INTO phone_reading (cluster_id, device, model, sha512, version_1_1, recorded_by) VALUES (2, '', '8845', "
      "true, "
      "true, 'x'), (2, 'SEP000000000001', '', true, true, 'x')");
  EXPECT_EQ(Counted(), "3 3 3");
  EXPECT_EQ(AbilityOf(kFirst), "false false");
  // A cluster without phones has none that cannot.
  RunByHand("DELETE FROM device WHERE cluster_id = 1");
  EXPECT_OK(Check(DigestAlgorithm::kSha512, kSignerVersionWithEc));
}

TEST_F(PhoneReadingTest, IsRecordedForADeviceOrAModel) {
  for (const auto& [device, model] : {std::pair("", ""), std::pair(kFirst, "8845")}) {
    EXPECT_THAT(Record(device, model, {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("either")));
  }
  EXPECT_THAT(Record("no phone", "", {}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reading"), 0);
  // As a person may write it.
  ASSERT_OK(Record("sep000000000001", "", {.sha512 = true}));
  EXPECT_EQ(AbilityOf(kFirst), "true false");
  ASSERT_OK(Record("", "8845", {.version_1_1 = true}));
  EXPECT_EQ(
      Text("SELECT string_agg(actor || ' ' || action || ' ' || subject, ', ' ORDER BY event_id) FROM audit_event"),
      fmt::format("{0} itl.reading SEP000000000001, {0} itl.reading model 8845", kTestActor));
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE subject = 'model 8845'"),
              AllOf(HasSubstr(R"("sha512":"no")"), HasSubstr(R"("signer_version_1_1":"yes")")));
}

}  // namespace
}  // namespace trustline
