// Arguments that name devices and their certificates, and texts that are kept about them. Mistakes are usage errors.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/trustctl/environment.h"

namespace trustline {

// Bytes of each text in DeviceData, as cad counts them.
inline constexpr size_t kMaxDeviceText = 200;

// What cad takes: InvalidArgument for a text that is not UTF-8, has control characters, or more than `most_bytes`.
absl::Status CheckText(std::string_view text, size_t most_bytes);

// Lower-case hexadecimal without leading zero bytes. InvalidArgument for anything else, also for the number zero.
absl::StatusOr<std::string> ParseSerial(std::string_view text);

// Each option or argument checks the text and folds it into the form that cad has it in.
CLI::Option* AddDeviceName(CLI::App& command, const std::string& name, std::string& device,
                           const std::string& description);
// One or more.
CLI::Option* AddDeviceNames(CLI::App& command, const std::string& name, std::vector<std::string>& devices,
                            const std::string& description);
CLI::Option* AddDeviceNamePrefix(CLI::App& command, const std::string& name, std::string& prefix,
                                 const std::string& description);
CLI::Option* AddSerial(CLI::App& command, const std::string& name, std::string& serial, const std::string& description);
// Given but empty is a value of its own.
CLI::Option* AddText(CLI::App& command, const std::string& name, size_t most_bytes, std::optional<std::string>& text,
                     const std::string& description);

// A moment in the time to come, as AddTime takes it: RFC 3339, or so long from now ("30d").
absl::StatusOr<absl::Time> ResolveExpiry(Environment& environment, std::string_view text);

}  // namespace trustline
