// The hash chain over audit rows: what makes an altered, a deleted or an inserted row show.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/bytes/writer.h"

namespace trustline {

// A row of audit_event as the hash covers it.
struct AuditRow {
  int64_t event_id = 0;
  int64_t cluster_id = 0;
  absl::Time at;
  absl::Time occurred_at;
  std::string actor;
  std::string action;
  std::string subject;
  std::string outcome;
  std::string detail;  // the text of the JSON object, byte for byte
};

// SHA-256(previous hash || number || row). Number is 8 bytes big-endian. The row is its fields in the order of
// AuditRow, each as a 4-byte length and its bytes: integers as 8 bytes, times as 8 bytes of microseconds since 1970.
// The first link's previous hash is 32 zero bytes.
Sha256Digest ChainHash(const Sha256Digest& previous, int64_t number, const AuditRow& row);

// Writes 8 bytes, big-endian.
void AppendNumber(ByteWriter& writer, int64_t value);

}  // namespace trustline
