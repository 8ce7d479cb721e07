// An X.509 certificate (RFC 5280) as the system passes it around.
#pragma once

#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/x509/distinguished_name.h"

namespace trustline {

// The largest certificate that is read. Real ones with RSA 4096 keys and dozens of names stay under 8 KB; the TVS wire
// format could carry 65,535 bytes, which would let one message cost 30 times the work of an honest one.
inline constexpr size_t kMaxCertificateSize = 16 * 1024;

// A serial number without its leading zero bytes, as (issuer, serial) look-ups compare it. Zero is empty.
ByteView CanonicalSerial(ByteView serial);

// One certificate: the parsed form and the exact bytes it came from. Immutable; copies share everything and are cheap;
// safe to use from several threads.
class Certificate {
 public:
  // InvalidArgument unless `der` is one certificate in DER (X.690, section 10) with nothing after it.
  static absl::StatusOr<Certificate> FromDer(ByteView der);
  // Exactly one CERTIFICATE block; blocks of other kinds (a private key) are passed over.
  static absl::StatusOr<Certificate> FromPem(std::string_view pem);
  static absl::StatusOr<Certificate> FromX509(const X509* x509);

  ByteView der() const;
  std::string ToPem() const;
  const Sha256Digest& sha256() const;

  const DistinguishedName& subject() const;
  const DistinguishedName& issuer() const;
  // Big-endian, without leading zero bytes.
  ByteView serial() const;
  absl::Time not_before() const;
  // The last second in which the certificate is valid.
  absl::Time not_after() const;

  // "RSA 2048", "EC secp384r1", "ED25519", or "unknown" for a key that OpenSSL cannot read.
  std::string public_key_kind() const;
  // SHA-256 of the SubjectPublicKeyInfo.
  const Sha256Digest& public_key_sha256() const;
  // basicConstraints says CA:TRUE.
  bool is_ca() const;
  // Subject and issuer are the same name; the signature is not looked at.
  bool is_self_issued() const;
  // Empty when the extension is absent.
  ByteView subject_key_id() const;
  ByteView authority_key_id() const;
  // subjectAltName, in its order; names with embedded NULs are left out.
  std::vector<std::string> dns_names() const;
  std::vector<std::string> uri_names() const;

  // What a trust store must not take in although it is a certificate: NULs in names, validity that ends before it
  // begins, extensions that OpenSSL cannot read, a key that it cannot read.
  absl::Status CheckImportable() const;

  // Borrowed. Not const because OpenSSL's calls are not; must not be modified.
  X509* x509() const;

  bool operator==(const Certificate& other) const { return sha256() == other.sha256(); }

 private:
  struct Data;
  explicit Certificate(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

}  // namespace trustline
