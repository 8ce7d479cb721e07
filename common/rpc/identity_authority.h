// The authority that issues identities for gRPC; it has nothing to do with the certificates that phones see.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/rpc/identity.h"
#include "common/x509/certificate.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/certificate_request.h"
#include "common/x509/private_key.h"

namespace trustline {

// Immutable; IssueIdentity and Sign may be called from several threads.
class IdentityAuthority {
 public:
  // A new one: EC P-256, ten years.
  static absl::StatusOr<IdentityAuthority> Create(absl::Time now);
  static absl::StatusOr<IdentityAuthority> Load(const std::string& certificate_path, const std::string& key_path,
                                                const std::string& passphrase_path);
  // Writes the key encrypted under the passphrase in `passphrase_path`, which must exist, then the certificate.
  absl::Status Save(const std::string& certificate_path, const std::string& key_path,
                    const std::string& passphrase_path) const;

  const Certificate& certificate() const { return certificate_; }

  // The certificate has exactly `identity` as its URI name and no other. PermissionDenied when the request asks for
  // any other URI or for a DNS name; the request's signature was checked when it was read.
  absl::StatusOr<Certificate> IssueIdentity(const CertificateRequest& request, const Identity& identity, absl::Time now,
                                            absl::Duration lifetime = kIdentityLifetime) const;
  // For a key that this process made itself.
  absl::StatusOr<Certificate> IssueIdentity(const PrivateKey& key, const Identity& identity, absl::Time now,
                                            absl::Duration lifetime = kIdentityLifetime) const;

  // A signature over `message` that is good for `purpose` only ("audit checkpoint"), and cannot be taken for one of a
  // certificate: ECDSA with SHA-256, in DER (RFC 3279, section 2.2.3).
  absl::StatusOr<std::string> Sign(std::string_view purpose, ByteView message) const;

 private:
  IdentityAuthority(PrivateKey key, Certificate certificate)
      : key_(std::move(key)), certificate_(std::move(certificate)) {}
  PrivateKey key_;
  Certificate certificate_;
};

// PermissionDenied unless the key of `authority` made the signature with IdentityAuthority::Sign for that purpose.
absl::Status CheckAuthoritySignature(const Certificate& authority, std::string_view purpose, ByteView message,
                                     ByteView signature);

}  // namespace trustline
