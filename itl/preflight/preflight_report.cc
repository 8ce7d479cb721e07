#include "itl/preflight/preflight_report.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kNamedInRefusal = 10;
constexpr size_t kNamedInAudit = 100;

constexpr char kLostRemedy[] = "the cure of each (trustctl phones why DEVICE)";

// The worst first.
constexpr PhoneVerdict kOrder[] = {PhoneVerdict::kLocked,    PhoneVerdict::kUnproven,   PhoneVerdict::kLostBefore,
                                   PhoneVerdict::kSafeByTvs, PhoneVerdict::kSafeByList, PhoneVerdict::kOutside};

bool IsConcerned(PhoneVerdict verdict) {
  return verdict == PhoneVerdict::kLocked || verdict == PhoneVerdict::kUnproven || verdict == PhoneVerdict::kLostBefore;
}

size_t PlaceOf(PhoneVerdict verdict) {
  return static_cast<size_t>(std::find(std::begin(kOrder), std::end(kOrder), verdict) - std::begin(kOrder));
}

v1::PhoneVerdict ToProto(PhoneVerdict verdict) {
  switch (verdict) {
    case PhoneVerdict::kSafeByList:
      return v1::PHONE_VERDICT_SAFE_BY_LIST;
    case PhoneVerdict::kSafeByTvs:
      return v1::PHONE_VERDICT_SAFE_BY_TVS;
    case PhoneVerdict::kUnproven:
      return v1::PHONE_VERDICT_UNPROVEN;
    case PhoneVerdict::kLocked:
      return v1::PHONE_VERDICT_LOCKED;
    case PhoneVerdict::kLostBefore:
      return v1::PHONE_VERDICT_LOST_BEFORE;
    case PhoneVerdict::kOutside:
      return v1::PHONE_VERDICT_OUTSIDE;
  }
  return v1::PHONE_VERDICT_UNSPECIFIED;
}

// "3 phones", "1 phone".
std::string PhonesText(int64_t phones) { return fmt::format("{} phone{}", phones, phones == 1 ? "" : "s"); }

// "SEP1, SEP2 and 7 more: why; what to do".
std::string NamesText(const std::vector<NamedPhone>& named, PhoneVerdict verdict, RemedyWords remedy) {
  std::map<VerdictReason, std::vector<std::string>> by_reason;
  for (const NamedPhone& phone : named) {
    if (phone.verdict.verdict == verdict) by_reason[phone.verdict.reason].push_back(phone.device);
  }
  std::vector<std::string> parts;
  for (auto& [reason, devices] : by_reason) {
    const int64_t count = std::ssize(devices);
    if (devices.size() > kNamedInRefusal) devices.resize(kNamedInRefusal);
    parts.push_back(fmt::format("{} ({}; {})", FirstNames(devices, count), ReasonText(reason), remedy(reason)));
  }
  return absl::StrJoin(parts, "; ");
}

}  // namespace

absl::StatusOr<std::vector<NamedPhone>> NameConcerned(FleetReader& reader, const Fleet& fleet,
                                                      const PreFlightResult& result) {
  std::vector<NamedPhone> named;
  RETURN_IF_ERROR(reader.Names(
      fleet, [&](size_t group) { return IsConcerned(result.verdicts[group].verdict); },
      [&](const std::string& device, size_t group) {
        named.push_back({device, result.verdicts[group]});
        return absl::OkStatus();
      }));
  std::sort(named.begin(), named.end(), [](const NamedPhone& a, const NamedPhone& b) {
    const size_t place_a = PlaceOf(a.verdict.verdict), place_b = PlaceOf(b.verdict.verdict);
    return place_a != place_b ? place_a < place_b : a.device < b.device;
  });
  return named;
}

v1::PreFlight ToProto(const Fleet& fleet, const PreFlightResult& result, const std::vector<NamedPhone>& named,
                      RemedyWords remedy) {
  v1::PreFlight report;
  std::map<std::pair<size_t, VerdictReason>, int64_t> counts;
  for (size_t i = 0; i < fleet.groups.size(); ++i) {
    const GroupVerdict& verdict = result.verdicts[i];
    report.set_phones(report.phones() + fleet.groups[i].phones);
    counts[{PlaceOf(verdict.verdict), verdict.reason}] += fleet.groups[i].phones;
  }
  for (const auto& [key, phones] : counts) {
    v1::PreFlight::Count& count = *report.add_counts();
    count.set_verdict(ToProto(kOrder[key.first]));
    count.set_reason(std::string(ReasonText(key.second)));
    // Not of this change's making: what helps is each phone's own cure.
    const bool is_lost = kOrder[key.first] == PhoneVerdict::kLostBefore;
    count.set_remedy(is_lost ? kLostRemedy : std::string(remedy(key.second)));
    count.set_phones(phones);
  }
  for (const NamedPhone& phone : named) {
    if (static_cast<size_t>(report.named_size()) >= kMostNamed) break;
    v1::PreFlight::Named& one = *report.add_named();
    one.set_device(phone.device);
    one.set_verdict(ToProto(phone.verdict.verdict));
    one.set_reason(std::string(ReasonText(phone.verdict.reason)));
  }
  report.set_not_named(static_cast<int64_t>(named.size()) - report.named_size());
  return report;
}

absl::Status CheckTerms(const PreFlightResult& result, const std::vector<NamedPhone>& named, const Caution& caution,
                        RemedyWords remedy) {
  if (!caution.override_reason.empty()) return absl::OkStatus();
  const int64_t locked = result.Count(PhoneVerdict::kLocked);
  const int64_t unproven = result.Count(PhoneVerdict::kUnproven);
  if (locked > 0) {
    return PreFlightRefusal(
        fmt::format("nothing was changed, because {} would be locked out: {}. See all of them with --plan; --override "
                    "--reason TEXT makes the change all the same, and keeps the names in the audit log",
                    PhonesText(locked), NamesText(named, PhoneVerdict::kLocked, remedy)));
  }
  if (!caution.accept_unproven) {
    const bool all_accepted = std::all_of(named.begin(), named.end(), [&](const NamedPhone& phone) {
      return phone.verdict.verdict != PhoneVerdict::kUnproven ||
             caution.Accepts(phone.device, ReasonText(phone.verdict.reason));
    });
    if (all_accepted) return absl::OkStatus();
    return PreFlightRefusal(fmt::format(
        "nothing was changed, because of {} too little is known to be sure: {}. See all of them with --plan; "
        "--accept-unproven {} makes the change all the same, and keeps their names",
        PhonesText(unproven), NamesText(named, PhoneVerdict::kUnproven, remedy), unproven));
  }
  if (*caution.accept_unproven == unproven) return absl::OkStatus();
  if (unproven == 0) {
    return PreFlightRefusal(
        fmt::format("nothing was changed: --accept-unproven {} was said, and no phone is unproven. Look at them with "
                    "--plan, and leave the number out",
                    *caution.accept_unproven));
  }
  return PreFlightRefusal(
      fmt::format("nothing was changed: --accept-unproven {} was said, and {} unproven now: {}. Look at them with "
                  "--plan, then say --accept-unproven {}",
                  *caution.accept_unproven, unproven == 1 ? "1 phone is" : fmt::format("{} phones are", unproven),
                  NamesText(named, PhoneVerdict::kUnproven, remedy), unproven));
}

std::string Grouped(int64_t number) {
  std::string text = fmt::format("{}", number);
  for (std::ptrdiff_t place = std::ssize(text) - 3; place > 0; place -= 3) text.insert(static_cast<size_t>(place), ",");
  return text;
}

std::string FirstNames(const std::vector<std::string>& first, int64_t count) {
  const int64_t more = count - std::ssize(first);
  return absl::StrJoin(first, ", ") + (more > 0 ? fmt::format(" and {} more", Grouped(more)) : "");
}

void AddNames(const std::vector<std::string>& devices, AuditEvent& event) {
  const std::vector<std::string> first(
      devices.begin(), devices.begin() + static_cast<std::ptrdiff_t>(std::min(devices.size(), kNamedInAudit)));
  event.detail.emplace_back("phones", absl::StrJoin(first, ", "));
  event.detail.emplace_back("phones_sha256", ToHex(Sha256(AsBytes(absl::StrJoin(devices, "\n")))));
}

UnprovenPhones UnprovenOf(const std::vector<NamedPhone>& named) {
  UnprovenPhones unproven;
  for (const NamedPhone& phone : named) {
    if (phone.verdict.verdict != PhoneVerdict::kUnproven) continue;
    unproven.emplace(phone.device, ReasonText(phone.verdict.reason));
  }
  return unproven;
}

}  // namespace trustline
