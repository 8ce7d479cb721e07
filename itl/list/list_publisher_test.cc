// How a change of the trust store becomes a generation, or a candidate that waits.
#include "itl/list/list_publisher.h"

#include "itl/list/list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

class ListPublisherTest : public ListDatabaseTest {
 protected:
  void SetUp() override {
    ListDatabaseTest::SetUp();
    AddServer("tftp1");
  }
  std::string Published() {
    const StoredList list = List();
    return list.current ? fmt::format("{} {}", list.current->number, ToHex(list.current->sha1)) : "none";
  }

  const Certificate tvs_ = MakePhoneFacing("tvs");
};

TEST_F(ListPublisherTest, TheFirstListIsGenerationOne) {
  EXPECT_EQ(Published(), "none");
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish(Order("the first")));
  ASSERT_THAT(result.lists, SizeIs(1));
  EXPECT_EQ(result.lists[0].outcome, ListOutcome::kPublished);
  EXPECT_THAT(result.warnings, IsEmpty());
  const StoredList list = List();
  ASSERT_TRUE(list.current.has_value());
  EXPECT_FALSE(list.candidate.has_value());
  EXPECT_EQ(list.current->number, 1);
  EXPECT_EQ(list.current->reason, "the first");
  EXPECT_EQ(list.current->published_by, kTestActor);
  EXPECT_EQ(list.current->published_at, kTestNow);
  EXPECT_EQ(list.current->signer_sha256, Recovery().sha256());

  const std::string file = FileOf(list);
  ASSERT_OK_AND_ASSIGN(const TrustList read, DecodeTrustList(AsBytes(file)));
  EXPECT_THAT(VerifyTrustList(read), IsOkAndHolds(Recovery()));
  EXPECT_EQ(read.header().file_name, "ITLFile.tlv");
  EXPECT_EQ(read.header().timestamp, kTestNow);
  EXPECT_THAT(RecordTexts(read), ElementsAre(HasSubstr("SAST CN=ITLRECOVERY-"), HasSubstr("CCM+TFTP CN="),
                                             AllOf(HasSubstr("SAST CN="), Not(HasSubstr("ITLRECOVERY")))));
  // What is stored of it is what the file says.
  EXPECT_EQ(list.current->sha1, Sha1(AsBytes(file)));
  EXPECT_EQ(list.current->md5, Md5(AsBytes(file)));
  EXPECT_EQ(list.current->sha256, Sha256(AsBytes(file)));
  EXPECT_EQ(list.current->size, static_cast<int64_t>(file.size()));
  EXPECT_EQ(list.current->records, 3);
  EXPECT_EQ(Text("SELECT encode(sha1, 'hex') FROM trust_list_generation"), ToHex(Sha1(AsBytes(file))));
  EXPECT_EQ(Count("SELECT (sha256 = sha256(file) AND encode(md5, 'hex') = md5(file))::int::bigint FROM "
                  "trust_list_generation"),
            1);

  EXPECT_EQ(Text("SELECT action || ' ' || actor || ' ' || subject FROM audit_event WHERE action = 'itl.publish'"),
            fmt::format("itl.publish {} ITL of tftp1 generation 1 {}", kTestActor, ToHex(list.current->sha1)));
  EXPECT_EQ(metrics_.GetCounter("trustline_trust_list_generations_total", "", {{"kind", "ITL"}}).value(), 1u);
}

TEST_F(ListPublisherTest, TheSameContentIsNoNewFile) {
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  const std::string published = Published();
  const int64_t events = Count("SELECT count(*) FROM audit_event");
  now_.Advance(absl::Hours(24));
  EXPECT_EQ(Outcome(), ListOutcome::kUnchanged);
  EXPECT_EQ(Outcome(Approved()), ListOutcome::kUnchanged);
  EXPECT_EQ(Published(), published);
  EXPECT_EQ(Generations(), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), events);
}

TEST_F(ListPublisherTest, AnAdditionPublishesItself) {
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  AddListed(tvs_);
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish());
  EXPECT_EQ(result.lists.at(0).outcome, ListOutcome::kPublished);
  EXPECT_THAT(result.lists[0].list.candidate->changes, HasSubstr("added: TVS CN=tvs,O=Example,OU=Phones"));
  EXPECT_EQ(List().current->number, 2);
  EXPECT_EQ(List().current->records, 4);
  // What is vouched for, but not listed, is no matter of lists.
  ASSERT_OK(Import({MakePhoneFacing("vouched")}, {.roles = {CertificateRole::kTvs}}));
  EXPECT_EQ(Outcome(), ListOutcome::kUnchanged);
  EXPECT_EQ(Generations(), 2);
}

TEST_F(ListPublisherTest, ARemovalWaitsForAnAdministrator) {
  AddListed(tvs_);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  const std::string published = Published();
  SetListed(tvs_, false);
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish());
  EXPECT_EQ(result.lists.at(0).outcome, ListOutcome::kWaits);
  EXPECT_TRUE(result.lists[0].is_news);
  EXPECT_EQ(Published(), published);
  const StoredList list = List();
  ASSERT_TRUE(list.candidate.has_value());
  EXPECT_EQ(list.candidate->state, CandidateState::kApproval);
  EXPECT_THAT(list.candidate->reason, HasSubstr("trustctl itl publish"));
  EXPECT_THAT(list.candidate->changes, HasSubstr("removed: TVS CN=tvs,O=Example,OU=Phones"));
  EXPECT_EQ(list.candidate->since, kTestNow);

  // It is told once, and waits since it came.
  now_.Advance(absl::Hours(1));
  ASSERT_OK_AND_ASSIGN(const PublishResult again, Publish());
  EXPECT_FALSE(again.lists.at(0).is_news);
  EXPECT_EQ(again.lists[0].list.candidate->since, kTestNow);
  EXPECT_EQ(List().candidate->since, kTestNow);
  EXPECT_EQ(Generations(), 1);

  // An addition does not take it along.
  AddListed(MakePhoneFacing("tvs2"));
  EXPECT_EQ(Outcome(), ListOutcome::kWaits);
  EXPECT_EQ(List().candidate->since, kTestNow + absl::Hours(1));
  EXPECT_EQ(Generations(), 1);
}

TEST_F(ListPublisherTest, WhatIsPutBackDropsTheCandidate) {
  AddListed(tvs_);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  SetListed(tvs_, false);
  ASSERT_EQ(Outcome(), ListOutcome::kWaits);
  SetListed(tvs_, true);
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish());
  EXPECT_EQ(result.lists.at(0).outcome, ListOutcome::kUnchanged);
  EXPECT_FALSE(result.lists[0].list.candidate.has_value());
  EXPECT_EQ(Count("SELECT count(*) FROM trust_list_candidate"), 0);
  EXPECT_EQ(Generations(), 1);
}

TEST_F(ListPublisherTest, AnAdministratorsOrderPublishesWhatWaits) {
  AddListed(tvs_);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  SetListed(tvs_, false);
  ASSERT_EQ(Outcome(), ListOutcome::kWaits);
  EXPECT_EQ(Outcome(Approved("the machine is gone")), ListOutcome::kPublished);
  const StoredList list = List();
  EXPECT_EQ(list.current->number, 2);
  EXPECT_EQ(list.current->reason, "the machine is gone");
  EXPECT_FALSE(list.candidate.has_value());
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE action = 'itl.publish' ORDER BY event_id DESC LIMIT 1"),
              AllOf(HasSubstr("the machine is gone"), HasSubstr("removed: TVS CN=tvs")));
}

TEST_F(ListPublisherTest, ARenewalPublishesItselfAndASignersDoesNot) {
  AddListed(tvs_);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  const Certificate renewed = MakePhoneFacing("tvs", kTestNow + absl::Hours(24 * 700));
  AddListed(renewed);
  SetListed(tvs_, false);
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish());
  EXPECT_EQ(result.lists.at(0).outcome, ListOutcome::kPublished);
  EXPECT_THAT(result.lists[0].list.candidate->changes, HasSubstr("renewed: TVS CN=tvs"));

  const TrustStoreCaller actor = caller();
  ASSERT_OK(InStore([&](Connection& connection, ListStore&) {
    return ListSigners(connection, actor, *keys_, kTestNow).MakeRecovery(TestListPolicy(), "another").status();
  }));
  EXPECT_EQ(Outcome(), ListOutcome::kWaits);
  EXPECT_THAT(List().candidate->changes, HasSubstr("signer: CN=ITLRECOVERY-"));
}

TEST_F(ListPublisherTest, AListWaitsForTheNodesAndIsPublishedWhenTheyAnswer) {
  SetVouching(absl::FailedPreconditionError("node2 does not answer"));
  EXPECT_EQ(Outcome(Order("the first")), ListOutcome::kWaits);
  EXPECT_EQ(Published(), "none");
  EXPECT_EQ(List().candidate->state, CandidateState::kNodes);
  EXPECT_EQ(List().candidate->reason, "node2 does not answer; `--without-node NODE` leaves one out once");
  EXPECT_FALSE(List().candidate->approved_by.has_value());
  EXPECT_THAT(List().candidate->changes, HasSubstr("added: SAST CN=ITLRECOVERY-"));
  {
    const std::lock_guard lock(mutex_);
    EXPECT_THAT(asked_, ElementsAre(HasSubstr("CN=ITLRECOVERY-")));
  }
  SetVouching(absl::OkStatus());
  PublishOrder other = Order("tried again");
  other.actor = "trustline:default/itld/node1";
  other.without_nodes = {"node3"};
  EXPECT_EQ(Outcome(other), ListOutcome::kPublished);
  EXPECT_EQ(List().current->reason, "tried again");
  EXPECT_FALSE(List().candidate.has_value());
  const std::lock_guard lock(mutex_);
  EXPECT_THAT(without_, ElementsAre("node3"));
}

TEST_F(ListPublisherTest, AnApprovalIsKeptWhileNodesAreWaitedFor) {
  AddListed(tvs_);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  SetListed(tvs_, false);
  ASSERT_EQ(Outcome(), ListOutcome::kWaits);
  SetVouching(absl::FailedPreconditionError("node2 does not answer"));
  ASSERT_EQ(Outcome(Approved("the machine is gone")), ListOutcome::kWaits);
  EXPECT_EQ(List().candidate->state, CandidateState::kNodes);
  EXPECT_EQ(List().candidate->approved_by, kTestActor);
  // Somebody tries again while they are still away.
  PublishOrder other = Order("tried again");
  other.actor = "trustline:default/itld/node1";
  ASSERT_EQ(Outcome(other), ListOutcome::kWaits);
  EXPECT_EQ(List().candidate->approved_by, kTestActor);
  EXPECT_EQ(List().candidate->approval_reason, "the machine is gone");
  EXPECT_EQ(Generations(), 1);

  SetVouching(absl::OkStatus());
  ASSERT_EQ(Outcome(other), ListOutcome::kPublished);
  EXPECT_EQ(List().current->number, 2);
  EXPECT_EQ(List().current->published_by, kTestActor);
  EXPECT_EQ(List().current->reason, "the machine is gone");
  EXPECT_EQ(Text("SELECT actor FROM audit_event WHERE action = 'itl.publish' ORDER BY event_id DESC LIMIT 1"),
            kTestActor);
}

TEST_F(ListPublisherTest, EachDecisionIsOnRecord) {
  AddServer("tftp2");
  AddListed(tvs_);
  ASSERT_OK(Publish());
  SetListed(tvs_, false);
  SetVouching(absl::FailedPreconditionError("node2 does not answer"));
  for (const char* const server : {"tftp1", "tftp2"}) {
    PublishOrder order = Approved(fmt::format("the machine of {} is gone", server));
    order.filter.tftp_server = server;
    ASSERT_EQ(Outcome(order), ListOutcome::kWaits);
  }
  SetVouching(absl::OkStatus());
  ASSERT_OK(Publish(Order("follows")));
  EXPECT_EQ(Generations(), 4);
  EXPECT_EQ(Text("SELECT string_agg(d->>'reason' || ': ' || (d->>'lists'), '; ' ORDER BY d->>'reason') FROM (SELECT "
                 "detail::jsonb AS d FROM audit_event WHERE action = 'itl.publish') AS published WHERE d->>'changes' "
                 "LIKE 'removed: TVS CN=tvs%'"),
            fmt::format("the machine of tftp1 is gone: ITL of tftp1 generation 2 {}; the machine of tftp2 is gone: ITL "
                        "of tftp2 generation 2 {}",
                        ToHex(List({.tftp_server = "tftp1"}).current->sha1),
                        ToHex(List({.tftp_server = "tftp2"}).current->sha1)));
}

TEST_F(ListPublisherTest, AnApprovalIsThatOfOneContent) {
  AddListed(tvs_);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  SetListed(tvs_, false);
  SetVouching(absl::FailedPreconditionError("node2 does not answer"));
  ASSERT_EQ(Outcome(Approved()), ListOutcome::kWaits);
  ASSERT_TRUE(List().candidate->approved_by.has_value());
  AddListed(MakePhoneFacing("tvs2"));
  SetVouching(absl::OkStatus());
  EXPECT_EQ(Outcome(), ListOutcome::kWaits);
  EXPECT_EQ(List().candidate->state, CandidateState::kApproval);
  EXPECT_FALSE(List().candidate->approved_by.has_value());
  EXPECT_EQ(Generations(), 1);
}

TEST_F(ListPublisherTest, AnOrderIsAboutWhatWasLookedAt) {
  AddListed(tvs_);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  SetListed(tvs_, false);
  ASSERT_EQ(Outcome(), ListOutcome::kWaits);
  PublishOrder order = Approved("the machine is gone");
  order.approved_contents = {List().candidate->content_sha256};
  // Something else comes in between.
  AddListed(MakePhoneFacing("tvs2"));
  EXPECT_EQ(Outcome(order), ListOutcome::kWaits);
  EXPECT_EQ(Generations(), 1);
  SetVouching(absl::FailedPreconditionError("node2 does not answer"));
  EXPECT_EQ(Outcome(order), ListOutcome::kWaits);
  EXPECT_FALSE(List().candidate->approved_by.has_value());
  SetVouching(absl::OkStatus());
  order.approved_contents.push_back(List().candidate->content_sha256);
  EXPECT_EQ(Outcome(order), ListOutcome::kPublished);
  EXPECT_EQ(List().current->reason, "the machine is gone");
}

TEST_F(ListPublisherTest, ARefusedContentLeavesThePublishedListAlone) {
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  const std::string published = Published();
  const Certificate third = MakePhoneFacing("third");
  AddListed(third, CertificateRole::kSast);
  EXPECT_EQ(Outcome(), ListOutcome::kRefused);
  EXPECT_EQ(Published(), published);
  EXPECT_EQ(List().candidate->state, CandidateState::kRefused);
  EXPECT_THAT(List().candidate->reason, HasSubstr("3 SAST records"));
  // An approval does not help, and the addition to the trust store stands.
  EXPECT_EQ(Outcome(Approved()), ListOutcome::kRefused);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE listed AND removed_at IS NULL"), 1);
  EXPECT_EQ(Generations(), 1);
  SetListed(third, false);
  EXPECT_EQ(Outcome(), ListOutcome::kUnchanged);
  EXPECT_FALSE(List().candidate.has_value());
}

TEST_F(ListPublisherTest, OneListsRefusalIsNoneOfTheOthers) {
  AddServer("tftp2");
  ASSERT_OK(Publish());
  // The other server's certificate by hand, beside its own list's.
  const Certificate second = Signers().at(2).certificate;
  ASSERT_EQ(Signers()[2].tftp_server, "tftp2");
  RunByHand(
      fmt::format("UPDATE trust_entry SET listed = true WHERE role = 2 AND sha256 = '\\x{}'", ToHex(second.sha256())));
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish());
  ASSERT_THAT(result.lists, SizeIs(2));
  for (const PublishedList& list : result.lists) {
    const bool own = list.list.form.tftp_server == "tftp2";
    EXPECT_EQ(list.outcome, own ? ListOutcome::kRefused : ListOutcome::kPublished) << list.list.form.tftp_server;
    if (own) {
      EXPECT_THAT(list.list.candidate->reason, HasSubstr("would stand twice"));
    }
  }
}

TEST_F(ListPublisherTest, AChangeThatCannotBePublishedIsUndone) {
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  PublishOrder order = Approved();
  order.must_publish = true;
  const auto blank = [](Connection&, ListStore& store, const StoredPolicy& before) {
    ListPolicy policy = before.policy;
    policy.blank = true;
    return store.WritePolicy(policy, kTestActor);
  };
  SetVouching(absl::FailedPreconditionError("node2 does not answer"));
  EXPECT_THAT(publisher_->ChangeAndPublish(1, "default", order, blank),
              StatusIs(kRefused, AllOf(HasSubstr("nothing was changed, because the ITL of tftp1 cannot be published"),
                                       HasSubstr("node2"))));
  EXPECT_EQ(Count("SELECT blank::int::bigint FROM trust_list_policy"), 0);
  EXPECT_EQ(Generations(), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_list_candidate"), 0);

  SetVouching(absl::OkStatus());
  ASSERT_OK(publisher_->ChangeAndPublish(1, "default", order, blank));
  EXPECT_EQ(Count("SELECT blank::int::bigint FROM trust_list_policy"), 1);
  ASSERT_OK_AND_ASSIGN(const TrustList read, DecodeTrustList(AsBytes(FileOf(List()))));
  EXPECT_THAT(RecordTexts(read), Contains("CCM+TFTP (blank)"));
  // What is blank stays so until it is taken back, and an addition is blank too.
  AddListed(tvs_);
  EXPECT_EQ(Outcome(), ListOutcome::kPublished);
  ASSERT_OK_AND_ASSIGN(const TrustList longer, DecodeTrustList(AsBytes(FileOf(List()))));
  EXPECT_THAT(RecordTexts(longer), Contains("TVS (blank)"));
}

TEST_F(ListPublisherTest, WhatEndedWhileListsWereBlankKeepsNoneBlank) {
  const Certificate ending = MakePhoneFacing("ending", kTestNow + absl::Hours(1));
  AddListed(ending);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  PublishOrder order = Approved();
  order.must_publish = true;
  const auto set_blank = [&](bool blank) {
    return publisher_->ChangeAndPublish(1, "default", order,
                                        [&](Connection&, ListStore& store, const StoredPolicy& before) {
                                          ListPolicy policy = before.policy;
                                          policy.blank = blank;
                                          return store.WritePolicy(policy, kTestActor);
                                        });
  };
  ASSERT_OK(set_blank(true));
  now_.Advance(absl::Hours(2));
  ASSERT_OK_AND_ASSIGN(const PublishResult result, set_blank(false));
  EXPECT_EQ(result.lists.at(0).outcome, ListOutcome::kPublished);
  EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("CN=ending,O=Example,OU=Phones")));
}

// An administrator's order is about what it says, not about what waits besides.
TEST_F(ListPublisherTest, AChangeDoesNotTakeAlongWhatNobodyApproved) {
  AddListed(tvs_);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  PublishOrder order = Approved();
  order.must_publish = true;
  const auto blank = [](Connection&, ListStore& store, const StoredPolicy& before) {
    ListPolicy policy = before.policy;
    policy.blank = true;
    return store.WritePolicy(policy, kTestActor);
  };
  SetListed(tvs_, false);
  EXPECT_THAT(publisher_->ChangeAndPublish(1, "default", order, blank),
              StatusIs(kRefused, AllOf(HasSubstr("the ITL of tftp1 has changes that nobody has approved"),
                                       HasSubstr("trustctl itl publish"))));
  SetVouching(absl::FailedPreconditionError("node2 does not answer"));
  ASSERT_EQ(Outcome(Approved()), ListOutcome::kWaits);
  EXPECT_THAT(publisher_->ChangeAndPublish(1, "default", order, blank),
              StatusIs(kRefused, HasSubstr("are approved, but not published yet")));
  SetVouching(absl::OkStatus());
  const Certificate third = MakePhoneFacing("third");
  SetListed(tvs_, true);
  AddListed(third, CertificateRole::kSast);
  EXPECT_THAT(publisher_->ChangeAndPublish(1, "default", order, blank), StatusIs(kRefused));
  EXPECT_EQ(Count("SELECT blank::int::bigint FROM trust_list_policy"), 0);
  EXPECT_EQ(Generations(), 1);
  // What publishes itself may come along.
  SetListed(third, false);
  AddListed(MakePhoneFacing("tvs2"));
  EXPECT_OK(publisher_->ChangeAndPublish(1, "default", order, blank));
  EXPECT_EQ(Generations(), 2);
}

TEST_F(ListPublisherTest, AnErrorOfTheChangeUndoesIt) {
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  EXPECT_THAT(publisher_->ChangeAndPublish(1, "default", Approved(),
                                           [](Connection&, ListStore& store, const StoredPolicy& before) {
                                             ListPolicy policy = before.policy;
                                             policy.mixed_mode = true;
                                             EXPECT_OK(store.WritePolicy(policy, kTestActor));
                                             return absl::AbortedError("no");
                                           }),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(Count("SELECT mixed_mode::int::bigint FROM trust_list_policy"), 0);
}

TEST_F(ListPublisherTest, AMissingKeyIsSaidAndStopsThatListOnly) {
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  const std::string published = Published();
  const StoredSigner recovery = Signers().at(0);
  std::filesystem::rename(KeyPath(recovery), folder_.path() / "away");
  // As after a restart.
  const std::unique_ptr<KeyFolder> fewer = NewKeys();
  publisher_ = NewPublisher(*pool_, *fewer);
  // What need not be signed needs no key.
  EXPECT_EQ(Outcome(), ListOutcome::kUnchanged);
  AddListed(tvs_);
  EXPECT_EQ(Outcome(), ListOutcome::kRefused);
  EXPECT_THAT(List().candidate->reason, AllOf(HasSubstr(recovery.key_name), HasSubstr("is missing")));
  EXPECT_EQ(Published(), published);
  std::filesystem::rename(folder_.path() / "away", KeyPath(recovery));
  EXPECT_EQ(Outcome(), ListOutcome::kPublished);
  publisher_.reset();
}

TEST_F(ListPublisherTest, AKeyThatIsNotTheSignersSignsNothing) {
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  const std::string published = Published();
  AddListed(tvs_);
  // The row names the other signer's key.
  RunByHand(
      "UPDATE list_signer SET key_name = (SELECT key_name FROM list_signer WHERE tftp_server = 'tftp1') "
      "WHERE tftp_server = ''");
  EXPECT_EQ(Outcome(), ListOutcome::kRefused);
  EXPECT_THAT(List().candidate->reason, HasSubstr("key"));
  EXPECT_EQ(Published(), published);
}

TEST_F(ListPublisherTest, SwappedKeyFilesAreFound) {
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  const std::string published = Published();
  // A folder that a running itld has open, of which a backup was restored wrongly.
  std::filesystem::create_directory(folder_.path() / "empty");
  std::filesystem::permissions(folder_.path() / "empty", std::filesystem::perms(0700));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<KeyFolder> keys,
                       KeyFolder::Open(folder_.path() / "empty", folder_.path() / "passphrase", {"keys", "itld"}));
  const std::vector<StoredSigner> signers = Signers();
  std::filesystem::copy_file(KeyPath(signers.at(1)), folder_.path() / "empty" / (signers.at(0).key_name + ".key"));
  publisher_ = NewPublisher(*pool_, *keys);
  AddListed(tvs_);
  EXPECT_EQ(Outcome(), ListOutcome::kRefused);
  EXPECT_THAT(List().candidate->reason, HasSubstr("holds another key than its name says"));
  EXPECT_EQ(Published(), published);
  publisher_.reset();
}

TEST_F(ListPublisherTest, AClusterWithoutListsSaysSo) {
  RunByHand("INSERT INTO cluster (name) VALUES ('other')");
  EXPECT_THAT(publisher_->Publish(2, "default", Order()),
              StatusIs(kRefused, HasSubstr("trustctl itl server add NAME --host HOST")));
}

}  // namespace
}  // namespace trustline
