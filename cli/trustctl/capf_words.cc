#include "cli/trustctl/capf_words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "cli/trustctl/command.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int kDefaultRsaBits = 2048;
constexpr std::string_view kRsa = "rsa:";
constexpr std::string_view kEc = "ec:";
constexpr std::string_view kEcPreferred = "ec-preferred:";

constexpr std::array<Word<v1::KeySpecification::Curve>, 3> kCurves = {{
    {"secp256r1", v1::KeySpecification::CURVE_SECP256R1},
    {"secp384r1", v1::KeySpecification::CURVE_SECP384R1},
    {"secp521r1", v1::KeySpecification::CURVE_SECP521R1},
}};

constexpr std::array<Word<v1::CertificateOperation>, 3> kOperationsForPeople = {{
    {"Install/Upgrade", v1::CERTIFICATE_OPERATION_INSTALL},
    {"Troubleshoot", v1::CERTIFICATE_OPERATION_FETCH},
    {"Delete", v1::CERTIFICATE_OPERATION_DELETE},
}};

constexpr std::array<Word<v1::EnrolmentAuthentication>, 4> kAuthenticationsForPeople = {{
    {"By Authentication String", v1::ENROLMENT_AUTHENTICATION_STRING},
    {"By Null String", v1::ENROLMENT_AUTHENTICATION_NULL},
    {"By Existing Certificate (Precedence to LSC)", v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC},
    {"By Existing Certificate (Precedence to MIC)", v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_MIC},
}};

std::string CurveText(v1::KeySpecification::Curve curve) {
  return WordFor(kCurves,
                 curve == v1::KeySpecification::CURVE_UNSPECIFIED ? v1::KeySpecification::CURVE_SECP256R1 : curve);
}

}  // namespace

absl::StatusOr<v1::KeySpecification> KeyFromText(std::string_view text) {
  std::string word(text);
  absl::AsciiStrToLower(&word);
  if (std::ranges::find(kDeviceKeys, word) == kDeviceKeys.end()) {
    return InvalidArgument("'{}' is none of these: {}", text, fmt::join(kDeviceKeys, ", "));
  }
  v1::KeySpecification key;
  if (word.starts_with(kRsa)) {
    key.set_order(v1::KeySpecification::ORDER_RSA);
    key.set_rsa_bits(std::stoi(word.substr(kRsa.size())));
    return key;
  }
  const bool preferred = word.starts_with(kEcPreferred);
  key.set_order(preferred ? v1::KeySpecification::ORDER_EC_PREFERRED : v1::KeySpecification::ORDER_EC);
  ASSIGN_OR_RETURN(const v1::KeySpecification::Curve curve,
                   ParseWord(kCurves, word.substr((preferred ? kEcPreferred : kEc).size())));
  key.set_curve(curve);
  return key;
}

std::string KeyText(const v1::KeySpecification& key) {
  const int bits = key.rsa_bits() == 0 ? kDefaultRsaBits : key.rsa_bits();
  switch (key.order()) {
    case v1::KeySpecification::ORDER_UNSPECIFIED:
    case v1::KeySpecification::ORDER_RSA:
      return fmt::format("{}{}", kRsa, bits);
    case v1::KeySpecification::ORDER_EC:
      return fmt::format("{}{}", kEc, CurveText(key.curve()));
    case v1::KeySpecification::ORDER_EC_PREFERRED:
      return bits == kDefaultRsaBits ? fmt::format("{}{}", kEcPreferred, CurveText(key.curve()))
                                     : fmt::format("{}{} ({}{})", kEcPreferred, CurveText(key.curve()), kRsa, bits);
    default:
      return fmt::format("unknown ({})", static_cast<int>(key.order()));
  }
}

CLI::Option* AddDeviceKey(CLI::App& command, std::optional<v1::KeySpecification>& key, const std::string& description) {
  return command
      .add_option_function<std::string>(
          "--key",
          [&command, &key](const std::string& text) {
            absl::StatusOr<v1::KeySpecification> parsed = KeyFromText(text);
            if (!parsed.ok()) {
              throw CLI::ValidationError(command.get_name() + " --key", std::string(StatusMessage(parsed.status())));
            }
            key = *std::move(parsed);
          },
          description)
      ->type_name(std::string(kDeviceKeyType));
}

std::string OperationForPeople(v1::CertificateOperation operation) {
  if (operation == v1::CERTIFICATE_OPERATION_UNSPECIFIED || operation == v1::CERTIFICATE_OPERATION_NONE) {
    return "No Pending Operation";
  }
  return WordFor(kOperationsForPeople, operation);
}

Cell AuthenticationForPeople(v1::EnrolmentAuthentication authentication) {
  return WordCell(kAuthenticationsForPeople, authentication);
}

Cell StatusForPeople(v1::OperationState state, const std::string& reason) {
  if (state == v1::OPERATION_STATE_UNSPECIFIED) return {};
  std::string text = WordFor(kOperationStates, state);
  if (state == v1::OPERATION_STATE_IN_PROGRESS) text = "in progress";
  return reason.empty() ? text : fmt::format("{}: {}", text, reason);
}

}  // namespace trustline
