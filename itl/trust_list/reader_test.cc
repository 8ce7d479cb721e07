#include "itl/trust_list/reader.h"

#include "itl/trust_list/trust_list_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

TEST(TrustListReaderTest, ReadsTheRecordsOfAVector) {
  ASSERT_OK_AND_ASSIGN(const TrustList list, DecodeTrustList(AsBytes(ReadVector("ITLFile-sha512.tlv"))));
  EXPECT_EQ(list.header().file_name, "ITLFile.tlv");
  std::vector<std::optional<CertificateRole>> roles;
  for (const TrustListRecord& record : list.records) roles.push_back(record.role());
  EXPECT_EQ(roles, (std::vector<std::optional<CertificateRole>>{CertificateRole::kSast, CertificateRole::kCcmTftp,
                                                                CertificateRole::kSast, CertificateRole::kTvs,
                                                                CertificateRole::kCapf, CertificateRole::kAppServer}));
  const TrustListRecord& rsa = list.records[0];
  EXPECT_EQ(rsa.record_length, 1577);
  EXPECT_EQ(rsa.dns_name, std::nullopt);
  EXPECT_EQ(rsa.ip_address, std::nullopt);
  EXPECT_EQ(rsa.subject, "CN=itlrecovery.example,O=Example,OU=Voice");
  EXPECT_EQ(rsa.public_key.size(), 270u);
  EXPECT_EQ(rsa.signature.size(), 256u);
  EXPECT_TRUE(rsa.certificate == ReadParty("itlrecovery.pem").certificate);
  EXPECT_FALSE(rsa.IsBlank());
  EXPECT_EQ(rsa.places[1], (TlvPlace{3, 42, 433}));
  const TrustListRecord& ec = list.records[5];
  EXPECT_EQ(ec.public_key.size(), 97u);
  EXPECT_EQ(ec.places.back(), (TlvPlace{9, 579, 8578}));
  EXPECT_TRUE(*VerifyTrustList(list) == ReadParty("itlrecovery.pem").certificate);
}

TEST(TrustListReaderTest, ReadsBlankedRecords) {
  ASSERT_OK_AND_ASSIGN(const TrustList list, DecodeTrustList(AsBytes(ReadVector("ITLFile-blank.tlv"))));
  ASSERT_EQ(list.records.size(), 5u);
  const TrustListRecord& blank = list.records[1];
  EXPECT_TRUE(blank.IsBlank());
  EXPECT_EQ(blank.role(), CertificateRole::kCcmTftp);
  EXPECT_EQ(blank.record_length, 20);
  EXPECT_EQ(blank.dns_name, "");
  EXPECT_EQ(blank.ip_address, "127.0.0.1");
  EXPECT_EQ(list.records[4].dns_name, "tftp1.example");
  EXPECT_FALSE(list.records[0].IsBlank());
}

// A list that outlives what it was read from, and its copies.
TEST(TrustListReaderTest, OwnsItsBytes) {
  auto list = DecodeTrustList(AsBytes(ReadVector("ITLFile-sha1.tlv")));
  ASSERT_OK(list);
  const TrustList copy = *list;
  list = absl::CancelledError();
  EXPECT_OK(VerifyTrustList(copy));
}

// The fields of one record; a test replaces what it is about.
struct Fields {
  std::string before;  // of the role
  std::string subject = TextTlv(3, "CN=itlrecovery.example,O=Example,OU=Voice");
  std::string issuer = TextTlv(5, "CN=itlrecovery.example,O=Example,OU=Voice");
  std::string serial;
  std::string role = Tlv(4, std::string(2, '\0'));
  std::string public_key;
  std::string signature;
  std::string certificate;
  std::string after;
  std::optional<uint16_t> length;

  Fields() {
    const auto vector = DecodeTrustList(AsBytes(ReadVector("ITLFile-sha1.tlv")));
    const TrustListRecord& record = vector->records[0];
    serial = Tlv(6, record.serial);
    public_key = Tlv(7, record.public_key);
    signature = Tlv(8, record.signature);
    certificate = Tlv(9, AsText(record.certificate->der()));
  }

  std::string Record() const {
    const std::string body = before + subject + issuer + serial + role + public_key + signature + certificate + after;
    return Tlv(1, ByteWriter().U16(length.value_or(static_cast<uint16_t>(body.size() + 5))).Take()) + body;
  }
};

// A list of these records, well signed by itlrecovery.
std::string SignedList(std::string_view records) {
  const std::string header = ReadVector("ITLFile-sha1.tlv").substr(0, 428);
  return SignedAgain(header + std::string(records), 145, ReadParty("itlrecovery.pem").key, EVP_sha1());
}

template <typename Change>
std::string ListWith(const Change& change) {
  Fields fields;
  change(fields);
  return SignedList(fields.Record());
}
template <typename Change>
absl::Status Refusal(const Change& change) {
  return DecodeTrustList(AsBytes(ListWith(change))).status();
}
// Of a list that decodes.
template <typename Change>
absl::Status VerificationOf(const Change& change) {
  const auto list = DecodeTrustList(AsBytes(ListWith(change)));
  EXPECT_OK(list);
  return list.ok() ? VerifyTrustList(*list).status() : list.status();
}

TEST(TrustListReaderTest, TakesWhatTheFieldsMake) {
  EXPECT_OK(VerificationOf([](Fields&) {}));
  EXPECT_OK(VerificationOf([](Fields& f) { f.before = TextTlv(2, "host.example"); }));
  EXPECT_OK(VerificationOf([](Fields& f) { f.after = Tlv(10, std::string(16, '\x20')); }));
  EXPECT_OK(VerificationOf([](Fields& f) { f.after = Tlv(99, "later") + Tlv(0, "") + Tlv(99, ""); }));
  // The vendor's order.
  EXPECT_OK(VerificationOf([](Fields& f) {
    f.before = TextTlv(2, "") + f.subject + f.role;
    f.subject = f.role = "";
  }));
  EXPECT_OK(VerificationOf([](Fields& f) { f.subject = TextTlv(3, "CN=itlrecovery.example;O=Example;OU=Voice"); }));
}

TEST(TrustListReaderTest, ReadsRolesThatAreNotKnownAndHashesInsteadOfCertificates) {
  Fields unknown;
  unknown.role = Tlv(4, {"\x12\x34", 2});
  Fields hash;
  hash.certificate = Tlv(11, std::string(20, 'h')) + Tlv(12, "\x01");
  ASSERT_OK_AND_ASSIGN(const TrustList list,
                       DecodeTrustList(AsBytes(SignedList(Fields().Record() + unknown.Record() + hash.Record()))));
  EXPECT_EQ(list.records[1].role_code, 0x1234);
  EXPECT_EQ(list.records[1].role(), std::nullopt);
  EXPECT_EQ(list.records[2].certificate_hash, std::string(20, 'h'));
  EXPECT_EQ(list.records[2].hash_algorithm, "\x01");
  EXPECT_FALSE(list.records[2].IsBlank());
  EXPECT_FALSE(list.records[2].certificate.has_value());
  EXPECT_OK(VerifyTrustList(list));
}

TEST(TrustListReaderTest, RefusesFieldsThatAreMissingOrTwice) {
  EXPECT_THAT(Refusal([](Fields& f) { f.subject = ""; }), StatusIs(kInvalid, HasSubstr("record 1: no subject name")));
  EXPECT_THAT(Refusal([](Fields& f) { f.issuer = ""; }), StatusIs(kInvalid, HasSubstr("no issuer name")));
  EXPECT_THAT(Refusal([](Fields& f) { f.serial = ""; }), StatusIs(kInvalid, HasSubstr("no serial number")));
  EXPECT_THAT(Refusal([](Fields& f) { f.role = ""; }), StatusIs(kInvalid, HasSubstr("no role")));
  EXPECT_THAT(Refusal([](Fields& f) { f.public_key = ""; }), StatusIs(kInvalid, HasSubstr("no public key")));
  EXPECT_THAT(Refusal([](Fields& f) { f.signature = ""; }), StatusIs(kInvalid, HasSubstr("no signature")));
  EXPECT_THAT(Refusal([](Fields& f) { f.certificate = ""; }), StatusIs(kInvalid, HasSubstr("no certificate hash")));
  EXPECT_THAT(Refusal([](Fields& f) { f.certificate = Tlv(11, "h"); }), StatusIs(kInvalid, HasSubstr("no hash algo")));
  EXPECT_THAT(Refusal([](Fields& f) { f.after = Tlv(11, "h") + Tlv(12, "a"); }),
              StatusIs(kInvalid, HasSubstr("a certificate and a hash")));
  for (std::string Fields::*field : {&Fields::subject, &Fields::issuer, &Fields::serial, &Fields::role,
                                     &Fields::public_key, &Fields::signature, &Fields::certificate}) {
    EXPECT_THAT(Refusal([&](Fields& f) { f.after = f.*field; }), StatusIs(kInvalid, HasSubstr("stands twice")));
    EXPECT_THAT(Refusal([&](Fields& f) {
                  f.after = Tlv(99, "") + f.*field;
                  f.*field = "";
                }),
                StatusIs(kInvalid, HasSubstr("after elements that are not known")));
  }
  EXPECT_THAT(Refusal([](Fields& f) { f.after = Tlv(1, "ab"); }), StatusIs(kInvalid, HasSubstr("length stands twice")));
}

TEST(TrustListReaderTest, RefusesLengthsThatDoNotFit) {
  EXPECT_THAT(Refusal([](Fields& f) { f.length = 4; }), StatusIs(kInvalid, HasSubstr("a length of 4 where")));
  EXPECT_THAT(Refusal([](Fields& f) { f.length = 5; }), StatusIs(kInvalid, HasSubstr("no role")));
  EXPECT_THAT(Refusal([](Fields& f) { f.length = 65'535; }), StatusIs(kInvalid, HasSubstr("bytes are left")));
  EXPECT_THAT(Refusal([](Fields& f) { f.length = static_cast<uint16_t>(f.Record().size() - 1); }), StatusIs(kInvalid));
  EXPECT_THAT(Refusal([](Fields& f) { f.role = Tlv(4, std::string(1, '\0')); }),
              StatusIs(kInvalid, HasSubstr("role of 1 bytes is too short")));
  EXPECT_THAT(Refusal([](Fields& f) { f.role = Tlv(4, std::string(3, '\0')); }), StatusIs(kInvalid));
  EXPECT_THAT(Refusal([](Fields& f) { f.serial = Tlv(6, std::string(65, 's')); }), StatusIs(kInvalid));
  EXPECT_THAT(Refusal([](Fields& f) { f.before = TextTlv(2, std::string(256, 'd')); }), StatusIs(kInvalid));
  EXPECT_THAT(Refusal([](Fields& f) { f.after = Tlv(10, "12345"); }), StatusIs(kInvalid, HasSubstr("address of 5")));
  EXPECT_THAT(Refusal([](Fields& f) { f.certificate = Tlv(9, std::string(16'385, '0')); }), StatusIs(kInvalid));
  EXPECT_THAT(DecodeTrustList(AsBytes(SignedList(""))), StatusIs(kInvalid, HasSubstr("without records")));
  EXPECT_THAT(DecodeTrustList(AsBytes(SignedList(Fields().Record() + '\x01'))),
              StatusIs(kInvalid, HasSubstr("record 2: record length")));
  EXPECT_THAT(DecodeTrustList(AsBytes(SignedList(Fields().Record() + Tlv(2, "")))),
              StatusIs(kInvalid, HasSubstr("record 2: tag 2 where its length")));
}

TEST(TrustListReaderTest, RefusesTextsAndCertificatesThatCannotBeRead) {
  EXPECT_THAT(Refusal([](Fields& f) { f.subject = Tlv(3, "CN=a"); }),
              StatusIs(kInvalid, HasSubstr("record 1: subject name does not end with a NUL")));
  EXPECT_THAT(Refusal([](Fields& f) {
                f.issuer = TextTlv(5, {"a\0", 2});
              }),
              StatusIs(kInvalid, HasSubstr("NUL inside the issuer name")));
  EXPECT_THAT(Refusal([](Fields& f) { f.before = Tlv(2, "host"); }), StatusIs(kInvalid, HasSubstr("DNS name")));
  EXPECT_THAT(Refusal([](Fields& f) { f.certificate = Tlv(9, "no"); }),
              StatusIs(kInvalid, HasSubstr("record 1: not a certificate in DER")));
  EXPECT_THAT(Refusal([](Fields& f) { f.certificate = Tlv(9, f.certificate.substr(3) + '\0'); }), StatusIs(kInvalid));
}

TEST(TrustListReaderTest, RefusesOtherFilesOfTheSameSigner) {
  std::string list = ReadVector("ITLFile-sha1.tlv");
  list[4] = 0;
  EXPECT_THAT(DecodeTrustList(AsBytes(SignedAgain(list, 145, ReadParty("itlrecovery.pem").key, EVP_sha1()))),
              StatusIs(kInvalid, HasSubstr("not a trust list: version 1.0 instead of 1.2")));
  EXPECT_FALSE(DecodeTrustList(AsBytes(ReadVector("signed-sha1.SEP001122334455.cnf.xml.sgn"))).ok());
}

// A list that phones refuse as too large is read, so that it can be said why they do.
TEST(TrustListReaderTest, ReadsLargerListsThanPhones) {
  std::string records;
  while (records.size() <= kMaxTrustListSize) records += Fields().Record();
  EXPECT_TRUE(IsAcceptedTrustList(SignedList(records)));
  records.resize(kMaxReadableTrustListSize, 'x');
  EXPECT_THAT(DecodeTrustList(AsBytes(SignedList(records))),
              StatusIs(kInvalid, HasSubstr("phones load 65536 at most")));
}

TEST(TrustListVerificationTest, EachRecordSaysWhatItsCertificateSays) {
  const auto contradicts = [](std::string_view field) {
    return StatusIs(absl::StatusCode::kDataLoss,
                    HasSubstr(fmt::format("record 1: its {} is not that of its certificate", field)));
  };
  const std::string other = "CN=other,O=Example,OU=Voice";
  EXPECT_THAT(VerificationOf([&](Fields& f) { f.subject = TextTlv(3, other); }), contradicts("subject name"));
  EXPECT_THAT(VerificationOf([&](Fields& f) { f.issuer = TextTlv(5, other); }), contradicts("issuer name"));
  EXPECT_THAT(VerificationOf([&](Fields& f) { f.serial.back() ^= 1; }), contradicts("serial number"));
  EXPECT_THAT(VerificationOf([&](Fields& f) { f.public_key.back() ^= 1; }), contradicts("public key"));
  EXPECT_THAT(VerificationOf([&](Fields& f) { f.signature.back() ^= 1; }), contradicts("signature"));
  EXPECT_OK(VerificationOf([&](Fields& f) { f.serial = Tlv(6, '\0' + f.serial.substr(3)); }));
}

TEST(TrustListVerificationTest, TheSignerStandsInTheListAsSast) {
  EXPECT_THAT(VerificationOf([](Fields& f) {
                f.role = Tlv(4, {"\0\x02", 2});
              }),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("0dc87bbaddde11a92debc2672ce249f8")));
  Fields hash;
  hash.certificate = Tlv(11, std::string(20, 'h')) + Tlv(12, "\x01");
  ASSERT_OK_AND_ASSIGN(const TrustList list, DecodeTrustList(AsBytes(SignedList(hash.Record()))));
  EXPECT_THAT(VerifyTrustList(list), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(VerifyTrustListWith(list, ReadParty("itlrecovery.pem").certificate));
}

TEST(TrustListVerificationTest, ASignerThatIsKnownFromElsewhere) {
  ASSERT_OK_AND_ASSIGN(const TrustList list, DecodeTrustList(AsBytes(ReadVector("ITLFile-vendor-form.tlv"))));
  EXPECT_OK(VerifyTrustListWith(list, ReadParty("itlrecovery.pem").certificate));
  EXPECT_THAT(VerifyTrustListWith(list, ReadParty("callmanager.pem").certificate),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

// A certificate with the signer's names and serial number, but another key, is no signer, wherever it stands.
TEST(TrustListVerificationTest, NamesAndSerialNumberAloneMakeNoSigner) {
  const Party signer = ReadParty("itlrecovery.pem");
  const PrivateKey key = RsaKey(2048);
  const X509Ptr forged(X509_dup(signer.certificate.x509()));
  X509_set_pubkey(forged.get(), key.get());
  X509_sign(forged.get(), key.get(), EVP_sha256());
  ASSERT_OK_AND_ASSIGN(const Certificate other, Certificate::FromX509(forged.get()));
  ASSERT_OK_AND_ASSIGN(const std::string record,
                       WriteRecord({other, CertificateRole::kSast, "", ""}, NameForm::kComma));
  const std::string both = SignedList(record + Fields().Record());
  EXPECT_TRUE(IsAcceptedTrustList(both));
  const auto alone = DecodeTrustList(AsBytes(SignedList(record)));
  ASSERT_OK(alone);
  EXPECT_THAT(VerifyTrustList(*alone), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace trustline
