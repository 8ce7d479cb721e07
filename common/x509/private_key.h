// Private keys and the files that hold them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/bytes/secret_bytes.h"
#include "common/bytes/sha256.h"
#include "common/x509/certificate.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/public_key.h"

namespace trustline {

enum class KeyKind : uint8_t { kRsa2048, kRsa3072, kRsa4096, kEcP256, kEcP384, kEcP521 };

// Owns a private key; move-only.
class PrivateKey {
 public:
  static absl::StatusOr<PrivateKey> Generate(KeyKind kind);

  // The first private key block of `pem`, which may hold certificates too; `passphrase` may be null. FailedPrecondition
  // when the key is encrypted and there is no passphrase; Unauthenticated for a wrong one; InvalidArgument otherwise.
  static absl::StatusOr<PrivateKey> FromPem(std::string_view pem, const SecretBytes* passphrase);

  // PKCS#8, PKCS#1 or SEC1 without encryption. InvalidArgument for anything else, also with bytes after it.
  static absl::StatusOr<PrivateKey> FromDer(ByteView der);
  // Takes it over; not null.
  static PrivateKey FromEvp(EvpPkeyPtr key) { return PrivateKey(std::move(key)); }

  // As FromPem, from files of at most 64 KB that only their owner may read or write and that belong to this process's
  // user or root (PermissionDenied with the command that mends it). A line end after the passphrase does not belong to
  // it. An empty `passphrase_path` means none. A file directly in systemd's folder of credentials may be readable for
  // its group: there that is the mask of the ACL by which systemd lets the service's user read it.
  static absl::StatusOr<PrivateKey> ReadKeyFile(const std::string& path, const std::string& passphrase_path = "");
  static absl::StatusOr<PrivateKey> ReadKeyFile(const std::string& path, const SecretBytes& passphrase);

  // Writes PKCS#8 in PEM with mode 0600, whole or not at all, in place of any file of that name; with a passphrase
  // encrypted by AES-256-CBC and PBKDF2 (RFC 8018).
  absl::Status WriteKeyFile(const std::string& path, const SecretBytes* passphrase = nullptr) const;

  // SHA-256 of the SubjectPublicKeyInfo.
  Sha256Digest public_key_sha256() const;
  bool MatchesCertificate(const Certificate& certificate) const;
  std::string kind_text() const { return PublicKeyKindText(key_.get()); }

  // Borrowed; must not be modified.
  EVP_PKEY* get() const { return key_.get(); }

 private:
  explicit PrivateKey(EvpPkeyPtr key) : key_(std::move(key)) {}
  EvpPkeyPtr key_;
};

// The kind of a certificate's key; empty for one that Generate does not make.
std::optional<KeyKind> KeyKindOf(const Certificate& certificate);

// A passphrase from a file under the same rules as ReadKeyFile's.
absl::StatusOr<SecretBytes> ReadPassphraseFile(const std::string& path);

}  // namespace trustline
