// Whether a certificate proves a device now, by what the database knows: the system's own issuances, or the authorities
// of manufacturers. Whether somebody has its key is another question (capf/proof.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/crl_cache.h"
#include "common/postgres/connection.h"
#include "common/x509/certificate.h"

namespace trustline {

enum class CertificateOrigin : uint8_t {
  kLsc,           // this system issued it
  kManufacturer,  // under an authority that was imported with the purpose "manufacturing"
};

struct DeviceCertificate {
  CertificateOrigin origin = CertificateOrigin::kLsc;
  bool expired = false;  // good only because its end does not count: to be audited
};

// `device` is a DeviceName's text. A certificate of the system must be on record as issued to the device by an
// authority of the cluster that is not retired, and not be revoked; one that chains to our authorities without being on
// record is refused. A manufacturer's must chain to the authorities of the purpose as of `now`, or as of its own end
// when it is over and `allow_expired_manufacturer`; nothing on its path may be named by its issuer's CRL, if the trust
// store has one, nor may that be past its next update. Both must be for signatures, be nobody's authority, and name the
// device. PermissionDenied with the reason otherwise; any other error means that nothing was decided. Works on whatever
// transaction `connection` is in; what CRLs it needs
// the database says each time, and `crls` spares their parsing.
absl::StatusOr<DeviceCertificate> JudgeDeviceCertificate(Connection& connection, CrlCache& crls, int32_t cluster_id,
                                                         const Certificate& certificate, std::string_view device,
                                                         bool allow_expired_manufacturer, absl::Time now);

}  // namespace trustline
