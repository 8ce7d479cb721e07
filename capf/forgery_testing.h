// Forged proofs for tests: each forgery is put in the place of each signature of a proof that is good otherwise.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "capf/message.h"
#include "capf/proof_testing.h"
#include "common/x509/certificate.h"

namespace trustline {

inline constexpr uint32_t kForgedSession = 0x0a0b0c0d;
inline const std::string kForgedDevice = "SEP001122334455";

// One of the four signatures of a response that has all.
struct Place {
  const char* name;
  CapfDigest digest;
  bool covers_session;
  std::string& (*of)(CapfElements&);

  std::string Message(const Certificate& certificate) const {
    return covers_session ? SessionMessage(kForgedSession, certificate) : SignedMessage(kForgedDevice, certificate);
  }
};
inline constexpr Place kPlaces[] = {
    {"signed data (SHA-1)", CapfDigest::kSha1, false,
     [](CapfElements& response) -> std::string& { return *response.signed_data; }},
    {"SHA-2 signed data", CapfDigest::kSha512, false,
     [](CapfElements& response) -> std::string& { return response.sha2_signed_data->signature; }},
    {"SUDI data, SHA-1", CapfDigest::kSha1, true,
     [](CapfElements& response) -> std::string& { return response.sudi_data->sha1_signature; }},
    {"SUDI data, SHA-512", CapfDigest::kSha512, true,
     [](CapfElements& response) -> std::string& { return response.sudi_data->sha512_signature; }},
};

// What a forger has: here even the key, so that only what he signs is wrong.
struct Target {
  const ProvingParty& party;
  const Place& place;
  std::string message;
  std::string hash;
  std::string good;  // the honest signature
  size_t size;       // of it, and of the RSA modulus

  EVP_PKEY* key() const { return party.key.get(); }
  std::string Sign(const EVP_MD* digest) const { return SignHash(key(), HashOf(digest, message)); }
  std::string SignMessage(std::string_view other) const {
    return SignHash(key(), HashOf(DigestOf(place.digest), other));
  }
};

struct Forgery {
  const char* name;
  std::function<std::string(const Target&)> make;
  const char* reason = "";  // for which it must be refused, where another check would find it too
};

// Puts each forgery in the place of each of the four signatures in turn.
void ExpectRefused(const ProvingParty& party, const std::vector<Forgery>& forgeries);

// `value` in `size` bytes, big-endian; empty when it does not fit.
std::string NumberBytes(const BIGNUM* value, size_t size);

}  // namespace trustline
