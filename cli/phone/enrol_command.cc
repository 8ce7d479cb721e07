// phonefleet enrol: a phone's CAPF session.
#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "cli/phone/capf_phone.h"
#include "cli/phone/command.h"
#include "common/device/device_name.h"
#include "common/service/text_file.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"

namespace trustline {
namespace {

constexpr mode_t kPublicFile = 0644;

struct EnrolArguments {
  ConnectionArguments connection;
  std::string device;
  std::string password;
  std::string certificate;
  std::string key;
  bool mic = false;
  bool no_sudi = false;
  std::string key_out;
  std::string out;
  std::string pinned;
};

absl::StatusOr<CapfPhoneOptions> PhoneOptions(const EnrolArguments& arguments) {
  ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(arguments.device));
  CapfPhoneOptions options{.device_name = device.text(),
                           .password = arguments.password,
                           .one_byte_at_a_time = arguments.connection.one_byte_at_a_time,
                           .tls = arguments.connection.tls,
                           .sends_sudi_data = !arguments.no_sudi};
  if (!arguments.pinned.empty()) {
    ASSIGN_OR_RETURN(const Certificate pinned, ReadOneCertificate(arguments.pinned));
    options.tls.expected_certificate = pinned.sha256();
  }
  if (arguments.certificate.empty()) return options;
  ASSIGN_OR_RETURN(const Certificate certificate, ReadOneCertificate(arguments.certificate));
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::ReadKeyFile(arguments.key));
  if (!key.MatchesCertificate(certificate)) {
    return InvalidArgument("{} is not the key of the certificate in {}", arguments.key, arguments.certificate);
  }
  const CapfCertificateType type = arguments.mic ? CapfCertificateType::kMic : CapfCertificateType::kLsc;
  options.proof = PhoneCertificate{certificate, std::make_shared<const PrivateKey>(std::move(key)), type};
  options.certificates = {{type, std::string(AsText(certificate.der()))}};
  return options;
}

std::string ReasonText(uint8_t reason) {
  switch (static_cast<CapfReason>(reason)) {
    case CapfReason::kNoAction:
      return "0 (no action)";
    case CapfReason::kSuccess:
      return "1 (success)";
    case CapfReason::kInvalidElement:
      return "7 (the proof is wrong, or an element)";
    case CapfReason::kUnknownDevice:
      return "9 (unknown device)";
  }
  return std::to_string(reason);
}

// What has happened, as the first word of the line and what follows the device's name.
struct Outcome {
  std::string_view word;
  std::string text;
};

absl::StatusOr<Outcome> OutcomeOf(const CapfPhoneResult& result, const CapfPhone& phone) {
  if (result.retry_seconds) return Outcome{"told to come later", fmt::format("in {} s", *result.retry_seconds)};
  if (!result.ended_well()) {
    const std::string reason = fmt::format("end session with reason {}", ReasonText(*result.end_reason));
    return Outcome{"refused", result.end_information.empty() ? reason : reason + ": " + result.end_information};
  }
  switch (result.operation) {
    case CapfPhoneOperation::kNone:
      return Outcome{"nothing done", "end session with reason " + ReasonText(*result.end_reason)};
    case CapfPhoneOperation::kFetch:
      return Outcome{"fetched", "the server has asked for the certificate and got it"};
    case CapfPhoneOperation::kDelete:
      return Outcome{"deleted", "the phone has no LSC any more"};
    case CapfPhoneOperation::kInstall:
      break;
  }
  ASSIGN_OR_RETURN(const Certificate lsc, Certificate::FromDer(AsBytes(phone.lsc())));
  return Outcome{"installed", fmt::format("LSC serial {}  {}  until {}", ToHex(lsc.serial()), lsc.public_key_kind(),
                                          TimeTextSeconds(lsc.not_after()))};
}

absl::Status WriteResults(const EnrolArguments& arguments, const CapfPhone& phone) {
  if (phone.lsc().empty()) return absl::OkStatus();
  if (!arguments.key_out.empty()) RETURN_IF_ERROR(phone.lsc_key()->WriteKeyFile(arguments.key_out));
  if (arguments.out.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Certificate lsc, Certificate::FromDer(AsBytes(phone.lsc())));
  return WriteFileAtomically(arguments.out, lsc.ToPem(), kPublicFile);
}

absl::StatusOr<int> Enrol(const EnrolArguments& arguments) {
  ASSIGN_OR_RETURN(const CapfPhoneOptions options, PhoneOptions(arguments));
  CapfPhone phone(arguments.connection.server, options);
  const absl::StatusOr<CapfPhoneResult> result = phone.Enrol();
  // What the phone has stored is its own, whatever became of the session afterwards.
  RETURN_IF_ERROR(WriteResults(arguments, phone));
  RETURN_IF_ERROR(result.status());
  ASSIGN_OR_RETURN(const Outcome outcome, OutcomeOf(*result, phone));
  std::cout << fmt::format("{}  {}  {}  (CAPF {})", outcome.word, options.device_name, outcome.text,
                           SubjectText(result->server_certificate))
            << std::endl;
  return result->ended_well() ? kExitGood : kExitBad;
}

}  // namespace

void AddEnrolCommand(CLI::App& app, ChosenCommand& chosen) {
  const auto arguments = std::make_shared<EnrolArguments>();
  CLI::App& command = *app.add_subcommand(
      "enrol",
      "Open a CAPF session, as a phone does, and do what is scheduled for the device: make a key and install a\n"
      "certificate, hand over the one there is, or delete it.\n"
      "Exit status: 0 done or nothing to do, 1 refused or told to come later, 2 no answer or wrong usage.");
  command.footer(
      "Example:\n"
      "  phonefleet enrol --capf 192.0.2.1:3804 --device SEP001122334455 --password 48201957 --out lsc.pem "
      "--key-out lsc.key\n"
      "  phonefleet enrol --capf 192.0.2.1:3804 --device SEP001122334455 --certificate lsc.pem --key lsc.key");
  AddCapf(command, arguments->connection)->required();
  AddConnectionOptions(command, arguments->connection);
  command.add_option("--device", arguments->device, "The phone's device name")
      ->required()
      ->type_name("SEP001122334455");
  command.add_option("--password", arguments->password, "The authentication string that is typed at the phone")
      ->type_name("STRING");
  CLI::Option* certificate = command.add_option("--certificate", arguments->certificate,
                                                "The certificate that the phone has, to prove itself by and to hand "
                                                "over when it is fetched: PEM or DER");
  certificate->type_name("FILE");
  CLI::Option* key = command.add_option("--key", arguments->key, "The key of --certificate, in PEM");
  key->type_name("FILE")->needs(certificate);
  certificate->needs(key);
  command.add_flag("--mic", arguments->mic, "--certificate is the one of the manufacturer (MIC), not an LSC")
      ->needs(certificate);
  command
      .add_flag("--no-sudi", arguments->no_sudi,
                "No SUDI data with the proof, as old phones: it can be recorded and repeated then")
      ->needs(certificate);
  command.add_option("--out", arguments->out, "Where to write the certificate that was installed, in PEM")
      ->type_name("FILE");
  command.add_option("--key-out", arguments->key_out, "Where to write its key, in PEM, readable by its owner only")
      ->type_name("FILE");
  command.add_option("--capf-certificate", arguments->pinned, "The only certificate to accept from the CAPF server")
      ->type_name("FILE");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Enrol(*arguments); }; });
}

}  // namespace trustline
