// Builds complete CRLs (RFC 5280, section 5).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_key.h"
#include "common/bytes/bytes.h"
#include "common/x509/certificate.h"
#include "common/x509/crl.h"

namespace trustline {

// A CRL of version 2 in the making: entries first, then Sign() once. Not for several threads.
class CrlBuilder {
 public:
  static absl::StatusOr<CrlBuilder> Begin(const Certificate& issuer, absl::Time this_update, absl::Time next_update);

  // Each serial number once.
  absl::Status Add(ByteView serial, absl::Time revoked_at, RevocationReason reason);
  int64_t count() const { return count_; }

  // With its number and the issuer's key identifier, signed; the DER.
  absl::StatusOr<std::string> Sign(int64_t number, const AuthorityKey& key);

 private:
  CrlBuilder(X509CrlPtr crl, Certificate issuer) : crl_(std::move(crl)), issuer_(std::move(issuer)) {}
  X509CrlPtr crl_;
  Certificate issuer_;
  int64_t count_ = 0;
};

}  // namespace trustline
