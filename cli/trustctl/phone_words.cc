#include "cli/trustctl/phone_words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "cli/trustctl/command.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Enough to tell lists apart; the whole hash is in JSON and CSV.
constexpr size_t kHashDigitsForPeople = 8;

// Gives each text to `parse` and keeps what comes of it; a mistake is a usage error.
template <typename T>
CLI::Option* AddWords(CLI::App& command, const std::string& name, std::string_view kind,
                      absl::StatusOr<T> (*parse)(std::string_view), std::vector<T>& values,
                      const std::string& description) {
  return command
      .add_option_function<std::vector<std::string>>(
          name,
          [&command, &values, name, parse](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              absl::StatusOr<T> value = parse(text);
              if (!value.ok()) {
                throw CLI::ValidationError(command.get_name() + " " + name, std::string(StatusMessage(value.status())));
              }
              if (std::ranges::find(values, *value) == values.end()) values.push_back(*std::move(value));
            }
          },
          description)
      ->type_name(std::string(kind))
      ->delimiter(',')
      ->allow_extra_args(false);
}

absl::StatusOr<v1::PhoneCure> ParsePhoneCure(std::string_view text) { return ParseWord(kPhoneCures, text); }

absl::StatusOr<std::string> ParseForwardedRequest(std::string_view text) {
  std::string word(text);
  absl::AsciiStrToUpper(&word);
  if (std::ranges::find(kForwardedRequests, word) != kForwardedRequests.end()) return word;
  return InvalidArgument("'{}' is none of these: {}", text, fmt::join(kForwardedRequests, ", "));
}

std::string WithHyphens(std::string_view text) {
  std::string hyphened(text);
  std::ranges::replace(hyphened, ' ', '-');
  return hyphened;
}

std::string GenerationOf(const v1::HeldList& held, std::optional<absl::Time> now) {
  std::string text = std::to_string(held.generation());
  if (now && held.has_published_at()) {
    const absl::Time published =
        absl::FromUnixSeconds(held.published_at().seconds()) + absl::Nanoseconds(held.published_at().nanos());
    text += fmt::format(" ({})", AgeText(*now - published));
  }
  if (held.device_list()) return text + " of its own";
  return held.generation_server().empty() ? text : fmt::format("{} of {}", text, held.generation_server());
}

}  // namespace

std::vector<std::string> PhoneStatusArguments() {
  std::vector<std::string> arguments;
  for (const Word<v1::PhoneStatus>& word : kPhoneStatuses) {
    arguments.push_back(WithHyphens(word.text));
  }
  return arguments;
}

absl::StatusOr<v1::PhoneStatus> ParsePhoneStatus(std::string_view text) {
  const std::vector<std::string> arguments = PhoneStatusArguments();
  const std::string hyphened = WithHyphens(text);
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (absl::EqualsIgnoreCase(arguments[i], hyphened)) return kPhoneStatuses[i].value;
  }
  return InvalidArgument("'{}' is none of these: {}", text, fmt::join(arguments, ", "));
}

CLI::Option* AddPhoneStatuses(CLI::App& command, std::vector<v1::PhoneStatus>& statuses,
                              const std::string& description) {
  return AddWords(command, "--status", kPhoneStatusType, ParsePhoneStatus, statuses, description);
}

CLI::Option* AddPhoneCures(CLI::App& command, std::vector<v1::PhoneCure>& cures, const std::string& description) {
  return AddWords(command, "--cure", kPhoneCureType, ParsePhoneCure, cures, description);
}

CLI::Option* AddForwardedRequests(CLI::App& command, std::vector<std::string>& requests,
                                  const std::string& description) {
  return AddWords(command, "--requests", kForwardedRequestType, ParseForwardedRequest, requests, description);
}

std::string AgeText(absl::Duration age) {
  constexpr absl::Duration kDay = absl::Hours(24);
  if (age >= kDay) return fmt::format("{} d", age / kDay);
  if (age >= absl::Hours(1)) return fmt::format("{} h", age / absl::Hours(1));
  if (age >= absl::Minutes(1)) return fmt::format("{} min", age / absl::Minutes(1));
  return fmt::format("{} s", std::max(age, absl::ZeroDuration()) / absl::Seconds(1));
}

std::string HeldText(const v1::HeldList& held, std::optional<absl::Time> now) {
  if (held.generation() != 0) return GenerationOf(held, now);
  if (!held.adopted_from().empty()) return fmt::format("a list of {}", held.adopted_from());
  if (!held.sha1().empty()) {
    return fmt::format("an unknown list ({}...)", ToHex(AsBytes(held.sha1())).substr(0, kHashDigitsForPeople));
  }
  switch (held.status()) {
    case v1::PHONE_STATUS_NOT_INSTALLED:
      return "none";
    case v1::PHONE_STATUS_MISMATCH:
    case v1::PHONE_STATUS_FOREIGN:
      return "an unknown list";
    default:
      return "";
  }
}

std::string ServerText(const v1::HeldList& held) {
  return held.server().empty() ? held.reported_server() : held.server();
}

std::string BasisText(const v1::Phone& phone) {
  if (!phone.claimed_from().empty()) return fmt::format("claim ({})", phone.claimed_from());
  if (!phone.has_reported_at()) return "";
  return phone.via().empty() ? "evidence" : fmt::format("evidence ({})", phone.via());
}

std::string CureText(const v1::Phone& phone) {
  if (phone.cure() == v1::PHONE_CURE_UNSPECIFIED) return "";
  const std::string cure = WordFor(kPhoneCures, phone.cure());
  return phone.cure_reason().empty() ? cure : fmt::format("{}: {}", cure, phone.cure_reason());
}

std::string PercentText(int64_t part, int64_t whole) {
  return fmt::format("{:.1f}", whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

}  // namespace trustline
