#include "common/x509/public_key.h"

#include <openssl/core_names.h>
#include <openssl/x509.h>

#include "common/x509/private_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

std::string Written(const EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  const OpenSslBytesPtr owner(der);
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

TEST(PublicKeyInfoTest, ReadsWhatOpenSslWrites) {
  for (const KeyKind kind : {KeyKind::kRsa2048, KeyKind::kEcP256, KeyKind::kEcP384, KeyKind::kEcP521}) {
    ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::Generate(kind));
    ASSERT_OK_AND_ASSIGN(const PublicKeyInfo info, PublicKeyInfo::FromDer(AsBytes(Written(key.get()))));
    EXPECT_EQ(info.der(), Written(key.get()));
    EXPECT_EQ(info.sha256(), key.public_key_sha256());
    EXPECT_EQ(EVP_PKEY_eq(info.key(), key.get()), 1);
  }
  // Other kinds are read too: the policy says which are certified.
  const EvpPkeyPtr ed25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  EXPECT_OK(PublicKeyInfo::Of(ed25519.get()));
}

// Every byte of a key flipped in each bit: what is read is what OpenSSL's own reader reads, and in the one form.
TEST(PublicKeyInfoTest, ReadsNothingThatOpenSslDoesNot) {
  for (const KeyKind kind : {KeyKind::kRsa2048, KeyKind::kEcP256, KeyKind::kEcP521}) {
    ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::Generate(kind));
    const std::string der = Written(key.get());
    int read = 0;
    for (size_t bit = 0; bit < der.size() * 8; ++bit) {
      std::string flipped = der;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      const absl::StatusOr<PublicKeyInfo> info = PublicKeyInfo::FromDer(AsBytes(flipped));
      if (!info.ok()) continue;
      ++read;
      const auto* at = reinterpret_cast<const unsigned char*>(flipped.data());
      const EvpPkeyPtr by_openssl(d2i_PUBKEY(nullptr, &at, static_cast<long>(flipped.size())));
      ASSERT_NE(by_openssl, nullptr) << "bit " << bit;
      EXPECT_EQ(EVP_PKEY_eq(info->key(), by_openssl.get()), 1) << "bit " << bit;
      EXPECT_EQ(Written(info->key()), flipped) << "bit " << bit;
    }
    // Any number may be an RSA modulus; a point with a flipped bit is on no curve.
    EXPECT_EQ(read > 0, kind == KeyKind::kRsa2048);
  }
}

TEST(PublicKeyInfoTest, ReadsKeysOnOtherCurves) {
  for (const char* curve : {"secp256k1", "brainpoolP256r1", "prime192v1"}) {
    const EvpPkeyPtr key(EVP_EC_gen(curve));
    ASSERT_NE(key, nullptr) << curve;
    ASSERT_OK_AND_ASSIGN(const PublicKeyInfo info, PublicKeyInfo::FromDer(AsBytes(Written(key.get()))));
    EXPECT_EQ(EVP_PKEY_eq(info.key(), key.get()), 1) << curve;
    EXPECT_THAT(CheckKeyStrength(info.key()), StatusIs(absl::StatusCode::kInvalidArgument)) << curve;
  }
}

TEST(PublicKeyInfoTest, BecomesTheKeyOfACertificateAsItIs) {
  for (const KeyKind kind : {KeyKind::kRsa3072, KeyKind::kEcP256, KeyKind::kEcP384, KeyKind::kEcP521}) {
    ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::Generate(kind));
    const std::string der = Written(key.get());
    const X509Ptr certificate(X509_new());
    ASSERT_OK(SetPublicKey(certificate.get(), AsBytes(der)));
    unsigned char* bytes = nullptr;
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &bytes);
    const OpenSslBytesPtr owner(bytes);
    ASSERT_GT(size, 0);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)), der);
  }
  const X509Ptr certificate(X509_new());
  const EvpPkeyPtr ed25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  EXPECT_THAT(SetPublicKey(certificate.get(), AsBytes(Written(ed25519.get()))),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SetPublicKey(certificate.get(), AsBytes(std::string_view("no key"))),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// One key in two forms would have two digests, and pass for two keys.
TEST(PublicKeyInfoTest, AKeyHasOneForm) {
  const EvpPkeyPtr ec(EVP_EC_gen("P-256"));
  const std::string uncompressed = Written(ec.get());
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(ec.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"), 1);
  const std::string compressed = Written(ec.get());
  ASSERT_NE(compressed, uncompressed);
  EXPECT_OK(PublicKeyInfo::FromDer(AsBytes(uncompressed)));
  ASSERT_OK_AND_ASSIGN(const PublicKeyInfo normal, PublicKeyInfo::Of(ec.get()));
  EXPECT_EQ(normal.der(), uncompressed);
  EXPECT_THAT(PublicKeyInfo::FromDer(AsBytes(compressed)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("compressed")));

  // A point with both coordinates and the sign of one (X9.62's hybrid form), and a curve as parameters.
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(ec.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "hybrid"), 1);
  EXPECT_THAT(PublicKeyInfo::FromDer(AsBytes(Written(ec.get()))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("uncompressed")));
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(ec.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed"), 1);
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(ec.get(), OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1);
  EXPECT_THAT(PublicKeyInfo::FromDer(AsBytes(Written(ec.get()))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("name the curve")));

  // An RSA key without the NULL that stands for its parameters.
  ASSERT_OK_AND_ASSIGN(const PrivateKey rsa, PrivateKey::Generate(KeyKind::kRsa2048));
  std::string without = Written(rsa.get());
  const size_t null = without.find(std::string("\x05\x00", 2));
  ASSERT_NE(null, std::string::npos);
  without.erase(null, 2);
  without[3] = static_cast<char>(without[3] - 2);  // of the outer sequence: 30 82 01 22
  without[5] = static_cast<char>(without[5] - 2);  // of the algorithm: 30 0d
  EXPECT_THAT(PublicKeyInfo::FromDer(AsBytes(without)), StatusIs(absl::StatusCode::kInvalidArgument));

  EXPECT_THAT(PublicKeyInfo::FromDer(AsBytes(uncompressed + "x")), StatusIs(absl::StatusCode::kInvalidArgument));
  // Bytes after the two numbers of an RSA key, within its bit string.
  std::string longer = Written(rsa.get()) + std::string("\x05\x00", 2);
  longer[3] = static_cast<char>(longer[3] + 2);
  const size_t bits = longer.find(std::string("\x03\x82", 2));
  ASSERT_NE(bits, std::string::npos);
  longer[bits + 3] = static_cast<char>(longer[bits + 3] + 2);
  EXPECT_THAT(PublicKeyInfo::FromDer(AsBytes(longer)), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace trustline
