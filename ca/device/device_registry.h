// The devices of a cluster (table device, written by cad alone): how they are added, changed, and go out of service.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/device/device_record.h"
#include "ca/revocation/revocation.h"
#include "common/device/device_name.h"
#include "common/postgres/connection.h"

namespace trustline {

inline constexpr size_t kMaxImportRows = 1000;

struct DeviceRow {
  std::string name;  // lower case is folded
  DeviceData data;
};

struct DeviceLeftAlone {
  std::string name;
  std::string reason;  // DeviceStateText
};

struct DeviceImportResult {
  int64_t added = 0;
  int64_t changed = 0;
  int64_t unchanged = 0;
  std::vector<DeviceLeftAlone> left_alone;  // by name
};

struct DeviceEdit {
  bool changed = false;
  DeviceRecord device;
};

struct DeviceRemoval {
  DeviceRecord device;  // of a replacement, the new one
  int64_t revoked = 0;  // certificates of the device that went out of service
};

struct DeviceFilter {
  std::string name_prefix;  // as ParseDeviceNamePrefix returns it; empty matches all
  std::string model;        // exactly; empty matches all
  std::string site;         // exactly; empty matches all
  std::optional<DeviceState> state;
};

struct DevicePage {
  std::vector<DeviceRecord> devices;  // by name
  bool more = false;                  // the last of them is where the next page begins
};

// Works inside a transaction that the caller owns and commits; Find and List need none. Audits every change
// (device.add, device.import, device.set, device.replace, device.retire, device.remove), and nothing when nothing
// changes. A change locks the rows of its devices in the order of their names. Every function that takes the name of a
// device that should be there answers NotFound, with the command that adds it, when it is not.
class DeviceRegistry {
 public:
  DeviceRegistry(Connection& transaction, AuthorityCaller caller)
      : connection_(transaction), caller_(std::move(caller)) {}

  // AlreadyExists with its state and the command that changes it.
  absl::StatusOr<DeviceRecord> Add(const DeviceName& name, const DeviceData& data);

  // Adds the devices that are new and gives those in service the texts of their row that are not empty; others are left
  // alone and reported. All or none: InvalidArgument naming the row for a bad name or text, a name that comes twice, or
  // more than kMaxImportRows.
  absl::StatusOr<DeviceImportResult> Import(std::span<const DeviceRow> rows);

  // FailedPrecondition for a device out of service.
  absl::StatusOr<DeviceEdit> Set(const DeviceName& name, const DeviceChange& change);

  // `new_name`, which is added when it is not there, gets the data of `old_name` where it has none itself; the old
  // one's certificates are revoked. FailedPrecondition unless both are in service and the new one has no good
  // certificate.
  absl::StatusOr<DeviceRemoval> Replace(const DeviceName& old_name, const DeviceName& new_name);

  // Revokes its certificates. FailedPrecondition when it is out of service already, saying since when.
  absl::StatusOr<DeviceRemoval> Retire(const DeviceName& name, std::string_view reason);

  // FailedPrecondition while it has a good certificate.
  absl::Status Remove(const DeviceName& name);

  absl::StatusOr<DeviceRecord> Find(const DeviceName& name);

  // Those whose names come after `after`, which is empty for the first page.
  absl::StatusOr<DevicePage> List(const DeviceFilter& filter, std::string_view after, int64_t limit);

 private:
  absl::StatusOr<DeviceRecord> Lock(const DeviceName& name);
  absl::StatusOr<std::optional<DeviceRecord>> Insert(const DeviceName& name, const DeviceData& data);
  absl::StatusOr<DeviceRecord> Update(const DeviceRecord& device);
  absl::StatusOr<int64_t> GoodCertificates(std::string_view name);
  absl::StatusOr<std::vector<DeviceLeftAlone>> OutOfService(std::span<const std::string> names);
  absl::Status NoSuchDevice(const DeviceName& name) const;
  absl::Status Audit(const char* action, std::string_view subject,
                     std::vector<std::pair<std::string, std::string>> detail);

  Connection& connection_;
  const AuthorityCaller caller_;
};

}  // namespace trustline
