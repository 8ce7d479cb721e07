#include "itl/reset/reset_hooks.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "itl/reset/hook_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ResetHooksTest : public ::testing::Test {
 protected:
  static absl::StatusOr<ResetHooks> Read(const std::string& text) {
    ASSIGN_OR_RETURN(const ConfigFile file, ConfigFile::Parse(text, "itld.toml"));
    ASSIGN_OR_RETURN(ConfigTable resets, file.root().Table("resets"));
    ASSIGN_OR_RETURN(ResetHooks hooks, ResetHooks::Read(std::move(resets)));
    RETURN_IF_ERROR(file.RefuseUnknownKeys());
    return hooks;
  }
  const HookFolder folder_;
};

TEST_F(ResetHooksTest, WithoutOneTheNextStepIsTold) {
  for (const char* text : {"", "[resets]\n", "[resets.hooks]\n"}) {
    ASSERT_OK_AND_ASSIGN(const ResetHooks hooks, Read(text));
    EXPECT_THAT(hooks.Names(), IsEmpty());
    for (const char* name : {"", "asterisk"}) {
      EXPECT_THAT(hooks.Find(name), StatusIs(absl::StatusCode::kFailedPrecondition,
                                             AllOf(HasSubstr("[resets.hooks]"), HasSubstr("docs/RESETS.md"))));
    }
  }
}

TEST_F(ResetHooksTest, TheyAreFoundByName) {
  const std::string one = folder_.WriteAccepting("one");
  ASSERT_OK_AND_ASSIGN(const ResetHooks single, Read(fmt::format("[resets.hooks]\nasterisk = \"{}\"\n", one)));
  EXPECT_EQ(single.Find("")->name, "asterisk");
  EXPECT_EQ(single.Find("")->deadline, absl::Minutes(2));
  ASSERT_OK_AND_ASSIGN(
      const ResetHooks two,
      Read(fmt::format("[resets]\ndeadline = \"5s\"\n[resets.hooks]\nb = \"{0}\"\na = \"{0}\"\n", one)));
  EXPECT_THAT(two.Names(), ElementsAre("a", "b"));
  EXPECT_EQ(two.Find("b")->path, one);
  EXPECT_EQ(two.Find("b")->deadline, absl::Seconds(5));
  EXPECT_THAT(two.Find(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a, b")));
  EXPECT_THAT(two.Find("c"), StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("'c'"), HasSubstr("a, b"))));
}

TEST_F(ResetHooksTest, WhatCannotBeAHookIsRefusedWithItsLine) {
  const std::string plain = folder_.Write("plain", "x");
  std::filesystem::permissions(plain, std::filesystem::perms(0644));
  const std::string open = folder_.WriteAccepting("open");
  std::filesystem::permissions(open, std::filesystem::perms(0757));
  const std::string folder = folder_.path().string();
  for (const auto& [path, words] :
       std::vector<std::pair<std::string, std::string>>{{"hook", "absolute"},
                                                        {folder + "/missing", "does not exist"},
                                                        {folder, "not a file"},
                                                        {plain, "may not be executed"},
                                                        {open, "written by everybody"}}) {
    EXPECT_THAT(Read(fmt::format("[resets.hooks]\nasterisk = \"{}\"\n", path)),
                StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("itld.toml:2"), HasSubstr(words))))
        << path;
  }
  EXPECT_FALSE(Read("[resets.hooks]\nasterisk = 7\n").ok());
  EXPECT_FALSE(Read(fmt::format("[resets.hooks]\n\"a b\" = \"{}\"\n", folder_.WriteAccepting("good"))).ok());
  EXPECT_FALSE(Read("[resets]\ndeadline = \"2h\"\n").ok());
  EXPECT_FALSE(Read("[resets]\nhook = \"x\"\n").ok());
}

}  // namespace
}  // namespace trustline
