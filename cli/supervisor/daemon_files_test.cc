#include "cli/supervisor/daemon_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "cli/supervisor/private_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

class DaemonFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::string& folder : {paths_.tvsd(), paths_.itld()}) ASSERT_OK(EnsureDirectory(folder, 0700));
  }
  absl::Status WriteTvsd() const { return WriteTvsdConfiguration(paths_, {}, "node1", "host=/x", "", {}, ports_); }
  absl::StatusOr<std::string> Tvsd() const { return ReadSmallFile(paths_.tvsd() + "/tvsd.toml"); }

  TemporaryDirectory directory_;
  DataPaths paths_{directory_.path()};
  Ports ports_ = *Ports::WithOffset(0);
  std::string local_ = paths_.local_configuration("tvsd");
};

TEST_F(DaemonFilesTest, WhatTheSiteAddsComesLast) {
  EXPECT_EQ(local_, directory_.path() / "tvsd.local.toml");
  ASSERT_OK(WriteTvsd());
  ASSERT_OK_AND_ASSIGN(const std::string generated, Tvsd());
  directory_.WriteFile("tvsd.local.toml", "[[listener]]\nport = 2446\n");
  ASSERT_OK(WriteTvsd());
  EXPECT_THAT(Tvsd(), IsOkAndHolds(generated + "\n# From " + local_ + "\n[[listener]]\nport = 2446\n"));

  directory_.WriteFile("itld.local.toml", "# of itld\n");
  ASSERT_OK(WriteItldConfiguration(paths_, {}, "host=/x", {}, ports_));
  EXPECT_THAT(ReadSmallFile(paths_.itld() + "/itld.toml"), IsOkAndHolds(HasSubstr("# of itld")));
}

TEST_F(DaemonFilesTest, ListenersOfTheSiteAreKnownBeforeTheStart) {
  EXPECT_THAT(LocalListeners(paths_), IsOkAndHolds(testing::IsEmpty()));
  directory_.WriteFile("tvsd.local.toml",
                       "[[listener]]\ncluster = \"b\"\naddress = \"127.0.0.1\"\nport = 2446\n"
                       "[[listener]]\nport = 2445\ninterface = \"red\"\n"
                       "[[listener]]\nport = 0\n");
  ASSERT_OK_AND_ASSIGN(const std::vector<ListenerAddress> listeners, LocalListeners(paths_));
  ASSERT_EQ(listeners.size(), 1u);
  EXPECT_EQ(listeners[0].what, "phones, TVS of b");
  EXPECT_EQ(HostPort(listeners[0].address, listeners[0].port), "127.0.0.1:2446");
  directory_.WriteFile("tvsd.local.toml", "[[listener]]\nport = 70000\n");
  EXPECT_THAT(LocalListeners(paths_).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(local_ + ":2")));
}

TEST_F(DaemonFilesTest, NothingInTheDaemonsDirectoryIsAdded) {
  directory_.WriteFile("tvsd/local.toml", "secret");
  ASSERT_OK(WriteTvsd());
  EXPECT_THAT(Tvsd(), IsOkAndHolds(Not(HasSubstr("secret"))));
}

TEST_F(DaemonFilesTest, LinksAndFoldersAreRefused) {
  std::filesystem::create_symlink(directory_.WriteFile("secret", "secret"), local_);
  EXPECT_THAT(WriteTvsd(), StatusIs(kFailedPrecondition, AllOf(HasSubstr(local_), HasSubstr("plain file"))));
  EXPECT_FALSE(FileExists(paths_.tvsd() + "/tvsd.toml"));
  std::filesystem::remove(local_);
  std::filesystem::create_directory(local_);
  EXPECT_THAT(WriteTvsd(), StatusIs(kFailedPrecondition, HasSubstr("plain file")));
}

TEST_F(DaemonFilesTest, WhatOthersMayWriteIsRefused) {
  directory_.WriteFile("tvsd.local.toml", "");
  for (const mode_t mode : {0660, 0602}) {
    ASSERT_EQ(chmod(local_.c_str(), mode), 0);
    EXPECT_THAT(WriteTvsd(), StatusIs(kFailedPrecondition, HasSubstr("chmod go-w " + local_)));
  }
  ASSERT_EQ(chmod(local_.c_str(), 0644), 0);
  EXPECT_OK(WriteTvsd());
  // Only root can give a file away.
  if (geteuid() != 0) return;
  ASSERT_EQ(chown(local_.c_str(), 4711, 0), 0);
  EXPECT_THAT(WriteTvsd(), StatusIs(kFailedPrecondition, HasSubstr("belongs to another user")));
}

}  // namespace
}  // namespace trustline
