// Trust lists and signed files from the FILE arguments of commands. Errors say what the file is instead, and where a
// good one comes from.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/signed_file/reader.h"
#include "itl/trust_list/reader.h"

namespace trustline {

// A trust list, a signed or an encrypted file: well-formed, not verified.
struct DecodedFile {
  std::shared_ptr<const std::string> bytes;  // `file` borrows from it
  SignedFile file;
  std::vector<TrustListRecord> records;  // of a trust list only
};
absl::StatusOr<DecodedFile> ReadAnySignedFile(const std::string& path);

// The same for trust lists alone, also of a size that phones do not load.
absl::StatusOr<TrustList> ReadListFile(const std::string& path);

// Adds the next step to why the list in the file does not verify; `group` is "itl" or "ctl". OK stays OK.
absl::Status WithVerificationAdvice(const absl::Status& status, std::string_view path, std::string_view group);

}  // namespace trustline
