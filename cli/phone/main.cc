// phonefleet: virtual phones that ask the services what real ones ask.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <functional>
#include <iostream>

#include "absl/strings/str_join.h"
#include "cli/phone/captured_exchange.h"
#include "cli/phone/endpoint.h"
#include "cli/phone/tvs_phone.h"
#include "common/service/text_file.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"
#include "common/x509/certificate_file.h"

namespace trustline {
namespace {

constexpr int kExitValid = 0;
constexpr int kExitInvalid = 1;  // also: a replay that differs
constexpr int kExitNoAnswer = 2;
constexpr size_t kMaxCaptureFile = 4 * 1024 * 1024;

int Fail(std::string_view message) {
  std::cerr << "phonefleet: " << message << std::endl;
  return kExitNoAnswer;
}

// What both commands take about the connection.
struct ConnectionArguments {
  Endpoint server;
  TlsClientOptions tls;
  bool one_byte_at_a_time = false;
};

template <typename T>
T ValueOrThrow(const std::string& option, absl::StatusOr<T> value) {
  if (!value.ok()) throw CLI::ValidationError(option, std::string(StatusMessage(value.status())));
  return *std::move(value);
}

absl::StatusOr<TlsVersion> ParseTlsVersion(std::string_view text) {
  if (text == "1.0") return TlsVersion::kTls10;
  if (text == "1.1") return TlsVersion::kTls11;
  if (text == "1.2") return TlsVersion::kTls12;
  if (text == "1.3") return TlsVersion::kTls13;
  return InvalidArgument("unknown TLS version '{}'; the versions are 1.0, 1.1, 1.2, 1.3", text);
}

void AddConnectionArguments(CLI::App& command, ConnectionArguments& arguments) {
  command
      .add_option_function<std::string>(
          "--tvs",
          [&arguments](const std::string& text) {
            arguments.server = ValueOrThrow("--tvs", ParseEndpoint(text, kTvsPort));
          },
          "The Trust Verification Service to ask; port 2445 unless given")
      ->required()
      ->type_name("HOST:PORT");
  command
      .add_option_function<std::string>(
          "--tls",
          [&arguments](const std::string& text) {
            arguments.tls.min_version = ValueOrThrow("--tls", ParseTlsVersion(text));
            arguments.tls.max_version = arguments.tls.min_version;
          },
          "Only this TLS version: 1.0, 1.1, 1.2 or 1.3; as phones of today, 1.2 or 1.3, unless given")
      ->type_name("VERSION");
  command
      .add_option_function<std::string>(
          "--timeout",
          [&arguments](const std::string& text) {
            const absl::Duration timeout = ValueOrThrow("--timeout", ParseDuration(text));
            if (timeout < absl::Milliseconds(1)) throw CLI::ValidationError("--timeout", "must be 1ms or more");
            arguments.tls.timeout = absl::ToChronoMilliseconds(timeout);
          },
          "How long to wait for the connection, and for the answer; 10s unless given")
      ->type_name("DURATION");
  command.add_flag("--bytes", arguments.one_byte_at_a_time, "Send one byte at a time");
}

struct AskArguments {
  ConnectionArguments connection;
  std::string device = TvsPhoneOptions().device_name;
  bool query = false;
  bool resume = false;
  std::string pinned;
  std::string file;
};

std::string SubjectOf(const std::string& der) {
  const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(der));
  return certificate.ok() ? certificate->subject().ToText() : "with an unreadable certificate";
}

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
                     SubjectOf(answer.server_certificate), answer.elapsed.count() / 1000,
                     answer.resumed ? ", session resumed" : "");
}

absl::StatusOr<int> Ask(const AskArguments& arguments) {
  ASSIGN_OR_RETURN(const std::vector<Certificate> certificates, ReadCertificatePath(arguments.file));
  TvsPhoneOptions options{.device_name = arguments.device,
                          .one_byte_at_a_time = arguments.connection.one_byte_at_a_time,
                          .resume_sessions = arguments.resume,
                          .tls = arguments.connection.tls};
  if (!arguments.pinned.empty()) {
    ASSIGN_OR_RETURN(const std::vector<Certificate> pinned, ReadCertificatePath(arguments.pinned));
    if (pinned.size() != 1)
      return InvalidArgument("{} has {} certificates instead of one", arguments.pinned, pinned.size());
    options.tls.expected_certificate = pinned.front().sha256();
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
  return all_valid ? kExitValid : kExitInvalid;
}

struct ReplayArguments {
  ConnectionArguments connection;
  std::string file;
};

absl::StatusOr<int> Replay(const ReplayArguments& arguments) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(arguments.file, kMaxCaptureFile));
  const absl::StatusOr<std::vector<CapturedTurn>> turns = ParseCapturedExchange(text);
  if (!turns.ok()) return Annotate(turns.status(), arguments.file);
  const absl::Status replayed = ReplayTvsExchange(arguments.connection.server, arguments.connection.tls, *turns,
                                                  arguments.connection.one_byte_at_a_time);
  if (absl::IsDataLoss(replayed)) {
    std::cout << "different  " << arguments.file << ": " << StatusMessage(replayed) << std::endl;
    return kExitInvalid;
  }
  RETURN_IF_ERROR(replayed);
  std::cout << "same  " << arguments.file << std::endl;
  return kExitValid;
}

int Run(int argc, char** argv) {
  CLI::App app(
      "A fleet of virtual phones that grows with what the services speak: today a phone asks a Trust Verification\n"
      "Service about certificates, and replays captured exchanges.");
  app.name("phonefleet");
  app.require_subcommand(1);
  app.set_version_flag("--version", "phonefleet " TRUSTLINE_VERSION);
  app.footer("Example:\n  phonefleet ask --tvs 192.0.2.1:2445 cert.pem");
  std::function<absl::StatusOr<int>()> chosen;

  AskArguments ask;
  CLI::App& ask_command = *app.add_subcommand("ask",
                                              "Ask about the certificates of a file, as a phone would.\n"
                                              "Exit status: 0 valid, 1 invalid, 2 no answer or wrong usage.");
  ask_command.footer(
      "Example:\n"
      "  phonefleet ask --tvs 192.0.2.1:2445 cert.pem\n"
      "  phonefleet ask --tvs [2001:db8::1]:2445 --query --tvs-certificate tvs.pem signer.pem");
  AddConnectionArguments(ask_command, ask.connection);
  ask_command.add_option("--device", ask.device, "Device name that the phone gives")
      ->type_name("NAME")
      ->capture_default_str();
  ask_command.add_flag("--query", ask.query,
                       "Ask for the certificate by its subject, issuer and serial number, as for a file's signer");
  ask_command.add_flag("--resume", ask.resume, "Resume the TLS session for the next certificate of the file");
  ask_command.add_option("--tvs-certificate", ask.pinned, "The only certificate to accept from the TVS")
      ->type_name("FILE");
  ask_command.add_option("CERTIFICATE_FILE", ask.file, "PEM, DER or PKCS#7")->required()->type_name("FILE");
  ask_command.callback([&] { chosen = [&ask] { return Ask(ask); }; });

  ReplayArguments replay;
  CLI::App& replay_command = *app.add_subcommand(
      "replay",
      "Send the phone's bytes of a captured exchange and compare the answer with the recorded one.\n"
      "Exit status: 0 the same bytes, 1 different, 2 no answer or wrong usage.");
  replay_command.footer(
      "Example:\n"
      "  phonefleet replay --tvs 192.0.2.1:2445 tests/vectors/wire/tvs-appserver-ec.hex\n"
      "  phonefleet replay --tvs 192.0.2.1:2445 --bytes tests/vectors/wire/tvs-appserver-ec.hex");
  AddConnectionArguments(replay_command, replay.connection);
  replay_command.add_option("CAPTURE_FILE", replay.file, "Lines 'C>S HEX' and 'S>C HEX'")
      ->required()
      ->type_name("FILE");
  replay_command.callback([&] { chosen = [&replay] { return Replay(replay); }; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return Fail(std::string(error.what()) + "\nTry the command with --help.");
  }
  const absl::StatusOr<int> status = chosen();
  return status.ok() ? *status : Fail(StatusMessage(status.status()));
}

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) {
  // A server that closes while we write is an error of that write, not a signal.
  std::signal(SIGPIPE, SIG_IGN);
  return trustline::Run(argc, argv);
}
