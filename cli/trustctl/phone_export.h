// What phones hold, from a call manager's export of their trust list statuses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/trustctl/device_import.h"
#include "cli/trustctl/environment.h"
#include "proto/adoption.pb.h"

namespace trustline {

struct StatusExport {
  struct Line {
    size_t line;
    v1::SeedHoldingsRequest::Holding holding;
  };
  std::vector<Line> lines;
  std::vector<PhoneExport::BadLine> bad_lines;
  std::vector<std::string> columns_passed_over;  // in their order
};

// Reads CSV whose header names the columns in any case and order: the device, the hash of its ITL (40 hexadecimal
// digits, with blanks or colons or without, or "Not Installed"), and optionally the TFTP server that it names, the same
// two of its CTL, and when the call manager heard of it (RFC 3339, without a zone in UTC, or seconds since 1970). A
// line without that time is of `written_at`. A device's second line is bad. InvalidArgument when it is no CSV table or
// a column is missing that must be there.
absl::StatusOr<StatusExport> ReadStatusExport(std::string_view text, absl::Time written_at);

struct SeedTotals {
  int64_t seeded = 0;
  int64_t older = 0;
  int64_t not_known = 0;
  std::vector<PhoneExport::BadLine> problems;  // of lines that itld could not use; not all of many
};

// Sends them in batches, each all or none, with progress. After an interruption the same again completes it; the error
// says how far it came.
absl::StatusOr<SeedTotals> SendHoldings(Environment& environment, const std::vector<StatusExport::Line>& lines);

// The first of them, a line each on the standard error output, and how many there are besides.
void WriteBadLines(Environment& environment, std::string_view path, const std::vector<PhoneExport::BadLine>& bad_lines);
// A note on the standard error output, unless there are none.
void WriteColumnsPassedOver(Environment& environment, std::string_view path, const std::vector<std::string>& columns);

}  // namespace trustline
