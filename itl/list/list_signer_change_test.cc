// Who signs a list from now on, and what phones and administrators are told of it.
#include "itl/list/list_testing.h"
#include "itl/trust_list/trust_list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr char kPhone[] = "SEP001122334455";

class ListSignerChangeTest : public ListDatabaseTest {
 protected:
  void SetUp() override {
    ListDatabaseTest::SetUp();
    AddServer("tftp1");
    AddListed(tvs_);
    ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  }
  static ListFilter ItlOf(const std::string& server, const std::string& device = "") {
    return {.kind = ListKind::kItl, .tftp_server = server, .device = device};
  }
  static PublishOrder MustPublish(const ListFilter& filter) {
    PublishOrder order = Approved();
    order.filter = filter;
    order.must_publish = true;
    return order;
  }
  absl::StatusOr<PublishResult> Resign(bool local, const ListFilter& filter = ItlOf("tftp1")) {
    PublishOrder order = MustPublish(filter);
    order.to_local_signer = local;
    return publisher_->Resign(1, "default", local, order,
                              [](Connection&, ListStore&, const StoredPolicy&) { return absl::OkStatus(); });
  }
  absl::StatusOr<PublishResult> PublishSigned(const std::string& file) {
    return publisher_->PublishSigned(1, "default", {.tftp_server = "tftp1", .device = ""}, file,
                                     MustPublish(ItlOf("tftp1")));
  }
  // The list of tftp1, with these records.
  std::string Sign(const std::vector<std::string>& records, const StoredSigner& signer) {
    const TrustList current = Current();
    std::string payload;
    for (const std::string& record : records) payload += record;
    return *WriteTrustList(payload, FormOfHeader(current.header()), signer.certificate, **keys_->Find(signer.key_name));
  }
  TrustList Current() { return *DecodeTrustList(AsBytes(FileOf(List(ItlOf("tftp1"))))); }
  std::vector<std::string> Records() {
    std::vector<std::string> records;
    for (const TrustListRecord& record : Current().records)
      records.push_back(*WriteRecordAgain(record, NameForm::kComma));
    return records;
  }
  std::vector<int64_t> LocalSigners() {
    std::vector<int64_t> lists;
    const auto all = InStore([](Connection&, ListStore& store) { return store.Lists({}); });
    EXPECT_OK(all);
    for (const StoredList& list : *all) {
      if (list.form.local_signer) lists.push_back(list.list_id);
    }
    return lists;
  }

  const Certificate tvs_ = MakePhoneFacing("tvs");
};

TEST_F(ListSignerChangeTest, AnotherSignerWaitsThoughPhonesKnowIt) {
  // Nothing else changes.
  RunByHand("UPDATE trust_list SET local_signer = true");
  EXPECT_EQ(Outcome(), ListOutcome::kWaits);
  EXPECT_EQ(List().candidate->state, CandidateState::kApproval);
  EXPECT_THAT(List().candidate->reason,
              AllOf(HasSubstr("its signer changes"), HasSubstr("is a SAST of the present list")));
  EXPECT_EQ(Outcome(Approved()), ListOutcome::kPublished);
}

TEST_F(ListSignerChangeTest, ASignerThatPhonesDoNotKnowIsSaidToBeOne) {
  const TrustStoreCaller actor = caller();
  ASSERT_OK(InStore([&](Connection& connection, ListStore&) {
    return ListSigners(connection, actor, *keys_, kTestNow).MakeRecovery(TestListPolicy(), "lost").status();
  }));
  EXPECT_EQ(Outcome(), ListOutcome::kWaits);
  EXPECT_THAT(List().candidate->reason,
              AllOf(HasSubstr("its signer changes"), HasSubstr("does not have as SAST"), HasSubstr("ask a TVS")));
}

TEST_F(ListSignerChangeTest, ANewRecoveryKeyThatNoListNamesSignsNone) {
  const TrustStoreCaller actor = caller();
  ASSERT_OK(InStore([&](Connection& connection, ListStore&) {
    return ListSigners(connection, actor, *keys_, kTestNow).MakeRecovery(TestListPolicy(), "lost").status();
  }));
  EXPECT_THAT(Resign(false), StatusIs(kRefused, AllOf(HasSubstr(Recovery().subject().ToText()),
                                                      HasSubstr("is no SAST of the ITL of tftp1"))));
  EXPECT_EQ(Generations(), 1);
  // The server's own is one.
  EXPECT_OK(Resign(true));
}

TEST_F(ListSignerChangeTest, ARecoveryCertificateThatHasEndedDoesNotComeBack) {
  const TrustStoreCaller actor = caller();
  const StoredSigner first = Signers().at(0);
  const auto restore = [&](absl::Time now) {
    return InStore([&](Connection& connection, ListStore& store) -> absl::Status {
      RETURN_IF_ERROR(ListSigners(connection, actor, *keys_, kTestNow).MakeRecovery(TestListPolicy(), "lost").status());
      ASSIGN_OR_RETURN(const std::optional<StoredSigner> previous, store.PreviousRecovery());
      EXPECT_EQ(previous->certificate, first.certificate);
      return ListSigners(connection, actor, *keys_, now).RestoreRecovery(*previous, "found");
    });
  };
  const absl::Time end = first.certificate.not_after();
  EXPECT_THAT(restore(end), StatusIs(kRefused, HasSubstr("has expired")));
  EXPECT_EQ(Recovery(), first.certificate);
  EXPECT_OK(restore(end - absl::Seconds(1)));
  EXPECT_EQ(Recovery(), first.certificate);
}

TEST_F(ListSignerChangeTest, WhatIsNotPublishedIsNotSignedAnew) {
  AddServer("tftp2");
  EXPECT_THAT(Resign(true, ItlOf("tftp2")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such list is published")));
  ASSERT_OK_AND_ASSIGN(const PublishResult both, Resign(true, {.kind = ListKind::kItl}));
  EXPECT_THAT(both.lists, SizeIs(1));
}

TEST_F(ListSignerChangeTest, ASignerThatIsToComeStandsBesideThePresentOne) {
  const TrustStoreCaller actor = caller();
  const Certificate first = Recovery();
  std::optional<ListSigners::Prepared> made;
  const auto in_store = [&](auto body) { return InStore([&](Connection&, ListStore& store) { return body(store); }); };
  const auto overlapping = [&] { return *in_store([](ListStore& store) { return store.OverlappingSigners(); }); };
  const auto previous = [&] { return *in_store([](ListStore& store) { return store.PreviousRecovery(); }); };
  const auto texts = [&] {
    EXPECT_EQ(Outcome(Approved()), ListOutcome::kPublished);
    std::vector<std::string> sasts;
    for (const TrustListRecord& record : Current().records) {
      if (record.role() == CertificateRole::kSast) sasts.push_back(record.certificate->subject().ToText());
    }
    return sasts;
  };
  const auto name = [](const Certificate& certificate) { return certificate.subject().ToText(); };

  // 1. Trusted, and nothing else.
  ASSERT_OK(InStore([&](Connection& connection, ListStore&) -> absl::Status {
    ASSIGN_OR_RETURN(made, ListSigners(connection, actor, *keys_, kTestNow).PrepareRecovery(TestListPolicy()));
    return absl::OkStatus();
  }));
  const Certificate next = made->certificate;
  EXPECT_EQ(Recovery(), first);
  EXPECT_OK(keys_->Find(made->key_name));
  EXPECT_EQ(Outcome(), ListOutcome::kUnchanged);

  // 2. In the lists.
  const auto add = [&](ListStore& store) { return store.AddOverlap("", next, made->key_name, "a test", kTestActor); };
  ASSERT_OK(in_store(add));
  EXPECT_EQ(Recovery(), first);
  ASSERT_THAT(overlapping(), SizeIs(1));
  EXPECT_EQ(overlapping()[0].certificate, next);
  EXPECT_THAT(texts(), ::testing::ElementsAre(name(first), name(next)));
  EXPECT_EQ(List().current->signer_sha256, first.sha256());
  EXPECT_FALSE(previous().has_value()) << "it never was the signer";

  // 3. It signs.
  ASSERT_OK(in_store([&](ListStore& store) { return store.SwitchToOverlap("", next); }));
  EXPECT_EQ(Recovery(), next);
  EXPECT_EQ(overlapping()[0].certificate, first);
  EXPECT_THAT(texts(), ::testing::ElementsAre(name(next), name(first)));
  EXPECT_EQ(List().current->signer_sha256, next.sha256());
  EXPECT_EQ(previous()->certificate, first);
  EXPECT_THAT(in_store([&](ListStore& store) { return store.SwitchToOverlap("", next); }),
              StatusIs(kRefused, HasSubstr("does not stand in the lists beside")));

  // 4. Back again, and out.
  ASSERT_OK(in_store([&](ListStore& store) { return store.SwitchToOverlap("", first); }));
  EXPECT_EQ(Recovery(), first);
  EXPECT_EQ(previous()->certificate, next);
  ASSERT_OK(in_store([&](ListStore& store) { return store.SwitchToOverlap("", next); }));
  EXPECT_THAT(in_store([](ListStore& store) { return store.EndOverlap(""); }), IsOkAndHolds(true));
  EXPECT_THAT(in_store([](ListStore& store) { return store.EndOverlap(""); }), IsOkAndHolds(false));
  EXPECT_THAT(overlapping(), SizeIs(0));
  EXPECT_THAT(texts(), ::testing::ElementsAre(name(next), name(Signers().at(1).certificate)));
}

TEST_F(ListSignerChangeTest, AnOverlapThatIsTakenBackIsNotTheKeyBefore) {
  const TrustStoreCaller actor = caller();
  const auto overlap = [&] {
    return InStore([&](Connection& connection, ListStore& store) -> absl::Status {
      ASSIGN_OR_RETURN(const ListSigners::Prepared made,
                       ListSigners(connection, actor, *keys_, kTestNow).PrepareRecovery(TestListPolicy()));
      return store.AddOverlap("", made.certificate, made.key_name, "a test", kTestActor);
    });
  };
  ASSERT_OK(overlap());
  ASSERT_OK(overlap()) << "another one takes its place";
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer WHERE overlapping"), 1);
  ASSERT_OK(InStore([](Connection&, ListStore& store) { return store.EndOverlap("").status(); }));
  const Certificate first = Recovery();
  ASSERT_OK(InStore([&](Connection& connection, ListStore&) {
    return ListSigners(connection, actor, *keys_, kTestNow).MakeRecovery(TestListPolicy(), "lost").status();
  }));
  const auto previous = InStore([](Connection&, ListStore& store) { return store.PreviousRecovery(); });
  ASSERT_OK(previous);
  ASSERT_TRUE(previous->has_value());
  EXPECT_EQ((*previous)->certificate, first);
}

TEST_F(ListSignerChangeTest, AnOverlappingKeyThatIsRestoredStandsInTheListsOnce) {
  const TrustStoreCaller actor = caller();
  const Certificate first = Recovery();
  ASSERT_OK(InStore([&](Connection& connection, ListStore& store) -> absl::Status {
    ListSigners signers(connection, actor, *keys_, kTestNow);
    ASSIGN_OR_RETURN(const ListSigners::Prepared made, signers.PrepareRecovery(TestListPolicy()));
    RETURN_IF_ERROR(store.AddOverlap("", made.certificate, made.key_name, "a test", kTestActor));
    RETURN_IF_ERROR(store.SwitchToOverlap("", made.certificate));
    ASSIGN_OR_RETURN(const std::optional<StoredSigner> previous, store.PreviousRecovery());
    return signers.RestoreRecovery(*previous, "a test");
  }));
  EXPECT_EQ(Recovery(), first);
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer WHERE overlapping"), 0);
  EXPECT_EQ(Outcome(), ListOutcome::kUnchanged);
}

TEST_F(ListSignerChangeTest, WhatOverlapsStaysTrusted) {
  const TrustStoreCaller actor = caller();
  std::optional<Certificate> next;
  const auto remove = [&] {
    return InStore([&](Connection& connection, ListStore&) {
      return TrustEditor(connection, actor).Remove(PrefixOf(next->sha256())).status();
    });
  };
  ASSERT_OK(InStore([&](Connection& connection, ListStore& store) -> absl::Status {
    ASSIGN_OR_RETURN(const ListSigners::Prepared made,
                     ListSigners(connection, actor, *keys_, kTestNow)
                         .PrepareCallManager(TestListPolicy(), "tftp1", "tftp1.example"));
    next = made.certificate;
    return store.AddOverlap("tftp1", made.certificate, made.key_name, "a test", kTestActor);
  }));
  EXPECT_THAT(remove(), StatusIs(kRefused, HasSubstr("stands in them as TFTP server")));
  // Also the one that is to go.
  const Certificate first = Signers().at(1).certificate;
  ASSERT_OK(InStore([&](Connection&, ListStore& store) { return store.SwitchToOverlap("tftp1", *next); }));
  next = first;
  EXPECT_THAT(remove(), StatusIs(kRefused, HasSubstr("stands in them as TFTP server")));
  ASSERT_OK(InStore([](Connection&, ListStore& store) { return store.EndOverlap("tftp1").status(); }));
  EXPECT_OK(remove());
}

TEST_F(ListSignerChangeTest, AListThatIsSignedAnewSaysWhen) {
  now_.Advance(absl::Hours(3));
  ASSERT_OK(Resign(true));
  EXPECT_EQ(Current().header().timestamp, kTestNow + absl::Hours(3));
}

TEST_F(ListSignerChangeTest, AfterAResetTheListsAreComparedAgain) {
  ASSERT_EQ(Count("SELECT considered_commit FROM trust_list_policy"), TrustCommit());
  ASSERT_OK(Resign(true));
  EXPECT_NE(Count("SELECT considered_commit FROM trust_list_policy"), TrustCommit());
}

TEST_F(ListSignerChangeTest, AnotherServersKeyIsNotThisListsOwn) {
  AddServer("tftp2");
  ASSERT_OK(Publish());
  const std::vector<StoredSigner> signers = Signers();
  ASSERT_EQ(signers.at(2).tftp_server, "tftp2");
  std::vector<std::string> records = Records();
  records[2] = *WriteRecord({signers[2].certificate, CertificateRole::kSast, "", ""}, NameForm::kComma);
  ASSERT_OK(PublishSigned(Sign(records, signers[2])));
  EXPECT_EQ(List(ItlOf("tftp1")).current->signer_sha256, signers[2].certificate.sha256());
  EXPECT_THAT(LocalSigners(), SizeIs(0));
}

TEST_F(ListSignerChangeTest, ElementsThatNobodyKnowsAreRefused) {
  std::vector<std::string> records = Records();
  ASSERT_OK(PublishSigned(Sign(records, Signers().at(1))));
  // One more element, and the record's length, the value of its first element.
  std::string& record = records.back();
  record += std::string("\x63\x00\x01x", 4);
  record[3] = static_cast<char>(record.size() >> 8);
  record[4] = static_cast<char>(record.size() & 0xff);
  EXPECT_THAT(PublishSigned(Sign(records, Signers().at(0))), StatusIs(kRefused, HasSubstr("other records")));
}

TEST_F(ListSignerChangeTest, AnotherOrderOfTheRecordsPublishesItself) {
  std::vector<std::string> records = Records();
  std::swap(records[1], records[3]);
  ASSERT_OK(PublishSigned(Sign(records, Signers().at(0))));
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish());
  EXPECT_EQ(result.lists.at(0).outcome, ListOutcome::kPublished);
  EXPECT_THAT(result.lists[0].list.candidate->changes, HasSubstr("order"));
  EXPECT_EQ(List().current->number, 3);
}

TEST_F(ListSignerChangeTest, ADevicesFirstListIsSignedAsThatOfAllPhones) {
  ASSERT_OK(Resign(true));
  {
    const std::lock_guard lock(mutex_);
    asked_.clear();
  }
  ASSERT_OK(publisher_->ChangeAndPublish(
      1, "default", MustPublish(ItlOf("tftp1", kPhone)), [](Connection&, ListStore& store, const StoredPolicy&) {
        return store.PutList({.kind = ListKind::kItl, .tftp_server = "tftp1", .device = kPhone, .local_signer = true},
                             kTestActor);
      }));
  EXPECT_EQ(List(ItlOf("tftp1", kPhone)).current->signer_sha256, Signers().at(1).certificate.sha256());
  const std::lock_guard lock(mutex_);
  EXPECT_THAT(asked_, Contains(Signers().at(1).certificate.subject().ToText()));
}

}  // namespace
}  // namespace trustline
