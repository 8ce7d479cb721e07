// What kind of key a public key is, and whether it is strong enough.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {

// "RSA 2048", "EC secp384r1", "ED25519"; "unknown" for a null key or one that OpenSSL cannot name.
std::string PublicKeyKindText(const EVP_PKEY* key);

// InvalidArgument unless the key is RSA of 2,048 to 8,192 bits or EC on secp256r1, secp384r1 or secp521r1.
absl::Status CheckKeyStrength(const EVP_PKEY* key);

// The largest SubjectPublicKeyInfo that is read: RSA 16384 takes 2.1 KB.
inline constexpr size_t kMaxPublicKeyInfoSize = 4096;

// A public key and its SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) in the one form that a key has, so that the
// same key never has two digests: RSA with NULL parameters (RFC 3279, section 2.3.1), points on curves uncompressed
// (RFC 5480, section 2.2). Immutable; copies share everything.
class PublicKeyInfo {
 public:
  // InvalidArgument unless `der` is one SubjectPublicKeyInfo in that form, with nothing after it, of a kind of key that
  // OpenSSL knows.
  static absl::StatusOr<PublicKeyInfo> FromDer(ByteView der);
  // The same for one that OpenSSL has read already.
  static absl::StatusOr<PublicKeyInfo> FromX509Pubkey(const X509_PUBKEY* parsed);
  // Of a key that may have come in another form.
  static absl::StatusOr<PublicKeyInfo> Of(EVP_PKEY* key);

  const std::string& der() const { return data_->der; }
  const Sha256Digest& sha256() const { return data_->sha256; }
  // Borrowed; must not be modified.
  EVP_PKEY* key() const { return data_->key.get(); }

 private:
  struct Data {
    std::string der;
    Sha256Digest sha256;
    EvpPkeyPtr key;
  };
  static absl::StatusOr<PublicKeyInfo> Take(std::string der, absl::StatusOr<EvpPkeyPtr> key);
  explicit PublicKeyInfo(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

// Makes an RSA or EC key that of a certificate which is being built, byte for byte as PublicKeyInfo::FromDer() takes
// it; InvalidArgument for any other.
absl::Status SetPublicKey(X509* certificate, ByteView public_key_info);

}  // namespace trustline
