// capfd's own sections of its configuration file (docs/OPERATIONS.md).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "capf/session.h"
#include "common/service/config.h"
#include "common/service/listener_config.h"

namespace trustline {

struct CapfdConfig {
  size_t workers = 0;                // 0: one a core
  size_t work_threads = 0;           // for what blocks: database and cad
  double enrolments_per_second = 0;  // of all listeners together; over it phones are told to come later
  CapfEndpointOptions endpoint;
  absl::Duration keep_alive;  // the listeners' patient deadline
  std::string string_key;     // the key of the authentication strings
  std::string string_key_passphrase_file;
  std::string replace_string_key;  // fingerprint of one that is lost for good; mostly empty
  std::string cad;                 // "host:port"
  std::vector<ListenerConfig> listeners;
};

// Reads [capf], [[listener]] and [services]. InvalidArgument with file and line.
absl::StatusOr<CapfdConfig> ReadCapfdConfig(ConfigTable root);

}  // namespace trustline
