// RSA signatures that somebody without the key, or with another idea of padding, could make: none is accepted.
#include <openssl/core_names.h>

#include <functional>
#include <vector>

#include "capf/forgery_testing.h"
#include "capf/proof.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "common/x509/der.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

// The private-key operation on an honest block after a change of it.
Forgery Block(const char* name, std::function<void(std::string& block, const Target& target)> change) {
  return {name, [change = std::move(change)](const Target& target) {
            std::string block = PadType1(target.size, target.hash);
            change(block, target);
            EXPECT_EQ(block.size(), target.size);
            return RsaPrivateOperation(target.key(), block);
          }};
}

std::string ShortPadding(size_t padding, std::string_view content, size_t size) {
  std::string block("\x00\x01", 2);
  block.append(padding, '\xff').append(1, '\0').append(content);
  EXPECT_LE(block.size(), size);
  return block.append(size - block.size(), '\x5a');
}

// DigestInfo of RFC 8017, section 9.2, note 1.
std::string DigestInfo(const Target& target) {
  return *FromHex(target.place.digest == CapfDigest::kSha1 ? "3021300906052b0e03021a05000414"
                                                           : "3051300d060960864801650304020305000440") +
         target.hash;
}

std::vector<Forgery> RsaBlocks() {
  return {
      Block("the first padding byte", [](auto& block, auto&) { block[2] = '\xfe'; }),
      Block("a padding byte", [](auto& block, auto&) { block[40] = '\x7f'; }),
      Block("the last padding byte", [](auto& block, auto& t) { block[t.size - t.hash.size() - 2] = '\xfe'; }),
      Block("padding of zero bytes",
            [](auto& block, auto& t) { std::fill(block.begin() + 2, block.end() - t.hash.size(), '\0'); }),
      Block("block type 2", [](auto& block, auto&) { block[1] = '\x02'; }),
      Block("block type 0", [](auto& block, auto&) { block[1] = '\x00'; }),
      Block("another first byte", [](auto& block, auto&) { block[0] = '\x01'; }),
      Block("no separator", [](auto& block, auto& t) { block[t.size - t.hash.size() - 1] = '\xff'; }),
      Block("a separator too early", [](auto& block, auto&) { block[20] = '\0'; }),
      Block("nothing but the hash",
            [](auto& block, auto& t) { block = std::string(t.size - t.hash.size(), '\0') + t.hash; }),
      Block("a bit of the hash", [](auto& block, auto&) { block.back() ^= 1; }),
      Block("the first bit of the hash", [](auto& block, auto& t) { block[t.size - t.hash.size()] ^= '\x80'; }),
      Block("short padding, garbage after the hash",
            [](auto& block, auto& t) { block = ShortPadding(8, t.hash, t.size); }),
      Block("no padding, garbage after the hash",
            [](auto& block, auto& t) { block = ShortPadding(0, t.hash, t.size); }),
      Block("a byte after the hash",
            [](auto& block, auto& t) { block = ShortPadding(t.size - 4 - t.hash.size(), t.hash, t.size); }),
      Block("short padding, garbage before the hash",
            [](auto& block, auto& t) {
              block = ShortPadding(8, "", t.size);
              block.replace(t.size - t.hash.size(), t.hash.size(), t.hash);
            }),
      Block("DigestInfo added", [](auto& block, auto& t) { block = PadType1(t.size, DigestInfo(t)); }),
      Block("an octet string around the hash",
            [](auto& block, auto& t) { block = PadType1(t.size, EncodeDer(der::kOctetString, AsBytes(t.hash))); }),
      Block("the hash cut",
            [](auto& block, auto& t) { block = PadType1(t.size, t.hash.substr(0, t.hash.size() - 1)); }),
      Block("no hash", [](auto& block, auto& t) { block = PadType1(t.size, ""); }),
      Block("the message", [](auto& block, auto& t) { block = PadType1(t.size, t.message.substr(0, 64)); }),
  };
}

// `signature` plus the modulus in `size` bytes; empty when it does not fit.
std::string PlusModulus(EVP_PKEY* key, std::string_view signature, size_t size) {
  BIGNUM* modulus = nullptr;
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &modulus);
  const BignumPtr owner(modulus);
  const BignumPtr sum(BN_bin2bn(AsBytes(signature).data(), static_cast<int>(signature.size()), nullptr));
  BN_add(sum.get(), sum.get(), modulus);
  return NumberBytes(sum.get(), size);
}

std::vector<Forgery> RsaValues() {
  return {
      {"empty", [](const Target&) { return ""; }},
      {"one byte", [](const Target&) { return std::string(1, '\x01'); }},
      {"zero", [](const Target& t) { return std::string(t.size, '\0'); }},
      {"one", [](const Target& t) { return std::string(t.size - 1, '\0') + '\x01'; }},
      {"all bits", [](const Target& t) { return std::string(t.size, '\xff'); }},
      {"the modulus", [](const Target& t) { return PlusModulus(t.key(), "", t.size); }},
      {"a zero byte before it", [](const Target& t) { return '\0' + t.good; }},
      {"a zero byte after it", [](const Target& t) { return t.good + '\0'; }},
      {"twice", [](const Target& t) { return t.good + t.good; }},
      {"its first byte left off", [](const Target& t) { return t.good.substr(1); }},
      {"its last byte left off", [](const Target& t) { return t.good.substr(0, t.size - 1); }},
      {"the modulus added, a byte longer", [](const Target& t) { return PlusModulus(t.key(), t.good, t.size + 1); }},
      {"the block itself", [](const Target& t) { return PadType1(t.size, t.hash); }},
      {"another key's", [](const Target& t) { return SignHash(MakeRsaKey(2048).get(), t.hash); }},
  };
}

TEST(RsaForgeryTest, NoRsaBlockButTheOneIsAccepted) {
  for (const uint64_t exponent : {65537, 3}) {
    const ProvingParty party = MakeProvingParty(MakeRsaKey(2048, exponent), kForgedDevice);
    ExpectRefused(party, RsaBlocks());
    ExpectRefused(party, RsaValues());
  }
}

// A device for which the honest signature in a place is as wanted.
std::string FindDevice(const ProvingParty& party, const Place& place,
                       const std::function<bool(std::string_view signature)>& wanted) {
  for (int number = 0; number < 8192; ++number) {
    std::string device = fmt::format("SEP{:012X}", number);
    const std::string hash = HashOf(DigestOf(place.digest), SignedMessage(device, party.certificate));
    if (wanted(SignHash(party.key.get(), hash))) return device;
  }
  ADD_FAILURE() << "no signature is as wanted";
  return kForgedDevice;
}

TEST(RsaForgeryTest, ALeadingZeroByteBelongsToTheSignature) {
  const ProvingParty party = MakeProvingParty(MakeRsaKey(1024), kForgedDevice);
  for (const Place& place : {kPlaces[0], kPlaces[1]}) {
    CapfElements response =
        MakeProof(party, FindDevice(party, place, [](std::string_view value) { return value.front() == '\0'; }));
    EXPECT_OK(CheckPossession(response, kForgedSession));
    place.of(response).erase(0, 1);
    EXPECT_THAT(CheckPossession(response, kForgedSession), StatusIs(kDenied, HasSubstr("it has 127 bytes")));
  }
}

TEST(RsaForgeryTest, ValuesAreBelowTheModulus) {
  // A modulus that leaves room above it for many values.
  EvpPkeyPtr key = MakeRsaKey(1024);
  while (static_cast<uint8_t>(PlusModulus(key.get(), "", 128).front()) > 0xd0) key = MakeRsaKey(1024);
  const ProvingParty party = MakeProvingParty(std::move(key), kForgedDevice);
  const auto plus_modulus = [&party](std::string_view value) { return PlusModulus(party.key.get(), value, 128); };
  for (const Place& place : {kPlaces[0], kPlaces[1]}) {
    CapfElements response = MakeProof(
        party, FindDevice(party, place, [&](std::string_view value) { return !plus_modulus(value).empty(); }));
    EXPECT_OK(CheckPossession(response, kForgedSession));
    place.of(response) = plus_modulus(place.of(response));
    EXPECT_THAT(CheckPossession(response, kForgedSession), StatusIs(kDenied, HasSubstr("it is no value of its key")));
  }
}

// `value` to the third power, in `size` bytes.
std::string Cube(const BIGNUM* value, size_t size) {
  const BnCtxPtr context(BN_CTX_new());
  const BignumPtr cube(BN_new());
  BN_sqr(cube.get(), value, context.get());
  BN_mul(cube.get(), cube.get(), value, context.get());
  return NumberBytes(cube.get(), size);
}

// Without the private key: the least number whose cube is not below `prefix` and zero bytes. With the exponent 3 it is
// a signature of a block that begins with `prefix`, because the cube stays below the modulus.
std::string CubeRootOfPrefix(std::string_view prefix, size_t size) {
  const std::string least = std::string(prefix).append(size - prefix.size(), '\0');
  const BignumPtr root(BN_new());
  for (int bit = static_cast<int>(size) * 8 / 3; bit >= 0; --bit) {
    BN_set_bit(root.get(), bit);
    if (Cube(root.get(), size + 1) >= '\0' + least) BN_clear_bit(root.get(), bit);
  }
  BN_add_word(root.get(), 1);
  EXPECT_TRUE(Cube(root.get(), size).starts_with(prefix));
  return NumberBytes(root.get(), size);
}

// Without the private key: a number whose cube ends with `suffix`, which must be odd.
std::string CubeRootOfSuffix(std::string_view suffix, size_t size) {
  const BignumPtr root(BN_new());
  BN_one(root.get());
  for (size_t bit = 1; bit < suffix.size() * 8; ++bit) {
    const size_t byte = suffix.size() - 1 - bit / 8;
    const int difference = Cube(root.get(), size)[size - suffix.size() + byte] ^ suffix[byte];
    if ((difference >> (bit % 8) & 1) != 0) BN_set_bit(root.get(), static_cast<int>(bit));
  }
  EXPECT_TRUE(Cube(root.get(), size).ends_with(suffix));
  return NumberBytes(root.get(), size);
}

TEST(RsaForgeryTest, CubeRootsAreRefused) {
  ProvingParty party = MakeProvingParty(MakeRsaKey(2048, 3), kForgedDevice);
  ExpectRefused(
      party, {{"short padding, the hash, what comes",
               [](const Target& t) { return CubeRootOfPrefix(std::string("\x00\x01\xff\x00", 4) + t.hash, t.size); }},
              {"the least padding of RFC 8017, the hash, what comes",
               [](const Target& t) {
                 return CubeRootOfPrefix(ShortPadding(8, t.hash, t.size).substr(0, 11 + t.hash.size()), t.size);
               }},
              {"no padding, DigestInfo, what comes", [](const Target& t) {
                 return CubeRootOfPrefix(std::string("\x00\x01\x00", 3) + DigestInfo(t), t.size);
               }}});

  // A checker that looks at the last bytes alone takes these, where the hash is odd.
  const auto odd = [](const EVP_MD* digest, const std::string& message) {
    return (HashOf(digest, message).back() & 1) != 0;
  };
  for (bool all_odd = false; !all_odd;) {
    party.certificate = CertificateOf(party.key.get(), kForgedDevice);
    all_odd = true;
    for (const Place& place : kPlaces) all_odd &= odd(DigestOf(place.digest), place.Message(party.certificate));
  }
  ExpectRefused(party, {{"what comes, the hash", [](const Target& t) { return CubeRootOfSuffix(t.hash, t.size); }}});
}

}  // namespace
}  // namespace trustline
