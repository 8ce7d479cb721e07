// ECDSA values that are none of the key, or not in their one form: none is accepted.
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

// An ECDSA value taken apart: what stands in its two integers.
struct EcdsaValue {
  std::string r, s;

  static EcdsaValue Of(std::string_view signature) {
    DerReader outer("value", AsBytes(signature));
    DerReader numbers("value", *outer.Read("sequence", der::kSequence));
    EcdsaValue value;
    value.r = AsText(*numbers.Read("r", der::kInteger));
    value.s = AsText(*numbers.Read("s", der::kInteger));
    return value;
  }
  std::string Integers() const { return EncodeDer(der::kInteger, AsBytes(r)) + EncodeDer(der::kInteger, AsBytes(s)); }
  std::string Encode() const { return EncodeDer(der::kSequence, AsBytes(Integers())); }
};

// The order of the key's curve plus (or minus) a number, as the content of an integer.
std::string Order(EVP_PKEY* key, std::string_view number = "", bool minus = false) {
  BIGNUM* order = nullptr;
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_ORDER, &order);
  const BignumPtr owner(order);
  const BignumPtr other(BN_bin2bn(AsBytes(number).data(), static_cast<int>(number.size()), nullptr));
  EXPECT_EQ((minus ? BN_sub : BN_add)(other.get(), order, other.get()), 1);
  // One byte more than needed where the first bit is set.
  return NumberBytes(other.get(), static_cast<size_t>(BN_num_bits(other.get())) / 8 + 1);
}

// The honest value after a change of its numbers.
Forgery Numbers(const char* name, const char* reason,
                std::function<void(EcdsaValue& value, const Target& target)> change) {
  return {name,
          [change = std::move(change)](const Target& target) {
            EcdsaValue value = EcdsaValue::Of(target.good);
            change(value, target);
            return value.Encode();
          },
          reason};
}

std::vector<Forgery> EcdsaNumbers() {
  const std::string zero(1, '\0');
  return {
      Numbers("r is zero", "its r is not between", [=](auto& value, auto&) { value.r = zero; }),
      Numbers("s is zero", "its s is not between", [=](auto& value, auto&) { value.s = zero; }),
      Numbers("both are zero", "its r is not between",
              [=](auto& value, auto&) {
                value = {zero, zero};
              }),
      Numbers("both are one", "did not sign",
              [](auto& value, auto&) {
                value = {"\x01", "\x01"};
              }),
      Numbers("r is n", "its r is not between", [](auto& value, auto& t) { value.r = Order(t.key()); }),
      Numbers("s is n", "its s is not between", [](auto& value, auto& t) { value.s = Order(t.key()); }),
      Numbers("both are n", "its r is not between",
              [](auto& value, auto& t) {
                value = {Order(t.key()), Order(t.key())};
              }),
      Numbers("n added to r", "its r is not between", [](auto& value, auto& t) { value.r = Order(t.key(), value.r); }),
      Numbers("n added to s", "its s is not between", [](auto& value, auto& t) { value.s = Order(t.key(), value.s); }),
      Numbers("n - r", "did not sign", [](auto& value, auto& t) { value.r = Order(t.key(), value.r, true); }),
      Numbers("r is -1", "its r is negative", [](auto& value, auto&) { value.r = "\xff"; }),
      Numbers("s is -1", "its s is negative", [](auto& value, auto&) { value.s = "\xff"; }),
      Numbers("r is negative", "its r is negative", [](auto& value, auto&) { value.r = "\xff" + value.r; }),
      Numbers("s is negative", "its s is negative", [](auto& value, auto&) { value.s = "\xff" + value.s; }),
      Numbers("a zero byte before r", "integer with a byte too many",
              [=](auto& value, auto&) { value.r = zero + value.r; }),
      Numbers("a zero byte before s", "integer with a byte too many",
              [=](auto& value, auto&) { value.s = zero + value.s; }),
      Numbers("r is empty", "integer without bytes", [](auto& value, auto&) { value.r.clear(); }),
      Numbers("s is empty", "integer without bytes", [](auto& value, auto&) { value.s.clear(); }),
      Numbers("r and s exchanged", "did not sign", [](auto& value, auto&) { std::swap(value.r, value.s); }),
      Numbers("a bit of s", "did not sign", [](auto& value, auto&) { value.s.back() ^= 1; }),
      Numbers("s is huge", "its s is not between", [](auto& value, auto&) { value.s = std::string(900, '\x7f'); }),
  };
}

std::vector<Forgery> EcdsaEncodings() {
  const auto sequence = [](std::string_view content) { return EncodeDer(der::kSequence, AsBytes(content)); };
  const auto integers = [](const Target& t) { return EcdsaValue::Of(t.good).Integers(); };
  return {
      {"empty", [](const Target&) { return ""; }},
      {"no numbers", [=](const Target&) { return sequence(""); }},
      {"r alone",
       [=](const Target& t) { return sequence(EncodeDer(der::kInteger, AsBytes(EcdsaValue::Of(t.good).r))); }},
      {"three numbers", [=](const Target& t) { return sequence(integers(t) + std::string("\x02\x01\x01", 3)); }},
      {"a NULL after the numbers", [=](const Target& t) { return sequence(integers(t) + std::string("\x05\x00", 2)); }},
      {"a zero byte after it", [](const Target& t) { return t.good + '\0'; }},
      {"a byte after it", [](const Target& t) { return t.good + '\x30'; }},
      {"twice", [](const Target& t) { return t.good + t.good; }},
      {"its last byte left off", [](const Target& t) { return t.good.substr(0, t.good.size() - 1); }},
      {"a length in two bytes too many",
       [=](const Target& t) {
         return std::string("\x30\x82\x00", 3) + static_cast<char>(integers(t).size()) + integers(t);
       }},
      {"a number's length in the long form",
       [=](const Target& t) {
         const EcdsaValue value = EcdsaValue::Of(t.good);
         return sequence(std::string("\x02\x81") + static_cast<char>(value.r.size()) + value.r +
                         EncodeDer(der::kInteger, AsBytes(value.s)));
       }},
      {"indefinite length",
       [=](const Target& t) { return std::string("\x30\x80") + integers(t) + std::string(2, '\0'); }},
      {"a set", [=](const Target& t) { return EncodeDer(der::kSet, AsBytes(integers(t))); }},
      {"within another sequence", [=](const Target& t) { return sequence(t.good); }},
      {"within an octet string", [](const Target& t) { return EncodeDer(der::kOctetString, AsBytes(t.good)); }},
      {"octet strings for numbers",
       [=](const Target& t) {
         const EcdsaValue value = EcdsaValue::Of(t.good);
         return sequence(EncodeDer(der::kOctetString, AsBytes(value.r)) +
                         EncodeDer(der::kOctetString, AsBytes(value.s)));
       }},
      {"r and s side by side",
       [](const Target& t) {
         const EcdsaValue value = EcdsaValue::Of(t.good);
         return value.r + value.s;
       }},
  };
}

constexpr const char* kCurves[] = {"P-256", "P-384", "P-521"};

TEST(EcdsaForgeryTest, NoOtherEcdsaValueIsAccepted) {
  for (const char* curve : kCurves) {
    const ProvingParty party = MakeProvingParty(MakeEcKey(curve), kForgedDevice);
    ExpectRefused(party, EcdsaNumbers());
    ExpectRefused(party, EcdsaEncodings());
    ExpectRefused(party,
                  {{"another key's", [curve](const Target& t) { return SignHash(MakeEcKey(curve).get(), t.hash); }}});
  }
}

TEST(EcdsaForgeryTest, BothValuesOfOneSignatureAreGood) {
  for (const char* curve : kCurves) {
    const ProvingParty party = MakeProvingParty(MakeEcKey(curve), kForgedDevice);
    CapfElements response = MakeSessionProof(party, kForgedDevice, kForgedSession);
    for (const Place& place : kPlaces) {
      EcdsaValue value = EcdsaValue::Of(place.of(response));
      value.s = Order(party.key.get(), value.s, true);
      place.of(response) = value.Encode();
      EXPECT_OK(CheckPossession(response, kForgedSession));
    }
  }
}

}  // namespace
}  // namespace trustline
