// How a pre-flight is shown: what a change of trust would do to phones, or has done.
#pragma once

#include <array>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/output.h"
#include "proto/preflight.pb.h"

namespace trustline {

inline constexpr std::array<Word<v1::PhoneVerdict>, 6> kPhoneVerdicts = {{
    {"safe by list", v1::PHONE_VERDICT_SAFE_BY_LIST},
    {"safe by TVS", v1::PHONE_VERDICT_SAFE_BY_TVS},
    {"unproven", v1::PHONE_VERDICT_UNPROVEN},
    {"locked", v1::PHONE_VERDICT_LOCKED},
    {"needed help before", v1::PHONE_VERDICT_LOST_BEFORE},
    {"outside", v1::PHONE_VERDICT_OUTSIDE},
}};

// So many phones have the verdict, whatever the reason.
int64_t PhonesOf(const v1::PreFlight& preflight, v1::PhoneVerdict verdict);

bool IsSafe(v1::PhoneVerdict verdict);

// "1 phone", "12,345 phones".
std::string PhonesText(int64_t count);

// "9,969 safe (31 by TVS), 12 outside"; "no phones" of none.
std::string PreFlightText(const v1::PreFlight& preflight);

// For people: each reason why phones are locked, unproven or needed help before, with what would make them safe and the
// first 20 of their names.
void WriteReasons(std::ostream& out, const v1::PreFlight& preflight);

// For programs: fields with the numbers of the verdicts, their keys after `prefix`; empty without a pre-flight.
void AddVerdictFields(Record& record, const std::string& prefix, const v1::PreFlight* preflight);
// And the phones with a name, as a list `key`, its columns' keys after `prefix`.
Record::List NamedPhones(const std::string& key, const std::string& prefix);
void AddNamedPhones(Record::List& list, const v1::PreFlight& preflight);

// What a command with --plan has to tell of one change, and of which, where it has several.
struct PlannedChange {
  std::string of;
  v1::PreFlight preflight;
};

// All that the pre-flights say, and kExitSuccess when all would be made, else kExitWouldBeRefused. At least one change.
int WritePlans(Environment& environment, const std::vector<PlannedChange>& changes);

// The pre-flight of an answer to a request with --plan. FailedPrecondition when it has none, or when the change was
// made: the service is older than this program.
absl::Status CheckPlanned(bool has_preflight, const v1::PreFlight& preflight);

template <typename Response>
absl::StatusOr<int> WritePlanned(Environment& environment, const Response& response) {
  RETURN_IF_ERROR(CheckPlanned(response.has_preflight(), response.preflight()));
  return WritePlans(environment, {{"", response.preflight()}});
}

// After a change was made. A line for people when it concerned phones; data has the numbers in fields of the record,
// which is not written yet.
void AddPreFlight(Record& record, OutputFormat format, const v1::PreFlight* preflight);
void WritePreFlightLine(Environment& environment, const v1::PreFlight& preflight, std::string_view of = "");

// WriteResult with both.
template <typename Response>
void WriteChangeResult(Environment& environment, std::string_view sentence, Record record, const Response& response) {
  const OutputFormat format = environment.options().output;
  AddPreFlight(record, format, response.has_preflight() ? &response.preflight() : nullptr);
  WriteResult(environment.out(), format, sentence, record);
  WritePreFlightLine(environment, response.preflight());
}

}  // namespace trustline
