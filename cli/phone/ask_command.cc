// phonefleet ask: what a phone asks a TVS about a certificate.
#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "cli/phone/command.h"
#include "cli/phone/tvs_phone.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"
#include "common/x509/certificate_file.h"

namespace trustline {
namespace {

struct AskArguments {
  ConnectionArguments connection;
  std::string device = TvsPhoneOptions().device_name;
  bool query = false;
  bool resume = false;
  std::string pinned;
  std::string file;
};

std::string AnswerLine(const TvsAnswer& answer, const Certificate& asked) {
  std::string line = "invalid";
  if (answer.valid) {
    const std::string roles = absl::StrJoin(answer.roles, ",", [](std::string* joined, CertificateRole role) {
      const std::string_view name = CertificateRoleName(role);
      joined->append(name.data(), name.size());
    });
    line = fmt::format("valid  roles {}  TTL {} s ", roles, answer.ttl_seconds);
  }
  return fmt::format("{}  {}  (answered by TVS {} in {} ms{})", line, asked.subject().ToText(),
                     SubjectText(answer.server_certificate), answer.elapsed.count() / 1000,
                     answer.resumed ? ", session resumed" : "");
}

absl::StatusOr<int> Ask(const AskArguments& arguments) {
  ASSIGN_OR_RETURN(const std::vector<Certificate> certificates, ReadCertificatePath(arguments.file));
  TvsPhoneOptions options{.device_name = arguments.device,
                          .one_byte_at_a_time = arguments.connection.one_byte_at_a_time,
                          .resume_sessions = arguments.resume,
                          .tls = arguments.connection.tls};
  if (!arguments.pinned.empty()) {
    ASSIGN_OR_RETURN(const Certificate pinned, ReadOneCertificate(arguments.pinned));
    options.tls.expected_certificate = pinned.sha256();
  }
  TvsPhone phone(arguments.connection.server, options);
  bool all_valid = true;
  for (const Certificate& certificate : certificates) {
    ASSIGN_OR_RETURN(const TvsAnswer answer,
                     arguments.query ? phone.Query(PhoneNameText(certificate.subject()),
                                                   PhoneNameText(certificate.issuer()), certificate.serial())
                                     : phone.Verify(certificate.der()));
    if (!answer.certificate.empty() && answer.certificate != AsText(certificate.der())) {
      return DataLoss("the TVS has another certificate under this issuer and serial number than {}", arguments.file);
    }
    all_valid = all_valid && answer.valid;
    std::cout << AnswerLine(answer, certificate) << std::endl;
  }
  return all_valid ? kExitGood : kExitBad;
}

}  // namespace

void AddAskCommand(CLI::App& app, ChosenCommand& chosen) {
  const auto arguments = std::make_shared<AskArguments>();
  CLI::App& command = *app.add_subcommand("ask",
                                          "Ask about the certificates of a file, as a phone would.\n"
                                          "Exit status: 0 valid, 1 invalid, 2 no answer or wrong usage.");
  command.footer(
      "Example:\n"
      "  phonefleet ask --tvs 192.0.2.1:2445 cert.pem\n"
      "  phonefleet ask --tvs [2001:db8::1]:2445 --query --tvs-certificate tvs.pem signer.pem");
  AddTvs(command, arguments->connection)->required();
  AddConnectionOptions(command, arguments->connection);
  command.add_option("--device", arguments->device, "Device name that the phone gives")
      ->type_name("NAME")
      ->capture_default_str();
  command.add_flag("--query", arguments->query,
                   "Ask for the certificate by its subject, issuer and serial number, as for a file's signer");
  command.add_flag("--resume", arguments->resume, "Resume the TLS session for the next certificate of the file");
  command.add_option("--tvs-certificate", arguments->pinned, "The only certificate to accept from the TVS")
      ->type_name("FILE");
  command.add_option("CERTIFICATE_FILE", arguments->file, "PEM, DER or PKCS#7")->required()->type_name("FILE");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Ask(*arguments); }; });
}

}  // namespace trustline
