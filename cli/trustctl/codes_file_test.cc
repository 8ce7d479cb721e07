#include "cli/trustctl/codes_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr std::string_view kHeader = "device,authentication_string,deadline\r\n";
const absl::Time kDeadline = absl::FromUnixSeconds(1'795'377'060);  // 2026-11-22T19:51:00Z

class CodesFileTest : public testing::Test {
 protected:
  // A private file with this content.
  void Write(std::string_view content) {
    directory_.WriteFile("codes.csv", std::string(content));
    ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  }
  std::string Content() const {
    std::ifstream file(path_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_.path().string() + "/codes.csv";
};

TEST_F(CodesFileTest, IsPrivateAndGrowsBatchByBatch) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<CodesFile> file, CodesFile::Open(path_));
  struct stat about = {};
  ASSERT_EQ(stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  EXPECT_THAT(file->devices(), IsEmpty());
  ASSERT_OK(file->Append({{"SEP001122334455", "01234567", kDeadline}}));
  const std::string first = std::string(kHeader) + "SEP001122334455,01234567,2026-11-22T19:51:00Z\r\n";
  EXPECT_EQ(Content(), first);
  ASSERT_OK(file->Append({{"CSFANNA", "1", kDeadline}, {"CSFBOB", "2", kDeadline}}));
  EXPECT_EQ(Content(), first + "CSFANNA,1,2026-11-22T19:51:00Z\r\nCSFBOB,2,2026-11-22T19:51:00Z\r\n");
}

TEST_F(CodesFileTest, AnotherRunGoesOnAfterTheLastWholeLine) {
  const std::string whole = std::string(kHeader) + "SEP001122334455,01234567,2026-11-22T19:51:00Z\r\n";
  const std::string half = whole + "SEP001122334456,0123";
  Write(half);
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<CodesFile> looked, CodesFile::Open(path_));
    EXPECT_THAT(looked->devices(), UnorderedElementsAre("SEP001122334455"));
  }
  // Looking changes nothing.
  EXPECT_EQ(Content(), half);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<CodesFile> file, CodesFile::Open(path_));
  ASSERT_OK(file->Append({{"SEP001122334456", "89", kDeadline}}));
  EXPECT_EQ(Content(), whole + "SEP001122334456,89,2026-11-22T19:51:00Z\r\n");
}

TEST_F(CodesFileTest, HalfAHeaderIsABeginning) {
  for (const std::string_view begun : {"", "device,auth"}) {
    Write(begun);
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<CodesFile> file, CodesFile::Open(path_));
    ASSERT_OK(file->Append({{"CSFANNA", "1", kDeadline}}));
    EXPECT_EQ(Content(), std::string(kHeader) + "CSFANNA,1,2026-11-22T19:51:00Z\r\n");
  }
}

TEST_F(CodesFileTest, NothingInItNothingLeft) {
  { ASSERT_OK(CodesFile::Open(path_).status()); }
  EXPECT_FALSE(std::filesystem::exists(path_));
  Write("");
  { ASSERT_OK(CodesFile::Open(path_).status()); }
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(CodesFileTest, WhatIsSomethingElseStaysAsItIs) {
  for (const std::string& content :
       {std::string("my notes"), std::string("my notes\n"), std::string("name,authentication_string,deadline\n"),
        std::string(kHeader) + "SEP1,1,2\r\n", std::string(kHeader) + "CSFANNA,1\r\n"}) {
    Write(content);
    EXPECT_THAT(CodesFile::Open(path_),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("codes.csv is there already"), HasSubstr("choose another name"))));
    EXPECT_EQ(Content(), content);
  }
}

TEST_F(CodesFileTest, OthersMustNotReadIt) {
  Write(kHeader);
  ASSERT_EQ(chmod(path_.c_str(), 0640), 0);
  EXPECT_THAT(CodesFile::Open(path_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("chmod 600")));
  std::filesystem::create_symlink(path_, directory_.path() / "link.csv");
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  EXPECT_THAT(CodesFile::Open(directory_.path().string() + "/link.csv"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cannot write")));
  EXPECT_THAT(CodesFile::Open(directory_.path().string() + "/missing/codes.csv"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("choose a folder")));
}

TEST_F(CodesFileTest, OneRunAtATime) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<CodesFile> file, CodesFile::Open(path_));
  EXPECT_THAT(CodesFile::Open(path_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another run")));
  // The refused one has not removed it.
  EXPECT_TRUE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace trustline
