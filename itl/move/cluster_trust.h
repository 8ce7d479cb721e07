// A cluster's trust as one file (message ExportedTrust, proto/migration.proto, as JSON): what another cluster needs to
// know to hand its phones over. Certificates and lists, which phones get as well; no key. Whoever can change the file
// can take the phones over: its SHA-256 is compared over another channel.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/sha256.h"
#include "common/device/certificate_role.h"
#include "common/x509/certificate.h"

namespace trustline {

// Bytes. A TFTP server takes some 7,000.
inline constexpr size_t kLargestClusterTrust = 4 * 1024 * 1024;

struct MovedCertificate {
  Certificate certificate;
  std::vector<CertificateRole> roles;
  std::string of;  // whose it is, in words: "ITLRecovery"

  bool Has(CertificateRole role) const;
};

struct MovedServer {
  std::string name;
  std::string host;
  std::string itl;  // the file
  Sha256Digest file_signer = {};
};

struct ClusterTrust {
  std::string cluster;
  std::vector<MovedCertificate> certificates;
  std::vector<MovedServer> servers;
  std::string ctl;  // the file; empty: it has none
};

// Always the same bytes for the same trust.
std::string EncodeClusterTrust(const ClusterTrust& trust);

// InvalidArgument, with words for what is broken: not this format, too large, a certificate or a role that is none, a
// list that cannot be read, that is not signed by its signer, or whose signer the file does not name as SAST.
absl::StatusOr<ClusterTrust> DecodeClusterTrust(std::string_view file);

}  // namespace trustline
