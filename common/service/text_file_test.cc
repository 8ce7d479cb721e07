#include "common/service/text_file.h"

#include <sys/stat.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

TEST(TextFileTest, AFileIsReplacedWhole) {
  const TemporaryDirectory folder;
  const std::string path = folder.WriteFile("a", "a longer text than the next");
  ASSERT_OK(WriteFileAtomically(path, "short", 0600));
  EXPECT_THAT(ReadTextFile(path, 5), IsOkAndHolds("short"));
  EXPECT_THAT(ReadTextFile(path, 4), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("larger than 4 bytes")));
  struct stat facts = {};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777u, 0600u);
  EXPECT_THAT(WriteFileAtomically(folder.path() / "none/a", "short", 0600), StatusIs(absl::StatusCode::kNotFound));
}

TEST(TextFileTest, WhatIsNoFileIsNeverReplaced) {
  const TemporaryDirectory folder;
  const std::string pipe = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& path : {pipe, std::string("/dev/null"), folder.path().string()}) {
    const auto is_no_file = StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(path + " is not a plain file"));
    EXPECT_THAT(WriteFileAtomically(path, "text", 0600), is_no_file);
    EXPECT_THAT(ReadTextFile(path, 100), is_no_file);
  }
}

}  // namespace
}  // namespace trustline
