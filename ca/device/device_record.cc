#include "ca/device/device_record.h"

#include "common/service/json.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::array<std::string_view, 3> kStateNames = {"in service", "replaced", "retired"};

}  // namespace

std::string_view DeviceStateName(DeviceState state) { return kStateNames[static_cast<size_t>(state)]; }

absl::StatusOr<DeviceState> ParseDeviceState(std::string_view name) {
  for (size_t i = 0; i < kStateNames.size(); ++i) {
    if (kStateNames[i] == name) return static_cast<DeviceState>(i);
  }
  return Internal("the database has a device in the state {}, which this version does not know", name);
}

std::string DeviceStateText(const DeviceRecord& device) {
  const std::string since = absl::FormatTime("%Y-%m-%d", device.changed_at, absl::UTCTimeZone());
  switch (device.state) {
    case DeviceState::kInService:
      break;
    case DeviceState::kReplaced:
      return fmt::format("replaced by {} since {}", device.replaced_by, since);
    case DeviceState::kRetired:
      return fmt::format("retired since {}: {}", since, device.state_reason);
  }
  return std::string(DeviceStateName(device.state));
}

absl::Status CheckDeviceText(std::string_view field, std::string_view text) {
  if (text.size() > kMaxDeviceTextSize) {
    return InvalidArgument("the {} has {} bytes: at most {} are kept", field, text.size(), kMaxDeviceTextSize);
  }
  if (PrintableText(text) != text) {
    return InvalidArgument("the {} holds a control character or what is not UTF-8: write it as one line of text",
                           field);
  }
  return absl::OkStatus();
}

absl::Status CheckDeviceData(const DeviceData& data) {
  for (const DeviceField& field : kDeviceFields) RETURN_IF_ERROR(CheckDeviceText(field.name, data.*field.text));
  return absl::OkStatus();
}

absl::Status CheckDeviceChange(const DeviceChange& change) {
  bool any = false;
  for (const DeviceField& field : kDeviceFields) {
    const std::optional<std::string>& text = change.*field.change;
    if (!text) continue;
    RETURN_IF_ERROR(CheckDeviceText(field.name, *text));
    any = true;
  }
  if (any) return absl::OkStatus();
  return InvalidArgument(
      "nothing is to be changed: give a model, protocol, load, site, owner or description (`trustctl device set "
      "--help`)");
}

}  // namespace trustline
