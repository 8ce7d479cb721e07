// Makes certificates; the forms of the system's identity authority and its gRPC identities.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/x509/certificate.h"
#include "common/x509/distinguished_name.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/private_key.h"

namespace trustline {

// How far before now a certificate becomes valid, for machines whose clocks are behind.
inline constexpr absl::Duration kClockSkewAllowance = absl::Hours(1);
// The same day and time of day in UTC.
absl::Time YearsAfter(absl::Time time, int years);
inline constexpr absl::Duration kIdentityLifetime = absl::Hours(24 * 90);

// What goes into a certificate besides its keys and serial number (128 random bits).
struct CertificateTemplate {
  DistinguishedName subject;
  absl::Time not_before;
  absl::Time not_after;
  bool is_ca = false;
  std::optional<int> path_length;      // for a CA
  std::vector<std::string> key_usage;  // OpenSSL's names: "digitalSignature", "keyCertSign", ...
  bool key_usage_critical = true;
  std::vector<std::string> extended_key_usage;  // OpenSSL's names or dotted OIDs
  std::vector<std::string> dns_names;
  std::vector<std::string> uri_names;
};

// The system's own identity authority: ten years, to be used with an EC P-256 key.
absl::StatusOr<CertificateTemplate> IdentityAuthorityTemplate(std::string_view common_name, absl::Time now);

// An identity on gRPC, server and client, for kIdentityLifetime. `uri` is "trustline:<cluster>/<kind>/<name>"; the
// common name is <name>, cut to 64 characters; `dns_names` may be empty.
absl::StatusOr<CertificateTemplate> IdentityTemplate(std::string_view uri, const std::vector<std::string>& dns_names,
                                                     absl::Time now);

// Adds an extension whose value is in the text form of x509v3_config(5): "critical,CA:FALSE". `issuer` is `certificate`
// itself when it is self-signed. InvalidArgument for a text that OpenSSL does not understand.
absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value);

// Signed by its own key.
absl::StatusOr<Certificate> BuildSelfSigned(const CertificateTemplate& form, const PrivateKey& key);

// Signed by `issuer`, whose key `issuer_key` must be, and ending no later than it; `subject_key` needs its public part
// only and is borrowed.
absl::StatusOr<Certificate> BuildIssued(const CertificateTemplate& form, EVP_PKEY* subject_key,
                                        const Certificate& issuer, const PrivateKey& issuer_key);

}  // namespace trustline
