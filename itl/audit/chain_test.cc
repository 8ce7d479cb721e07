#include "itl/audit/chain.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "common/bytes/bytes.h"
#include "itl/audit/seal_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'796'083'200);  // 2026-12-01T00:00:00Z

AuditRow SomeRow() {
  return {.event_id = 5,
          .cluster_id = 1,
          .at = absl::FromUnixMicros(1'796'083'200'000'001),
          .occurred_at = absl::FromUnixMicros(-1),
          .actor = "trustline:default/person/admin",
          .action = "trust.add",
          .subject = "ab",
          .outcome = "done",
          .detail = "{}"};
}

// Made by another implementation: Python's hashlib and struct over the description in chain.h.
TEST(AuditChainTest, HashIsWhatTheDescriptionSays) {
  EXPECT_EQ(ToHex(ChainHash({}, 1, SomeRow())), "9a573336f2b59e7a2540bfc6a27828d22606ccbbfc53f0cb878af8860cecc49b");
}

TEST(AuditChainTest, EveryFieldCounts) {
  const Sha256Digest base = ChainHash({}, 1, SomeRow());
  const auto changed = [](auto change) {
    AuditRow row = SomeRow();
    change(row);
    return ChainHash({}, 1, row);
  };
  EXPECT_NE(changed([](AuditRow& r) { r.event_id = 6; }), base);
  EXPECT_NE(changed([](AuditRow& r) { r.cluster_id = 2; }), base);
  EXPECT_NE(changed([](AuditRow& r) { r.at += absl::Microseconds(1); }), base);
  EXPECT_NE(changed([](AuditRow& r) { r.occurred_at += absl::Microseconds(1); }), base);
  EXPECT_NE(changed([](AuditRow& r) { r.actor += "x"; }), base);
  EXPECT_NE(changed([](AuditRow& r) { r.action += "x"; }), base);
  EXPECT_NE(changed([](AuditRow& r) { r.subject += "x"; }), base);
  EXPECT_NE(changed([](AuditRow& r) { r.outcome = "denied"; }), base);
  EXPECT_NE(changed([](AuditRow& r) { r.detail = "{ }"; }), base);
  // A byte cannot move from one field to the next.
  EXPECT_NE(changed([](AuditRow& r) { r.action += "a", r.subject = "b"; }), base);
  EXPECT_NE(ChainHash({}, 2, SomeRow()), base);
  EXPECT_NE(ChainHash(base, 1, SomeRow()), base);
}

class SealFileTest : public ::testing::Test {
 protected:
  static Seal SealOf(int64_t number) {
    Seal seal{.number = number};
    seal.hash.fill(static_cast<uint8_t>(number));
    return seal;
  }
  std::vector<int64_t> Numbers() const {
    std::vector<int64_t> numbers;
    absl::StatusOr<SealFileReader> reader = SealFileReader::Open(path_);
    EXPECT_OK(reader);
    while (true) {
      const auto seal = reader->Next();
      EXPECT_OK(seal);
      if (!seal.ok() || !*seal) return numbers;
      numbers.push_back((*seal)->number);
    }
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_.path() / "seals";
};

TEST_F(SealFileTest, IsWrittenAndReadAgain) {
  EXPECT_TRUE(Numbers().empty());
  {
    ASSERT_OK_AND_ASSIGN(SealFile file, SealFile::Open(path_));
    EXPECT_FALSE(file.last().has_value());
    ASSERT_OK(file.Append(SealOf(3), kNow));
    ASSERT_OK(file.Append(SealOf(200), kNow));
    EXPECT_THAT(file.Append(SealOf(200), kNow), StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(SealFile::Open(path_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another process")));
  }
  EXPECT_THAT(Numbers(), ::testing::ElementsAre(3, 200));
  ASSERT_OK_AND_ASSIGN(const SealFile again, SealFile::Open(path_));
  EXPECT_EQ(again.last()->number, 200);
  EXPECT_EQ(again.last()->hash, SealOf(200).hash);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  std::ifstream stream(path_);
  std::string line;
  std::getline(stream, line);
  EXPECT_EQ(line, "3 " + ToHex(SealOf(3).hash) + " 2026-12-01T00:00:00Z");
}

TEST_F(SealFileTest, AnUnfinishedLineIsCutOff) {
  {
    ASSERT_OK_AND_ASSIGN(SealFile file, SealFile::Open(path_));
    ASSERT_OK(file.Append(SealOf(3), kNow));
  }
  std::ofstream(path_, std::ios::app) << "4 0404";
  ASSERT_OK_AND_ASSIGN(SealFile file, SealFile::Open(path_));
  EXPECT_EQ(file.last()->number, 3);
  ASSERT_OK(file.Append(SealOf(4), kNow));
  EXPECT_THAT(Numbers(), ::testing::ElementsAre(3, 4));
}

TEST_F(SealFileTest, AnythingElseIsRefused) {
  for (const std::string& content :
       {std::string("not a seal\n"), "0 " + std::string(64, 'a') + " x\n", "7 " + std::string(62, 'a') + " x\n",
        "7x " + std::string(64, 'a') + " x\n", "99999999999999999999 " + std::string(64, 'a') + " x\n",
        std::string(5000, 'x') + "\n", std::string("\n")}) {
    directory_.WriteFile("seals", content);
    std::filesystem::permissions(path_, std::filesystem::perms(0600));
    EXPECT_THAT(SealFile::Open(path_), StatusIs(absl::StatusCode::kDataLoss)) << content;
    ASSERT_OK_AND_ASSIGN(SealFileReader reader, SealFileReader::Open(path_));
    EXPECT_THAT(reader.Next(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("line 1"))) << content;
    EXPECT_FALSE(reader.Next()->has_value());
  }
}

TEST_F(SealFileTest, OthersMustNotWriteIt) {
  directory_.WriteFile("seals", "");
  std::filesystem::permissions(path_, std::filesystem::perms(0666));
  EXPECT_THAT(SealFile::Open(path_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("chmod 600")));
  EXPECT_THAT(SealFile::Open(directory_.path() / "absent" / "seals"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("No such file")));
}

}  // namespace
}  // namespace trustline
