// What phones asked a TVS node, as it passes it on.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/bytes/sha256.h"

namespace trustline {

// What was asked about. All names empty: many, or nobody knows.
struct QuestionSigner {
  bool is_query = false;  // else verify
  std::string subject;
  std::string issuer;
  std::string serial;  // bytes

  auto operator<=>(const QuestionSigner&) const = default;  // NOLINT(modernize-use-nullptr): it reads the implied 0
};

// Equal questions of one phone, from one address, to one node.
struct QuestionCounts {
  std::string device;  // as it calls itself; empty: no name, or no room
  QuestionSigner signer;
  bool valid = false;  // what it was told
  int32_t reason = 0;  // v1::InvalidReason
  int64_t count = 0;   // at least 1
  absl::Time first_at;
  absl::Time last_at;
  std::string address;  // empty: unknown
};

struct QuestionBatch {
  std::string node;
  uint64_t process = 0;  // of the node
  int64_t number = 0;    // of this batch among the process's
  std::vector<QuestionCounts> counts;
  std::vector<Sha256Digest> presented;  // certificates that the node's TVS presents; empty: it does not say
};

}  // namespace trustline
