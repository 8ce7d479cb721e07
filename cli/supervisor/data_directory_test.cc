#include "cli/supervisor/data_directory.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "cli/supervisor/private_file.h"
#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

class DataDirectoryTest : public ::testing::Test {
 protected:
  DataPaths Paths() const { return DataPaths(directory_.path() / "data"); }
  TemporaryDirectory directory_;
};

TEST_F(DataDirectoryTest, IsAbsentThenOurs) {
  EXPECT_THAT(InspectDataDirectory(Paths()), IsOkAndHolds(DataState::kAbsent));
  ASSERT_OK(MakeDataDirectory(Paths()));
  EXPECT_THAT(InspectDataDirectory(Paths()), IsOkAndHolds(DataState::kAbsent));
  ASSERT_OK(WriteVersion(Paths()));
  EXPECT_THAT(InspectDataDirectory(Paths()), IsOkAndHolds(DataState::kOurs));
}

TEST_F(DataDirectoryTest, AStartThatWasKilledAtOnceLeftNothingThatMatters) {
  ASSERT_OK(MakeDataDirectory(Paths()));
  ASSERT_OK(DataLock::Take(Paths()));
  ASSERT_OK(WriteFileWhole(Paths().root + "/version.aBcDeF", "for"));
  EXPECT_THAT(InspectDataDirectory(Paths()), IsOkAndHolds(DataState::kAbsent));
}

TEST_F(DataDirectoryTest, SomethingElseIsRefused) {
  ASSERT_OK(MakeDataDirectory(Paths()));
  ASSERT_OK(WriteFileWhole(Paths().root + "/photo.jpg", "x"));
  EXPECT_THAT(InspectDataDirectory(Paths()),
              StatusIs(kFailedPrecondition, AllOf(HasSubstr("photo.jpg"), HasSubstr("--data"))));
}

TEST_F(DataDirectoryTest, AFileIsRefused) {
  ASSERT_OK(WriteFileWhole(Paths().root, "x"));
  EXPECT_THAT(InspectDataDirectory(Paths()), StatusIs(kFailedPrecondition, HasSubstr("not a directory")));
}

TEST_F(DataDirectoryTest, ANewerFormatIsRefused) {
  ASSERT_OK(MakeDataDirectory(Paths()));
  ASSERT_OK(WriteFileWhole(Paths().version(), "format 2\nprogram 9.4.1\n"));
  EXPECT_THAT(InspectDataDirectory(Paths()), StatusIs(kFailedPrecondition, HasSubstr("written by Trustline 9.4.1")));
}

TEST_F(DataDirectoryTest, AVersionThatCannotBeReadIsRefused) {
  ASSERT_OK(MakeDataDirectory(Paths()));
  for (const char* text : {"", "format\n", "format x\nprogram 1\n", "format 0\nprogram 1\n", "1"}) {
    ASSERT_OK(WriteFileWhole(Paths().version(), text));
    EXPECT_THAT(InspectDataDirectory(Paths()), StatusIs(kFailedPrecondition, HasSubstr("cannot be understood")))
        << text;
  }
}

TEST_F(DataDirectoryTest, TheLockNamesItsHolder) {
  ASSERT_OK(MakeDataDirectory(Paths()));
  {
    ASSERT_OK_AND_ASSIGN(const DataLock held, DataLock::Take(Paths()));
    EXPECT_THAT(DataLock::Take(Paths()).status(),
                StatusIs(kFailedPrecondition, HasSubstr(fmt::format("process {}", getpid()))));
  }
  EXPECT_OK(DataLock::Take(Paths()));
}

TEST_F(DataDirectoryTest, PrivateFilesAreForTheirOwnerAlone) {
  const std::string folder = directory_.path();
  const auto check = [&] { return CheckPrivateFiles(folder, {"identity.key"}, {}); };
  const std::string key = folder + "/identity.key";

  EXPECT_THAT(check(), StatusIs(kFailedPrecondition, AllOf(HasSubstr(key), HasSubstr("restore it"))));
  ASSERT_OK(WriteFileWhole(key, "x"));
  EXPECT_OK(check());
  chmod(key.c_str(), 0640);
  EXPECT_THAT(check(), StatusIs(kFailedPrecondition, AllOf(HasSubstr("0640"), HasSubstr("chmod 600 " + key))));
  chmod(key.c_str(), 0000);
  EXPECT_THAT(check(), StatusIs(kFailedPrecondition, HasSubstr("chmod 600 " + key)));
  std::filesystem::remove(key);
  std::filesystem::create_symlink("/etc/passwd", key);
  EXPECT_THAT(check(), StatusIs(kFailedPrecondition, HasSubstr("is not a file")));
}

TEST_F(DataDirectoryTest, PrivateFilesOfAnotherUserAreRefused) {
  const std::string key = std::filesystem::path("/etc") / "passwd";
  const SystemUser somebody{.name = "somebody", .uid = 4711, .gid = 4711, .shared_group = 4711};
  EXPECT_THAT(CheckPrivateFiles("/etc", {"passwd"}, somebody),
              StatusIs(kFailedPrecondition, AllOf(HasSubstr("belongs to root"), HasSubstr("chown somebody " + key))));
}

TEST_F(DataDirectoryTest, AFolderThatIsClosedToASystemUserIsNamed) {
  const passwd* nobody = getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  SystemUsers users;
  users.tvsd = SystemUser{.name = "nobody", .uid = nobody->pw_uid, .gid = nobody->pw_gid, .shared_group = 0};
  if (geteuid() != 0) {
    // Only root can look with somebody else's eyes.
    users.tvsd->uid = users.tvsd->gid = 0;
    EXPECT_THAT(CheckReachable(Paths().root, users), StatusIs(absl::StatusCode::kPermissionDenied));
    return;
  }
  EXPECT_THAT(CheckReachable(Paths().root, users),
              StatusIs(kFailedPrecondition, AllOf(HasSubstr(directory_.path().string() + " is closed"),
                                                  HasSubstr("--data /var/lib/trustline"))));
  chmod(directory_.path().c_str(), 0711);
  EXPECT_OK(CheckReachable(Paths().root, users));
  // Every user counts.
  chmod(directory_.path().c_str(), 0700);
  for (std::optional<SystemUser> SystemUsers::*user :
       {&SystemUsers::postgres, &SystemUsers::itld, &SystemUsers::cad, &SystemUsers::capfd, &SystemUsers::provisiond}) {
    SystemUsers only;
    only.*user = users.tvsd;
    EXPECT_THAT(CheckReachable(Paths().root, only), StatusIs(kFailedPrecondition));
  }
}

}  // namespace
}  // namespace trustline
