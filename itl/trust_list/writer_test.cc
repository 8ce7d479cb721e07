#include "itl/trust_list/writer.h"

#include <random>

#include "itl/trust_list/trust_list_testing.h"
#include "tests/support/run_program.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
const absl::Time kTime = absl::FromUnixSeconds(1'795'351'144);

class TrustListVectorTest : public ::testing::TestWithParam<const char*> {};

TEST_P(TrustListVectorTest, IsReadVerifiedAndWrittenToTheSameBytes) {
  const std::string bytes = ReadVector(GetParam());
  const Party signer = ReadParty("itlrecovery.pem");
  ASSERT_OK_AND_ASSIGN(const TrustList list, DecodeTrustList(AsBytes(bytes)));
  ASSERT_OK_AND_ASSIGN(const Certificate found, VerifyTrustList(list));
  EXPECT_TRUE(found == signer.certificate);

  std::string records;
  for (const TrustListRecord& record : list.records) {
    ASSERT_OK_AND_ASSIGN(const std::string written, WriteRecordAgain(record, list.header().name_form));
    EXPECT_EQ(ToHex(AsBytes(written)), ToHex(list.file.payload.subspan(records.size(), record.record_length)));
    records += written;
  }
  ASSERT_OK_AND_ASSIGN(const std::string again,
                       WriteTrustList(records, FormOfHeader(list.header()), signer.certificate, signer.key));
  EXPECT_TRUE(again == bytes);
}

INSTANTIATE_TEST_SUITE_P(Vectors, TrustListVectorTest, ::testing::ValuesIn(kTrustListVectors));

TEST(TrustListWriterTest, WritesTheAddressesThatAreGivenInEitherForm) {
  const Certificate certificate = ReadParty("tvs.pem").certificate;
  for (const NameForm form : {NameForm::kComma, NameForm::kVendor}) {
    const Party signer = ReadParty("itlrecovery.pem");
    std::string records = *WriteRecord({signer.certificate, CertificateRole::kSast, "", ""}, form);
    records += *WriteRecord({certificate, CertificateRole::kTvs, "tvs.example", "2001:db8::1"}, form);
    records += *WriteBlankRecord(CertificateRole::kTvs, "tvs.example", "");
    records += *WriteBlankRecord(CertificateRole::kTftp, "", "192.0.2.1");
    SignedFileForm header = {.name_form = form, .file_name = "ITLFile.tlv", .timestamp = kTime};
    ASSERT_OK_AND_ASSIGN(const std::string file, WriteTrustList(records, header, signer.certificate, signer.key));
    ASSERT_OK_AND_ASSIGN(const TrustList list, DecodeTrustList(AsBytes(file)));
    ASSERT_OK(VerifyTrustList(list));
    EXPECT_EQ(list.records[0].dns_name.has_value(), form == NameForm::kVendor);
    EXPECT_EQ(list.records[1].dns_name, "tvs.example");
    EXPECT_EQ(list.records[1].ip_address, "2001:db8::1");
    EXPECT_EQ(list.records[2].dns_name, "tvs.example");
    EXPECT_EQ(list.records[2].ip_address, std::nullopt);
    EXPECT_EQ(list.records[3].ip_address, "192.0.2.1");
    EXPECT_TRUE(list.records[2].IsBlank() && list.records[3].IsBlank());
  }
}

TEST(TrustListWriterTest, RefusesWhatDoesNotFit) {
  const Certificate certificate = ReadParty("tvs.pem").certificate;
  const auto write = [&](std::string_view dns_name, std::string_view address) {
    return WriteRecord({certificate, CertificateRole::kTvs, std::string(dns_name), std::string(address)},
                       NameForm::kComma);
  };
  EXPECT_OK(write(std::string(255, 'd'), ""));
  EXPECT_THAT(write(std::string(256, 'd'), ""), StatusIs(kInvalid, HasSubstr("at most 255")));
  EXPECT_THAT(write(std::string_view("a\0b", 3), ""), StatusIs(kInvalid, HasSubstr("no NUL")));
  for (const std::string_view address :
       {std::string_view("host"), std::string_view("1.2.3"), std::string_view("1.2.3.4\0", 8)}) {
    EXPECT_THAT(write("", address), StatusIs(kInvalid, HasSubstr("is not an IP address")));
    EXPECT_THAT(WriteBlankRecord(CertificateRole::kTvs, "", address), StatusIs(kInvalid));
  }
  EXPECT_THAT(WriteBlankRecord(CertificateRole::kTvs, std::string(256, 'd'), ""), StatusIs(kInvalid));
  const Party signer = ReadParty("itlrecovery.pem");
  EXPECT_THAT(WriteTrustList("", {.file_name = "ITLFile.tlv", .timestamp = kTime}, signer.certificate, signer.key),
              StatusIs(kInvalid, HasSubstr("at least one record")));
}

TEST(TrustListWriterTest, RefusesKeysThatPhonesDoNotKnow) {
  EVP_PKEY* made = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  const EvpPkeyPtr edwards(made);
  const X509Ptr x509(X509_dup(ReadParty("tvs.pem").certificate.x509()));
  X509_set_pubkey(x509.get(), edwards.get());
  X509_sign(x509.get(), edwards.get(), nullptr);
  EXPECT_THAT(WriteRecord({*Certificate::FromX509(x509.get()), CertificateRole::kTvs, "", ""}, NameForm::kComma),
              StatusIs(kInvalid, HasSubstr("phones know RSA and EC keys only")));

  const EvpPkeyPtr ec(EVP_EC_gen("P-256"));
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(ec.get(), "point-format", "compressed"), 1);
  X509_set_pubkey(x509.get(), ec.get());
  X509_sign(x509.get(), ec.get(), EVP_sha256());
  EXPECT_THAT(WriteRecord({*Certificate::FromX509(x509.get()), CertificateRole::kTvs, "", ""}, NameForm::kComma),
              StatusIs(kInvalid, HasSubstr("a compressed point")));
}

// The openssl program verifies the list without the reader's help.
TEST(TrustListWriterTest, OpenSslVerifiesTheRestWithoutTheSignature) {
  const Party signer = ReadParty("itlrecovery.pem");
  const TemporaryDirectory directory;
  const std::string certificate = directory.WriteFile("signer.pem", signer.certificate.ToPem());
  const ProgramResult key = RunProgram({"/usr/bin/openssl", "x509", "-in", certificate, "-noout", "-pubkey"});
  ASSERT_EQ(key.exit_status, 0) << key.err;
  const std::string public_key = directory.WriteFile("key.pem", key.out);
  const std::string record = *WriteRecord({signer.certificate, CertificateRole::kSast, "", ""}, NameForm::kComma);
  for (const auto& [digest, option] :
       {std::pair(DigestAlgorithm::kSha1, "-sha1"), std::pair(DigestAlgorithm::kSha512, "-sha512")}) {
    const SignedFileForm form = {
        .signer_version = kSignerVersion, .digest = digest, .file_name = "ITLFile.tlv", .timestamp = kTime};
    ASSERT_OK_AND_ASSIGN(const std::string file, WriteTrustList(record, form, signer.certificate, signer.key));
    const size_t element = file.find(std::string("\x0c\x01\x00", 3));
    ASSERT_NE(element, std::string::npos);
    const std::string signature = directory.WriteFile("signature", file.substr(element + 3, 256));
    const std::string rest = directory.WriteFile("rest", file.substr(0, element) + file.substr(element + 3 + 256));
    const ProgramResult verified =
        RunProgram({"/usr/bin/openssl", "dgst", option, "-verify", public_key, "-signature", signature, rest});
    EXPECT_EQ(verified.exit_status, 0) << verified.err << verified.out;
    EXPECT_THAT(verified.out, HasSubstr("Verified OK"));
  }
}

// Certificates with all sorts of names and keys come back from the reader as they were given to the writer.
class RandomTrustListTest : public ::testing::Test {
 protected:
  static constexpr size_t kCertificates = 45;

  RandomTrustListTest() {
    const std::vector<std::string> values = {"a",    "Example, Inc.",  "\"quoted\"", "Zürich; Küche",
                                             "#1",   " blanks ",       "a=b+c",      "back\\slash",
                                             "電話", "tab\tand\nline", "<>",         "O=x,OU=y;CN=z"};
    std::vector<PrivateKey> keys;
    for (int i = 0; i < 3; ++i) keys.push_back(RsaKey(2048));
    for (const KeyKind kind : {KeyKind::kEcP256, KeyKind::kEcP384, KeyKind::kEcP521}) {
      keys.push_back(*PrivateKey::Generate(kind));
    }
    const Party authority = MakeSelfSigned(AuthorityForm("an authority"));
    const std::string longest(64, 'n');  // the upper bound of X.520 for one value
    for (size_t i = 0; i < kCertificates; ++i) {
      std::vector<std::pair<std::string_view, std::string_view>> attributes;
      for (const char* type : {"CN", "O", "OU"}) attributes.emplace_back(type, values[random_() % values.size()]);
      if (random_() % 4 == 0) attributes.insert(attributes.end(), 3, {"OU", longest});  // over 200 characters
      CertificateTemplate form = AuthorityForm("any");
      form.subject = *DistinguishedName::FromAttributes(attributes);
      const PrivateKey& key = keys[random_() % keys.size()];
      const auto certificate = random_() % 2 == 0 ? BuildSelfSigned(form, key)
                                                  : BuildIssued(form, key.get(), authority.certificate, authority.key);
      EXPECT_OK(certificate);
      certificates_.push_back(*certificate);
    }
  }

  // Few and many, none of them always with the same certificates.
  std::vector<ListedCertificate> Draw(size_t count) {
    std::vector<ListedCertificate> listed;
    for (size_t i = 0; i < count; ++i) {
      ListedCertificate one = {certificates_[random_() % certificates_.size()],
                               kAllCertificateRoles[1 + random_() % (kAllCertificateRoles.size() - 1)], "", ""};
      if (random_() % 2 == 0) one.dns_name = "tftp1.example";
      if (random_() % 2 == 0) one.ip_address = "192.0.2.17";
      listed.push_back(std::move(one));
    }
    return listed;
  }

  std::mt19937 random_{11};
  std::vector<Certificate> certificates_;
};

void ExpectSame(const TrustListRecord& record, const ListedCertificate& listed, NameForm form) {
  const Certificate& certificate = listed.certificate;
  EXPECT_TRUE(record.certificate == certificate);
  EXPECT_EQ(record.role(), listed.role);
  EXPECT_EQ(record.serial, AsText(certificate.serial()));
  EXPECT_EQ(record.dns_name.value_or(""), listed.dns_name);
  EXPECT_EQ(record.ip_address.value_or(""), listed.ip_address);
  EXPECT_EQ(*DistinguishedName::FromText(record.subject), certificate.subject()) << record.subject;
  EXPECT_EQ(*DistinguishedName::FromText(record.issuer), certificate.issuer());
  if (form == NameForm::kComma) {
    EXPECT_EQ(record.subject, certificate.subject().ToText());
    EXPECT_EQ(record.issuer, certificate.issuer().ToText());
  }
}

TEST_F(RandomTrustListTest, WhatIsWrittenIsReadVerifiedAndTheSame) {
  const Party signer = SelfSignedWith(RsaKey(2048), certificates_[0].subject());
  for (size_t count = 1; count <= kCertificates; ++count) {
    std::vector<ListedCertificate> listed = Draw(count - 1);
    listed.insert(listed.begin() + static_cast<ptrdiff_t>(random_() % count),
                  {signer.certificate, CertificateRole::kSast, "", ""});
    const SignedFileForm form = {.signer_version = random_() % 2 == 0 ? kSignerVersion : kSignerVersionWithEc,
                                 .digest = random_() % 2 == 0 ? DigestAlgorithm::kSha1 : DigestAlgorithm::kSha512,
                                 .name_form = random_() % 2 == 0 ? NameForm::kComma : NameForm::kVendor,
                                 .file_name = "ITLFile.tlv",
                                 .timestamp = kTime};
    std::string records;
    for (const ListedCertificate& one : listed) records += *WriteRecord(one, form.name_form);
    ASSERT_OK_AND_ASSIGN(const std::string file, WriteTrustList(records, form, signer.certificate, signer.key));
    ASSERT_OK_AND_ASSIGN(const TrustList list, DecodeTrustList(AsBytes(file)));
    ASSERT_OK_AND_ASSIGN(const Certificate found, VerifyTrustList(list));
    EXPECT_TRUE(found == signer.certificate);
    EXPECT_EQ(list.header().version, kTrustListVersion);
    EXPECT_EQ(list.header().signer_version, form.signer_version);
    ASSERT_EQ(list.records.size(), listed.size());
    for (size_t i = 0; i < listed.size(); ++i) ExpectSame(list.records[i], listed[i], form.name_form);
  }
}

}  // namespace
}  // namespace trustline
