// What became of the devices of an order, as `capf schedule` tells it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/trustctl/codes_file.h"
#include "cli/trustctl/device_import.h"
#include "cli/trustctl/environment.h"
#include "proto/enrolment.pb.h"

namespace trustline {

// An order and where its outcome goes.
struct OutcomeForm {
  enum class Kind {
    kOneDevice,  // a sentence, and the string alone on the last line
    kRows,       // a row for each device
    kSummary     // counts, and refusals on the standard error output
  };
  Kind kind = Kind::kRows;
  v1::CertificateOperation operation = v1::CERTIFICATE_OPERATION_INSTALL;
  bool by_string = false;
  bool all_or_nothing = false;
  std::string file;            // that the devices stand in; empty: in the command
  CodesFile* codes = nullptr;  // where strings go
  int64_t bad_lines = 0;       // of the file
  int64_t passed_over = 0;     // devices whose strings stand in `codes` already
};

class OutcomeReport {
 public:
  // All must outlive the report. `devices` are those that the outcomes are of, in their order.
  OutcomeReport(Environment& environment, const OutcomeForm& form, const std::vector<DeviceLines::Line>& devices);

  absl::Status Take(const v1::ScheduleOperationsResponse& response);

  // Once, after the last outcome: prints what is left to print. The result is the exit status; `end` when that is an
  // error, with what became of the first `answered` devices and how to go on.
  absl::StatusOr<int> Finish(const absl::Status& end, size_t answered, bool in_doubt);

 private:
  using Outcome = v1::ScheduleOperationsResponse::Outcome;
  absl::StatusOr<int> FinishOneDevice();
  absl::StatusOr<int> FinishSummary();
  absl::Status UnfinishedText(const absl::Status& end, size_t answered, bool in_doubt) const;
  void TellRefusal(const Outcome& outcome);
  Row OutcomeRow(const Outcome& outcome) const;
  bool takes_back() const { return form_.operation == v1::CERTIFICATE_OPERATION_NONE; }

  Environment& environment_;
  const OutcomeForm& form_;
  const std::vector<DeviceLines::Line>& devices_;
  std::optional<ListWriter> writer_;  // with kRows
  size_t next_ = 0;                   // device that the next outcome may be of
  std::optional<Outcome> only_;       // with kOneDevice
  std::optional<absl::Time> deadline_;
  int64_t scheduled_ = 0;
  int64_t added_ = 0;
  int64_t replaced_ = 0;
  int64_t nothing_pending_ = 0;
  std::vector<Row> refused_;
};

}  // namespace trustline
