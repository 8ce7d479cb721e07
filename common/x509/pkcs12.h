// PKCS#12 files (RFC 7292) with one key and its certificate, as administrators keep keys outside of the system.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/bytes/secret_bytes.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"

namespace trustline {

// The largest file that is read.
inline constexpr size_t kMaxPkcs12Size = 64 * 1024;
inline constexpr size_t kMinPkcs12Passphrase = 8;

struct CertifiedKey {
  Certificate certificate;
  PrivateKey key;
};

// Encrypted with AES-256-CBC and PBKDF2 (RFC 8018), authenticated with HMAC-SHA-256; `name` is the friendly name.
// InvalidArgument for a passphrase under kMinPkcs12Passphrase bytes or with a NUL; FailedPrecondition when the key is
// not the certificate's.
absl::StatusOr<std::string> WritePkcs12(const Certificate& certificate, const PrivateKey& key,
                                        const SecretBytes& passphrase, const std::string& name);

// Also of other writers, with further certificates, which are passed over. Unauthenticated for a wrong passphrase (or
// altered bytes, which look the same); InvalidArgument for what is no PKCS#12 file, has no key, or has no certificate
// of its key.
absl::StatusOr<CertifiedKey> ReadPkcs12(ByteView bytes, const SecretBytes& passphrase);

}  // namespace trustline
