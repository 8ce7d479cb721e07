#include "cli/phone/command.h"

#include <utility>
#include <vector>

#include "capf/message.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/certificate_file.h"

namespace trustline {
namespace {

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

CLI::Option* AddServer(CLI::App& command, ConnectionArguments& arguments, const std::string& name, uint16_t port,
                       const std::string& what) {
  return command
      .add_option_function<std::string>(
          name,
          [&arguments, name, port](const std::string& text) {
            arguments.server = ValueOrThrow(name, ParseEndpoint(text, port));
          },
          fmt::format("{}; port {} unless given", what, port))
      ->type_name("HOST:PORT");
}

}  // namespace

CLI::Option* AddTvs(CLI::App& command, ConnectionArguments& arguments) {
  return AddServer(command, arguments, "--tvs", kTvsPort, "The Trust Verification Service to ask");
}

CLI::Option* AddCapf(CLI::App& command, ConnectionArguments& arguments) {
  return AddServer(command, arguments, "--capf", kCapfPort, "The CAPF server to enrol with");
}

void AddConnectionOptions(CLI::App& command, ConnectionArguments& arguments) {
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
          "How long to wait for the connection, and for each answer; 10s unless given")
      ->type_name("DURATION");
  command.add_flag("--bytes", arguments.one_byte_at_a_time, "Send one byte at a time");
}

absl::StatusOr<Certificate> ReadOneCertificate(const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<Certificate> certificates, ReadCertificatePath(path));
  if (certificates.size() != 1) {
    return InvalidArgument("{} has {} certificates instead of one", path, certificates.size());
  }
  return certificates.front();
}

std::string SubjectText(const std::string& der) {
  const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(der));
  return certificate.ok() ? certificate->subject().ToText() : "with an unreadable certificate";
}

}  // namespace trustline
