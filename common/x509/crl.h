// Certificate revocation lists (RFC 5280, section 5).
#pragma once

#include <openssl/x509.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/x509/certificate.h"
#include "common/x509/distinguished_name.h"

namespace trustline {

inline constexpr size_t kMaxCrlSize = 64 * 1024 * 1024;

// CRLReason (RFC 5280, section 5.3.1). removeFromCRL (8) stands in delta CRLs only, which are not read.
enum class RevocationReason : uint8_t {
  kUnspecified = 0,
  kKeyCompromise = 1,
  kCaCompromise = 2,
  kAffiliationChanged = 3,
  kSuperseded = 4,
  kCessationOfOperation = 5,
  kCertificateHold = 6,
  kPrivilegeWithdrawn = 9,
  kAaCompromise = 10,
};

// "keyCompromise" and so on, as the RFC writes them.
std::string_view RevocationReasonName(RevocationReason reason);

struct RevokedCertificate {
  ByteView serial;  // big-endian, without leading zero bytes; valid during the call only
  absl::Time revoked_at;
  RevocationReason reason = RevocationReason::kUnspecified;
};

// A complete CRL of one issuer. Immutable; copies share everything.
class CertificateRevocationList {
 public:
  // PEM (one X509 CRL block) or DER, with nothing left over. InvalidArgument with words for what is not a CRL, and for
  // CRLs that do not speak for all certificates of their issuer: delta, indirect, or limited by an issuing distribution
  // point; also for unknown critical extensions. The signature is not checked here.
  static absl::StatusOr<CertificateRevocationList> FromBytes(ByteView bytes);

  ByteView der() const;
  const Sha256Digest& sha256() const;
  const DistinguishedName& issuer() const;
  // The CRL number, big-endian without leading zero bytes; absent in old CRLs.
  std::optional<std::string> number() const;
  absl::Time this_update() const;
  std::optional<absl::Time> next_update() const;
  // Empty when the extension is absent.
  ByteView authority_key_id() const;

  size_t revoked_count() const;
  // Every revoked certificate; entries with the reason removeFromCRL are passed over.
  void ForEachRevoked(const std::function<void(const RevokedCertificate&)>& visit) const;

  // FailedPrecondition unless `issuer` has the CRL's issuer name, may sign CRLs, and its key made the signature.
  absl::Status VerifySignedBy(const Certificate& issuer) const;

 private:
  struct Data;
  explicit CertificateRevocationList(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

}  // namespace trustline
