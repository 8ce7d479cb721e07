// Any number of certificates in no time: one RSA 2048 certificate, and copies of it that differ by serial number.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/connection.h"
#include "common/x509/certificate.h"
#include "tvs/trust_snapshot.h"

namespace trustline {

// The certificates parse and have the size of real phone-facing ones; the copies' signatures are wrong, which nobody
// looks at in a self-signed certificate that a trust store knows by its bytes. Immutable.
class CertificateSeries {
 public:
  static absl::StatusOr<CertificateSeries> Create();

  // Certificate `number` of the series, DER.
  std::string Der(uint32_t number) const;
  CertificateFacts Facts(uint32_t number) const;

  // Puts the certificates 0 to `count` - 1 into the trust store of cluster default with role APP-SERVER and a TTL of a
  // day, in one transaction. `connection` is itld's or the superuser's; the trust store has none of them yet.
  absl::Status AddToTrustStore(Connection& connection, uint32_t count) const;

 private:
  CertificateSeries(Certificate first, size_t serial_offset)
      : first_(std::move(first)), serial_offset_(serial_offset) {}

  const Certificate first_;
  const size_t serial_offset_;  // of the four bytes that differ, in the DER
};

}  // namespace trustline
