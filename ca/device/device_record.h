// What is known of a device: its name, what an administrator says of it, and whether it is in service.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trustline {

inline constexpr size_t kMaxDeviceTextSize = 200;  // bytes

template <typename Text>
struct DeviceTexts {
  Text model, protocol, load, site, owner, description;
  bool operator==(const DeviceTexts&) const = default;
};
using DeviceData = DeviceTexts<std::string>;
using DeviceChange = DeviceTexts<std::optional<std::string>>;  // empty: stays as it is

struct DeviceField {
  std::string_view name;
  std::string DeviceData::*text;
  std::optional<std::string> DeviceChange::*change;
};
inline constexpr std::array<DeviceField, 6> kDeviceFields = {{
    {"model", &DeviceData::model, &DeviceChange::model},
    {"protocol", &DeviceData::protocol, &DeviceChange::protocol},
    {"load", &DeviceData::load, &DeviceChange::load},
    {"site", &DeviceData::site, &DeviceChange::site},
    {"owner", &DeviceData::owner, &DeviceChange::owner},
    {"description", &DeviceData::description, &DeviceChange::description},
}};

enum class DeviceState : uint8_t { kInService, kReplaced, kRetired };

// As the table device has it: "in service", "replaced", "retired".
std::string_view DeviceStateName(DeviceState state);
absl::StatusOr<DeviceState> ParseDeviceState(std::string_view name);

struct DeviceRecord {
  std::string name;
  DeviceData data;
  DeviceState state = DeviceState::kInService;
  std::string state_reason;  // why it is retired
  std::string replaced_by;   // name; empty unless replaced
  std::string added_by;      // identity URI
  absl::Time added_at;
  absl::Time changed_at;  // of a device out of service: since when it is
};

// "in service", "replaced by SEP001122334455 since 2026-11-25", "retired since 2026-11-25: broken".
std::string DeviceStateText(const DeviceRecord& device);

// InvalidArgument naming the field for a text that is over kMaxDeviceTextSize or holds a control character or what is
// not UTF-8.
absl::Status CheckDeviceText(std::string_view field, std::string_view text);
absl::Status CheckDeviceData(const DeviceData& data);
absl::Status CheckDeviceChange(const DeviceChange& change);

}  // namespace trustline
