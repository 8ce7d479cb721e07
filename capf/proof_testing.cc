#include "capf/proof_testing.h"

#include <openssl/rsa.h>

#include "common/bytes/bytes.h"
#include "common/x509/x509_testing.h"
#include "gtest/gtest.h"

namespace trustline {
namespace {

unsigned char* Data(std::string& bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

// What the key does to `input` by EVP_PKEY_sign, with this padding when it is an RSA key.
std::string Sign(EVP_PKEY* key, int padding, std::string_view input) {
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(key, nullptr));
  EXPECT_EQ(EVP_PKEY_sign_init(context.get()), 1);
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(context.get(), padding), 1);
  }
  std::string output(static_cast<size_t>(EVP_PKEY_get_size(key)), '\0');
  size_t size = output.size();
  EXPECT_EQ(EVP_PKEY_sign(context.get(), Data(output), &size, AsBytes(input).data(), input.size()), 1);
  output.resize(size);
  return output;
}

}  // namespace

EvpPkeyPtr MakeRsaKey(int bits, uint64_t exponent) {
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  const BignumPtr number(BN_new());
  EXPECT_EQ(BN_set_word(number.get(), exponent), 1);
  EXPECT_EQ(EVP_PKEY_keygen_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), bits), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context.get(), number.get()), 1);
  EVP_PKEY* key = nullptr;
  EXPECT_EQ(EVP_PKEY_generate(context.get(), &key), 1);
  return EvpPkeyPtr(key);
}

EvpPkeyPtr MakeEcKey(const char* curve) { return EvpPkeyPtr(EVP_EC_gen(curve)); }

Certificate CertificateOf(EVP_PKEY* key, std::string_view common_name) {
  static const Party* const issuer = new Party(MakeSelfSigned(AuthorityForm("Nobody's authority")));
  const Party strong = MakeIssued(LeafForm(common_name), *issuer);
  const X509Ptr x509(X509_dup(strong.certificate.x509()));
  EXPECT_EQ(X509_set_pubkey(x509.get(), key), 1);
  EXPECT_GT(X509_sign(x509.get(), issuer->key.get(), EVP_sha256()), 0);
  return *Certificate::FromX509(x509.get());
}

ProvingParty MakeProvingParty(EvpPkeyPtr key, std::string_view common_name) {
  Certificate certificate = CertificateOf(key.get(), common_name);
  return {std::move(key), std::move(certificate)};
}

std::string SignedMessage(std::string_view device, const Certificate& certificate) {
  return std::string(device).append(1, '\0').append(AsText(certificate.der()));
}

std::string SessionMessage(uint32_t session_id, const Certificate& certificate) {
  const char little_endian[] = {static_cast<char>(session_id), static_cast<char>(session_id >> 8),
                                static_cast<char>(session_id >> 16), static_cast<char>(session_id >> 24)};
  return std::string(little_endian, sizeof(little_endian)).append(AsText(certificate.der()));
}

std::string HashOf(const EVP_MD* digest, std::string_view message) {
  std::string hash(static_cast<size_t>(EVP_MD_get_size(digest)), '\0');
  EXPECT_EQ(EVP_Digest(message.data(), message.size(), Data(hash), nullptr, digest, nullptr), 1);
  return hash;
}

std::string PadType1(size_t size, std::string_view content) {
  std::string block("\x00\x01", 2);
  block.append(size - 3 - content.size(), '\xff').append(1, '\0').append(content);
  return block;
}

std::string RsaPrivateOperation(EVP_PKEY* key, std::string_view block) { return Sign(key, RSA_NO_PADDING, block); }

std::string SignHash(EVP_PKEY* key, std::string_view hash) {
  // OpenSSL's own padding, so that a mistake in PadType1 would show.
  return Sign(key, RSA_PKCS1_PADDING, hash);
}

CapfElements MakeProof(const ProvingParty& party, std::string_view device) {
  const std::string message = SignedMessage(device, party.certificate);
  CapfElements response;
  response.reason = static_cast<uint8_t>(CapfReason::kSuccess);
  response.version = kCapfVersion;
  response.password = SecretBytes();
  response.device_name = device;
  response.certificate = {CapfCertificateType::kLsc, std::string(AsText(party.certificate.der()))};
  response.signed_data = SignHash(party.key.get(), HashOf(EVP_sha1(), message));
  response.sha2_signed_data = {CapfDigest::kSha512, SignHash(party.key.get(), HashOf(EVP_sha512(), message))};
  return response;
}

CapfElements MakeSessionProof(const ProvingParty& party, std::string_view device, uint32_t session_id) {
  CapfElements response = MakeProof(party, device);
  response.sudi_data = MakeSudiData(party, session_id);
  return response;
}

CapfSudiData MakeSudiData(const ProvingParty& party, uint32_t session_id) {
  const std::string message = SessionMessage(session_id, party.certificate);
  return {.certificate = std::string(AsText(party.certificate.der())),
          .sha1_signature = SignHash(party.key.get(), HashOf(EVP_sha1(), message)),
          .sha512_signature = SignHash(party.key.get(), HashOf(EVP_sha512(), message))};
}

}  // namespace trustline
