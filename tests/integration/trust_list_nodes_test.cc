// A site whose first list is made as an administrator said, and a second machine: the lists name its TVS once it is
// approved, and a new signer waits until it answers.
#include "tests/integration/trust_list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class TrustListNodesTest : public TrustListCommandsTest {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    chmod(directory_->path().c_str(), 0755);
    auto system = RunningSystem::Start(directory_->path() / "site", FreePortOffset(),
                                       {"--recovery-years", "5", "--tftp-role", "TFTP"});
    ASSERT_OK(system);
    system_ = system->release();
  }

  // A second machine joins; its data directory.
  static std::string Join(const std::string& node) {
    const std::string printed = Do({"node", "token", node});
    const std::string token = printed.substr(printed.rfind("tl1-"));
    // The private database is reached through its socket, which the first node's configuration names.
    const std::string toml = ReadTestFile(system_->data() + "/tvsd/tvsd.toml");
    const size_t begin = toml.find("connection = \"") + 14;
    const ProgramResult joined =
        RunBuilt("trustline", {"join", "--server", fmt::format("127.0.0.1:{}", system_->Port(9442)), "--token",
                               token.substr(0, token.find('\n')), "--name", node, "--data", Path(node), "--database",
                               toml.substr(begin, toml.find('"', begin) - begin)});
    EXPECT_EQ(joined.exit_status, 0) << joined.out << joined.err;
    return Path(node);
  }
};

TEST_F(TrustListNodesTest, TheFirstListIsMadeAsWasSaid) {
  const boost::json::value shown = Show();
  EXPECT_THAT(Records(shown)[1], StartsWith("TFTP CN="));
  EXPECT_THAT(Records(shown), Not(Contains(StartsWith("CCM+TFTP "))));
  const boost::json::value settings = DoJson({"itl", "settings", "show"});
  EXPECT_EQ(Text(settings, "tftp_role"), "TFTP");
  EXPECT_EQ(settings.at("recovery_years").as_int64(), 5);
  const std::string recovery = Text(DoJson({"itl", "recovery", "show"}), "sha256");
  WriteFile("recovery.pem", Do({"trust", "show", recovery, "--pem"}));
  const auto ends_within = [](int years) {
    return RunCommand(
               fmt::format("openssl x509 -in {} -noout -checkend {}", Path("recovery.pem"), years * 365 * 24 * 3600))
               .exit_status != 0;
  };
  EXPECT_FALSE(ends_within(4));
  EXPECT_TRUE(ends_within(6));
}

TEST_F(TrustListNodesTest, AMachineThatJoinedIsListedWhenApprovedAndWaitedForThen) {
  const int offset = FreePortOffset();
  const std::string data = Join("node2");
  auto second = RunningSystem::Start(data, offset);
  ASSERT_OK(second);

  // 1. Not in the list before an administrator says so, whatever is generated.
  const int64_t before = Generation();
  WaitUntilConsidered();
  Do({"itl", "generate"});
  EXPECT_EQ(Generation(), before);
  EXPECT_THAT(Records(Show()), Not(Contains(HasSubstr("TVS-node2"))));
  EXPECT_THAT(system_->Trustctl({"itl", "list"}).err,
              AllOf(HasSubstr("node2"), HasSubstr("trustctl node approve node2")));

  // 2. Approved, it is.
  Do({"node", "approve", "node2"});
  WaitForGeneration(before + 1);
  EXPECT_THAT(Records(Show()), Contains(StartsWith("TVS CN=TVS-node2")));
  EXPECT_THAT(system_->Trustctl({"itl", "list"}).err, Not(HasSubstr("node2")));

  // 3. While it is away, no new signer is published: not when ordered, nor by itself.
  EXPECT_EQ((*second)->Stop(), "ended with status 0");
  const auto regenerate = [] {
    Do({"itl", "recovery", "regenerate", "--yes", "--reason", "a new key"});
    WaitForCandidate("waits-for-approval");
  };
  regenerate();
  const std::string old_list = Do({"itl", "show"});
  const ProgramResult waits = system_->Trustctl({"itl", "publish", "--yes", "--reason", "it is time"});
  EXPECT_EQ(waits.exit_status, 1);
  EXPECT_THAT(waits.out,
              AllOf(HasSubstr("waits: not every TVS node answers"), HasSubstr("node2"), HasSubstr("--without-node")));
  WaitForCandidate("waits-for-nodes");
  EXPECT_EQ(Do({"itl", "show"}), old_list);

  // 4. It is back, and the list is published by itself, in the name of who had ordered it.
  second = RunningSystem::Start(data, offset);
  ASSERT_OK(second);
  WaitForGeneration(before + 2);
  const boost::json::value newest = DoJson({"itl", "history", "--limit", "1"}).at(0);
  EXPECT_EQ(Text(newest, "reason"), "it is time");
  EXPECT_EQ(Text(newest, "published_by"), "trustline:default/person/admin");
  WaitForCandidate("none");

  // 5. One that will be away for long can be left out.
  EXPECT_EQ((*second)->Stop(), "ended with status 0");
  regenerate();
  EXPECT_EQ(system_->Trustctl({"itl", "publish", "--yes", "--reason", "x", "--without-node", "node1"}).exit_status, 1);
  EXPECT_EQ(Generation(), before + 2);
  Do({"itl", "publish", "--yes", "--reason", "node2 is being repaired", "--without-node", "node2"});
  EXPECT_EQ(Generation(), before + 3);
  EXPECT_THAT(Do({"audit", "list", "--action", "itl.publish", "--limit", "1", "--output", "json"}),
              HasSubstr(R"("without_nodes":"node2")"));

  // 6. Removed, it goes from the list when an administrator has looked at it.
  Do({"node", "remove", "node2"});
  WaitForCandidate("waits-for-approval");
  Publish("node2 is gone");
  EXPECT_THAT(Records(Show()), Not(Contains(HasSubstr("TVS-node2"))));
}

}  // namespace
}  // namespace trustline
