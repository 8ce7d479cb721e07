#include "cli/trustctl/device_import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <span>

#include "absl/strings/ascii.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/csv_table.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/progress.h"
#include "common/device/device_name.h"
#include "common/service/clock.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "proto/device.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kBatchDevices = 1000;  // ImportDevicesRequest.rows

// The names under which exports have a datum, the best first; the rest is empty.
using ColumnNames = std::array<std::string_view, 5>;

constexpr ColumnNames kNameColumn = {"Device Name", "Name"};
constexpr ColumnNames kNameColumnOfLists = {"Device Name", "Name", "Device"};

struct DataColumn {
  std::string* (v1::DeviceData::*datum)();
  std::string_view what;
  ColumnNames names;
};

constexpr std::array<DataColumn, 6> kDataColumns = {{
    {&v1::DeviceData::mutable_model, "model", {"Device Type", "Model", "Product", "Phone Type"}},
    {&v1::DeviceData::mutable_protocol, "protocol", {"Protocol", "Device Protocol"}},
    {&v1::DeviceData::mutable_load,
     "load",
     {"Load", "Device Load", "Active Load", "Load Information", "Phone Load Name"}},
    {&v1::DeviceData::mutable_site, "site", {"Location", "Site", "Device Pool"}},
    {&v1::DeviceData::mutable_owner, "owner", {"Owner", "Owner User ID"}},
    {&v1::DeviceData::mutable_description, "description", {"Description"}},
}};

// Where in a row of the table which datum stands.
class ExportColumns {
 public:
  static absl::StatusOr<ExportColumns> Find(const std::vector<std::string>& header) {
    ExportColumns columns;
    const std::optional<size_t> name = FindCsvColumn(header, kNameColumn);
    if (!name) {
      return InvalidArgument(
          "no column is called \"{}\" or \"{}\", so nothing says which devices these are; the columns are: {}",
          kNameColumn[0], kNameColumn[1], fmt::join(header, ", "));
    }
    columns.name_ = *name;
    std::vector<bool> used(header.size(), false);
    used[*name] = true;
    for (const DataColumn& known : kDataColumns) {
      const std::optional<size_t> place = FindCsvColumn(header, known.names);
      if (!place) continue;
      used[*place] = true;
      columns.data_.push_back({*place, &known});
    }
    for (size_t i = 0; i < header.size(); ++i) {
      if (!used[i] && !header[i].empty()) columns.passed_over_.push_back(header[i]);
    }
    return columns;
  }

  const std::vector<std::string>& passed_over() const { return passed_over_; }

  // InvalidArgument for a device's name or a datum that cannot be taken.
  absl::StatusOr<v1::ImportDevicesRequest::Row> Read(std::vector<std::string>& fields) const {
    v1::ImportDevicesRequest::Row row;
    for (std::string& field : fields) absl::StripAsciiWhitespace(&field);
    if (fields[name_].empty()) return InvalidArgument("the device has no name");
    ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(fields[name_]));
    row.set_name(name.text());
    for (const auto& [place, known] : data_) {
      if (const absl::Status checked = CheckText(fields[place], kMaxDeviceText); !checked.ok()) {
        return Annotate(checked, known->what);
      }
      *(row.mutable_data()->*known->datum)() = std::move(fields[place]);
    }
    return row;
  }

 private:
  size_t name_ = 0;
  std::vector<std::pair<size_t, const DataColumn*>> data_;
  std::vector<std::string> passed_over_;
};

std::string CountText(int64_t count, std::string_view one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

}  // namespace

std::string LinesOfNames::Take(const std::string& name, size_t line) {
  const auto [first, is_new] = lines_.try_emplace(name, line);
  return is_new ? "" : fmt::format("{} stands in line {} already", first->first, first->second);
}

absl::StatusOr<ImportTotals> SendDevices(Environment& environment,
                                         const std::vector<v1::ImportDevicesRequest::Row>& rows) {
  ImportTotals totals;
  v1::ImportDevicesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::Devices> client, environment.Connect<v1::Devices>(kCad));
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "devices", static_cast<int64_t>(rows.size()),
                    clock);
  const CallSeries series(environment);
  for (size_t sent = 0; sent < rows.size();) {
    request.clear_rows();
    const size_t end = std::min(rows.size(), sent + kBatchDevices);
    for (size_t i = sent; i < end; ++i) *request.add_rows() = rows[i];
    Call call(environment, Call::Length::kLong);
    v1::ImportDevicesResponse response;
    const absl::Status status = call.End(client.stub->ImportDevices(call.context(), request, &response), client);
    if (!status.ok()) {
      progress.Finish();
      const std::string how_far = fmt::format("{} of {} devices are imported and stay so", sent, rows.size());
      if (environment.interrupt().requested()) {
        return Aborted("interrupted: {}; the same command again completes the import", how_far);
      }
      return sent == 0 ? status : Annotate(status, how_far + ", the same command again goes on; then");
    }
    totals.added += response.added();
    totals.changed += response.changed();
    totals.unchanged += response.unchanged();
    for (const v1::ImportDevicesResponse::LeftAlone& device : response.left_alone()) {
      totals.left_alone.push_back({device.name(), device.reason()});
    }
    sent = end;
    progress.Update(static_cast<int64_t>(sent));
  }
  return totals;
}

absl::StatusOr<PhoneExport> ReadPhoneExport(std::string_view text) {
  ASSIGN_OR_RETURN(CsvTable table, CsvTable::Open(text));
  ASSIGN_OR_RETURN(const ExportColumns columns, ExportColumns::Find(table.header()));
  PhoneExport phones{.columns_passed_over = columns.passed_over()};
  LinesOfNames lines;
  while (std::optional<CsvRow> row = table.Next()) {
    if (!row->fault.empty()) {
      phones.bad_lines.push_back({row->line, std::move(row->fault)});
      continue;
    }
    absl::StatusOr<v1::ImportDevicesRequest::Row> device = columns.Read(row->fields);
    if (!device.ok()) {
      phones.bad_lines.push_back({row->line, std::string(StatusMessage(device.status()))});
      continue;
    }
    std::string again = lines.Take(device->name(), row->line);
    if (again.empty()) {
      phones.rows.push_back(*std::move(device));
    } else {
      phones.bad_lines.push_back({row->line, std::move(again)});
    }
  }
  return phones;
}

absl::StatusOr<DeviceLines> ReadDeviceLines(std::string_view text) {
  ASSIGN_OR_RETURN(CsvTable table, CsvTable::Open(text));
  DeviceLines lines;
  LinesOfNames seen;
  const auto take = [&](std::string field, size_t line) {
    absl::StripAsciiWhitespace(&field);
    const absl::StatusOr<DeviceName> name = DeviceName::Parse(field);
    std::string fault = field.empty() ? "the device has no name"
                        : name.ok()   ? seen.Take(name->text(), line)
                                      : std::string(StatusMessage(name.status()));
    if (fault.empty()) {
      lines.devices.push_back({line, name->text()});
    } else {
      lines.bad_lines.push_back({line, std::move(fault)});
    }
  };
  const std::optional<size_t> column = FindCsvColumn(table.header(), kNameColumnOfLists);
  if (!column && table.header().size() > 1) {
    return InvalidArgument("no column is called \"{}\", so nothing says which devices these are; the columns are: {}",
                           fmt::join(std::span(kNameColumnOfLists).first<3>(), "\", \""),
                           fmt::join(table.header(), ", "));
  }
  if (!column) take(table.header().front(), table.header_line());
  while (std::optional<CsvRow> row = table.Next()) {
    if (row->fault.empty()) {
      take(std::move(row->fields[column.value_or(0)]), row->line);
    } else {
      lines.bad_lines.push_back({row->line, std::move(row->fault)});
    }
  }
  return lines;
}

absl::StatusOr<int> ImportDevices(Environment& environment, const std::string& path, bool skip_bad) {
  const absl::StatusOr<std::string> text = ReadTextFile(path, kMaxPhoneExportSize);
  if (!text.ok()) return WithFileAdvice(text.status());
  const absl::StatusOr<PhoneExport> phones = ReadPhoneExport(*text);
  if (!phones.ok()) return Annotate(phones.status(), path);
  if (!phones->columns_passed_over.empty()) {
    environment.err() << EscapeForTerminal(fmt::format("trustctl: note: {} passed over: {}",
                                                       CountText(std::ssize(phones->columns_passed_over), "column"),
                                                       fmt::join(phones->columns_passed_over, ", ")))
                      << std::endl;
  }
  for (const PhoneExport::BadLine& bad : phones->bad_lines) {
    environment.err() << EscapeForTerminal(fmt::format("{}:{}: {}", path, bad.line, bad.reason)) << "\n";
  }
  environment.err().flush();
  const auto bad_lines = std::ssize(phones->bad_lines);
  const std::string bad_lines_text = CountText(bad_lines, "bad line");
  if (bad_lines > 0 && !skip_bad) {
    return InvalidArgument("{}: {}, nothing was imported: correct the file, or import the other {} with --skip-bad",
                           path, bad_lines_text, CountText(std::ssize(phones->rows), "device"));
  }
  if (phones->rows.empty()) {
    return InvalidArgument("{}: there is no device to import{}", path, bad_lines > 0 ? ", only " + bad_lines_text : "");
  }

  ASSIGN_OR_RETURN(ImportTotals totals, SendDevices(environment, phones->rows));
  Record record;
  record.Add("added", "ADDED", totals.added)
      .Add("changed", "CHANGED", totals.changed)
      .Add("unchanged", "UNCHANGED", totals.unchanged)
      .Add("bad_lines", "BAD LINES", int64_t{bad_lines});
  std::string sentence =
      fmt::format("{} imported: {} added, {} changed, {} unchanged", CountText(std::ssize(phones->rows), "device"),
                  totals.added, totals.changed, totals.unchanged);
  if (!totals.left_alone.empty()) sentence += fmt::format(", {} left alone", totals.left_alone.size());
  if (bad_lines > 0) sentence += fmt::format("; {} passed over", bad_lines_text);
  record.list = {"left_alone", {{"name", "LEFT ALONE"}, {"reason", "REASON"}}, std::move(totals.left_alone)};
  WriteResult(environment.out(), environment.options().output, sentence, record);
  return kExitSuccess;
}

}  // namespace trustline
