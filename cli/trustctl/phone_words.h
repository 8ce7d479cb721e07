// The words for what phones hold: statuses, generations with their age, and whose word it is.
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/trustctl/enumeration_words.h"
#include "proto/phone_trust.pb.h"

namespace trustline {

// Exactly as call managers show them.
inline constexpr std::array<Word<v1::PhoneStatus>, 5> kPhoneStatuses = {{
    {"Match", v1::PHONE_STATUS_MATCH},
    {"Mismatch", v1::PHONE_STATUS_MISMATCH},
    {"Not Installed", v1::PHONE_STATUS_NOT_INSTALLED},
    {"Unknown", v1::PHONE_STATUS_UNKNOWN},
    {"Foreign", v1::PHONE_STATUS_FOREIGN},
}};

// What brings a phone to what is published.
inline constexpr std::array<Word<v1::PhoneCure>, 8> kPhoneCures = {{
    {"none", v1::PHONE_CURE_NONE},
    {"reset", v1::PHONE_CURE_RESET},
    {"restore-reach", v1::PHONE_CURE_RESTORE_REACH},
    {"publish-recovery", v1::PHONE_CURE_PUBLISH_RECOVERY},
    {"by-hand", v1::PHONE_CURE_BY_HAND},
    {"foreign", v1::PHONE_CURE_FOREIGN},
    {"no-lists", v1::PHONE_CURE_NO_LISTS},
    {"unknown", v1::PHONE_CURE_UNKNOWN},
}};

// As they may stand on a command line without quotation marks: "Not-Installed".
std::vector<std::string> PhoneStatusArguments();

// In any case, with a blank or a hyphen inside. InvalidArgument with all words for another one.
absl::StatusOr<v1::PhoneStatus> ParsePhoneStatus(std::string_view text);

// Several, with commas or as several options.
CLI::Option* AddPhoneStatuses(CLI::App& command, std::vector<v1::PhoneStatus>& statuses,
                              const std::string& description);

// Several, with commas or as several options.
CLI::Option* AddPhoneCures(CLI::App& command, std::vector<v1::PhoneCure>& cures, const std::string& description);

// SIP requests that a forwarder may send.
inline constexpr std::array<std::string_view, 3> kForwardedRequests = {"REFER", "REGISTER", "OPTIONS"};

// In any case; several, with commas or as several options.
CLI::Option* AddForwardedRequests(CLI::App& command, std::vector<std::string>& requests,
                                  const std::string& description);

// In the largest unit that fits, rounded down: "12 d", "5 h", "7 min", "40 s". "0 s" for less, and for the future.
std::string AgeText(absl::Duration age);

// What a phone holds, for people: "3", "3 of tftp2", "3 of its own", "a list of oldcluster", "an unknown list", "none";
// empty when nothing is known. With `now` the age of the generation too: "3 (12 d)".
std::string HeldText(const v1::HeldList& held, std::optional<absl::Time> now);

// Our TFTP server that a phone names, or else what it names.
std::string ServerText(const v1::HeldList& held);

// Whose word it is, for people: "evidence (forwarder 192.0.2.1)", "claim (192.0.2.7)"; empty without a report.
std::string BasisText(const v1::Phone& phone);

// What brings a phone to what is published, and why: "reset: its list names the signer"; empty when it is not said.
std::string CureText(const v1::Phone& phone);

// A share of a whole with one decimal: "37.5"; "0.0" of nothing.
std::string PercentText(int64_t part, int64_t whole);

}  // namespace trustline
