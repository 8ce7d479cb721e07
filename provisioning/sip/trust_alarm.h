// The body application/x-cisco-alarm+xml: what a phone says of its trust lists.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"

namespace trustline {

inline constexpr std::string_view kAlarmContentType = "application/x-cisco-alarm+xml";
inline constexpr size_t kMaxAlarmBytes = size_t{32} * 1024;

// Alarm DeviceTLInfo. Texts as they came (UTF-8 without control characters), empty when the parameter is.
struct DeviceTrustListInfo {
  std::string device;  // a DeviceName's text
  std::string address;
  std::string itl_signature;
  std::string itl_tftp_server;
  std::string ctl_signature;
  std::string ctl_tftp_server;
};

// Any other alarm (LastOutOfServiceInformation, ...), of which nothing but the name is read.
struct OtherAlarm {
  std::string name;
};

using PhoneAlarm = std::variant<DeviceTrustListInfo, OtherAlarm>;

// InvalidArgument for what is no such document, has a DOCTYPE or an entity that XML itself does not define, is in
// another encoding than UTF-8, says a parameter twice, or exceeds a limit.
absl::StatusOr<PhoneAlarm> ReadPhoneAlarm(std::string_view body);

}  // namespace trustline
