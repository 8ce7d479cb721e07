// Lists that are signed anew: with the server's own key, or elsewhere.
#include "common/x509/pkcs12.h"
#include "itl/list/list_testing.h"
#include "itl/trust_list/trust_list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

class ListResigningTest : public ListDatabaseTest {
 protected:
  void SetUp() override {
    ListDatabaseTest::SetUp();
    AddServer("tftp1");
    AddListed(tvs_);
    ASSERT_EQ(Outcome(), ListOutcome::kPublished);
    current_ = FileOf(List());
  }

  static PublishOrder MustPublish() {
    PublishOrder order = Approved("the signer was lost");
    order.must_publish = true;
    return order;
  }
  absl::StatusOr<PublishResult> PublishSigned(const std::string& file, const PublishOrder& order = MustPublish()) {
    ListForm which;
    which.tftp_server = "tftp1";
    return publisher_->PublishSigned(1, "default", which, file, order);
  }
  absl::StatusOr<PublishResult> Resign(bool local) {
    PublishOrder order = MustPublish();
    order.filter.kind = ListKind::kItl;
    order.to_local_signer = local;
    return publisher_->Resign(1, "default", local, order,
                              [](Connection&, ListStore&, const StoredPolicy&) { return absl::OkStatus(); });
  }
  // As somebody does who has fetched a list and a key.
  std::string Sign(
      const std::vector<std::string>& records, const Certificate& signer, const PrivateKey& key,
      const std::function<void(SignedFileForm&)>& change = [](SignedFileForm&) {}) const {
    SignedFileForm form = FormOfHeader(Read(current_).header());
    form.timestamp = kTestNow + absl::Hours(5);
    change(form);
    std::string payload;
    for (const std::string& record : records) payload += record;
    const auto file = WriteTrustList(payload, form, signer, key);
    EXPECT_OK(file);
    return file.value_or("");
  }
  static TrustList Read(const std::string& file) {
    const auto list = DecodeTrustList(AsBytes(file));
    EXPECT_OK(list);
    return *list;
  }
  static std::string Record(const Certificate& certificate, CertificateRole role, const std::string& dns_name = "") {
    return *WriteRecord({certificate, role, dns_name, ""}, NameForm::kComma);
  }
  // Of the current list.
  std::vector<std::string> Records() const {
    std::vector<std::string> records;
    for (const TrustListRecord& record : Read(current_).records)
      records.push_back(*WriteRecordAgain(record, NameForm::kComma));
    return records;
  }
  // The records with another signer in the place of the server's own.
  std::vector<std::string> RecordsOfOther() const {
    std::vector<std::string> records = Records();
    records[2] = Record(other_, CertificateRole::kSast);
    return records;
  }
  KeyFolder::Key KeyOf(const StoredSigner& signer) { return *keys_->Find(signer.key_name); }
  int64_t IsLocal() { return Count("SELECT local_signer::int::bigint FROM trust_list"); }

  const Certificate tvs_ = MakePhoneFacing("tvs", kTestNow + absl::Hours(24));
  const Certificate other_ = MakePhoneFacing("other");  // a SAST whose key itld does not have
  std::string current_;
};

TEST_F(ListResigningTest, WithTheServersOwnKeyAndBack) {
  ASSERT_OK_AND_ASSIGN(const PublishResult local, Resign(true));
  ASSERT_THAT(local.lists, SizeIs(1));
  EXPECT_EQ(local.lists[0].outcome, ListOutcome::kPublished);
  EXPECT_THAT(local.lists[0].list.candidate->changes, HasSubstr("signer: CN=ITLRECOVERY-"));
  EXPECT_EQ(IsLocal(), 1);
  EXPECT_EQ(List().current->number, 2);
  EXPECT_EQ(List().current->signer_sha256, Signers().at(1).certificate.sha256());
  const std::string file = FileOf(List());
  EXPECT_THAT(VerifyTrustList(Read(file)), IsOkAndHolds(Signers().at(1).certificate));
  EXPECT_EQ(AsText(Read(file).file.payload), AsText(Read(current_).file.payload));
  {
    const std::lock_guard lock(mutex_);
    EXPECT_THAT(asked_, ::testing::Contains(Signers().at(1).certificate.subject().ToText()));
  }
  // It stays so: the next content is signed with the same key.
  EXPECT_EQ(Outcome(), ListOutcome::kUnchanged);
  AddListed(MakePhoneFacing("tvs2"));
  EXPECT_EQ(Outcome(), ListOutcome::kPublished);
  EXPECT_EQ(List().current->signer_sha256, Signers().at(1).certificate.sha256());
  EXPECT_EQ(Resign(true)->lists.at(0).outcome, ListOutcome::kUnchanged);

  ASSERT_OK(Resign(false));
  EXPECT_EQ(IsLocal(), 0);
  EXPECT_EQ(List().current->number, 4);
  EXPECT_EQ(List().current->signer_sha256, Recovery().sha256());
  EXPECT_EQ(Outcome(), ListOutcome::kUnchanged);
}

TEST_F(ListResigningTest, WhatWaitsGoesOnWaiting) {
  SetListed(tvs_, false);
  ASSERT_EQ(Outcome(), ListOutcome::kWaits);
  ASSERT_OK(Resign(true));
  EXPECT_THAT(RecordTexts(Read(FileOf(List()))), SizeIs(4));
  EXPECT_EQ(Outcome(), ListOutcome::kWaits);
  EXPECT_THAT(List().candidate->changes, AllOf(HasSubstr("removed: TVS"), Not(HasSubstr("signer"))));
}

TEST_F(ListResigningTest, WhatHasExpiredStopsNoRecovery) {
  now_.Advance(absl::Hours(25));
  ASSERT_OK_AND_ASSIGN(const PublishResult local, Resign(true));
  EXPECT_EQ(local.lists.at(0).outcome, ListOutcome::kPublished);
  EXPECT_THAT(local.warnings, ElementsAre(AllOf(HasSubstr("CN=tvs"), HasSubstr("has expired"))));
  ASSERT_OK(PublishSigned(Sign(RecordsOfOther(), other_, SharedRsaKey())));
  EXPECT_EQ(List().current->number, 3);
}

TEST_F(ListResigningTest, NodesMustAnswerForTheNewSigner) {
  SetVouching(absl::FailedPreconditionError("node2 does not answer"));
  EXPECT_THAT(Resign(true), StatusIs(kRefused, HasSubstr("node2")));
  EXPECT_THAT(PublishSigned(Sign(RecordsOfOther(), other_, SharedRsaKey())), StatusIs(kRefused, HasSubstr("node2")));
  EXPECT_EQ(IsLocal(), 0);
  EXPECT_EQ(Generations(), 1);
  SetVouching(absl::OkStatus());
  {
    const std::lock_guard lock(mutex_);
    EXPECT_THAT(asked_, ::testing::Contains("CN=other,O=Example,OU=Phones"));
  }
}

TEST_F(ListResigningTest, TheSameContentByTheSameSignerIsNoNewFile) {
  const SecretBytes passphrase("a long passphrase");
  ASSERT_OK_AND_ASSIGN(const std::string exported,
                       WritePkcs12(Recovery(), *KeyOf(Signers().at(0)), passphrase, "ITLRecovery"));
  ASSERT_OK_AND_ASSIGN(const CertifiedKey recovery, ReadPkcs12(AsBytes(exported), passphrase));
  const std::string file = Sign(Records(), recovery.certificate, recovery.key);
  ASSERT_NE(file, current_);
  ASSERT_OK_AND_ASSIGN(const PublishResult result, PublishSigned(file));
  EXPECT_EQ(result.lists.at(0).outcome, ListOutcome::kUnchanged);
  EXPECT_EQ(FileOf(List()), current_);
  EXPECT_EQ(Generations(), 1);
}

TEST_F(ListResigningTest, AnotherSastMayHaveSigned) {
  ASSERT_OK(Import({other_}, {.roles = {CertificateRole::kSast}}));
  const std::string file = Sign(RecordsOfOther(), other_, SharedRsaKey());
  ASSERT_OK_AND_ASSIGN(const PublishResult result, PublishSigned(file));
  EXPECT_EQ(result.lists.at(0).outcome, ListOutcome::kPublished);
  EXPECT_EQ(FileOf(List()), file);
  EXPECT_EQ(List().current->sha256, Sha256(AsBytes(file)));
  EXPECT_EQ(List().current->signer_sha256, other_.sha256());
  EXPECT_EQ(List().current->records, 4);
  EXPECT_EQ(List().current->reason, "the signer was lost");
  // The same file again.
  EXPECT_EQ(PublishSigned(file)->lists.at(0).outcome, ListOutcome::kUnchanged);
  // Our own keys would sign it otherwise, which somebody has to want.
  EXPECT_EQ(Outcome(), ListOutcome::kWaits);
  EXPECT_THAT(List().candidate->changes, HasSubstr("signer: CN=other,O=Example,OU=Phones"));
  EXPECT_EQ(Outcome(Approved()), ListOutcome::kPublished);
  EXPECT_EQ(List().current->signer_sha256, Recovery().sha256());
}

TEST_F(ListResigningTest, AListSignedWithTheServersKeyElsewhereStaysSo) {
  const StoredSigner own = Signers().at(1);
  ASSERT_OK(PublishSigned(Sign(Records(), own.certificate, *KeyOf(own))));
  EXPECT_EQ(IsLocal(), 1);
  EXPECT_EQ(Outcome(), ListOutcome::kUnchanged);
}

// As after ITLRecovery was lost and replaced: nothing else can sign what phones accept.
TEST_F(ListResigningTest, WhatTheListShouldSayMayBeSignedElsewhereToo) {
  const Certificate second = MakePhoneFacing("tvs2");
  AddListed(second);
  std::vector<std::string> records = RecordsOfOther();
  records.push_back(Record(second, CertificateRole::kTvs));
  ASSERT_OK(PublishSigned(Sign(records, other_, SharedRsaKey())));
  EXPECT_EQ(List().current->records, 5);
}

TEST_F(ListResigningTest, NothingIsPublishedYet) {
  AddServer("tftp2");
  ListForm which;
  which.tftp_server = "tftp2";
  const Certificate own = Signers().at(2).certificate;
  const std::string file = Sign({Record(Recovery(), CertificateRole::kSast), Record(own, CertificateRole::kCcmTftp),
                                 Record(own, CertificateRole::kSast), Record(tvs_, CertificateRole::kTvs)},
                                Recovery(), *KeyOf(Signers().at(0)));
  EXPECT_THAT(publisher_->PublishSigned(1, "default", which, Sign(Records(), Recovery(), *KeyOf(Signers().at(0))),
                                        MustPublish()),
              StatusIs(kRefused, HasSubstr("other records")));
  ASSERT_OK(publisher_->PublishSigned(1, "default", which, file, MustPublish()));
  EXPECT_EQ(Generations(), 2);
  which.tftp_server = "tftp9";
  EXPECT_THAT(publisher_->PublishSigned(1, "default", which, file, MustPublish()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("ITL of tftp9")));
}

TEST_F(ListResigningTest, OtherRecordsAreRefused) {
  const auto refused = [&](const char* what, const std::vector<std::string>& altered) {
    EXPECT_THAT(PublishSigned(Sign(altered, other_, SharedRsaKey())), StatusIs(kRefused, HasSubstr("other records")))
        << what;
  };
  std::vector<std::string> records = RecordsOfOther();
  records.push_back(Record(MakePhoneFacing("stranger"), CertificateRole::kTvs));
  refused("one more", records);
  records = RecordsOfOther();
  records.push_back(records.back());
  refused("one twice", records);
  records = RecordsOfOther();
  records.pop_back();
  refused("one less", records);
  records = RecordsOfOther();
  records.back() = Record(tvs_, CertificateRole::kCapf);
  refused("another role", records);
  records.back() = Record(MakePhoneFacing("tvs"), CertificateRole::kTvs);
  refused("another certificate of the name", records);
  records.back() = Record(tvs_, CertificateRole::kTvs, "evil.example");
  refused("another DNS name", records);
  records.back() = *WriteRecord({tvs_, CertificateRole::kTvs, "", "192.0.2.66"}, NameForm::kComma);
  refused("an address", records);
  records.back() = *WriteBlankRecord(CertificateRole::kTvs, "", "");
  refused("a blank one", records);
  // The order is no matter.
  records = RecordsOfOther();
  std::swap(records[1], records[3]);
  EXPECT_OK(PublishSigned(Sign(records, other_, SharedRsaKey())));
}

TEST_F(ListResigningTest, SignersAreOursAndWhoeverSigned) {
  std::vector<std::string> records = RecordsOfOther();
  const Certificate recovery = Recovery();
  const KeyFolder::Key recovery_key = KeyOf(Signers().at(0));
  // Signed by one of ours, with a stranger beside it.
  EXPECT_THAT(PublishSigned(Sign(records, recovery, *recovery_key)),
              StatusIs(kRefused,
                       AllOf(HasSubstr("CN=other,O=Example,OU=Phones"), HasSubstr("neither its signer's nor one of"))));
  // Without ITLRecovery the next list would be a stranger's.
  records = Records();
  records[0] = Record(other_, CertificateRole::kSast);
  EXPECT_THAT(PublishSigned(Sign(records, other_, SharedRsaKey())),
              StatusIs(kRefused, AllOf(HasSubstr("lacks the SAST record"), HasSubstr("ITLRECOVERY-"))));
  records = Records();
  records.push_back(Record(other_, CertificateRole::kSast));
  EXPECT_THAT(PublishSigned(Sign(records, other_, SharedRsaKey())), StatusIs(kRefused, HasSubstr("3 SAST records")));
  EXPECT_EQ(Generations(), 1);
}

TEST_F(ListResigningTest, AnotherHeaderIsRefused) {
  const auto refused = [&](const std::function<void(SignedFileForm&)>& change) {
    EXPECT_THAT(PublishSigned(Sign(RecordsOfOther(), other_, SharedRsaKey(), change)),
                StatusIs(kRefused, HasSubstr("in more than its signer")));
  };
  refused([](SignedFileForm& form) { form.file_name = "ITLSEP001122334455.tlv"; });
  refused([](SignedFileForm& form) { form.digest = DigestAlgorithm::kSha512; });
  refused([](SignedFileForm& form) { form.signer_version = kSignerVersionWithEc; });
  refused([](SignedFileForm& form) { form.extra = {{99, "x"}}; });
  refused([](SignedFileForm& form) { form.name_form = NameForm::kVendor; });
  EXPECT_EQ(Generations(), 1);
}

TEST_F(ListResigningTest, AFileThatDoesNotVerifyIsRefused) {
  std::string file = Sign(RecordsOfOther(), other_, SharedRsaKey());
  file[file.size() - 1] = static_cast<char>(file.back() ^ 1);
  EXPECT_FALSE(PublishSigned(file).ok());
  EXPECT_THAT(PublishSigned("no list"), StatusIs(absl::StatusCode::kInvalidArgument));
  // The signer is no SAST of its own list.
  EXPECT_THAT(PublishSigned(Sign(Records(), other_, SharedRsaKey())), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Generations(), 1);
  const std::lock_guard lock(mutex_);
  EXPECT_THAT(asked_, SizeIs(1));  // of SetUp() alone
}

}  // namespace
}  // namespace trustline
