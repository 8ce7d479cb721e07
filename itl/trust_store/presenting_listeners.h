// Which of this system's listeners present a certificate to phones now.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/postgres/connection.h"

namespace trustline {

struct TvsNodeCertificate {
  std::string node;
  Sha256Digest sha256 = {};
  std::optional<absl::Time> said_at;  // within 5 min; empty when it has said nothing yet
};

// What the TVS of each node says that it presents, by the nodes' names; one that has said nothing yet counts with what
// it joined with.
absl::StatusOr<std::vector<TvsNodeCertificate>> TvsNodeCertificates(Connection& connection, int32_t cluster_id);

// The names of those whose TVS presents this certificate.
absl::StatusOr<std::vector<std::string>> PresentingTvsNodes(Connection& connection, int32_t cluster_id,
                                                            const Sha256Digest& sha256);

struct CapfListenerName {
  std::string node;
  std::string listener;  // "[::]:3804"
};

// Those of capfd that said so within the last minute: they say it every 10 s.
absl::StatusOr<std::vector<CapfListenerName>> PresentingCapfListeners(Connection& connection, int32_t cluster_id,
                                                                      const Sha256Digest& sha256, absl::Time now);

}  // namespace trustline
