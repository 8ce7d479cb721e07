// Trust lists by several itld at once, and without a TVS node.
#include <csignal>
#include <future>

#include "absl/strings/str_split.h"
#include "tests/integration/itld_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

size_t LinesWith(const DaemonProcess& process, const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(process.LogText(), '\n');
  const auto has = [&](const std::string& line) { return line.find(text) != std::string::npos; };
  return static_cast<size_t>(std::ranges::count_if(lines, has));
}

TEST_F(ItldListTest, OfTwoItldEachChangeMakesOneGeneration) {
  constexpr int kChanges = 10;
  // Both follow at once, and share the folder of the keys.
  ASSERT_OK_AND_ASSIGN(const auto first_process, site_->StartItld({.node = "node1", .quiet_time = "0s"}));
  ASSERT_OK_AND_ASSIGN(const auto second_process, site_->StartItld({.node = "node2", .quiet_time = "0s"}));
  ASSERT_OK_AND_ASSIGN(ItldClient first, ItldClient::Connect(*site_, *first_process));
  ASSERT_OK_AND_ASSIGN(ItldClient second, ItldClient::Connect(*site_, *second_process));
  ASSERT_OK(first.AddTftpServer());
  ASSERT_NO_FATAL_FAILURE(WaitUntilConsidered());

  ListWatcher watcher(*site_, *reader_process_);
  for (int change = 1; change <= kChanges; ++change) {
    SCOPED_TRACE(change);
    const Certificate added = NewListable(fmt::format("change{}.example", change));
    ASSERT_OK((change % 2 == 0 ? first : second).AddListed(added));
    // Administrators at both, besides what both do by themselves.
    auto other = std::async(std::launch::async, [&] { return second.Generate(); });
    EXPECT_OK(first.Generate());
    EXPECT_OK(other.get());
    ASSERT_NO_FATAL_FAILURE(WaitUntilConsidered());
    EXPECT_TRUE(IsInCurrentList(added));
    EXPECT_EQ(Count(kGenerations), 1 + change);
  }
  watcher.Stop();
  EXPECT_EQ(watcher.seen().back().generation().number(), 1 + kChanges);
  for (size_t i = 1; i < watcher.seen().size(); ++i) {
    EXPECT_GT(watcher.seen()[i].generation().number(), watcher.seen()[i - 1].generation().number());
  }
  for (DaemonProcess* const process : {first_process.get(), second_process.get()}) {
    EXPECT_TRUE(process->Running());
    EXPECT_THAT(process->LogText(), Not(HasSubstr("ITL_FOLLOW_FAILED")));
  }
  EXPECT_EQ(LinesWith(*first_process, "\"ITL_PUBLISHED\"") + LinesWith(*second_process, "\"ITL_PUBLISHED\""),
            static_cast<size_t>(1 + kChanges));

  // The other one can sign with the key that the first has made, and the first with that of the second.
  ASSERT_OK(first.RegenerateRecovery());
  ASSERT_NO_FATAL_FAILURE(WaitUntilConsidered());
  WaitUntil([&] {
    const auto published = second.Publish("a new key");
    return published.ok() && published->lists(0).outcome() != v1::PublishResponse::OUTCOME_WAITS;
  });
  EXPECT_EQ(Count(kGenerations), 2 + kChanges);
}

// One that has ended is seen by all of a site: trust_list_nodes_test.cc.
TEST_F(ItldListTest, ANewSignerWaitsForATvsNodeThatHangsAndIsPublishedWhenItAnswers) {
  ASSERT_NO_FATAL_FAILURE(MakeFirstList());
  ASSERT_OK_AND_ASSIGN(const auto process, site_->StartItld());
  ASSERT_OK_AND_ASSIGN(ItldClient client, ItldClient::Connect(*site_, *process));
  ASSERT_EQ(kill(site_->tvsd().pid(), SIGSTOP), 0);
  ASSERT_OK(client.RegenerateRecovery());
  const auto published = client.Publish("the old key is lost");
  ASSERT_OK(published);
  EXPECT_EQ(published->lists(0).outcome(), v1::PublishResponse::OUTCOME_WAITS);
  EXPECT_EQ(published->lists(0).list().candidate().state(), v1::CANDIDATE_STATE_WAITS_FOR_NODES);
  EXPECT_THAT(published->lists(0).list().candidate().reason(), HasSubstr("node1"));
  // Phones get the list that they know.
  EXPECT_EQ(Count(kGenerations), 1);
  const auto first = client.Fetch();
  ASSERT_OK(first);
  EXPECT_EQ(first->generation().number(), 1);

  ASSERT_EQ(kill(site_->tvsd().pid(), SIGCONT), 0);
  WaitUntil([&] { return Count(kGenerations) == 2; });
  EXPECT_EQ(Count(kCandidates), 0);
  EXPECT_EQ(Text("SELECT reason FROM trust_list_generation WHERE generation = 2"), "the old key is lost");
  EXPECT_EQ(Text("SELECT published_by FROM trust_list_generation WHERE generation = 2"),
            "trustline:default/person/admin");
}

}  // namespace
}  // namespace trustline
