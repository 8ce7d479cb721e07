#include "cli/trustctl/preflight_print.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/trust_list_records.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kNamesOfAReason = 20;
constexpr size_t kNamesInALine = 5;

// "12,345".
std::string CountText(int64_t count) {
  constexpr int kGroup = 3;
  std::string text = std::to_string(count);
  const auto first_digit = static_cast<ptrdiff_t>(count < 0 ? 1 : 0);
  for (ptrdiff_t at = std::ssize(text) - kGroup; at > first_digit; at -= kGroup) {
    text.insert(static_cast<size_t>(at), 1, ',');
  }
  return text;
}

// Names of one reason.
std::vector<std::string> NamesOf(const v1::PreFlight& preflight, const v1::PreFlight::Count& count) {
  std::vector<std::string> names;
  for (const v1::PreFlight::Named& named : preflight.named()) {
    if (named.verdict() == count.verdict() && named.reason() == count.reason()) names.push_back(named.device());
  }
  return names;
}

// The first names, then how many others there are. Of none nothing: they are among those that are named nowhere.
void WriteNames(std::ostream& out, const std::vector<std::string>& names, int64_t phones) {
  const size_t shown = std::min(names.size(), kNamesOfAReason);
  for (size_t i = 0; i < shown; i += kNamesInALine) {
    const auto begin = names.begin() + static_cast<ptrdiff_t>(i);
    const auto end = names.begin() + static_cast<ptrdiff_t>(std::min(shown, i + kNamesInALine));
    out << "  " << EscapeForTerminal(absl::StrJoin(begin, end, "  ")) << "\n";
  }
  const int64_t others = phones - static_cast<int64_t>(shown);
  if (others <= 0 || shown == 0) return;
  out << fmt::format("  and {} other{}{}\n", CountText(others), others == 1 ? "" : "s",
                     names.size() > shown ? ": see them with --output json or csv" : "");
}

void WriteReason(std::ostream& out, const v1::PreFlight& preflight, const v1::PreFlight::Count& count) {
  out << "\n"
      << EscapeForTerminal(fmt::format("{}, {}{}{}", WordFor(kPhoneVerdicts, count.verdict()),
                                       PhonesText(count.phones()), count.reason().empty() ? "" : ": ", count.reason()))
      << "\n";
  if (!count.remedy().empty()) {
    out << EscapeForTerminal(fmt::format("  to make {} safe: {}", count.phones() == 1 ? "it" : "them", count.remedy()))
        << "\n";
  }
  WriteNames(out, NamesOf(preflight, count), count.phones());
}

// Six lines, also of the verdicts that no phone has.
void WriteVerdicts(std::ostream& out, const v1::PreFlight& preflight) {
  ListWriter table(out, OutputFormat::kTable, {{"verdict", "VERDICT"}, {"phones", "PHONES"}});
  for (const Word<v1::PhoneVerdict>& word : kPhoneVerdicts) {
    table.Add({std::string(word.text), PhonesOf(preflight, word.value)});
  }
  // Verdicts of an itld that is newer than this program.
  for (const v1::PreFlight::Count& count : preflight.counts()) {
    const bool known =
        std::ranges::any_of(kPhoneVerdicts, [&count](const auto& word) { return word.value == count.verdict(); });
    if (!known) table.Add({WordFor(kPhoneVerdicts, count.verdict()), count.phones()});
  }
  table.Finish();
}

void WriteForPeople(std::ostream& out, const PlannedChange& change) {
  const v1::PreFlight& preflight = change.preflight;
  if (!change.of.empty()) out << EscapeForTerminal(change.of) << ":\n";
  // One that is refused before any phone is looked at has no numbers.
  if (preflight.counts_size() > 0 || preflight.refusal().empty()) {
    WriteVerdicts(out, preflight);
    WriteReasons(out, preflight);
    out << "\n";
  }
  out << EscapeForTerminal(preflight.refusal().empty() ? std::string("it would be made")
                                                       : fmt::format("it would be refused: {}", preflight.refusal()))
      << "\n";
}

void WriteForPrograms(std::ostream& out, OutputFormat format, const std::vector<PlannedChange>& changes) {
  Record record;
  std::vector<std::string> refusals;
  int64_t not_named = 0;
  Record::List counts = {
      "counts", {{"counts_of", ""}, {"verdict", ""}, {"verdict_phones", ""}, {"reason", ""}, {"remedy", ""}}, {}};
  Record::List named = NamedPhones("named", "");
  named.columns.insert(named.columns.begin(), {"named_of", ""});
  for (const auto& [of, preflight] : changes) {
    not_named += preflight.not_named();
    if (!preflight.refusal().empty()) {
      refusals.push_back(of.empty() ? preflight.refusal() : fmt::format("{}: {}", of, preflight.refusal()));
    }
    for (const v1::PreFlight::Count& count : preflight.counts()) {
      counts.rows.push_back({TextCell(of), WordCell(kPhoneVerdicts, count.verdict()), count.phones(),
                             TextCell(count.reason()), TextCell(count.remedy())});
    }
    const size_t before = named.rows.size();
    AddNamedPhones(named, preflight);
    for (size_t i = before; i < named.rows.size(); ++i) named.rows[i].insert(named.rows[i].begin(), TextCell(of));
  }
  record.Add("would_be_made", "", refusals.empty()).Add("refusal", "", TextCell(absl::StrJoin(refusals, "; ")));
  // Several changes are judged each by itself, against the same phones: numbers of them together there are none.
  if (changes.size() == 1) AddVerdictFields(record, "", &changes.front().preflight);
  record.Add("not_named", "", not_named);
  record.list = std::move(counts);
  record.more_lists.push_back(std::move(named));
  WriteRecord(out, format, record);
}

}  // namespace

bool IsSafe(v1::PhoneVerdict verdict) {
  return verdict == v1::PHONE_VERDICT_SAFE_BY_LIST || verdict == v1::PHONE_VERDICT_SAFE_BY_TVS;
}

int64_t PhonesOf(const v1::PreFlight& preflight, v1::PhoneVerdict verdict) {
  int64_t phones = 0;
  for (const v1::PreFlight::Count& count : preflight.counts()) {
    if (count.verdict() == verdict) phones += count.phones();
  }
  return phones;
}

std::string PhonesText(int64_t count) { return fmt::format("{} phone{}", CountText(count), count == 1 ? "" : "s"); }

std::string PreFlightText(const v1::PreFlight& preflight) {
  std::vector<std::string> parts;
  const int64_t by_tvs = PhonesOf(preflight, v1::PHONE_VERDICT_SAFE_BY_TVS);
  const int64_t safe = PhonesOf(preflight, v1::PHONE_VERDICT_SAFE_BY_LIST) + by_tvs;
  if (safe > 0) {
    parts.push_back(fmt::format("{} safe{}", CountText(safe),
                                by_tvs > 0 ? fmt::format(" ({} by TVS)", CountText(by_tvs)) : std::string()));
  }
  for (const Word<v1::PhoneVerdict>& word : kPhoneVerdicts) {
    const int64_t phones = PhonesOf(preflight, word.value);
    if (!IsSafe(word.value) && phones > 0) parts.push_back(fmt::format("{} {}", CountText(phones), word.text));
  }
  return parts.empty() ? "no phones" : absl::StrJoin(parts, ", ");
}

void WriteReasons(std::ostream& out, const v1::PreFlight& preflight) {
  for (const v1::PreFlight::Count& count : preflight.counts()) {
    if (IsSafe(count.verdict()) || count.verdict() == v1::PHONE_VERDICT_OUTSIDE || count.phones() == 0) continue;
    WriteReason(out, preflight, count);
  }
  if (preflight.not_named() > 0) {
    out << fmt::format("\n{} more than these are named nowhere: see `trustctl phones report`\n",
                       PhonesText(preflight.not_named()));
  }
}

void AddVerdictFields(Record& record, const std::string& prefix, const v1::PreFlight* preflight) {
  const auto add = [&](const std::string& key, int64_t count) {
    record.Add(prefix + key, "", preflight == nullptr ? Cell() : Cell(count));
  };
  static const v1::PreFlight kNone;
  const v1::PreFlight& known = preflight == nullptr ? kNone : *preflight;
  add("phones", known.phones());
  add("safe_by_list", PhonesOf(known, v1::PHONE_VERDICT_SAFE_BY_LIST));
  add("safe_by_tvs", PhonesOf(known, v1::PHONE_VERDICT_SAFE_BY_TVS));
  add("unproven", PhonesOf(known, v1::PHONE_VERDICT_UNPROVEN));
  add("locked", PhonesOf(known, v1::PHONE_VERDICT_LOCKED));
  add("needed_help_before", PhonesOf(known, v1::PHONE_VERDICT_LOST_BEFORE));
  add("outside", PhonesOf(known, v1::PHONE_VERDICT_OUTSIDE));
}

Record::List NamedPhones(const std::string& key, const std::string& prefix) {
  return {key, {{prefix + "device", ""}, {prefix + "device_verdict", ""}, {prefix + "device_reason", ""}}, {}};
}

void AddNamedPhones(Record::List& list, const v1::PreFlight& preflight) {
  for (const v1::PreFlight::Named& named : preflight.named()) {
    list.rows.push_back({named.device(), WordCell(kPhoneVerdicts, named.verdict()), TextCell(named.reason())});
  }
}

int WritePlans(Environment& environment, const std::vector<PlannedChange>& changes) {
  const OutputFormat format = environment.options().output;
  if (format == OutputFormat::kTable) {
    for (size_t i = 0; i < changes.size(); ++i) {
      if (i > 0) environment.out() << "\n";
      WriteForPeople(environment.out(), changes[i]);
    }
  } else {
    WriteForPrograms(environment.out(), format, changes);
  }
  const bool all_made =
      std::ranges::all_of(changes, [](const PlannedChange& change) { return change.preflight.refusal().empty(); });
  return all_made ? kExitSuccess : kExitWouldBeRefused;
}

absl::Status CheckPlanned(bool has_preflight, const v1::PreFlight& preflight) {
  if (has_preflight && !preflight.made()) return absl::OkStatus();
  return FailedPrecondition(
      "the service {}: it may be older than this trustctl; look at what is there now, and upgrade it",
      has_preflight ? "has made the change, though only its plan was asked for"
                    : "does not say what would become of the phones, and may have made the change");
}

void AddPreFlight(Record& record, OutputFormat format, const v1::PreFlight* preflight) {
  if (format != OutputFormat::kTable) AddVerdictFields(record, "preflight_", preflight);
}

void WritePreFlightLine(Environment& environment, const v1::PreFlight& preflight, std::string_view of) {
  if (environment.options().output != OutputFormat::kTable || preflight.phones() == 0) return;
  environment.out() << EscapeForTerminal(
                           fmt::format("pre-flight{}{}: {}", of.empty() ? "" : " of ", of, PreFlightText(preflight)))
                    << "\n";
}

}  // namespace trustline
