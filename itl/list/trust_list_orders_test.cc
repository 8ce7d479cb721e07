// TrustLists over real mutual TLS: orders of an administrator, and the ITLRecovery key.
#include "common/x509/pkcs12.h"
#include "itl/list/trust_list_service_testing.h"
#include "itl/trust_list/trust_list_testing.h"
#include "tests/support/tvs_form.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr char kPassphrase[] = "a long passphrase";

class TrustListOrdersTest : public TrustListServiceTest {
 protected:
  void SetUp() override {
    TrustListServiceTest::SetUp();
    AddServer("tftp1");
  }
  // The roles of a list's records, with "*" at blank ones.
  static std::string Roles(const std::string& file) {
    const auto list = DecodeTrustList(AsBytes(file));
    EXPECT_OK(list);
    if (!list.ok()) return "";
    EXPECT_OK(VerifyTrustList(*list));
    std::string roles;
    for (const TrustListRecord& record : list->records) {
      roles += fmt::format("{}{}{}", roles.empty() ? "" : " ", CertificateRoleName(*record.role()),
                           record.IsBlank() ? "*" : "");
    }
    return roles;
  }
  absl::StatusOr<v1::ExportRecoveryResponse> Export(const std::string& passphrase = kPassphrase) {
    v1::ExportRecoveryRequest request;
    request.set_passphrase(passphrase);
    v1::ExportRecoveryResponse response;
    RETURN_IF_ERROR(Admin(&Stub::ExportRecovery, request, &response));
    return response;
  }
  std::string RecoverySubject() { return Listed().signers(0).certificate().subject(); }
};

TEST_F(TrustListOrdersTest, ARemovalIsPublishedByOrder) {
  const Certificate tvs = MakeCertificate("tvs.example");
  AddListed(tvs);
  ASSERT_EQ(Generate(), "published");
  SetListed(tvs, false);
  ASSERT_EQ(Generate(), "waits");
  v1::PublishRequest publish;
  publish.set_kind(v1::TRUST_LIST_KIND_CTL);
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::Publish, publish, &response));
  EXPECT_THAT(response.lists(), IsEmpty());
  publish.set_kind(v1::TRUST_LIST_KIND_ITL);
  publish.set_tftp_server("tftp1");
  publish.set_reason("the machine is gone");
  publish.add_without_nodes("node3");
  ASSERT_OK(Admin(&Stub::Publish, publish, &response));
  ASSERT_EQ(Outcomes(response), "published");
  EXPECT_THAT(response.lists(0).changes(), ElementsAre(HasSubstr("removed: TVS CN=tvs.example")));
  EXPECT_EQ(response.lists(0).list().current().reason(), "the machine is gone");
  EXPECT_THAT(Listed().notices(), IsEmpty());
  {
    const std::lock_guard lock(mutex_);
    EXPECT_THAT(without_, ElementsAre("node3"));
  }
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE action = 'itl.publish' ORDER BY event_id DESC LIMIT 1"),
              HasSubstr(R"("without_nodes":"node3")"));
}

TEST_F(TrustListOrdersTest, WhatWasLookedAtIsPublished) {
  const Certificate tvs = MakeCertificate("tvs.example");
  AddListed(tvs);
  ASSERT_EQ(Generate(), "published");
  SetListed(tvs, false);
  ASSERT_EQ(Generate(), "waits");
  v1::PublishRequest publish;
  publish.add_contents(Listed().lists(0).candidate().content_sha256());
  AddListed(MakeCertificate("other.example"));
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::Publish, publish, &response));
  EXPECT_EQ(Outcomes(response), "waits");
  publish.set_contents(0, Listed().lists(0).candidate().content_sha256());
  ASSERT_OK(Admin(&Stub::Publish, publish, &response));
  EXPECT_EQ(Outcomes(response), "published");
  publish.set_contents(0, "short");
  EXPECT_THAT(Admin(&Stub::Publish, publish), StatusIs(kInvalid, HasSubstr("32 bytes")));
}

TEST_F(TrustListOrdersTest, MixedModeIsTheCtls) {
  AddServer("tftp2");
  AddListed(MakeCertificate("tvs.example"));
  AddListed(MakeCertificate("capf.example"), v1::CERTIFICATE_ROLE_CAPF);
  ASSERT_EQ(Generate(), "published published");
  v1::SetMixedModeRequest mode;
  EXPECT_THAT(Admin(&Stub::SetMixedMode, mode), StatusIs(kRefused, HasSubstr("off already")));
  mode.set_on(true);
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::SetMixedMode, mode, &response));
  ASSERT_EQ(Outcomes(response), "published");
  EXPECT_EQ(response.lists(0).list().kind(), v1::TRUST_LIST_KIND_CTL);
  EXPECT_EQ(response.lists(0).list().tftp_server(), "");
  EXPECT_EQ(response.lists(0).list().file_name(), "CTLFile.tlv");
  EXPECT_EQ(Roles(Fetched(v1::TRUST_LIST_KIND_CTL).file()), "SAST CCM+TFTP CCM+TFTP CAPF");
  EXPECT_TRUE(Listed().policy().mixed_mode());
  ASSERT_OK(Admin(&Stub::SetMixedMode, mode, &response));
  EXPECT_EQ(Outcomes(response), "unchanged");

  // A server that goes or comes is the CTL's matter too.
  v1::RemoveTftpServerRequest remove;
  remove.set_name("tftp2");
  remove.set_reason("gone");
  ASSERT_OK(Admin(&Stub::RemoveTftpServer, remove));
  EXPECT_EQ(Generate(), "unchanged waits");
  // Who looks at the ITLs alone is told too.
  v1::ListTrustListsRequest itls;
  itls.set_kind(v1::TRUST_LIST_KIND_ITL);
  v1::ListTrustListsResponse listed;
  ASSERT_OK(Admin(&Stub::ListTrustLists, itls, &listed));
  EXPECT_THAT(listed.lists(), SizeIs(1));
  EXPECT_THAT(listed.notices(), Contains(HasSubstr("the CTL has changes that wait for an administrator")));

  mode.set_on(false);
  mode.set_reason("not needed");
  // What waits is no part of this order.
  EXPECT_THAT(Admin(&Stub::SetMixedMode, mode), StatusIs(kRefused, HasSubstr("the CTL has changes that nobody has")));
  ASSERT_OK(Admin(&Stub::Publish, v1::PublishRequest()));
  ASSERT_OK(Admin(&Stub::SetMixedMode, mode, &response));
  EXPECT_EQ(Roles(Fetched(v1::TRUST_LIST_KIND_CTL).file()), "SAST CAPF");
  EXPECT_FALSE(Listed().policy().mixed_mode());
  EXPECT_EQ(Roles(Fetched().file()), "SAST CCM+TFTP SAST CAPF TVS");
  EXPECT_THAT(Audited(),
              AllOf(HasSubstr("ctl.mixed_mode.on itl.publish"), HasSubstr("ctl.mixed_mode.off itl.publish")));
  EXPECT_THAT(Text("SELECT detail FROM audit_event WHERE action = 'ctl.mixed_mode.off'"), HasSubstr("not needed"));
}

TEST_F(TrustListOrdersTest, BlankListsSayWhy) {
  AddListed(MakeCertificate("tvs.example"));
  AddListed(MakeCertificate("capf.example"), v1::CERTIFICATE_ROLE_CAPF);
  ASSERT_EQ(Generate(), "published");
  v1::SetBlankRequest blank;
  blank.set_on(true);
  EXPECT_THAT(Admin(&Stub::SetBlank, blank), StatusIs(kInvalid, HasSubstr("--reason")));
  blank.set_reason("back to the old system");
  RefuseTimes(1);
  EXPECT_THAT(Admin(&Stub::SetBlank, blank), StatusIs(kRefused, HasSubstr("node2")));
  EXPECT_FALSE(Listed().policy().blank());
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::SetBlank, blank, &response));
  EXPECT_EQ(Outcomes(response), "published");
  EXPECT_EQ(Roles(Fetched().file()), "SAST CCM+TFTP* SAST CAPF TVS*");
  const v1::ListTrustListsResponse listed = Listed();
  EXPECT_TRUE(listed.policy().blank());
  EXPECT_EQ(listed.policy().blank_by(), kTestActor);
  EXPECT_TRUE(listed.policy().has_blank_since());
  EXPECT_THAT(listed.notices(),
              Contains(AllOf(HasSubstr("the lists are blank since"), HasSubstr("trustctl itl blank off"))));
  blank.set_on(false);
  ASSERT_OK(Admin(&Stub::SetBlank, blank, &response));
  EXPECT_EQ(Roles(Fetched().file()), "SAST CCM+TFTP SAST CAPF TVS");
  EXPECT_FALSE(Listed().policy().blank());
  EXPECT_THAT(Listed().notices(), Not(Contains(HasSubstr("blank"))));
  EXPECT_THAT(Audited(), HasSubstr("itl.blank.on itl.publish itl.blank.off itl.publish"));
}

TEST_F(TrustListOrdersTest, AResetChangesTheSignerAlone) {
  v1::ResetWithLocalKeyRequest reset;
  EXPECT_THAT(Admin(&Stub::ResetWithLocalKey, reset), StatusIs(kInvalid, HasSubstr("--reason")));
  reset.set_reason("ITLRecovery is gone");
  reset.set_tftp_server("tftp9");
  EXPECT_THAT(Admin(&Stub::ResetWithLocalKey, reset), StatusIs(kNotFound));
  reset.clear_tftp_server();
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::ResetWithLocalKey, reset, &response));
  ASSERT_EQ(Outcomes(response), "published");
  EXPECT_TRUE(response.lists(0).list().local_signer());
  EXPECT_THAT(response.lists(0).changes(), ElementsAre(HasSubstr("signer: CN=ITLRECOVERY-")));
  EXPECT_EQ(Fetched().generation().signer_sha256(), AsText(Signer("tftp1").sha256()));
  EXPECT_EQ(Generate(), "unchanged");
  reset.set_recovery(true);
  ASSERT_OK(Admin(&Stub::ResetWithLocalKey, reset, &response));
  EXPECT_FALSE(response.lists(0).list().local_signer());
  EXPECT_EQ(Fetched().generation().signer_sha256(), AsText(Signer("").sha256()));
  EXPECT_THAT(Audited(), HasSubstr("itl.reset itl.publish itl.reset itl.publish"));
}

TEST_F(TrustListOrdersTest, TheRecoveryKeyIsExportedUnderAPassphrase) {
  EXPECT_THAT(Export("short"), StatusIs(kInvalid, HasSubstr("8")));
  EXPECT_THAT(Export(""), StatusIs(kInvalid));
  EXPECT_THAT(Audited(), Not(HasSubstr("export")));
  ASSERT_OK_AND_ASSIGN(const v1::ExportRecoveryResponse exported, Export());
  ASSERT_OK_AND_ASSIGN(const CertifiedKey key, ReadPkcs12(AsBytes(exported.file()), SecretBytes(kPassphrase)));
  EXPECT_EQ(key.certificate.subject().ToText(), RecoverySubject());
  EXPECT_EQ(exported.certificate().subject(), RecoverySubject());
  EXPECT_TRUE(key.key.MatchesCertificate(key.certificate));
  EXPECT_THAT(ReadPkcs12(AsBytes(exported.file()), SecretBytes("another passphrase")),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(Text("SELECT actor || ' ' || subject FROM audit_event WHERE action = 'itl.recovery.export'"),
            fmt::format("{} {}", kTestActor, Hex(key.certificate)));
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM audit_event WHERE detail LIKE '%{}%'", kPassphrase).c_str()), 0);

  // There is none before the first server.
  RunByHand("DELETE FROM list_signer");
  EXPECT_THAT(Export(), StatusIs(kNotFound, HasSubstr("first TFTP server")));
}

TEST_F(TrustListOrdersTest, ANewRecoveryKeySignsWhatAnAdministratorPublishes) {
  const std::string before = Fetched().file();
  const std::string old_subject = RecoverySubject();
  v1::ReplaceRecoveryRequest replace;
  EXPECT_THAT(Admin(&Stub::ReplaceRecovery, replace), StatusIs(kInvalid, HasSubstr("--reason")));
  replace.set_reason("the old one leaked");
  v1::ReplaceRecoveryResponse response;
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace, &response));
  EXPECT_EQ(response.replaced().subject(), old_subject);
  EXPECT_NE(response.certificate().subject(), old_subject);
  EXPECT_EQ(RecoverySubject(), response.certificate().subject());
  EXPECT_EQ(Outcomes(response.published()), "waits");
  EXPECT_EQ(Fetched().file(), before);
  EXPECT_EQ(Listed().lists(0).candidate().state(), v1::CANDIDATE_STATE_WAITS_FOR_APPROVAL);
  EXPECT_THAT(Listed().lists(0).candidate().changes(), Contains(HasSubstr("signer: " + old_subject)));
  v1::PublishResponse published;
  ASSERT_OK(Admin(&Stub::Publish, v1::PublishRequest(), &published));
  EXPECT_EQ(Outcomes(published), "published");
  EXPECT_EQ(Fetched().generation().signer_sha256(), AsText(Signer("").sha256()));
  EXPECT_EQ(Audited(), "itl.server.add itl.publish itl.recovery.regenerate itl.publish");
}

TEST_F(TrustListOrdersTest, AReplacementIsTakenBack) {
  const std::string first = RecoverySubject();
  v1::ReplaceRecoveryRequest restore;
  restore.set_reason("a mistake");
  restore.set_previous(true);
  EXPECT_THAT(Admin(&Stub::ReplaceRecovery, restore), StatusIs(kRefused, HasSubstr("never replaced")));
  v1::ReplaceRecoveryRequest replace;
  replace.set_reason("mistyped");
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace));
  EXPECT_NE(RecoverySubject(), first);
  v1::ReplaceRecoveryResponse response;
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, restore, &response));
  EXPECT_EQ(RecoverySubject(), first);
  // Nothing waits any more.
  EXPECT_EQ(Outcomes(response.published()), "unchanged");
  EXPECT_FALSE(Listed().lists(0).has_candidate());
  EXPECT_THAT(Audited(), HasSubstr("itl.recovery.regenerate itl.recovery.restore"));
}

TEST_F(TrustListOrdersTest, AKeyThatPhonesKnowIsNeverOutOfReach) {
  const std::string first = RecoverySubject();
  v1::ReplaceRecoveryRequest replace;
  replace.set_reason("leaked");
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace));
  const Certificate unused = Signer("");
  EXPECT_THAT(Admin(&Stub::ReplaceRecovery, replace),
              StatusIs(kRefused, AllOf(HasSubstr("not signed with the present ITLRecovery key"),
                                       HasSubstr("trustctl itl recovery restore"))));
  EXPECT_EQ(Signer(""), unused);
  // Whatever came in between, what the lists are signed with is what is restored.
  v1::ReplaceRecoveryRequest import;
  import.set_reason("another mistake");
  import.set_passphrase(kPassphrase);
  ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::Generate(KeyKind::kRsa2048));
  const Certificate foreign = *BuildSelfSigned(TvsForm("recovery.example", absl::Now()), key);
  ASSERT_OK_AND_ASSIGN(*import.mutable_file(), WritePkcs12(foreign, key, SecretBytes(kPassphrase), "x"));
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, import));
  const auto sasts = [&](const Certificate& certificate) {
    return Count(fmt::format("SELECT count(*) FROM trust_entry WHERE role = 0 AND removed_at IS NULL AND sha256 = "
                             "'\\x{}'",
                             ToHex(certificate.sha256()))
                     .c_str());
  };
  // No phone can hold what was signed with it.
  EXPECT_EQ(sasts(unused), 0);
  EXPECT_EQ(sasts(foreign), 1);
  v1::ReplaceRecoveryRequest restore;
  restore.set_reason("back");
  restore.set_previous(true);
  v1::ReplaceRecoveryResponse restored;
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, restore, &restored));
  EXPECT_EQ(RecoverySubject(), first);
  EXPECT_EQ(Outcomes(restored.published()), "unchanged");
  EXPECT_EQ(sasts(foreign), 0);
  EXPECT_EQ(sasts(Signer("")), 1);
  // Again: the other one, which is trusted again.
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, restore));
  EXPECT_EQ(Signer(""), foreign);
  EXPECT_EQ(sasts(foreign), 1);
}

TEST_F(TrustListOrdersTest, NewPhonesFindTheSignerInTheCtl) {
  AddListed(MakeCertificate("capf.example"), v1::CERTIFICATE_ROLE_CAPF);
  ASSERT_EQ(Generate(), "published");
  // A CTL of whose signer the ITL is not would lock them.
  v1::ResetWithLocalKeyRequest reset;
  reset.set_reason("rescue");
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::ResetWithLocalKey, reset, &response));
  EXPECT_THAT(response.notices(), Not(Contains(HasSubstr("the CTL does not have this signer"))));
  v1::SetMixedModeRequest mode;
  mode.set_on(true);
  EXPECT_THAT(Admin(&Stub::SetMixedMode, mode),
              StatusIs(kRefused, AllOf(HasSubstr("the ITL of tftp1 is signed with its server's key"),
                                       HasSubstr("trustctl itl reset --recovery"))));
  reset.set_recovery(true);
  ASSERT_OK(Admin(&Stub::ResetWithLocalKey, reset));
  ASSERT_OK(Admin(&Stub::SetMixedMode, mode));
  // While there is one a rescue says what it does to them.
  reset.set_recovery(false);
  ASSERT_OK(Admin(&Stub::ResetWithLocalKey, reset, &response));
  EXPECT_THAT(response.notices(), Contains(HasSubstr("the CTL does not have this signer")));
  reset.set_recovery(true);
  ASSERT_OK(Admin(&Stub::ResetWithLocalKey, reset, &response));
  EXPECT_THAT(response.notices(), Not(Contains(HasSubstr("the CTL does not have this signer"))));
  ASSERT_OK(Admin(&Stub::SetMixedMode, mode));  // update is no matter of who signs

  // A new ITLRecovery: both go out together, whichever was approved first.
  v1::ReplaceRecoveryRequest replace;
  replace.set_reason("leaked");
  const auto publish = [&](v1::TrustListKind kind) {
    v1::PublishRequest request;
    request.set_kind(kind);
    EXPECT_OK(Admin(&Stub::Publish, request, &response));
    return Outcomes(response);
  };
  v1::ReplaceRecoveryResponse replaced;
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace, &replaced));
  ASSERT_EQ(Outcomes(replaced.published()), "waits waits");
  EXPECT_THAT(Listed().lists(0).candidate().reason(),
              HasSubstr("then `trustctl ctl publish` (new phones take the CTL"));
  EXPECT_THAT(Listed().lists(1).candidate().reason(), HasSubstr("then `trustctl ctl publish`"));
  ASSERT_EQ(publish(v1::TRUST_LIST_KIND_ITL), "waits");
  EXPECT_THAT(response.lists(0).list().candidate().reason(), HasSubstr("follows together with the CTL"));
  ASSERT_EQ(Generate(), "waits waits");
  ASSERT_EQ(publish(v1::TRUST_LIST_KIND_CTL), "published published");
  EXPECT_EQ(Fetched().generation().published_by(), kTestActor);
  EXPECT_EQ(
      Count("SELECT count(DISTINCT published_at) FROM trust_list l JOIN trust_list_generation g USING (cluster_id, "
            "list_id, generation)"),
      1);

  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace));
  ASSERT_EQ(publish(v1::TRUST_LIST_KIND_CTL), "waits");
  EXPECT_THAT(response.lists(0).list().candidate().reason(), HasSubstr("follows together with the ITL of tftp1"));
  v1::GenerateRequest ctl;
  ctl.set_kind(v1::TRUST_LIST_KIND_CTL);
  ASSERT_OK(Admin(&Stub::Generate, ctl, &response));
  EXPECT_EQ(Outcomes(response), "waits");
  ASSERT_EQ(publish(v1::TRUST_LIST_KIND_ITL), "published published");

  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace));
  ASSERT_EQ(publish(v1::TRUST_LIST_KIND_UNSPECIFIED), "published published");
  EXPECT_EQ(response.lists(0).list().kind(), v1::TRUST_LIST_KIND_CTL);
}

TEST_F(TrustListOrdersTest, AnExportedRecoveryKeyComesBack) {
  ASSERT_OK_AND_ASSIGN(const v1::ExportRecoveryResponse exported, Export());
  v1::ReplaceRecoveryRequest replace;
  replace.set_reason("from the safe");
  replace.set_file(exported.file());
  replace.set_passphrase(kPassphrase);
  EXPECT_THAT(Admin(&Stub::ReplaceRecovery, replace),
              StatusIs(kRefused, HasSubstr("this is the ITLRecovery certificate")));
  // A key that was lost comes back from the file.
  std::filesystem::remove_all(folder_.path() / "list-keys");
  std::filesystem::create_directory(folder_.path() / "list-keys");
  std::filesystem::permissions(folder_.path() / "list-keys", std::filesystem::perms(0700));
  RestartWithKeysOnDisk();
  EXPECT_THAT(Export(), StatusIs(kRefused, HasSubstr("is missing")));
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace));
  EXPECT_OK(Export());
  EXPECT_THAT(Audited(), HasSubstr("itl.recovery.key"));

  v1::ReplaceRecoveryRequest other;
  other.set_reason("another one");
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, other));
  ASSERT_OK(Admin(&Stub::Publish, v1::PublishRequest()));

  replace.set_passphrase("another passphrase");
  EXPECT_THAT(Admin(&Stub::ReplaceRecovery, replace), StatusIs(absl::StatusCode::kUnauthenticated));
  replace.set_passphrase(kPassphrase);
  v1::ReplaceRecoveryRequest broken = replace;
  broken.set_file("no PKCS#12");
  EXPECT_THAT(Admin(&Stub::ReplaceRecovery, broken), StatusIs(kInvalid));
  ASSERT_OK_AND_ASSIGN(const PrivateKey curve, PrivateKey::Generate(KeyKind::kEcP256));
  const Certificate curve_certificate = *BuildSelfSigned(LeafForm("curve"), curve);
  ASSERT_OK_AND_ASSIGN(const std::string curve_file,
                       WritePkcs12(curve_certificate, curve, SecretBytes(kPassphrase), "x"));
  broken.set_file(curve_file);
  EXPECT_THAT(Admin(&Stub::ReplaceRecovery, broken), StatusIs(kRefused, HasSubstr("RSA 2048")));
  EXPECT_NE(RecoverySubject(), exported.certificate().subject());

  v1::ReplaceRecoveryResponse response;
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace, &response));
  EXPECT_EQ(RecoverySubject(), exported.certificate().subject());
  EXPECT_EQ(Outcomes(response.published()), "waits");
  EXPECT_EQ(Count("SELECT count(*) FROM list_signer WHERE tftp_server = '' AND replaced_at IS NULL"), 1);
  EXPECT_THAT(Audited(), HasSubstr("itl.recovery.regenerate itl.publish itl.recovery.import"));
}

TEST_F(TrustListOrdersTest, AListIsSignedWithAnExportedKeyElsewhere) {
  // As after the folder of keys was lost: the signer is ITLRecovery, but what is new nobody here can sign.
  ASSERT_OK_AND_ASSIGN(const v1::ExportRecoveryResponse exported, Export());
  ASSERT_OK_AND_ASSIGN(const CertifiedKey key, ReadPkcs12(AsBytes(exported.file()), SecretBytes(kPassphrase)));
  const Certificate added = MakeCertificate("tvs.example");
  AddListed(added);
  ASSERT_OK(keys_->Discard(KeyName(key.certificate.public_key_sha256())));
  ASSERT_EQ(Generate(), "refused");
  EXPECT_THAT(Listed().notices(), Contains(AllOf(HasSubstr("has changes that are refused"), HasSubstr("is missing"))));

  const std::string before = Fetched().file();
  ASSERT_OK_AND_ASSIGN(const TrustList list, DecodeTrustList(AsBytes(before)));
  const Certificate tvs = MakeCertificate("other.example");
  v1::PublishSignedRequest request;
  const auto sign = [&](const std::string& more) {
    return *WriteTrustList(std::string(AsText(list.file.payload)) + more, FormOfHeader(list.header()), key.certificate,
                           key.key);
  };
  request.set_file(sign(""));
  EXPECT_THAT(Admin(&Stub::PublishSigned, request), StatusIs(kInvalid, HasSubstr("--reason")));
  request.set_reason("the keys are gone");
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::PublishSigned, request, &response));
  EXPECT_EQ(Outcomes(response), "unchanged");
  request.set_file(sign(*WriteRecord({tvs, CertificateRole::kTvs, "", ""}, NameForm::kComma)));
  EXPECT_THAT(Admin(&Stub::PublishSigned, request), StatusIs(kRefused, HasSubstr("other records")));
  request.set_file(sign(*WriteRecord({added, CertificateRole::kTvs, "", ""}, NameForm::kComma)));
  ASSERT_OK(Admin(&Stub::PublishSigned, request, &response));
  EXPECT_EQ(Outcomes(response), "published");
  EXPECT_EQ(Fetched().file(), request.file());
  EXPECT_EQ(Fetched().generation().reason(), "the keys are gone");
}

}  // namespace
}  // namespace trustline
