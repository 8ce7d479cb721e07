#include "cli/trustctl/phone_export.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "cli/trustctl/csv_table.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/progress.h"
#include "cli/trustctl/trust_records.h"
#include "common/device/device_name.h"
#include "common/service/clock.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/adoption.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kBatchHoldings = 1000;  // SeedHoldingsRequest.holdings
constexpr size_t kBadLinesShown = 20;
constexpr size_t kMaxServerName = 255;
constexpr size_t kSha1Digits = 40;
constexpr std::string_view kNotInstalled = "Not Installed";

// The names under which exports have a datum, the best first; the rest is empty.
using ColumnNames = std::array<std::string_view, 7>;

constexpr ColumnNames kDevice = {"Device Name", "Name", "Device", "DeviceName"};
constexpr ColumnNames kItlHash = {"ITL Hash",      "ITL_Hash", "ITL Signature",
                                  "ITL_Signature", "ITLHash",  "Trust List Hash"};
constexpr ColumnNames kItlServer = {"ITL TFTP Server", "ITL_TFTP_Server", "TFTP Server", "TFTP_Server"};
constexpr ColumnNames kCtlHash = {"CTL Hash", "CTL_Hash", "CTL Signature", "CTL_Signature", "CTLHash"};
constexpr ColumnNames kCtlServer = {"CTL TFTP Server", "CTL_TFTP_Server"};
constexpr ColumnNames kTime = {"Timestamp", "Time Stamp", "Time", "Date", "Last Report", "Report Time", "Last Seen"};

// What exports write where there is nothing.
bool IsNothing(const std::string& field) { return field.empty() || absl::EqualsIgnoreCase(field, "n/a"); }

// As an alarm has it.
absl::StatusOr<std::string> ReadHash(const std::string& field) {
  if (absl::EqualsIgnoreCase(field, {kNotInstalled.data(), kNotInstalled.size()})) return std::string(kNotInstalled);
  std::string digits;
  for (const char c : field) {
    if (c == ' ' || c == ':') continue;
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) {
      return InvalidArgument("'{}' is neither a hash nor \"{}\"", field, kNotInstalled);
    }
    digits += c;
  }
  if (digits.size() != kSha1Digits) {
    return InvalidArgument("a hash of {} hexadecimal digits: a SHA-1 has {}", digits.size(), kSha1Digits);
  }
  std::string pairs;
  for (size_t i = 0; i < digits.size(); i += 2) pairs += fmt::format("{}{}", i == 0 ? "" : " ", digits.substr(i, 2));
  return pairs;
}

absl::StatusOr<absl::Time> ReadTime(const std::string& field) {
  int64_t seconds = 0;
  absl::Time time;
  if (absl::SimpleAtoi(field, &seconds)) {
    time = absl::FromUnixSeconds(seconds);
  } else {
    ASSIGN_OR_RETURN(time, ParseTime(field, absl::UTCTimeZone()));
  }
  constexpr int kLastYear = 9999;  // of a Timestamp
  if (time < absl::UnixEpoch() || time >= absl::FromCivil(absl::CivilYear(kLastYear), absl::UTCTimeZone())) {
    return InvalidArgument("the time '{}' is out of range", field);
  }
  return time;
}

// Where in a row which datum stands.
class StatusColumns {
 public:
  static absl::StatusOr<StatusColumns> Find(const std::vector<std::string>& header) {
    StatusColumns columns;
    std::vector<bool> used(header.size(), false);
    const auto find = [&](const ColumnNames& names) {
      const std::optional<size_t> place = FindCsvColumn(header, names);
      if (place) used[*place] = true;
      return place;
    };
    const auto must_find = [&](const ColumnNames& names, std::string_view what) -> absl::StatusOr<size_t> {
      const std::optional<size_t> place = find(names);
      if (place) return *place;
      return InvalidArgument("no column is called \"{}\", so nothing says {}; the columns are: {}", names[0], what,
                             fmt::join(header, ", "));
    };
    ASSIGN_OR_RETURN(columns.device_, must_find(kDevice, "which devices these are"));
    ASSIGN_OR_RETURN(columns.itl_hash_, must_find(kItlHash, "which list they hold"));
    columns.itl_server_ = find(kItlServer);
    columns.ctl_hash_ = find(kCtlHash);
    columns.ctl_server_ = find(kCtlServer);
    columns.time_ = find(kTime);
    for (size_t i = 0; i < header.size(); ++i) {
      if (!used[i] && !header[i].empty()) columns.passed_over_.push_back(header[i]);
    }
    return columns;
  }

  const std::vector<std::string>& passed_over() const { return passed_over_; }

  absl::StatusOr<v1::SeedHoldingsRequest::Holding> Read(std::vector<std::string>& fields, absl::Time written_at) const {
    for (std::string& field : fields) absl::StripAsciiWhitespace(&field);
    v1::SeedHoldingsRequest::Holding holding;
    if (fields[device_].empty()) return InvalidArgument("the device has no name");
    ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(fields[device_]));
    holding.set_device(device.text());
    if (IsNothing(fields[itl_hash_])) return InvalidArgument("nothing says which ITL the phone holds");
    absl::StatusOr<std::string> itl = ReadHash(fields[itl_hash_]);
    if (!itl.ok()) return Annotate(itl.status(), "ITL");
    holding.set_itl_signature(*std::move(itl));
    ASSIGN_OR_RETURN(*holding.mutable_itl_tftp_server(), Server(fields, itl_server_));
    if (ctl_hash_ && !IsNothing(fields[*ctl_hash_])) {
      absl::StatusOr<std::string> ctl = ReadHash(fields[*ctl_hash_]);
      if (!ctl.ok()) return Annotate(ctl.status(), "CTL");
      holding.set_ctl_signature(*std::move(ctl));
      ASSIGN_OR_RETURN(*holding.mutable_ctl_tftp_server(), Server(fields, ctl_server_));
    }
    absl::Time at = written_at;
    if (time_ && !IsNothing(fields[*time_])) {
      ASSIGN_OR_RETURN(at, ReadTime(fields[*time_]));
    }
    *holding.mutable_at() = TimeToProto(at);
    return holding;
  }

 private:
  static absl::StatusOr<std::string> Server(const std::vector<std::string>& fields,
                                            const std::optional<size_t>& column) {
    if (!column || IsNothing(fields[*column])) return std::string();
    const absl::Status checked = CheckText(fields[*column], kMaxServerName);
    if (!checked.ok()) return Annotate(checked, "TFTP server");
    return fields[*column];
  }

  size_t device_ = 0;
  size_t itl_hash_ = 0;
  std::optional<size_t> itl_server_, ctl_hash_, ctl_server_, time_;
  std::vector<std::string> passed_over_;
};

// itld's sentences begin with the device's name.
PhoneExport::BadLine ProblemLine(const std::vector<StatusExport::Line>& lines, size_t begin, size_t end,
                                 const std::string& problem) {
  for (size_t i = begin; i < end; ++i) {
    if (problem.starts_with(lines[i].holding.device() + ":")) return {lines[i].line, problem};
  }
  return {lines[begin].line, problem};
}

}  // namespace

absl::StatusOr<StatusExport> ReadStatusExport(std::string_view text, absl::Time written_at) {
  ASSIGN_OR_RETURN(CsvTable table, CsvTable::Open(text));
  ASSIGN_OR_RETURN(const StatusColumns columns, StatusColumns::Find(table.header()));
  StatusExport statuses{.columns_passed_over = columns.passed_over()};
  LinesOfNames names;
  while (std::optional<CsvRow> row = table.Next()) {
    std::string fault = std::move(row->fault);
    if (fault.empty()) {
      absl::StatusOr<v1::SeedHoldingsRequest::Holding> holding = columns.Read(row->fields, written_at);
      fault = holding.ok() ? names.Take(holding->device(), row->line) : std::string(StatusMessage(holding.status()));
      if (fault.empty()) statuses.lines.push_back({row->line, *std::move(holding)});
    }
    if (!fault.empty()) statuses.bad_lines.push_back({row->line, std::move(fault)});
  }
  return statuses;
}

absl::StatusOr<SeedTotals> SendHoldings(Environment& environment, const std::vector<StatusExport::Line>& lines) {
  SeedTotals totals;
  v1::SeedHoldingsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::Adoption> client, environment.Connect<v1::Adoption>(kItld));
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "statuses", static_cast<int64_t>(lines.size()),
                    clock);
  const CallSeries series(environment);
  for (size_t sent = 0; sent < lines.size();) {
    request.clear_holdings();
    const size_t end = std::min(lines.size(), sent + kBatchHoldings);
    for (size_t i = sent; i < end; ++i) *request.add_holdings() = lines[i].holding;
    Call call(environment, Call::Length::kLong);
    v1::SeedHoldingsResponse response;
    const absl::Status status = call.End(client.stub->SeedHoldings(call.context(), request, &response), client);
    if (!status.ok()) {
      progress.Finish();
      const std::string how_far = fmt::format("{} of {} statuses are taken over and stay so", sent, lines.size());
      if (environment.interrupt().requested()) {
        return Aborted("interrupted: {}; the same command again completes it", how_far);
      }
      return sent == 0 ? status : Annotate(status, how_far + ", the same command again goes on; then");
    }
    totals.seeded += response.seeded();
    totals.older += response.older();
    totals.not_known += response.not_known();
    for (const std::string& problem : response.problems()) {
      totals.problems.push_back(ProblemLine(lines, sent, end, problem));
    }
    sent = end;
    progress.Update(static_cast<int64_t>(sent));
  }
  return totals;
}

void WriteBadLines(Environment& environment, std::string_view path,
                   const std::vector<PhoneExport::BadLine>& bad_lines) {
  const size_t shown = std::min(bad_lines.size(), kBadLinesShown);
  for (size_t i = 0; i < shown; ++i) {
    environment.err() << EscapeForTerminal(fmt::format("{}:{}: {}", path, bad_lines[i].line, bad_lines[i].reason))
                      << "\n";
  }
  if (bad_lines.size() > shown) {
    environment.err() << EscapeForTerminal(fmt::format("{}: and {} more bad lines", path, bad_lines.size() - shown))
                      << "\n";
  }
  environment.err().flush();
}

void WriteColumnsPassedOver(Environment& environment, std::string_view path, const std::vector<std::string>& columns) {
  if (columns.empty()) return;
  environment.err() << EscapeForTerminal(
                           fmt::format("trustctl: note: {}: columns passed over: {}", path, fmt::join(columns, ", ")))
                    << std::endl;
}

}  // namespace trustline
