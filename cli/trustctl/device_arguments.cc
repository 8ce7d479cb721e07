#include "cli/trustctl/device_arguments.h"

#include <cctype>
#include <functional>

#include "absl/time/clock.h"
#include "common/device/device_name.h"
#include "common/service/json.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

CLI::Option* AddParsed(CLI::App& command, const std::string& name, const std::string& type,
                       const std::function<absl::StatusOr<std::string>(std::string_view)>& parse, std::string& value,
                       const std::string& description) {
  return command
      .add_option_function<std::string>(
          name,
          [&command, &value, name, parse](const std::string& text) {
            absl::StatusOr<std::string> parsed = parse(text);
            if (!parsed.ok()) {
              throw CLI::ValidationError(command.get_name() + " " + name, std::string(StatusMessage(parsed.status())));
            }
            value = *std::move(parsed);
          },
          description)
      ->type_name(type);
}

absl::StatusOr<std::string> ParseDeviceName(std::string_view text) {
  ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(text));
  return name.text();
}

}  // namespace

absl::Status CheckText(std::string_view text, size_t most_bytes) {
  if (PrintableText(text) != text) {
    return InvalidArgument(
        "'{}' has a line break or another control character, or is not UTF-8: write it as one line, and convert a file "
        "in another encoding with `iconv -f WINDOWS-1252 -t UTF-8`",
        text.substr(0, 64));
  }
  if (text.size() > most_bytes) {
    return InvalidArgument("a text of {} bytes is longer than the maximum of {}", text.size(), most_bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ParseSerial(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c == ':') continue;
    if (std::isxdigit(static_cast<unsigned char>(c)) == 0) {
      return InvalidArgument("'{}' is not a serial number: it has hexadecimal digits only", text.substr(0, 64));
    }
    digits += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  while (digits.starts_with("00")) digits.erase(0, 2);
  if (digits.empty() || digits == "0") {
    return InvalidArgument("'{}' is not a serial number: give hexadecimal digits that are not all 0",
                           text.substr(0, 64));
  }
  return digits;
}

CLI::Option* AddDeviceName(CLI::App& command, const std::string& name, std::string& device,
                           const std::string& description) {
  return AddParsed(command, name, "DEVICE", ParseDeviceName, device, description);
}

CLI::Option* AddDeviceNames(CLI::App& command, const std::string& name, std::vector<std::string>& devices,
                            const std::string& description) {
  return command
      .add_option_function<std::vector<std::string>>(
          name,
          [&command, &devices, name](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              absl::StatusOr<std::string> device = ParseDeviceName(text);
              if (!device.ok()) {
                throw CLI::ValidationError(command.get_name() + " " + name,
                                           std::string(StatusMessage(device.status())));
              }
              devices.push_back(*std::move(device));
            }
          },
          description)
      ->type_name("DEVICE");
}

CLI::Option* AddDeviceNamePrefix(CLI::App& command, const std::string& name, std::string& prefix,
                                 const std::string& description) {
  return AddParsed(command, name, "PREFIX", ParseDeviceNamePrefix, prefix, description);
}

CLI::Option* AddSerial(CLI::App& command, const std::string& name, std::string& serial,
                       const std::string& description) {
  return AddParsed(command, name, "HEX", ParseSerial, serial, description);
}

CLI::Option* AddText(CLI::App& command, const std::string& name, size_t most_bytes, std::optional<std::string>& text,
                     const std::string& description) {
  return command
      .add_option_function<std::string>(
          name,
          [&command, &text, name, most_bytes](const std::string& given) {
            if (const absl::Status checked = CheckText(given, most_bytes); !checked.ok()) {
              throw CLI::ValidationError(command.get_name() + " " + name, std::string(StatusMessage(checked)));
            }
            text = given;
          },
          description)
      ->type_name("TEXT");
}

absl::StatusOr<absl::Time> ResolveExpiry(Environment& environment, std::string_view text) {
  if (const absl::StatusOr<absl::Duration> from_now = ParseDuration(text); from_now.ok()) {
    return absl::Now() + *from_now;
  }
  return environment.ResolveTime(text);
}

}  // namespace trustline
