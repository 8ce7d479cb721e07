// What enrolment asks of cad, the only one that issues certificates to devices and knows which devices there are.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/service/identity_files.h"
#include "proto/device.grpc.pb.h"
#include "proto/issuance.grpc.pb.h"

namespace trustline {

struct IssuedForDevice {
  int64_t issuance_id = 0;
  std::string serial;  // hexadecimal
  std::string der;
};

// Thread-safe. A cad that does not answer is Unavailable, and so is what it cannot do at present.
class IssuanceClient {
 public:
  // `address` is cad's, "host:port". Connects at the first call.
  static absl::StatusOr<std::unique_ptr<IssuanceClient>> Create(const std::string& address,
                                                                const IdentityFiles& identity);

  // The same request id always gets the same certificate. InvalidArgument and AlreadyExists for a key that is refused;
  // NotFound for a device that the cluster does not have; FailedPrecondition for one that is out of service, or when no
  // authority can issue. Waits some seconds for a cad that is just starting.
  absl::StatusOr<IssuedForDevice> IssueForKey(std::string_view cluster, std::string_view device,
                                              std::string_view public_key_info, std::string_view request_id);

  // Devices have acknowledged theirs, at most 1,000. Repeatable. Returns those that are not in force any more, with
  // why.
  absl::StatusOr<std::map<int64_t, std::string>> Confirm(std::string_view cluster, std::span<const int64_t> issuances);

  // Because the device does not have it any more. Repeatable.
  absl::Status Revoke(std::string_view cluster, std::string_view serial);

  // At most 1,000; those that were not known before.
  absl::StatusOr<std::vector<std::string>> AddDevices(std::string_view cluster, const std::vector<std::string>& names);

 private:
  IssuanceClient(std::string address, std::unique_ptr<v1::Issuance::Stub> issuance,
                 std::unique_ptr<v1::Devices::Stub> devices)
      : address_(std::move(address)), issuance_(std::move(issuance)), devices_(std::move(devices)) {}

  const std::string address_;
  const std::unique_ptr<v1::Issuance::Stub> issuance_;
  const std::unique_ptr<v1::Devices::Stub> devices_;
};

}  // namespace trustline
