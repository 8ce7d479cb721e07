// The phone's side of the proof by an existing certificate, for tests: what an honest phone signs, and the private-key
// operation itself for those who sign something else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "capf/message.h"
#include "common/x509/certificate.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {

// A certificate of any key, and the key.
struct ProvingParty {
  EvpPkeyPtr key;
  Certificate certificate;

  bool is_rsa() const { return EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA; }
};

EvpPkeyPtr MakeRsaKey(int bits, uint64_t exponent = 65537);
// OpenSSL's name of the curve: "P-256".
EvpPkeyPtr MakeEcKey(const char* curve);
// Issued by an authority that nobody trusts, also for keys that nobody should have.
Certificate CertificateOf(EVP_PKEY* key, std::string_view common_name);
ProvingParty MakeProvingParty(EvpPkeyPtr key, std::string_view common_name);

// What the two pairs of signatures cover.
std::string SignedMessage(std::string_view device, const Certificate& certificate);
std::string SessionMessage(uint32_t session_id, const Certificate& certificate);

std::string HashOf(const EVP_MD* digest, std::string_view message);
inline const EVP_MD* DigestOf(CapfDigest digest) { return digest == CapfDigest::kSha1 ? EVP_sha1() : EVP_sha512(); }

// 00 01 FF..FF 00 and `content`, in `size` bytes.
std::string PadType1(size_t size, std::string_view content);
// The RSA private-key operation on a block as long as the modulus.
std::string RsaPrivateOperation(EVP_PKEY* key, std::string_view block);
// As phones sign a hash: RSA with PadType1, or ECDSA.
std::string SignHash(EVP_PKEY* key, std::string_view hash);

// An authentication response with signed data and SHA-2 signed data of an honest phone.
CapfElements MakeProof(const ProvingParty& party, std::string_view device);
// The same with SUDI data for the session, by the same key.
CapfElements MakeSessionProof(const ProvingParty& party, std::string_view device, uint32_t session_id);
CapfSudiData MakeSudiData(const ProvingParty& party, uint32_t session_id);

}  // namespace trustline
