// Operations for many devices at once: Enrolment.ScheduleOperations.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/authentication_string.h"
#include "capf/enrolment_caller.h"
#include "capf/operation.h"
#include "capf/operation_store.h"
#include "common/bytes/secret_bytes.h"
#include "common/postgres/pool.h"
#include "common/rpc/patient_stream.h"
#include "common/service/clock.h"
#include "proto/enrolment.pb.h"

namespace trustline {

using ScheduleStream = PatientStream<v1::ScheduleOperationsRequest, v1::ScheduleOperationsResponse>;

// Adds devices to a cluster, at most 1,000 at once; the names of those that were not known before.
using AddDevices = std::function<absl::StatusOr<std::vector<std::string>>(const std::string& cluster,
                                                                          const std::vector<std::string>& names)>;

inline constexpr int64_t kMostScheduledDevices = 1'000'000;   // of a call
inline constexpr int64_t kMostDevicesAllOrNothing = 200'000;  // in one transaction
inline constexpr absl::Duration kDefaultOperationTime = absl::Hours(24 * 10);
inline constexpr absl::Duration kLongestOperationTime = absl::Hours(24 * 366);

// A call's options once they were found good.
struct ScheduleOptions {
  std::optional<CapfOperation> operation;  // empty: what is pending is taken back
  EnrolmentAuthentication authentication = EnrolmentAuthentication::kString;
  KeyPlan keys;
  absl::Time deadline;
  int string_digits = kDefaultStringDigits;
  bool add_unknown_devices = false;
  bool all_or_nothing = false;
};
// InvalidArgument for options that contradict each other or the limits.
absl::StatusOr<ScheduleOptions> ReadScheduleOptions(const v1::ScheduleOperationsRequest::Options& options,
                                                    absl::Time now);

struct ScheduleParts {
  Pool& pool;
  const AuthenticationStrings& strings;
  const AddDevices& add_devices;
  const Clock& clock;
  std::string_view capfd;  // this one's identity URI
};

// One call.
class Schedule {
 public:
  Schedule(const ScheduleParts& parts, EnrolmentCaller caller, ScheduleOptions options)
      : parts_(parts), caller_(std::move(caller)), options_(std::move(options)) {}

  // Receives batches of names, schedules, and answers. FailedPrecondition when all or nothing was asked for and a
  // device was refused.
  absl::Status Run(ScheduleStream& stream);

 private:
  struct Device {
    std::string name;
    std::string refusal;
    SecretBytes string;
    std::optional<KeptString> kept;
    bool added = false;
    ScheduledOperation result;
  };

  absl::StatusOr<std::vector<Device>> Admit(const v1::ScheduleOperationsRequest& request);
  Device AdmitOne(const std::string& name);
  // In one transaction, with its audit row. With all_or_nothing, FailedPrecondition when any was refused.
  absl::Status Apply(std::vector<Device>& devices, const ScheduleStream& stream);
  absl::Status Order(Connection& transaction, std::span<Device*> devices, absl::Time now);
  // Those that the cluster does not have are the last of `devices`; how many they are.
  absl::StatusOr<size_t> SortUnknownLast(Connection& connection, std::vector<Device*>& devices);
  absl::Status AddToCluster(std::span<Device*> devices);
  absl::Status Audit(Connection& transaction, std::span<Device*> devices);
  absl::Status Answer(ScheduleStream& stream, std::span<Device> devices);

  const ScheduleParts parts_;
  const EnrolmentCaller caller_;
  const ScheduleOptions options_;
  // Of the whole call.
  int64_t received_ = 0;
  std::unordered_set<std::string> names_;
};

}  // namespace trustline
