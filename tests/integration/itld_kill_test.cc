// itld ended by SIGKILL between signing, storing and publishing a trust list: phones have the list before or the new
// one, and each change makes one generation.
#include <cctype>

#include "tests/integration/itld_testing.h"

namespace trustline {
namespace {

constexpr char kWithFailPoints[] = "itld_with_fail_points";

// In the order of the path (itl/list/list_run.cc, list_publisher.cc).
constexpr const char* kPlaces[] = {"signed", "stored", "published"};

std::string NameOf(const ::testing::TestParamInfo<const char*>& place) {
  std::string name = place.param;
  name[0] = static_cast<char>(toupper(name[0]));
  return name;
}

class ItldKillTest : public ItldListTest, public ::testing::WithParamInterface<const char*> {
 protected:
  // A death there has published already.
  static bool IsPublished() { return std::string_view(GetParam()) == "published"; }

  // An itld that will die, with nothing to do yet.
  void StartItldThatDies() {
    itld_.reset();
    ASSERT_OK_AND_ASSIGN(itld_, site_->StartItld({.program = kWithFailPoints, .fail_point = GetParam()}));
    ASSERT_OK_AND_ASSIGN(client_, ItldClient::Connect(*site_, *itld_));
  }
  void WaitForDeath() {
    ASSERT_OK(itld_->WaitForEnd());
    // Its transaction ends with its connection.
    WaitUntil([&] {
      return Count(
                 "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'itld lists' AND "
                 "state <> 'idle'") == 0;
    });
  }
  // It died, and has left the generation before or the new one.
  void ExpectDeath(int64_t generations_before) {
    ASSERT_NO_FATAL_FAILURE(WaitForDeath());
    EXPECT_EQ(Count(kGenerations), generations_before + (IsPublished() ? 1 : 0));
    ExpectWhole();
  }
  // One after the other: the list has one generation, two, three.
  void DieOverAChangeOfTheTrustStore(const Certificate& added);
  void DieOverAnAdministratorsOrder(const Certificate& unlisted);
  void DieOverBlanking();

  // The next one does what was left, if anything.
  void StartItldAgain() {
    itld_.reset();
    ASSERT_OK_AND_ASSIGN(itld_, site_->StartItld());
    ASSERT_OK_AND_ASSIGN(client_, ItldClient::Connect(*site_, *itld_));
  }

  std::unique_ptr<DaemonProcess> itld_;
  std::optional<ItldClient> client_;
};

INSTANTIATE_TEST_SUITE_P(Places, ItldKillTest, ::testing::ValuesIn(kPlaces), NameOf);

void ItldKillTest::DieOverAChangeOfTheTrustStore(const Certificate& added) {
  ASSERT_NO_FATAL_FAILURE(StartItldThatDies());
  ASSERT_OK(reader_->AddListed(added));
  ASSERT_NO_FATAL_FAILURE(ExpectDeath(1));
  EXPECT_EQ(IsInCurrentList(added), IsPublished());

  ASSERT_NO_FATAL_FAILURE(StartItldAgain());
  ASSERT_NO_FATAL_FAILURE(WaitUntilConsidered());
  EXPECT_EQ(Count(kGenerations), 2);
  EXPECT_EQ(Count(kCandidates), 0);
  EXPECT_TRUE(IsInCurrentList(added));
  const auto generated = client_->Generate();
  ASSERT_OK(generated);
  EXPECT_EQ(generated->lists(0).outcome(), v1::PublishResponse::OUTCOME_UNCHANGED);
}

void ItldKillTest::DieOverAnAdministratorsOrder(const Certificate& unlisted) {
  ASSERT_OK(client_->Unlist(unlisted));
  ASSERT_NO_FATAL_FAILURE(WaitUntilConsidered());
  ASSERT_EQ(Count(kGenerations), 2);
  ASSERT_EQ(Count(kCandidates), 1);

  ASSERT_NO_FATAL_FAILURE(StartItldThatDies());
  EXPECT_FALSE(client_->Publish("they died").ok());
  ASSERT_NO_FATAL_FAILURE(ExpectDeath(2));
  EXPECT_EQ(Count(kCandidates), IsPublished() ? 0 : 1);

  // What had not been published waits as before, and the same command publishes it.
  ASSERT_NO_FATAL_FAILURE(StartItldAgain());
  const auto list = client_->List();
  ASSERT_OK(list);
  EXPECT_EQ(list->has_candidate(), !IsPublished());
  if (!IsPublished()) {
    EXPECT_EQ(list->candidate().state(), v1::CANDIDATE_STATE_WAITS_FOR_APPROVAL);
  }
  const auto again = client_->Publish("once more");
  ASSERT_OK(again);
  EXPECT_EQ(again->lists(0).outcome(),
            IsPublished() ? v1::PublishResponse::OUTCOME_UNCHANGED : v1::PublishResponse::OUTCOME_PUBLISHED);
  EXPECT_EQ(Count(kGenerations), 3);
  EXPECT_EQ(Count(kCandidates), 0);
  EXPECT_EQ(Text("SELECT reason FROM trust_list_generation WHERE generation = 3"),
            IsPublished() ? "they died" : "once more");
}

// How lists are made changes with the lists.
void ItldKillTest::DieOverBlanking() {
  ASSERT_NO_FATAL_FAILURE(StartItldThatDies());
  EXPECT_FALSE(client_->SetBlank(true).ok());
  ASSERT_NO_FATAL_FAILURE(ExpectDeath(3));

  ASSERT_NO_FATAL_FAILURE(StartItldAgain());
  const auto is_blank = [&]() -> bool {
    const auto fetched = reader_->Fetch();
    EXPECT_OK(fetched);
    const auto list = DecodeTrustList(AsBytes(fetched->file()));
    EXPECT_OK(list);
    return std::any_of(list->records.begin(), list->records.end(),
                       [](const TrustListRecord& record) { return record.IsBlank(); });
  };
  EXPECT_EQ(Count("SELECT count(*) FROM trust_list_policy WHERE blank"), IsPublished() ? 1 : 0);
  EXPECT_EQ(is_blank(), IsPublished());
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'itl.blank.on' AND outcome = 'done'"),
            IsPublished() ? 1 : 0);
  ASSERT_OK(client_->SetBlank(true));
  EXPECT_TRUE(is_blank());
  EXPECT_EQ(Count(kGenerations), 4);
}

TEST_P(ItldKillTest, PhonesHaveTheListBeforeOrTheNewOne) {
  ASSERT_NO_FATAL_FAILURE(MakeFirstList());
  ListWatcher watcher(*site_, *reader_process_);
  const Certificate certificate = NewListable("added.example");
  ASSERT_NO_FATAL_FAILURE(DieOverAChangeOfTheTrustStore(certificate));
  ASSERT_NO_FATAL_FAILURE(DieOverAnAdministratorsOrder(certificate));
  ASSERT_NO_FATAL_FAILURE(DieOverBlanking());

  watcher.Stop();
  EXPECT_THAT(watcher.failures(), ::testing::IsEmpty());
  ASSERT_EQ(watcher.seen().size(), 4u);
  for (int64_t number = 1; number <= 4; ++number) {
    const auto published = reader_->Fetch(number);
    ASSERT_OK(published);
    EXPECT_EQ(watcher.seen()[static_cast<size_t>(number - 1)].file(), published->file());
  }
}

// The first list of a TFTP server, with the keys that it needs.
TEST_P(ItldKillTest, TheFirstListIsMadeByWhoeverComesNext) {
  ASSERT_NO_FATAL_FAILURE(StartItldThatDies());
  EXPECT_FALSE(client_->AddTftpServer().ok());
  // It may have died over the candidate that waited for TVS to hear of the signer.
  ASSERT_NO_FATAL_FAILURE(WaitForDeath());
  EXPECT_LE(Count(kGenerations), IsPublished() ? 1 : 0);
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer WHERE replaced_at IS NULL"), 2);

  ASSERT_NO_FATAL_FAILURE(StartItldAgain());
  ASSERT_NO_FATAL_FAILURE(WaitUntilConsidered());
  WaitUntil([&] { return Count(kGenerations) == 1; });
  const auto again = client_->AddTftpServer();
  ASSERT_OK(again);
  EXPECT_FALSE(again->added());
  EXPECT_EQ(again->published().lists(0).outcome(), v1::PublishResponse::OUTCOME_UNCHANGED);
  EXPECT_EQ(Count(kGenerations), 1);
  EXPECT_EQ(Count(kCandidates), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer"), 2);
}

}  // namespace
}  // namespace trustline
