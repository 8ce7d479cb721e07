#include "cli/phone/capf_proof.h"

#include <openssl/rsa.h>

#include "cli/phone/captured_session.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/x509_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

constexpr uint32_t kRecordedSession = 5;

PhoneCertificate RecordedPhone() {
  const std::string pem = ReadVector("capf-issued-lsc.pem");
  return {*Certificate::FromPem(pem), std::make_shared<const PrivateKey>(*PrivateKey::FromPem(pem, nullptr)),
          CapfCertificateType::kLsc};
}

PhoneCertificate EcPhone() {
  Party party = MakeSelfSigned(LeafForm("SEP001122334455"));
  return {party.certificate, std::make_shared<const PrivateKey>(std::move(party.key)), CapfCertificateType::kMic};
}

std::string Hash(const EVP_MD* digest, std::string_view content) {
  std::string hash(static_cast<size_t>(EVP_MD_get_size(digest)), '\0');
  EVP_Digest(content.data(), content.size(), reinterpret_cast<unsigned char*>(hash.data()), nullptr, digest, nullptr);
  return hash;
}

bool EcdsaVerifies(const PhoneCertificate& phone, std::string_view hash, std::string_view signature) {
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(X509_get0_pubkey(phone.certificate.x509()), nullptr));
  return EVP_PKEY_verify_init(context.get()) == 1 &&
         EVP_PKEY_verify(context.get(), AsBytes(signature).data(), signature.size(), AsBytes(hash).data(),
                         hash.size()) == 1;
}

// RSA signatures of this padding have one value only: it must be the recorded one.
TEST(CapfProofTest, IsWhatTheRecordedPhoneSent) {
  ASSERT_OK_AND_ASSIGN(const std::vector<CapturedMessage> session,
                       ParseCapturedSession(ReadVector("wire/capf-fetch-existing-certificate.hex")));
  CapfElements response{
      .reason = 1, .version = kCapfVersion, .password = SecretBytes(""), .device_name = "SEP001122334455"};
  const PhoneCertificate phone = RecordedPhone();
  ASSERT_OK(AddSignedData(phone, response));
  ASSERT_OK_AND_ASSIGN(response.sudi_data, MakeSudiData(phone, kRecordedSession));
  ASSERT_OK_AND_ASSIGN(const std::string message,
                       EncodeCapfMessage(CapfCommand::kAuthenticationResponse, kRecordedSession, response));
  EXPECT_EQ(ToHex(AsBytes(message)), ToHex(AsBytes(session[1].bytes)));
}

TEST(CapfProofTest, SudiDataIsOfOneSession) {
  const PhoneCertificate phone = RecordedPhone();
  ASSERT_OK_AND_ASSIGN(const CapfSudiData recorded, MakeSudiData(phone, kRecordedSession));
  ASSERT_OK_AND_ASSIGN(const CapfSudiData other, MakeSudiData(phone, 0x05000000));
  EXPECT_NE(recorded.sha1_signature, other.sha1_signature);
  EXPECT_NE(recorded.sha512_signature, other.sha512_signature);
  EXPECT_EQ(ToHex(AsBytes(SudiDataContent(0x01020304, AsBytes("c")))), "0403020163");
}

TEST(CapfProofTest, EcKeysSignTheHashAlone) {
  const PhoneCertificate phone = EcPhone();
  CapfElements response{.device_name = "SEP001122334455"};
  ASSERT_OK(AddSignedData(phone, response));
  EXPECT_EQ(response.certificate->type, CapfCertificateType::kMic);
  EXPECT_EQ(response.certificate->der, AsText(phone.certificate.der()));
  const std::string covered = std::string("SEP001122334455") + '\0' + std::string(AsText(phone.certificate.der()));
  EXPECT_TRUE(EcdsaVerifies(phone, Hash(EVP_sha1(), covered), *response.signed_data));
  EXPECT_EQ(response.sha2_signed_data->digest, CapfDigest::kSha512);
  EXPECT_TRUE(EcdsaVerifies(phone, Hash(EVP_sha512(), covered), response.sha2_signed_data->signature));
  EXPECT_FALSE(EcdsaVerifies(phone, Hash(EVP_sha512(), covered + "x"), response.sha2_signed_data->signature));
}

TEST(CapfProofTest, NeedsADeviceNameAndAKeyThatSigns) {
  CapfElements response;
  EXPECT_THAT(AddSignedData(EcPhone(), response), StatusIs(absl::StatusCode::kInvalidArgument));
  const EvpPkeyPtr exchange_only(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  unsigned char* der = nullptr;
  const int size = i2d_PrivateKey(exchange_only.get(), &der);
  const OpenSslBytesPtr owner(der);
  ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::FromDer(ByteView(der, static_cast<size_t>(size))));
  EXPECT_THAT(SignBareHash(key, CapfDigest::kSha1, "content"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace trustline
