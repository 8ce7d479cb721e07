#include "common/device/device_name.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::array<std::string_view, 4> kMacPrefixes = {"SEP", "ATA", "VGC", "SPA"};
constexpr std::string_view kSoftPhonePrefix = "CSF";
constexpr size_t kPrefixSize = 3;
constexpr size_t kMacDigits = 12;
constexpr size_t kMaxSoftPhoneName = 12;

bool IsUpperHex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); }
bool IsUpperAlphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); }

std::string Upper(std::string_view text) {
  std::string upper(text);
  std::ranges::transform(upper, upper.begin(), absl::ascii_toupper);
  return upper;
}

}  // namespace

absl::StatusOr<DeviceName> DeviceName::Parse(std::string_view text) {
  std::string name = Upper(text);
  const std::string_view prefix = std::string_view(name).substr(0, kPrefixSize);
  const std::string_view rest = std::string_view(name).substr(std::min(kPrefixSize, name.size()));
  const bool mac = std::ranges::find(kMacPrefixes, prefix) != kMacPrefixes.end() && rest.size() == kMacDigits &&
                   std::ranges::all_of(rest, IsUpperHex);
  const bool soft_phone = prefix == kSoftPhonePrefix && !rest.empty() && rest.size() <= kMaxSoftPhoneName &&
                          std::ranges::all_of(rest, IsUpperAlphanumeric);
  if (mac || soft_phone) return DeviceName(std::move(name));
  return InvalidArgument(
      "\"{}\" is not a device name: those are SEP, ATA, VGC or SPA and the 12 hexadecimal digits of the MAC address, "
      "or CSF and 1 to 12 letters and digits",
      text.substr(0, 64));
}

absl::StatusOr<std::string> ParseDeviceNamePrefix(std::string_view text) {
  std::string prefix = Upper(text);
  if (prefix.size() > kPrefixSize + kMacDigits || !std::ranges::all_of(prefix, IsUpperAlphanumeric)) {
    return InvalidArgument("no device name begins with \"{}\"", text.substr(0, 64));
  }
  return prefix;
}

}  // namespace trustline
