// What phones are recorded to be able to read in trust lists (table phone_reading).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/phone_model/phone_model.h"
#include "common/postgres/connection.h"
#include "common/signed_file/signed_file.h"

namespace trustline {

// Of the devices in service: all, and those that are not recorded to be able, by themselves or by their model.
struct ReadingCount {
  int64_t devices = 0;
  int64_t without_sha512 = 0;
  int64_t without_version_1_1 = 0;
};

// Inside a transaction of the caller's.
class PhoneReading {
 public:
  PhoneReading(Connection& transaction, int32_t cluster_id) : connection_(transaction), cluster_id_(cluster_id) {}

  // Of a device or of a model, the other one being empty; audited. InvalidArgument for a name that no device can have.
  absl::Status Record(std::string_view device, std::string_view model, PhoneReads ability, std::string_view actor);

  absl::StatusOr<ReadingCount> Count();

  // A device's own record, or else its model's.
  absl::StatusOr<PhoneReads> Of(std::string_view device);

  // Devices in service that are not recorded to read such lists, in the order of their names.
  absl::StatusOr<std::vector<std::string>> Unable(DigestAlgorithm digest, FileVersion signer_version);

  // OK when all phones can read such lists; else FailedPrecondition with how many cannot, the first of them, and the
  // way out.
  absl::Status CheckAll(DigestAlgorithm digest, FileVersion signer_version);

 private:
  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
