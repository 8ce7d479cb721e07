#include "itl/trust_list/phone_list.h"

#include "itl/trust_list/trust_list_testing.h"

namespace trustline {
namespace {

TrustList Vector(std::string_view name) { return *DecodeTrustList(AsBytes(ReadVector(name))); }

TEST(PhoneListTest, TheModelHasWhatTheListSays) {
  const Sha256Digest recovery = ReadParty("itlrecovery.pem").certificate.sha256();
  const Sha256Digest call_manager = ReadParty("callmanager.pem").certificate.sha256();
  const TrustList list = Vector("ITLFile-sha512.tlv");
  const PhoneList model = ToPhoneList(list, recovery);
  EXPECT_EQ(model.signer, recovery);
  EXPECT_EQ(model.records.size(), list.records.size());
  EXPECT_TRUE(model.Has(recovery, CertificateRole::kSast));
  EXPECT_FALSE(model.Has(recovery, CertificateRole::kTvs));
  EXPECT_TRUE(model.Has(call_manager, CertificateRole::kCcmTftp));
  EXPECT_EQ(model.digest, DigestAlgorithm::kSha512);
  EXPECT_EQ(model.signer_version, kSignerVersionWithEc);
  EXPECT_EQ(model.size, ReadVector("ITLFile-sha512.tlv").size());
  EXPECT_EQ(model.largest_rsa_bits, 2048);
  EXPECT_FALSE(model.IsBlank());
  EXPECT_FALSE(ToPhoneList(list, std::nullopt).Has(Sha256Digest{}, CertificateRole::kSast));

  EXPECT_TRUE(ToPhoneList(Vector("ITLFile-blank.tlv"), recovery).IsBlank());
  EXPECT_EQ(ToPhoneList(Vector("ITLFile-sha1.tlv"), recovery).signer_version, kSignerVersion);
}

// Whoever signed a list that nobody here can verify must not be taken for a record that is no certificate.
TEST(PhoneListTest, ARecordByItsHashIsNobody) {
  TrustList list = Vector("ITLFile-sha1.tlv");
  for (TrustListRecord& record : list.records) {
    record.certificate.reset();
    record.certificate_hash = std::string(20, '\0');
  }
  const PhoneList model = ToPhoneList(list, std::nullopt);
  for (const CertificateRole role : kAllCertificateRoles) EXPECT_FALSE(model.Has(Sha256Digest{}, role));
  EXPECT_FALSE(model.IsBlank());
}

}  // namespace
}  // namespace trustline
