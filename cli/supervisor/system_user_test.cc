#include "cli/supervisor/system_user.h"

#include <grp.h>
#include <unistd.h>

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;

std::vector<gid_t> Groups() {
  std::vector<gid_t> groups(static_cast<size_t>(getgroups(0, nullptr)));
  EXPECT_GE(getgroups(static_cast<int>(groups.size()), groups.data()), 0);
  return groups;
}

TEST(ActAsTest, GivesUpRootsGroupsAndTakesThemBack) {
  const std::optional<SystemUser> user = SystemUser{.name = "x", .uid = 4711, .gid = 4712, .shared_group = 4713};
  if (geteuid() != 0) {
    // Nobody else can; nothing has changed then.
    const std::vector<gid_t> before = Groups();
    EXPECT_THAT(ActAs(user).status(), StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_EQ(Groups(), before);
    return;
  }
  const std::vector<gid_t> before = Groups();
  const std::vector<gid_t> of_root = {0, 4};
  ASSERT_EQ(setgroups(of_root.size(), of_root.data()), 0);
  {
    const ActAs scope(user);
    ASSERT_OK(scope.status());
    EXPECT_EQ(geteuid(), 4711u);
    EXPECT_EQ(getegid(), 4712u);
    EXPECT_THAT(Groups(), ElementsAre(4713));
  }
  EXPECT_EQ(geteuid(), 0u);
  EXPECT_EQ(getegid(), 0u);
  EXPECT_EQ(Groups(), of_root);
  ASSERT_EQ(setgroups(before.size(), before.data()), 0);
}

TEST(ActAsTest, WithoutAUserNothingChanges) {
  const std::vector<gid_t> before = Groups();
  const ActAs scope(std::nullopt);
  EXPECT_OK(scope.status());
  EXPECT_EQ(Groups(), before);
}

}  // namespace
}  // namespace trustline
