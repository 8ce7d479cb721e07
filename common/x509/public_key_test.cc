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
