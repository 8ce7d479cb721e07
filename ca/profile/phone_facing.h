// The certificates by which phones know the system's servers, all of one form (docs/PROTOCOLS.md, trust lists).
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/secret_bytes.h"
#include "common/x509/certificate.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/private_key.h"

namespace trustline {

enum class PhoneFacingKind : uint8_t { kTvs, kCapf, kCallManager, kHttps, kItlRecovery };

inline constexpr int kPhoneFacingYears = 5;

// Whose certificate it will be.
struct PhoneFacingSubject {
  std::string node;  // "node1"
  std::string host;  // as DNS has it
  std::string organization;
  std::string organizational_unit;
};

struct PhoneFacingProfile {
  KeyKind key_kind;
  std::string common_name;
  std::string organization;
  std::string organizational_unit;
  std::string dns_name;
  int years = kPhoneFacingYears;  // of its life
};

// RSA 2048 for those that old phones meet, which is all but kHttps: EC secp384r1. Common names: "TVS-<node>-<host>",
// "CAPF-" and "ITLRECOVERY-" with 8 hexadecimal digits, which are drawn anew at each call, and the host's. At most 64
// characters.
PhoneFacingProfile NewPhoneFacingProfile(PhoneFacingKind kind, const PhoneFacingSubject& subject);

// For the profile's years, CA:TRUE pathlen:0, subject CN, O, OU in this order; to be self-signed with a key of the
// profile's kind. InvalidArgument for names that no certificate can have.
absl::StatusOr<CertificateTemplate> PhoneFacingTemplate(const PhoneFacingProfile& profile, absl::Time now);

// The successor of `present` for another key: self-signed, of the form above, with the same CN, O, OU and DNS names.
// FailedPrecondition, naming what is missing, for a certificate that is not of this form.
absl::StatusOr<Certificate> RenewPhoneFacing(const Certificate& present, const PrivateKey& key, absl::Time now);

// Makes a key and its self-signed certificate and writes `name`.key (mode 0600, encrypted with `passphrase`) and
// `name`.crt into `directory`, which exists. Each file is written whole, the certificate last: where it stands, its key
// stands too. To be called as the user to whom they shall belong.
absl::StatusOr<Certificate> WriteNewPhoneFacing(const PhoneFacingProfile& profile, const std::string& directory,
                                                const std::string& name, const SecretBytes& passphrase, absl::Time now);

}  // namespace trustline
