// The words for the enumerations of messages, on the command line and in what is printed.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "cli/trustctl/output.h"
#include "common/status/status.h"
#include "proto/authority.pb.h"
#include "proto/device.pb.h"
#include "proto/issuance.pb.h"
#include "proto/trust_types.pb.h"

namespace trustline {

template <typename Enum>
struct Word {
  std::string_view text;
  Enum value;
};

inline constexpr std::array<Word<v1::DeviceState>, 3> kDeviceStates = {{
    {"in-service", v1::DEVICE_STATE_IN_SERVICE},
    {"replaced", v1::DEVICE_STATE_REPLACED},
    {"retired", v1::DEVICE_STATE_RETIRED},
}};

inline constexpr std::array<Word<v1::CertificateState>, 6> kCertificateStates = {{
    {"intent", v1::CERTIFICATE_STATE_INTENT},
    {"signed", v1::CERTIFICATE_STATE_SIGNED},
    {"delivered", v1::CERTIFICATE_STATE_DELIVERED},
    {"confirmed", v1::CERTIFICATE_STATE_CONFIRMED},
    {"abandoned", v1::CERTIFICATE_STATE_ABANDONED},
    {"revoked", v1::CERTIFICATE_STATE_REVOKED},
}};

// As RFC 5280, section 5.3.1, writes them.
inline constexpr std::array<Word<v1::CertificateRevocationReason>, 7> kRevocationReasons = {{
    {"unspecified", v1::CERTIFICATE_REVOCATION_REASON_NO_REASON},
    {"keyCompromise", v1::CERTIFICATE_REVOCATION_REASON_KEY_COMPROMISE},
    {"cACompromise", v1::CERTIFICATE_REVOCATION_REASON_CA_COMPROMISE},
    {"affiliationChanged", v1::CERTIFICATE_REVOCATION_REASON_AFFILIATION_CHANGED},
    {"superseded", v1::CERTIFICATE_REVOCATION_REASON_SUPERSEDED},
    {"cessationOfOperation", v1::CERTIFICATE_REVOCATION_REASON_CESSATION_OF_OPERATION},
    {"privilegeWithdrawn", v1::CERTIFICATE_REVOCATION_REASON_PRIVILEGE_WITHDRAWN},
}};

inline constexpr std::array<Word<v1::AuthorityState>, 5> kAuthorityStates = {{
    {"requested", v1::AUTHORITY_STATE_REQUESTED},
    {"prepared", v1::AUTHORITY_STATE_PREPARED},
    {"active", v1::AUTHORITY_STATE_ACTIVE},
    {"tainted", v1::AUTHORITY_STATE_TAINTED},
    {"retired", v1::AUTHORITY_STATE_RETIRED},
}};

inline constexpr std::array<Word<v1::CertificateKey>, 5> kCertificateKeys = {{
    {"rsa:2048", v1::CERTIFICATE_KEY_RSA_2048},
    {"rsa:3072", v1::CERTIFICATE_KEY_RSA_3072},
    {"rsa:4096", v1::CERTIFICATE_KEY_RSA_4096},
    {"ec:secp256r1", v1::CERTIFICATE_KEY_EC_P256},
    {"ec:secp384r1", v1::CERTIFICATE_KEY_EC_P384},
}};

inline constexpr std::array<Word<v1::ClientAuthorityPurpose>, 2> kClientAuthorityPurposes = {{
    {"manufacturing", v1::CLIENT_AUTHORITY_PURPOSE_MANUFACTURING},
    {"small-business", v1::CLIENT_AUTHORITY_PURPOSE_SMALL_BUSINESS},
}};

template <typename Enum, size_t N>
std::vector<std::string> WordTexts(const std::array<Word<Enum>, N>& words) {
  std::vector<std::string> texts;
  for (const Word<Enum>& word : words) texts.emplace_back(word.text);
  return texts;
}

// In any case. InvalidArgument with all words for another one.
template <typename Enum, size_t N>
absl::StatusOr<Enum> ParseWord(const std::array<Word<Enum>, N>& words, std::string_view text) {
  for (const Word<Enum>& word : words) {
    if (absl::EqualsIgnoreCase({word.text.data(), word.text.size()}, {text.data(), text.size()})) return word.value;
  }
  return InvalidArgument("'{}' is none of these: {}", text, fmt::join(WordTexts(words), ", "));
}

// An option or argument that takes one of the words; `kind` tells shell completion which they are.
template <typename Enum, size_t N>
CLI::Option* AddWord(CLI::App& command, const std::string& name, std::string_view kind,
                     const std::array<Word<Enum>, N>& words, Enum& value, const std::string& description) {
  return command
      .add_option_function<std::string>(
          name,
          [&command, &words, &value, name](const std::string& text) {
            const absl::StatusOr<Enum> parsed = ParseWord(words, text);
            if (!parsed.ok()) {
              throw CLI::ValidationError(command.get_name() + " " + name, std::string(StatusMessage(parsed.status())));
            }
            value = *parsed;
          },
          description)
      ->type_name(std::string(kind));
}

// Values that a newer cad knows are shown as their number.
template <typename Enum, size_t N>
std::string WordFor(const std::array<Word<Enum>, N>& words, Enum value) {
  for (const Word<Enum>& word : words) {
    if (word.value == value) return std::string(word.text);
  }
  return fmt::format("unknown ({})", static_cast<int>(value));
}

// Empty for what was not given.
template <typename Enum, size_t N>
Cell WordCell(const std::array<Word<Enum>, N>& words, Enum value) {
  if (static_cast<int>(value) == 0) return {};
  return WordFor(words, value);
}

}  // namespace trustline
