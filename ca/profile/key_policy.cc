#include "ca/profile/key_policy.h"

#include <openssl/core_names.h>

#include <array>
#include <bitset>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ca/profile/published_key.h"
#include "common/bytes/sha256.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/public_key.h"

namespace trustline {
namespace {

constexpr int kMinRsaBits = 2048;
constexpr int kMinOldRsaBits = 1024;
constexpr int kMaxRsaBits = 4096;
constexpr uint32_t kUsualExponent = 65537;
constexpr int kFermatRounds = 100;

std::vector<uint32_t> PrimesBelow(uint32_t limit) {
  std::vector<bool> composite(limit, false);
  std::vector<uint32_t> primes;
  for (uint32_t n = 2; n < limit; ++n) {
    if (composite[n]) continue;
    primes.push_back(n);
    for (uint32_t multiple = n * n; multiple < limit; multiple += n) composite[multiple] = true;
  }
  return primes;
}

// Primes multiplied together as long as they fit into 32 bits: one division of the modulus serves several.
struct PrimeGroup {
  uint32_t product = 1;
  std::vector<uint32_t> primes;
};
std::vector<PrimeGroup> GroupPrimes(const std::vector<uint32_t>& primes) {
  std::vector<PrimeGroup> groups(1);
  for (const uint32_t prime : primes) {
    if (static_cast<uint64_t>(groups.back().product) * prime > UINT32_MAX) groups.emplace_back();
    groups.back().product *= prime;
    groups.back().primes.push_back(prime);
  }
  return groups;
}

// 0 when no prime below 1,000 divides the modulus.
uint32_t SmallFactor(const BIGNUM* modulus) {
  static const std::vector<PrimeGroup> groups = GroupPrimes(PrimesBelow(1000));
  for (const PrimeGroup& group : groups) {
    const auto rest = static_cast<uint32_t>(BN_mod_word(modulus, group.product));
    for (const uint32_t prime : group.primes) {
      if (rest % prime == 0) return prime;
    }
  }
  return 0;
}

// Primes of ROCA are k * M + 65537^a mod M for a primorial M, so the modulus is a power of 65537 modulo every small
// prime (Nemec and others, "The Return of Coppersmith's Attack", section 2.3). By chance that happens once in 2^27.
bool HasRocaFingerprint(const BIGNUM* modulus) {
  constexpr uint32_t kLimit = 168;  // 167 is the last prime of the shortest keys' primorial
  struct Powers {
    uint32_t prime;
    std::bitset<kLimit> of_65537;
  };
  static const std::vector<Powers> table = [] {
    std::vector<Powers> all;
    for (const uint32_t prime : PrimesBelow(kLimit)) {
      if (prime == 2) continue;
      Powers powers{prime, {}};
      uint32_t power = 1;
      do {
        powers.of_65537.set(power);
        power = power * (kUsualExponent % prime) % prime;
      } while (power != 1 && power != 0);
      all.push_back(powers);
    }
    return all;
  }();
  for (const Powers& powers : table) {
    if (!powers.of_65537.test(BN_mod_word(modulus, powers.prime))) return false;
  }
  return true;
}

// The largest root with root^2 <= n, by Newton's method from above.
bool IntegerRoot(const BIGNUM* n, BIGNUM* root, BN_CTX* context) {
  const BignumPtr next(BN_new());
  if (next == nullptr || BN_one(root) != 1 || BN_lshift(root, root, (BN_num_bits(n) + 1) / 2) != 1) return false;
  for (;;) {
    if (BN_div(next.get(), nullptr, n, root, context) != 1 || BN_add(next.get(), next.get(), root) != 1 ||
        BN_rshift1(next.get(), next.get()) != 1) {
      return false;
    }
    if (BN_cmp(next.get(), root) >= 0) return true;
    if (BN_copy(root, next.get()) == nullptr) return false;
  }
}

// Squares have few rests, so most numbers are ruled out by two short divisions.
bool MayBeSquare(const BIGNUM* n) {
  const auto residues = [](uint32_t modulus) {
    std::vector<bool> square(modulus, false);
    for (uint64_t i = 0; i < modulus; ++i) square[i * i % modulus] = true;
    return square;
  };
  constexpr uint32_t kFirst = 64 * 63 * 65 * 11;
  constexpr uint32_t kSecond = 17 * 19 * 23 * 31;
  static const std::vector<bool> first = residues(kFirst);
  static const std::vector<bool> second = residues(kSecond);
  return first[BN_mod_word(n, kFirst)] && second[BN_mod_word(n, kSecond)];
}

// True when modulus = (a - b)(a + b) for one of the first a above its root.
absl::StatusOr<bool> HasCloseFactors(const BIGNUM* modulus) {
  const BnCtxPtr context(BN_CTX_new());
  const BignumPtr a(BN_new()), rest(BN_new()), root(BN_new());
  if (context == nullptr || a == nullptr || rest == nullptr || root == nullptr ||
      !IntegerRoot(modulus, a.get(), context.get())) {
    return OpenSslInternal("a key cannot be examined");
  }
  for (int round = 0; round < kFermatRounds; ++round) {
    if (BN_sqr(rest.get(), a.get(), context.get()) != 1 || BN_sub(rest.get(), rest.get(), modulus) != 1) {
      return OpenSslInternal("a key cannot be examined");
    }
    if (BN_is_zero(rest.get())) return true;
    if (!BN_is_negative(rest.get()) && MayBeSquare(rest.get())) {
      if (!IntegerRoot(rest.get(), root.get(), context.get()) || BN_sqr(root.get(), root.get(), context.get()) != 1) {
        return OpenSslInternal("a key cannot be examined");
      }
      if (BN_cmp(root.get(), rest.get()) == 0) return true;
    }
    if (BN_add_word(a.get(), 1) != 1) return OpenSslInternal("a key cannot be examined");
  }
  return false;
}

absl::Status CheckRsaKey(const EVP_PKEY* key, const KeyPolicy& policy) {
  const int bits = EVP_PKEY_get_bits(key);
  const int least = policy.allow_rsa_1024 ? kMinOldRsaBits : kMinRsaBits;
  if (bits < least || bits > kMaxRsaBits) {
    return InvalidArgument("the key is RSA of {} bits: {} to {} are certified{}", bits, least, kMaxRsaBits,
                           bits >= kMinOldRsaBits && bits < least
                               ? " (1024 for old phones only with allow_rsa_1024 in cad's configuration)"
                               : "");
  }
  BIGNUM* raw_modulus = nullptr;
  BIGNUM* raw_exponent = nullptr;
  const bool read = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &raw_modulus) == 1 &&
                    EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &raw_exponent) == 1;
  const BignumPtr modulus(raw_modulus), exponent(raw_exponent);
  if (!read) return OpenSslInvalidArgument("the RSA key has no modulus or exponent");
  const bool three = BN_is_word(exponent.get(), 3) == 1;
  if (!BN_is_word(exponent.get(), kUsualExponent) && !(three && policy.allow_exponent_3)) {
    return InvalidArgument("the key's public exponent is not {}{}", kUsualExponent,
                           three ? " (3 only with allow_exponent_3 in cad's configuration)" : "");
  }
  if (const uint32_t factor = SmallFactor(modulus.get()); factor != 0) {
    return InvalidArgument("the key is broken: its modulus is divisible by {}", factor);
  }
  if (HasRocaFingerprint(modulus.get())) {
    return InvalidArgument(
        "the key is weak: it was made by hardware with the defect ROCA (CVE-2017-15361), from which its private key "
        "follows; make it anew in software");
  }
  ASSIGN_OR_RETURN(const bool close, HasCloseFactors(modulus.get()));
  if (close) {
    return InvalidArgument("the key is broken: its two primes lie so close together that Fermat's method finds them");
  }
  return absl::OkStatus();
}

absl::Status CheckEcKey(EVP_PKEY* key) {
  const std::string kind = PublicKeyKindText(key);
  if (kind != "EC secp256r1" && kind != "EC secp384r1" && kind != "EC secp521r1") {
    return InvalidArgument("the key is {}: the curves secp256r1, secp384r1 and secp521r1 are certified", kind);
  }
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(key, nullptr));
  if (context == nullptr || EVP_PKEY_public_check(context.get()) != 1) {
    return OpenSslInvalidArgument("the key is not a point of its curve");
  }
  return absl::OkStatus();
}

absl::Status CheckNotPublished(const PublicKeyInfo& info) {
  const std::optional<std::string_view> source = PublishedKeySource(info.sha256());
  if (!source) return absl::OkStatus();
  return InvalidArgument("the key is published: its private key stands in {} for everyone to read; make a new one",
                         *source);
}

}  // namespace

absl::Status CheckDeviceKey(const PublicKeyInfo& info, const KeyPolicy& policy) {
  const OpenSslErrorScope errors;
  EVP_PKEY* const key = info.key();
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      RETURN_IF_ERROR(CheckRsaKey(key, policy));
      break;
    case EVP_PKEY_EC:
      RETURN_IF_ERROR(CheckEcKey(key));
      break;
    default:
      return InvalidArgument("the key is of kind {}: RSA and EC keys are certified", PublicKeyKindText(key));
  }
  return CheckNotPublished(info);
}

}  // namespace trustline
