#include "itl/list/list_content.h"

#include "itl/list/list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kLater = kTestNow + absl::Hours(24 * 365);

class ListContentTest : public ::testing::Test {
 protected:
  ListMaterial Material() const {
    return {.policy = TestListPolicy(),
            .recovery = recovery_,
            .listed = {{capf_, CertificateRole::kCapf}, {tvs_, CertificateRole::kTvs}},
            .servers = {{"tftp1", "tftp1.example", first_}, {"tftp2", "tftp2.example", second_}}};
  }
  static ListForm Itl(std::string server = "tftp1") {
    ListForm form;
    form.tftp_server = std::move(server);
    return form;
  }
  static ListForm Ctl() {
    ListForm form;
    form.kind = ListKind::kCtl;
    return form;
  }
  static absl::StatusOr<ListContent> Compose(const ListMaterial& material, const ListForm& form = Itl()) {
    const ListComposer composer(material);
    return composer.Compose(form);
  }
  // As phones and the reader see it; all keys are the same one.
  static TrustList Signed(ListContent content) {
    content.form.timestamp = kTestNow;
    const auto file = WriteTrustList(content.records, content.form, content.signer, SharedRsaKey());
    EXPECT_OK(file);
    auto list = DecodeTrustList(AsBytes(file.value_or("")));
    EXPECT_OK(list);
    EXPECT_THAT(VerifyTrustList(*list), IsOkAndHolds(content.signer));
    return *std::move(list);
  }
  static std::vector<std::string> Texts(const ListMaterial& material, const ListForm& form = Itl()) {
    const absl::StatusOr<ListContent> content = Compose(material, form);
    EXPECT_OK(content);
    if (!content.ok()) return {};
    const TrustList list = Signed(*content);
    EXPECT_EQ(static_cast<size_t>(content->count), list.records.size());
    EXPECT_THAT(content->listed, SizeIs(list.records.size()));
    return RecordTexts(list);
  }
  static Sha256Digest Digest(const ListMaterial& material, const ListForm& form = Itl()) {
    const absl::StatusOr<ListContent> content = Compose(material, form);
    EXPECT_OK(content);
    return content.ok() ? content->digest : Sha256Digest();
  }

  const Certificate recovery_ = MakePhoneFacing("recovery");
  const Certificate first_ = MakePhoneFacing("ccm1");
  const Certificate second_ = MakePhoneFacing("ccm2");
  const Certificate capf_ = MakePhoneFacing("capf");
  const Certificate tvs_ = MakePhoneFacing("tvs");
};

TEST_F(ListContentTest, AnItlNamesItsSignersItsServerAndWhatIsListed) {
  EXPECT_THAT(Texts(Material()), ElementsAre("SAST CN=recovery,O=Example,OU=Phones",
                                             "CCM+TFTP CN=ccm1,O=Example,OU=Phones", "SAST CN=ccm1,O=Example,OU=Phones",
                                             "CAPF CN=capf,O=Example,OU=Phones", "TVS CN=tvs,O=Example,OU=Phones"));
  EXPECT_THAT(Texts(Material(), Itl("tftp2"))[1], "CCM+TFTP CN=ccm2,O=Example,OU=Phones");
  ListMaterial material = Material();
  material.policy.tftp_role = CertificateRole::kTftp;
  EXPECT_THAT(Texts(material)[1], "TFTP CN=ccm1,O=Example,OU=Phones");
  // Mixed mode is the CTL's.
  material = Material();
  material.policy.mixed_mode = true;
  EXPECT_EQ(Texts(material), Texts(Material()));
  EXPECT_THAT(Compose(Material(), Itl("tftp9")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("tftp9")));
}

TEST_F(ListContentTest, ACtlIsOneForTheCluster) {
  ListMaterial material = Material();
  material.listed.push_back({MakePhoneFacing("app"), CertificateRole::kAppServer});
  EXPECT_THAT(Texts(material, Ctl()),
              ElementsAre("SAST CN=recovery,O=Example,OU=Phones", "CAPF CN=capf,O=Example,OU=Phones"));
  material.policy.mixed_mode = true;
  EXPECT_THAT(Texts(material, Ctl()),
              ElementsAre("SAST CN=recovery,O=Example,OU=Phones", "CCM+TFTP CN=ccm1,O=Example,OU=Phones",
                          "CCM+TFTP CN=ccm2,O=Example,OU=Phones", "CAPF CN=capf,O=Example,OU=Phones",
                          "APP-SERVER CN=app,O=Example,OU=Phones"));
  ASSERT_OK_AND_ASSIGN(const ListContent content, Compose(material, Ctl()));
  EXPECT_EQ(content.form.file_name, "CTLFile.tlv");
}

TEST_F(ListContentTest, TwoRecoveryKeysTakeThePlaceOfTheServersSast) {
  ListMaterial material = Material();
  const Certificate next = MakePhoneFacing("next");
  material.overlapping_recovery = next;
  EXPECT_THAT(Texts(material), ElementsAre("SAST CN=recovery,O=Example,OU=Phones", "SAST CN=next,O=Example,OU=Phones",
                                           "CCM+TFTP CN=ccm1,O=Example,OU=Phones", "CAPF CN=capf,O=Example,OU=Phones",
                                           "TVS CN=tvs,O=Example,OU=Phones"));
  EXPECT_THAT(Texts(material, Ctl()),
              ElementsAre("SAST CN=recovery,O=Example,OU=Phones", "SAST CN=next,O=Example,OU=Phones",
                          "CAPF CN=capf,O=Example,OU=Phones"));
  ASSERT_OK_AND_ASSIGN(const ListContent content, Compose(material));
  EXPECT_EQ(content.signer, recovery_) << "the one beside it signs nothing";
  EXPECT_TRUE(content.listed[1].is_own);
  std::vector<std::string> warnings;
  EXPECT_OK(CheckListContent(content, 1000, {}, kTestNow, warnings));

  // Then the server's own key is no signer that phones would accept.
  ListForm local = Itl();
  local.local_signer = true;
  ASSERT_OK_AND_ASSIGN(const ListContent by_server, Compose(material, local));
  EXPECT_THAT(CheckListContent(by_server, 1000, {}, kTestNow, warnings),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no SAST record")));
}

TEST_F(ListContentTest, TwoCallManagersOfAServerSignConfigurationFiles) {
  ListMaterial material = Material();
  material.servers[0].overlapping = MakePhoneFacing("ccm1-next");
  EXPECT_THAT(Texts(material),
              ElementsAre("SAST CN=recovery,O=Example,OU=Phones", "CCM+TFTP CN=ccm1,O=Example,OU=Phones",
                          "SAST CN=ccm1,O=Example,OU=Phones", "CCM+TFTP CN=ccm1-next,O=Example,OU=Phones",
                          "CAPF CN=capf,O=Example,OU=Phones", "TVS CN=tvs,O=Example,OU=Phones"));
  EXPECT_EQ(Texts(material, Itl("tftp2")), Texts(Material(), Itl("tftp2"))) << "it is another server's";
  EXPECT_EQ(Texts(material, Ctl()), Texts(Material(), Ctl())) << "without mixed mode a CTL names no server";
  material.policy.mixed_mode = true;
  EXPECT_THAT(Texts(material, Ctl()),
              ElementsAre("SAST CN=recovery,O=Example,OU=Phones", "CCM+TFTP CN=ccm1,O=Example,OU=Phones",
                          "CCM+TFTP CN=ccm1-next,O=Example,OU=Phones", "CCM+TFTP CN=ccm2,O=Example,OU=Phones",
                          "CAPF CN=capf,O=Example,OU=Phones"));
  material.policy.blank = true;
  ASSERT_OK_AND_ASSIGN(const ListContent blank, Compose(material));
  EXPECT_TRUE(blank.listed[3].blank);
}

TEST_F(ListContentTest, ABlankListReadsAsTheVectorOfOne) {
  const std::string vector = ReadVector("ITLFile-blank.tlv");
  ASSERT_OK_AND_ASSIGN(const TrustList meant, DecodeTrustList(AsBytes(vector)));
  ListMaterial material = Material();
  material.policy.blank = true;
  // The vector has them in this order.
  std::swap(material.listed[0], material.listed[1]);
  ASSERT_OK_AND_ASSIGN(const ListContent content, Compose(material));
  const TrustList list = Signed(content);
  ASSERT_EQ(list.records.size(), meant.records.size());
  for (size_t i = 0; i < meant.records.size(); ++i) {
    EXPECT_EQ(list.records[i].role(), meant.records[i].role()) << i;
    EXPECT_EQ(list.records[i].IsBlank(), meant.records[i].IsBlank()) << i;
    EXPECT_EQ(content.listed[i].blank, meant.records[i].IsBlank()) << i;
    if (!meant.records[i].IsBlank()) continue;
    EXPECT_EQ(list.records[i].subject, "");
    EXPECT_EQ(list.records[i].serial, "");
    EXPECT_EQ(list.records[i].public_key, "");
  }
  EXPECT_FALSE(content.listed[0].blank);
  EXPECT_TRUE(content.listed[1].blank);
}

TEST_F(ListContentTest, WhatIsListedAsAServerIsBlankedToo) {
  ListMaterial material = Material();
  material.policy.blank = true;
  material.policy.mixed_mode = true;
  material.listed = {};
  for (const CertificateRole role : kAllCertificateRoles) material.listed.push_back({tvs_, role});
  std::vector<std::string> blanked;
  ASSERT_OK_AND_ASSIGN(const ListContent content, Compose(material, Ctl()));
  for (const TrustListRecord& record : Signed(content).records) {
    if (record.IsBlank()) blanked.emplace_back(CertificateRoleName(*record.role()));
  }
  EXPECT_THAT(blanked, ElementsAre("CCM+TFTP", "CCM+TFTP", "CCM", "CCM+TFTP", "TFTP"));
  blanked.clear();
  ASSERT_OK_AND_ASSIGN(const ListContent itl, Compose(material));
  for (const ListRecord& record : itl.listed) {
    if (record.blank) blanked.emplace_back(CertificateRoleName(record.role));
  }
  EXPECT_THAT(blanked, ElementsAre("CCM+TFTP", "CCM", "CCM+TFTP", "TFTP", "TVS"));
}

TEST_F(ListContentTest, TheVendorsFormHasDnsNamesInEachRecord) {
  ListMaterial material = Material();
  ASSERT_OK_AND_ASSIGN(const ListContent plain, Compose(material));
  for (const TrustListRecord& record : Signed(plain).records) EXPECT_FALSE(record.dns_name.has_value());
  material.policy.name_form = NameForm::kVendor;
  ASSERT_OK_AND_ASSIGN(const ListContent content, Compose(material));
  const TrustList list = Signed(content);
  EXPECT_EQ(list.header().name_form, NameForm::kVendor);
  EXPECT_EQ(list.header().signer_name, "CN=recovery;O=Example;OU=Phones");
  std::vector<std::string> names;
  for (const TrustListRecord& record : list.records) names.push_back(record.dns_name.value_or("none"));
  EXPECT_THAT(names, ElementsAre("", "tftp1.example", "tftp1.example", "", ""));
  EXPECT_EQ(list.records[1].subject, "CN=ccm1;O=Example;OU=Phones");
}

TEST_F(ListContentTest, SignsWithTheServersOwnKeyWhenItIsToldTo) {
  ListForm form = Itl("tftp2");
  form.local_signer = true;
  ASSERT_OK_AND_ASSIGN(const ListContent content, Compose(Material(), form));
  EXPECT_EQ(content.signer, second_);
  EXPECT_EQ(content.listed[0].certificate, recovery_);
  EXPECT_EQ(content.records, Compose(Material(), Itl("tftp2"))->records);
  EXPECT_EQ(Compose(Material())->signer, recovery_);
}

TEST_F(ListContentTest, ADevicesListDiffersInItsFormOnly) {
  ListForm form = Itl();
  form.device = "SEP001122334455";
  EXPECT_EQ(ListFileName(form.kind, form.device), "ITLSEP001122334455.tlv");
  EXPECT_EQ(ListFileName(ListKind::kCtl, form.device), "CTLSEP001122334455.tlv");
  EXPECT_EQ(Digest(Material(), form), Digest(Material()));
  form.digest = DigestAlgorithm::kSha512;
  form.signer_version = kSignerVersionWithEc;
  ASSERT_OK_AND_ASSIGN(const ListContent content, Compose(Material(), form));
  const TrustList list = Signed(content);
  EXPECT_EQ(list.header().file_name, "ITLFile.tlv");
  EXPECT_EQ(list.header().digest, DigestAlgorithm::kSha512);
  EXPECT_EQ(list.header().signer_version, kSignerVersionWithEc);
  EXPECT_EQ(content.records, Compose(Material())->records);
}

TEST_F(ListContentTest, TheDigestIsThatOfTheContentAlone) {
  const Sha256Digest digest = Digest(Material());
  EXPECT_EQ(Digest(Material()), digest);
  ASSERT_OK_AND_ASSIGN(const ListContent content, Compose(Material()));
  for (const absl::Time time : {kTestNow, kTestNow + absl::Seconds(1)}) {
    SignedFileForm form = content.form;
    form.timestamp = time;
    EXPECT_THAT(SignedFileContentDigest(form, content.signer, AsBytes(content.records)), IsOkAndHolds(digest));
  }
  const auto differs = [&](const char* what, const std::function<void(ListMaterial&, ListForm&)>& change) {
    ListMaterial material = Material();
    ListForm form = Itl();
    change(material, form);
    EXPECT_NE(Digest(material, form), digest) << what;
  };
  differs("digest", [](ListMaterial& material, ListForm&) { material.policy.digest = DigestAlgorithm::kSha512; });
  differs("version", [](ListMaterial& material, ListForm&) { material.policy.signer_version = kSignerVersionWithEc; });
  differs("names", [](ListMaterial& material, ListForm&) { material.policy.name_form = NameForm::kVendor; });
  differs("signer", [](ListMaterial&, ListForm& form) { form.local_signer = true; });
  differs("fewer records", [](ListMaterial& material, ListForm&) { material.listed.pop_back(); });
  differs("order", [](ListMaterial& material, ListForm&) { std::swap(material.listed[0], material.listed[1]); });
  differs("role", [](ListMaterial& material, ListForm&) { material.policy.tftp_role = CertificateRole::kTftp; });
  differs("blank", [](ListMaterial& material, ListForm&) { material.policy.blank = true; });
}

// A key that BuildSelfSigned would not take, in a certificate of another's making.
Certificate WithKey(const Certificate& certificate, EvpPkeyPtr key) {
  const X509Ptr odd(X509_dup(certificate.x509()));
  EXPECT_EQ(X509_set_pubkey(odd.get(), key.get()), 1);
  EXPECT_GT(X509_sign(odd.get(), SharedRsaKey().get(), EVP_sha256()), 0);
  return *Certificate::FromX509(odd.get());
}

TEST_F(ListContentTest, WhatCannotBeWrittenIsNamed) {
  // Phones know RSA and elliptic curves.
  const Certificate certificate = WithKey(tvs_, EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")));
  ListMaterial material = Material();
  material.listed.push_back({certificate, CertificateRole::kAppServer});
  EXPECT_THAT(Compose(material),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CN=tvs,O=Example,OU=Phones (")));
  EXPECT_THAT(Compose(material),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("trustctl trust set " + ToHex(certificate.sha256()).substr(0, 16))));
}

class CheckListContentTest : public ListContentTest {
 protected:
  static absl::Status Check(const ListMaterial& material, const std::vector<Sha256Digest>& before = {},
                            const ListForm& form = Itl()) {
    warnings.clear();
    const absl::StatusOr<ListContent> content = Compose(material, form);
    EXPECT_OK(content);
    // The header adds less than a kilobyte.
    return content.ok() ? CheckListContent(*content, content->records.size() + 400, before, kTestNow, warnings)
                        : content.status();
  }
  static inline std::vector<std::string> warnings;
};

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

TEST_F(CheckListContentTest, APlainListIsGood) {
  EXPECT_OK(Check(Material()));
  EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(CheckListContentTest, ALargeListIsRefusedWithNumbersAndWhatCouldGo) {
  ListMaterial material = Material();
  for (int i = 0; i < 47; ++i)
    material.listed.push_back({MakePhoneFacing(fmt::format("app{:02}", i)), CertificateRole::kAppServer});
  ASSERT_OK_AND_ASSIGN(const ListContent content, Compose(material));
  EXPECT_EQ(content.count, 52);
  const size_t size = content.records.size() + 400;
  ASSERT_GT(size, 65'536u);
  const absl::Status refused = Check(material);
  EXPECT_THAT(refused, StatusIs(kRefused, HasSubstr(fmt::format("{} bytes with 52 records", size))));
  EXPECT_THAT(refused, StatusIs(kRefused, HasSubstr(fmt::format("at most 65536: take {} bytes out", size - 65'536))));
  EXPECT_THAT(refused, StatusIs(kRefused, HasSubstr("APP-SERVER CN=app")));
  EXPECT_THAT(refused, StatusIs(kRefused, HasSubstr("--unlisted`")));
  // As many as suffice, with what each frees; ten are named at most.
  const std::string text(refused.message());
  size_t named = 0;
  for (size_t at = text.find("trustctl trust set"); at != std::string::npos;
       at = text.find("trustctl trust set", at + 1))
    ++named;
  size_t record = 0;
  for (const ListRecord& listed : content.listed) {
    if (listed.role == CertificateRole::kAppServer) record = std::max(record, listed.size);
  }
  EXPECT_EQ(named, (size - 65'536 + record - 1) / record);
  EXPECT_GT(record, content.listed.back().certificate.der().size() + 400);
  EXPECT_THAT(refused, StatusIs(kRefused, HasSubstr(fmt::format("with {} bytes, by ", record))));
  EXPECT_THAT(refused, StatusIs(kRefused, Not(HasSubstr("more of them"))));
  EXPECT_THAT(refused, StatusIs(kRefused, Not(HasSubstr("CAPF CN=capf"))));
  std::vector<std::string> warned;
  EXPECT_THAT(CheckListContent(content, 65'536 + 20 * (record - 2), {}, kTestNow, warned),
              StatusIs(kRefused, HasSubstr("; for 10 more of them")));

  std::vector<std::string> none;
  EXPECT_OK(CheckListContent(content, 65'536, {}, kTestNow, none));
  EXPECT_THAT(CheckListContent(content, 65'537, {}, kTestNow, none), StatusIs(kRefused, HasSubstr("take 1 bytes out")));

  // When nothing can be spared but servers and nodes.
  for (ListedEntry& entry : material.listed) entry.role = CertificateRole::kTvs;
  EXPECT_THAT(Check(material), StatusIs(kRefused, HasSubstr("not in use any more")));
}

TEST_F(CheckListContentTest, PhonesAcceptTwoSasts) {
  ListMaterial material = Material();
  const Certificate third = MakePhoneFacing("third");
  material.listed.push_back({third, CertificateRole::kSast});
  const absl::Status refused = Check(material);
  EXPECT_THAT(refused, StatusIs(kRefused, HasSubstr("3 SAST records, and phones accept no more than 2")));
  for (const char* name : {"CN=recovery,", "CN=ccm1,", "CN=third,", "Unlist what was added: `trustctl trust set "}) {
    EXPECT_THAT(refused, StatusIs(kRefused, HasSubstr(name)));
  }
  EXPECT_THAT(refused, StatusIs(kRefused, HasSubstr(ToHex(third.sha256()).substr(0, 16))));
}

TEST_F(CheckListContentTest, TheSignerStandsInTheList) {
  ASSERT_OK_AND_ASSIGN(ListContent content, Compose(Material()));
  content.signer = MakePhoneFacing("stranger");
  EXPECT_THAT(CheckListContent(content, 5000, {}, kTestNow, warnings),
              StatusIs(kRefused, HasSubstr("CN=stranger,O=Example,OU=Phones (")));
  // Its certificate in another role does not help.
  content.signer = tvs_;
  EXPECT_THAT(CheckListContent(content, 5000, {}, kTestNow, warnings),
              StatusIs(kRefused, HasSubstr("has no SAST record in the list")));
}

TEST_F(CheckListContentTest, PhonesReadRsaKeysOf2048Bits) {
  static const PrivateKey* const large = new PrivateKey(*PrivateKey::Generate(KeyKind::kRsa3072));
  const Certificate certificate = MakePhoneFacing("large", kLater, *large);
  ListMaterial material = Material();
  material.listed.push_back({certificate, CertificateRole::kAppServer});
  EXPECT_THAT(Check(material), StatusIs(kRefused, HasSubstr("has 3072 bits, and phones read trust lists with keys of "
                                                            "at most 2048")));
  EXPECT_THAT(Check(material), StatusIs(kRefused, HasSubstr(fmt::format("trustctl trust set {} --unlisted",
                                                                        ToHex(certificate.sha256()).substr(0, 16)))));
  // A blank record has no key.
  material.listed.back().role = CertificateRole::kTvs;
  EXPECT_THAT(Check(material), StatusIs(kRefused));
  material.policy.blank = true;
  EXPECT_OK(Check(material));
}

TEST_F(CheckListContentTest, OneRecordForACertificateInARole) {
  ListMaterial material = Material();
  material.listed.push_back({first_, CertificateRole::kCcmTftp});
  EXPECT_THAT(Check(material), StatusIs(kRefused, HasSubstr("would stand twice in the list with role CCM+TFTP")));
  // In another role it is another record.
  material.listed.back().role = CertificateRole::kTftp;
  EXPECT_OK(Check(material));
  // The signer of all lists beside itself.
  material.listed.back() = {second_, CertificateRole::kCcmTftp};
  EXPECT_OK(Check(material));
}

TEST_F(CheckListContentTest, TheOldAndTheNewCertificateOfOneNameStandSideBySide) {
  ListMaterial material = Material();
  const Certificate renewed = MakePhoneFacing("tvs", kLater + absl::Hours(1));
  ASSERT_EQ(renewed.subject().ToText(), tvs_.subject().ToText());
  ASSERT_FALSE(renewed == tvs_);
  material.listed.push_back({renewed, CertificateRole::kTvs});
  EXPECT_OK(Check(material));
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_THAT(Texts(material), SizeIs(6));
}

TEST_F(CheckListContentTest, AnExpiredCertificateMayStayButNotCome) {
  const Certificate expired = MakePhoneFacing("expired", kTestNow - absl::Seconds(1));
  const Certificate last_second = MakePhoneFacing("last", kTestNow);
  ListMaterial material = Material();
  material.listed.push_back({last_second, CertificateRole::kAppServer});
  EXPECT_OK(Check(material));
  material.listed.push_back({expired, CertificateRole::kAppServer});
  EXPECT_THAT(Check(material), StatusIs(kRefused, HasSubstr("CN=expired,O=Example,OU=Phones")));
  EXPECT_THAT(Check(material, {tvs_.sha256()}), StatusIs(kRefused, HasSubstr("has expired (2026-11-30T23:59:59Z)")));
  EXPECT_OK(Check(material, {tvs_.sha256(), expired.sha256()}));
  EXPECT_THAT(warnings,
              ElementsAre(AllOf(HasSubstr("CN=expired"), HasSubstr("it stays in the lists that have it already"))));
}

TEST_F(CheckListContentTest, WhatItldMadeIsNotUnlistedButMadeAgain) {
  ListMaterial material = Material();
  material.servers[0].call_manager = MakePhoneFacing("server", kTestNow - absl::Seconds(1));
  EXPECT_THAT(Check(material), StatusIs(kRefused, AllOf(HasSubstr("CN=server"), HasSubstr("trustctl itl server remove"),
                                                        Not(HasSubstr("--unlisted")))));
}

TEST_F(CheckListContentTest, AWeakKeyIsSaid) {
  ListMaterial material = Material();
  material.listed.push_back({WithKey(tvs_, EvpPkeyPtr(EVP_RSA_gen(1024))), CertificateRole::kAppServer});
  EXPECT_OK(Check(material));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("an RSA key of 1024 bits; phones are known to take 2048")));
}

TEST_F(CheckListContentTest, EllipticCurvesNeedSignerVersion11) {
  ListMaterial material = Material();
  material.listed.push_back({MakeSelfSigned(LeafForm("curve")).certificate, CertificateRole::kAppServer});
  EXPECT_OK(Check(material));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("CN=curve,O=Example")));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("EC key, which phones pass over in a list with signer version 1.0")));
  material.policy.signer_version = kSignerVersionWithEc;
  EXPECT_OK(Check(material));
  EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(CheckListContentTest, PhonesKnowThreeCurves) {
  ListMaterial material = Material();
  material.policy.signer_version = kSignerVersionWithEc;
  material.listed.push_back({WithKey(tvs_, EvpPkeyPtr(EVP_EC_gen("secp256k1"))), CertificateRole::kAppServer});
  EXPECT_THAT(Check(material), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        AllOf(HasSubstr("CN=tvs"), HasSubstr("secp256k1"), HasSubstr("--unlisted"))));
}

}  // namespace
}  // namespace trustline
