// Names by which phones and gateways are known.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

// A checked device name in upper case: SEP, ATA, VGC or SPA and the 12 hexadecimal digits of a MAC address, or CSF and
// 1 to 12 letters and digits. Immutable.
class DeviceName {
 public:
  // Lower case is folded. InvalidArgument for any other form, with the forms that there are.
  static absl::StatusOr<DeviceName> Parse(std::string_view text);

  const std::string& text() const { return text_; }
  bool operator==(const DeviceName&) const = default;

 private:
  explicit DeviceName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// The upper-case beginning of a device name, for searches; empty matches all. InvalidArgument for characters that no
// name has.
absl::StatusOr<std::string> ParseDeviceNamePrefix(std::string_view text);

}  // namespace trustline
