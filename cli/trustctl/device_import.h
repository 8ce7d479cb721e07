// Devices from a call manager's phone export.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/output.h"
#include "proto/device.pb.h"

namespace trustline {

inline constexpr size_t kMaxPhoneExportSize = 64 * 1024 * 1024;

// What a phone export says.
struct PhoneExport {
  struct BadLine {
    size_t line;
    std::string reason;
  };
  std::vector<v1::ImportDevicesRequest::Row> rows;
  std::vector<BadLine> bad_lines;
  std::vector<std::string> columns_passed_over;  // in their order
};

// Reads CSV whose header names the columns as exports do, in any case. Of several columns for one datum ("Location" and
// "Device Pool") the more telling one counts and the others are passed over. A name's second line is bad.
// InvalidArgument when it is no CSV table or no column has the devices' names.
absl::StatusOr<PhoneExport> ReadPhoneExport(std::string_view text);

// A name's first line counts, a second one is bad.
class LinesOfNames {
 public:
  // Empty, or why the line is bad.
  std::string Take(const std::string& name, size_t line);

 private:
  std::unordered_map<std::string, size_t> lines_;
};

// Devices in the order of a file, each with its line.
struct DeviceLines {
  struct Line {
    size_t line;
    std::string device;
  };
  std::vector<Line> devices;
  std::vector<PhoneExport::BadLine> bad_lines;
};

// The devices' names alone, of a phone export, of a list that trustctl printed as CSV, or of names without a header,
// one a line. InvalidArgument when several columns have a header and none of them has the names.
absl::StatusOr<DeviceLines> ReadDeviceLines(std::string_view text);

// What became of devices that were sent.
struct ImportTotals {
  int64_t added = 0;
  int64_t changed = 0;
  int64_t unchanged = 0;
  std::vector<Row> left_alone;  // name and reason
};

// Sends the devices in batches, each all or none, with progress. After an interruption the same again completes it; the
// error says how far it came.
absl::StatusOr<ImportTotals> SendDevices(Environment& environment,
                                         const std::vector<v1::ImportDevicesRequest::Row>& rows);

// Sends the devices of the file, with progress, and prints what became of them. With a bad line nothing is sent, unless
// `skip_bad`. After an interruption the same command completes the import; the error says so.
absl::StatusOr<int> ImportDevices(Environment& environment, const std::string& path, bool skip_bad);

}  // namespace trustline
