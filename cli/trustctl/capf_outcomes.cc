#include "cli/trustctl/capf_outcomes.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "cli/trustctl/capf_words.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/trust_records.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

std::string DeviceCountText(int64_t count) { return fmt::format("{} device{}", count, count == 1 ? "" : "s"); }

Cell TextOrNothing(const std::string& text) { return text.empty() ? Cell() : Cell(text); }

// With the device's name, which capfd's sentences mostly have.
std::string RefusalText(const v1::ScheduleOperationsResponse::Outcome& outcome) {
  if (outcome.refusal().find(outcome.device()) != std::string::npos) return outcome.refusal();
  return fmt::format("{}: {}", outcome.device(), outcome.refusal());
}

std::vector<Column> OutcomeColumns(const OutcomeForm& form) {
  const bool takes_back = form.operation == v1::CERTIFICATE_OPERATION_NONE;
  std::vector<Column> columns = {{"device", "DEVICE"}, {"operation_id", "OPERATION", false}};
  if (takes_back) {
    columns.push_back({"taken_back", "TAKEN BACK"});
  } else {
    columns.push_back({"authentication_string", "AUTHENTICATION STRING", form.by_string});
    columns.push_back({"deadline", "DEADLINE"});
    columns.push_back({"device_added", "ADDED"});
    columns.push_back({"replaced", "REPLACED"});
  }
  columns.push_back({"refusal", "REFUSED BECAUSE"});
  return columns;
}

}  // namespace

OutcomeReport::OutcomeReport(Environment& environment, const OutcomeForm& form,
                             const std::vector<DeviceLines::Line>& devices)
    : environment_(environment), form_(form), devices_(devices) {
  if (form_.kind == OutcomeForm::Kind::kRows) {
    writer_.emplace(environment_.out(), environment_.options().output, OutcomeColumns(form_), "no devices");
  }
}

Row OutcomeReport::OutcomeRow(const Outcome& outcome) const {
  const bool done = outcome.operation_id() != 0;
  Row row = {outcome.device(), done ? Cell(outcome.operation_id()) : Cell()};
  if (takes_back()) {
    row.emplace_back(done);
  } else {
    row.push_back(TextOrNothing(outcome.authentication_string()));
    row.push_back(done && deadline_ ? Cell(*deadline_) : Cell());
    row.emplace_back(outcome.device_added());
    row.emplace_back(outcome.replaced());
  }
  row.push_back(TextOrNothing(outcome.refusal()));
  return row;
}

void OutcomeReport::TellRefusal(const Outcome& outcome) {
  refused_.push_back({outcome.device(), outcome.refusal()});
  // A single device's is the command's error; a row has it.
  if (form_.kind == OutcomeForm::Kind::kOneDevice || (form_.kind == OutcomeForm::Kind::kRows && form_.file.empty())) {
    return;
  }
  while (next_ < devices_.size() && devices_[next_].device != outcome.device()) ++next_;
  const std::string where =
      form_.file.empty() || next_ == devices_.size() ? "" : fmt::format("{}:{}: ", form_.file, devices_[next_].line);
  environment_.err() << EscapeForTerminal(where + RefusalText(outcome)) << "\n";
}

absl::Status OutcomeReport::Take(const v1::ScheduleOperationsResponse& response) {
  if (response.has_deadline()) {
    deadline_ = absl::FromUnixSeconds(response.deadline().seconds()) + absl::Nanoseconds(response.deadline().nanos());
  }
  std::vector<CodesFile::Line> codes;
  for (const Outcome& outcome : response.outcomes()) {
    const bool done = outcome.operation_id() != 0;
    if (!outcome.refusal().empty()) {
      TellRefusal(outcome);
    } else if (done) {
      ++scheduled_;
    } else {
      ++nothing_pending_;
    }
    if (outcome.device_added()) ++added_;
    if (outcome.replaced()) ++replaced_;
    if (form_.by_string && done && (outcome.authentication_string().empty() || !deadline_)) {
      return Internal("capfd's answer lacks the authentication string of {}, or its deadline: look at its log",
                      outcome.device());
    }
    if (form_.codes != nullptr && done) {
      codes.push_back({outcome.device(), outcome.authentication_string(), *deadline_});
    }
    if (form_.kind == OutcomeForm::Kind::kOneDevice) only_ = outcome;
    if (writer_) writer_->Add(OutcomeRow(outcome));
  }
  environment_.err().flush();
  environment_.out().flush();
  if (codes.empty()) return absl::OkStatus();
  if (const absl::Status kept = form_.codes->Append(codes); !kept.ok()) {
    return Annotate(kept, fmt::format("{} authentication strings could not be kept, so that nobody knows them, and the "
                                      "same command again is to give new ones",
                                      codes.size()));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> OutcomeReport::Finish(const absl::Status& end, size_t answered, bool in_doubt) {
  // Each row stands for itself, and may have a string that is told only once.
  if (writer_ && (end.ok() || writer_->count() > 0)) {
    writer_->Finish();
    environment_.out().flush();
  }
  if (!end.ok()) return UnfinishedText(end, answered, in_doubt);
  switch (form_.kind) {
    case OutcomeForm::Kind::kOneDevice:
      return FinishOneDevice();
    case OutcomeForm::Kind::kSummary:
      return FinishSummary();
    case OutcomeForm::Kind::kRows:
      break;
  }
  return refused_.empty() && form_.bad_lines == 0 ? kExitSuccess : kExitFailure;
}

absl::Status OutcomeReport::UnfinishedText(const absl::Status& end, size_t answered, bool in_doubt) const {
  const bool interrupted = absl::IsAborted(end) && environment_.interrupt().requested();
  if (form_.all_or_nothing || (answered == 0 && !interrupted)) return end;
  std::string text = fmt::format("{} of {} are done and stay so", answered, DeviceCountText(std::ssize(devices_)));
  if (in_doubt) text += ", perhaps some more";
  if (form_.codes != nullptr) {
    text += fmt::format("; {} has the authentication strings, and the same command again goes on with the others",
                        form_.codes->path());
  } else if (form_.by_string) {
    text += "; the same command again would give all of them new authentication strings: name the others alone";
  } else {
    text += "; the same command again completes it";
  }
  return interrupted ? Aborted("interrupted: {}", text) : Annotate(end, text + "; then");
}

absl::StatusOr<int> OutcomeReport::FinishOneDevice() {
  if (!only_) return Internal("capfd said nothing of the device: look at its log");
  const Outcome& outcome = *only_;
  const bool refused = !outcome.refusal().empty();
  const std::string operation = WordFor(kCertificateOperations, form_.operation);
  if (environment_.options().output != OutputFormat::kTable) {
    const std::vector<Column> columns = OutcomeColumns(form_);
    Row row = OutcomeRow(outcome);
    Record record;
    record.Add("operation", "OPERATION", operation);
    for (size_t i = 0; i < columns.size(); ++i) record.Add(columns[i].key, columns[i].title, std::move(row[i]));
    WriteRecord(environment_.out(), environment_.options().output, record);
    return refused ? kExitFailure : kExitSuccess;
  }
  if (refused) return FailedPrecondition("{}", RefusalText(outcome));
  std::ostream& out = environment_.out();
  if (takes_back()) {
    const std::string device = EscapeForTerminal(outcome.device());
    out << (outcome.operation_id() == 0 ? fmt::format("nothing was pending for {}, nothing changed", device)
                                        : fmt::format("what was pending for {} is taken back", device))
        << "\n";
    return kExitSuccess;
  }
  if (outcome.device_added()) {
    out << fmt::format("{} was not known, and is added to the devices\n", EscapeForTerminal(outcome.device()));
  }
  out << fmt::format("{} scheduled for {}{}{}{}\n", operation, EscapeForTerminal(outcome.device()),
                     deadline_ ? " until " + TimeTextSeconds(*deadline_) : "",
                     outcome.replaced() ? ", in place of what was pending" : "",
                     form_.by_string ? "; its authentication string, which is shown this once:" : "");
  if (form_.by_string) out << EscapeForTerminal(outcome.authentication_string()) << "\n";
  return kExitSuccess;
}

absl::StatusOr<int> OutcomeReport::FinishSummary() {
  const std::string codes = form_.codes == nullptr ? "" : form_.codes->path();
  Record record;
  record.Add("operation", "OPERATION", WordFor(kCertificateOperations, form_.operation))
      .Add(takes_back() ? "taken_back" : "scheduled", "DEVICES", scheduled_)
      .Add("nothing_pending", "NOTHING PENDING", nothing_pending_)
      .Add("devices_added", "ADDED", added_)
      .Add("replaced", "REPLACED", replaced_)
      .Add("refused", "REFUSED", int64_t{std::ssize(refused_)})
      .Add("bad_lines", "BAD LINES", form_.bad_lines)
      .Add("passed_over", "PASSED OVER", form_.passed_over)
      .Add("deadline", "DEADLINE", deadline_ ? Cell(*deadline_) : Cell())
      .Add("codes_out", "STRINGS IN", TextOrNothing(codes));
  std::string sentence;
  if (devices_.empty()) {
    sentence = "nothing is left to schedule";
  } else if (takes_back()) {
    sentence = fmt::format("what was pending for {} is taken back", DeviceCountText(scheduled_));
  } else {
    sentence = fmt::format("{} scheduled for {}{}", WordFor(kCertificateOperations, form_.operation),
                           DeviceCountText(scheduled_), deadline_ ? " until " + TimeTextSeconds(*deadline_) : "");
  }
  if (nothing_pending_ > 0) sentence += fmt::format("; nothing was pending for {}", nothing_pending_);
  if (added_ > 0) sentence += fmt::format("; {} not known before and added", added_);
  if (replaced_ > 0) sentence += fmt::format("; {} in place of what was pending", replaced_);
  if (!refused_.empty()) sentence += fmt::format("; {} refused", refused_.size());
  if (form_.bad_lines > 0) {
    sentence += fmt::format("; {} bad line{}", form_.bad_lines, form_.bad_lines == 1 ? "" : "s");
  }
  if (form_.passed_over > 0) sentence += fmt::format("; {} passed over", form_.passed_over);
  if (!codes.empty()) sentence += fmt::format("; the authentication strings are in {}", codes);
  const bool all_good = refused_.empty() && form_.bad_lines == 0;
  // In a table the standard error output has them.
  if (environment_.options().output != OutputFormat::kTable) {
    record.list = {"refusals", {{"refused_device", "REFUSED"}, {"refusal", "REASON"}}, std::move(refused_)};
  }
  WriteResult(environment_.out(), environment_.options().output, sentence, record);
  return all_good ? kExitSuccess : kExitFailure;
}

}  // namespace trustline
