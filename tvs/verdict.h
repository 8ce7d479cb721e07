// The decision: what a TVS node says of a certificate or a signer, from a snapshot alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/device/certificate_role.h"
#include "common/x509/certificate.h"
#include "tvs/trust_snapshot.h"

namespace trustline {

enum class InvalidReason : uint8_t {
  kNone,  // the verdict is valid
  kUnknown,
  kExpired,
  kNotYetValid,
  kRevoked,
  kRemoved,
  kWrongRole,
  kBrokenChain,
  kMalformed,
  kRevocationUnknown,  // the deciding CRL is past its next update
};
inline constexpr size_t kInvalidReasons = 10;

// A stable lower-case name for logs and metric labels, such as "not_yet_valid".
std::string_view InvalidReasonName(InvalidReason reason);

struct TrustVerdict {
  bool valid = false;
  InvalidReason reason = InvalidReason::kUnknown;
  // The trust store itself knows the certificate or its revocation, so that an invalid verdict needs no second look at
  // the database.
  bool known = false;
  CertificateRoleSet roles;
  // The least of policy, remaining validity and the deciding CRL's next update.
  uint32_t ttl_seconds = 0;
  // The certificate's record, when it has one; as long-lived as the snapshot.
  const TrustRecord* record = nullptr;
  // When an anchor decided: the path from the certificate's issuer to the anchor, or why there is none (for an unknown
  // certificate the name of its issuer).
  std::vector<Certificate> issuers;
  std::string path_words;

  // Phones accept a certificate for its roles: one without any is invalid to them.
  bool ValidForPhones() const { return valid && roles.HasAnyRole(); }
};

// A certificate that is stored is judged by its own entries, any other by the anchors. A removed entry outweighs an
// anchor.
TrustVerdict JudgeCertificate(const TrustSnapshot& snapshot, ByteView der, absl::Time now);
TrustVerdict JudgeCertificate(const TrustSnapshot& snapshot, ByteView der, const Sha256Digest& sha256, absl::Time now);

// The certificate of a signer, which must be stored.
TrustVerdict JudgeSigner(const TrustSnapshot& snapshot, const Sha256Digest& issuer_serial, absl::Time now);

// Turns a valid verdict without this role into an invalid one.
void RequireRole(TrustVerdict& verdict, CertificateRole role);

// One sentence for an administrator: what was found and what to do next.
std::string ExplainVerdict(const TrustVerdict& verdict);

}  // namespace trustline
