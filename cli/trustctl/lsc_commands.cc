// trustctl lsc ...: the certificates that devices were issued (locally significant certificates).
#include <fmt/format.h>

#include <limits>
#include <memory>

#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/issuance_records.h"
#include "cli/trustctl/lsc_superseded.h"
#include "cli/trustctl/progress.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/device/device_name.h"
#include "common/service/clock.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/issuance.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kMaxSubject = 4096;
constexpr size_t kMinSerialDigits = 4;  // ShowCertificateRequest.serial_prefix

struct Filter {
  std::string device;
  std::optional<std::string> subject;
  std::string serial;
  std::string key;
  std::optional<int64_t> authority;
  std::optional<std::string> expires_before;
  std::optional<std::string> expires_after;
  v1::CertificateState state = v1::CERTIFICATE_STATE_UNSPECIFIED;
  bool good = false;
  int64_t limit = 0;
};

void AddFilter(CLI::App& command, Filter& filter) {
  AddDeviceNamePrefix(command, "--device", filter.device, "Only of devices whose name begins so");
  AddText(command, "--subject", kMaxSubject, filter.subject, "Only with a subject that begins so: CN=SEP0011");
  AddSerial(command, "--serial", filter.serial, "Only with a serial number that begins so");
  command
      .add_option_function<std::string>(
          "--key",
          [&command, &filter](const std::string& text) {
            const absl::StatusOr<std::string> prefix = ParseFingerprintPrefix(text);
            if (!prefix.ok()) {
              throw CLI::ValidationError(command.get_name() + " --key", std::string(StatusMessage(prefix.status())));
            }
            filter.key = *prefix;
          },
          "Only for a key whose SHA-256 begins so, at least 4 digits")
      ->type_name("HEX");
  AddNumber(command, "--authority", "ID", 1, std::numeric_limits<int32_t>::max(), filter.authority,
            "Only of this authority: see `trustctl ca list`");
  AddTime(command, "--expires-before", filter.expires_before, "Only that end before this time, or so long from now");
  AddTime(command, "--expires-after", filter.expires_after, "Only that end after this time, or so long from now");
  AddWord(command, "--state", kCertificateStateType, kCertificateStates, filter.state,
          "Only in this state: intent, signed, delivered, confirmed, abandoned or revoked");
  command.add_flag("--good", filter.good,
                   "Only that are good: signed, not revoked, not past their end, of a device in service");
  AddCount(command, "--limit", filter.limit, "The first so many; 0 for all");
}

absl::StatusOr<v1::ListCertificatesRequest> RequestFor(Environment& environment, const Filter& filter) {
  v1::ListCertificatesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device_prefix(filter.device);
  request.set_subject_prefix(filter.subject.value_or(""));
  request.set_serial_prefix(filter.serial);
  request.set_public_key_prefix(filter.key);
  request.set_authority_id(static_cast<int32_t>(filter.authority.value_or(0)));
  if (filter.expires_before) {
    ASSIGN_OR_RETURN(const absl::Time before, ResolveExpiry(environment, *filter.expires_before));
    *request.mutable_expires_before() = TimeToProto(before);
  }
  if (filter.expires_after) {
    ASSIGN_OR_RETURN(const absl::Time after, ResolveExpiry(environment, *filter.expires_after));
    *request.mutable_expires_after() = TimeToProto(after);
  }
  request.set_state(filter.state);
  request.set_good(filter.good);
  return request;
}

absl::StatusOr<int> List(Environment& environment, const Filter& filter) {
  ASSIGN_OR_RETURN(const v1::ListCertificatesRequest request, RequestFor(environment, filter));
  ASSIGN_OR_RETURN(Client<v1::Issuance> client, environment.Connect<v1::Issuance>(kCad));
  ListWriter writer(environment.out(), environment.options().output, IssuedCertificateColumns(), "no certificates");
  RETURN_IF_ERROR(ForEachCertificate(environment, client, request, filter.limit,
                                     [&writer](const v1::IssuedCertificate& certificate) {
                                       writer.Add(IssuedCertificateRow(certificate));
                                       return absl::OkStatus();
                                     }));
  writer.Finish();
  return kExitSuccess;
}

void AddListCommand(CommandLine& line, CLI::App& lsc) {
  auto filter = std::make_shared<Filter>();
  CLI::App& command = AddCommand(line, lsc, "list", "List issued certificates",
                                 "  trustctl lsc list --device SEP0011\n"
                                 "  trustctl lsc list --expires-after 0 --expires-before 30d --state confirmed\n"
                                 "  trustctl lsc list --authority 2 --good --limit 100 --output csv",
                                 [filter](Environment& environment) { return List(environment, *filter); });
  AddFilter(command, *filter);
}

struct ShowArguments {
  std::string serial;  // one of the two
  std::string device;
  bool pem = false;
};

absl::StatusOr<int> Show(Environment& environment, const ShowArguments& arguments) {
  v1::ShowCertificateRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  if (arguments.device.empty()) {
    request.set_serial_prefix(arguments.serial);
  } else {
    request.set_device(arguments.device);
  }
  ASSIGN_OR_RETURN(Client<v1::Issuance> client, environment.Connect<v1::Issuance>(kCad));
  ASSIGN_OR_RETURN(const v1::ShowCertificateResponse response,
                   (environment.Ask(client, &v1::Issuance::Stub::ShowCertificate, request)));
  const v1::IssuedCertificate& certificate = response.certificate();
  if (arguments.pem) {
    if (response.der().empty()) {
      return FailedPrecondition("{} has no certificate: its state is {}", IssuedCertificateText(certificate),
                                WordFor(kCertificateStates, certificate.state()));
    }
    ASSIGN_OR_RETURN(const std::string pem, DerToPem(response.der()));
    environment.out() << pem;
    return kExitSuccess;
  }
  const bool exists = !certificate.sha256().empty();
  Record record;
  record.Add("issuance_id", "Issuance", certificate.issuance_id())
      .Add("device", "Device", certificate.device())
      .Add("serial", "Serial", certificate.serial())
      .Add("state", "State", WordCell(kCertificateStates, certificate.state()))
      .Add("subject", "Subject", certificate.subject())
      .Add("issuer", "Issuer", certificate.issuer())
      .Add("authority_id", "Authority", int64_t{certificate.authority_id()})
      .Add("public_key", "Key", certificate.public_key())
      .Add("public_key_sha256", "Key hash (SHA-256)", ToHex(AsBytes(certificate.public_key_sha256())))
      .Add("sha256", "Fingerprint (SHA-256)", exists ? Cell(ToHex(AsBytes(certificate.sha256()))) : Cell())
      .Add("not_before", "Valid from", TimestampCell(certificate.not_before()))
      .Add("not_after", "Expires", TimestampCell(certificate.not_after()))
      .Add("requested_by", "Requested by", certificate.requested_by())
      .Add("requested_at", "Requested", TimestampCell(certificate.requested_at()))
      .Add("signed_at", "Signed", TimestampCell(certificate.signed_at()))
      .Add("delivered_at", "Delivered", TimestampCell(certificate.delivered_at()))
      .Add("confirmed_at", "Confirmed", TimestampCell(certificate.confirmed_at()))
      .Add("revoked_at", "Revoked", TimestampCell(certificate.revoked_at()))
      .Add("revocation_reason", "Reason", WordCell(kRevocationReasons, certificate.revocation_reason()))
      .Add("revoked_by", "Revoked by", certificate.revoked_by())
      .Add("first_crl_number", "First CRL",
           certificate.first_crl_number() == 0 ? Cell() : Cell(certificate.first_crl_number()))
      .Add("abandoned_because", "Abandoned because", certificate.abandoned_because());
  ASSIGN_OR_RETURN(record.list, ChainList(response.chain()));
  WriteRecord(environment.out(), environment.options().output, record);
  return kExitSuccess;
}

void AddShowCommand(CommandLine& line, CLI::App& lsc) {
  auto arguments = std::make_shared<ShowArguments>();
  CLI::App& command = AddCommand(line, lsc, "show", "Show one issued certificate",
                                 "  trustctl lsc show SEP001122334455\n"
                                 "  trustctl lsc show 5b7a90c1 --pem > phone.pem",
                                 [arguments](Environment& environment) { return Show(environment, *arguments); });
  // No device's name is hexadecimal.
  command
      .add_option_function<std::string>(
          "CERTIFICATE",
          [arguments](const std::string& text) {
            if (const absl::StatusOr<DeviceName> name = DeviceName::Parse(text); name.ok()) {
              arguments->device = name->text();
              return;
            }
            const absl::StatusOr<std::string> serial = ParseSerial(text);
            if (!serial.ok() || serial->size() < kMinSerialDigits) {
              throw CLI::ValidationError(
                  "show CERTIFICATE",
                  fmt::format("'{}' is neither the beginning of a serial number, of at least {} hexadecimal digits, "
                              "nor a device's name",
                              text, kMinSerialDigits));
            }
            arguments->serial = *serial;
          },
          "First digits of the serial number, at least 4; or a device's name, for its newest certificate")
      ->required()
      ->type_name("SERIAL");
  command.add_flag("--pem", arguments->pem, "Print the certificate itself, in PEM");
}

struct RevokeArguments {
  std::string serial;  // or both of an authority and what is superseded
  v1::CertificateRevocationReason reason = v1::CERTIFICATE_REVOCATION_REASON_UNSPECIFIED;
  std::optional<int64_t> authority;
  bool superseded = false;
};

absl::StatusOr<int> Revoke(Environment& environment, const RevokeArguments& arguments) {
  if (arguments.superseded) return RevokeSuperseded(environment, static_cast<int32_t>(arguments.authority.value_or(0)));
  v1::RevokeCertificateRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_serial(arguments.serial);
  request.set_reason(arguments.reason == v1::CERTIFICATE_REVOCATION_REASON_UNSPECIFIED
                         ? v1::CERTIFICATE_REVOCATION_REASON_NO_REASON
                         : arguments.reason);
  ASSIGN_OR_RETURN(Client<v1::Issuance> client, environment.Connect<v1::Issuance>(kCad));
  ASSIGN_OR_RETURN(const v1::RevokeCertificateResponse response,
                   (environment.Ask(client, &v1::Issuance::Stub::RevokeCertificate, request)));
  const v1::IssuedCertificate& certificate = response.certificate();
  const std::string text = IssuedCertificateText(certificate);
  const std::string reason = WordFor(kRevocationReasons, certificate.revocation_reason());
  const absl::Time since = absl::FromUnixSeconds(certificate.revoked_at().seconds());
  Record record;
  record.Add("changed", "CHANGED", response.changed());
  record.Add("key_blocked", "KEY BLOCKED", response.key_blocked());
  record.Add("others_revoked", "OTHERS REVOKED", response.others_revoked());
  record.list = {"certificates", IssuedCertificateColumns(), {IssuedCertificateRow(certificate)}};
  std::string consequences;
  if (response.key_blocked()) consequences = "; its key is blocked: no certificate is issued for it any more";
  if (response.others_revoked() > 0) {
    consequences += fmt::format("; {} for the same key revoked too", CertificateCountText(response.others_revoked()));
  }
  WriteResult(environment.out(), environment.options().output,
              response.changed()
                  ? fmt::format("revoked {} ({}); CRL and TVS follow within seconds{}", text, reason, consequences)
                  : fmt::format("{} is revoked since {} ({}), nothing changed{}", text, TimeTextSeconds(since), reason,
                                consequences),
              record);
  return kExitSuccess;
}

void AddRevokeCommand(CommandLine& line, CLI::App& lsc) {
  auto arguments = std::make_shared<RevokeArguments>();
  CLI::App& command = AddCommand(line, lsc, "revoke", "Revoke an issued certificate for good, or what a rollover left",
                                 "  trustctl lsc revoke 5b7a90c1d2e3f405 --reason keyCompromise\n"
                                 "  trustctl lsc revoke --authority 1 --superseded",
                                 [arguments](Environment& environment) { return Revoke(environment, *arguments); });
  AddSerial(command, "SERIAL", arguments->serial, "The whole serial number");
  AddWord(command, "--reason", kRevocationReasonType, kRevocationReasons, arguments->reason,
          "As RFC 5280 names it: keyCompromise, superseded, cessationOfOperation, ...; unspecified unless given");
  AddNumber(command, "--authority", "ID", 1, std::numeric_limits<int32_t>::max(), arguments->authority,
            "With --superseded: of this authority, which is tainted");
  command.add_flag("--superseded", arguments->superseded,
                   "With --authority: all good ones whose device has acknowledged a newer one of another authority");
  command.parse_complete_callback([arguments] {
    const bool in_bulk = arguments->authority || arguments->superseded;
    const bool alone = arguments->serial.empty() && arguments->reason == v1::CERTIFICATE_REVOCATION_REASON_UNSPECIFIED;
    const bool is_whole = in_bulk ? arguments->authority && arguments->superseded && alone : !arguments->serial.empty();
    if (!is_whole) throw CLI::ValidationError("revoke", "give SERIAL, or nothing but --authority and --superseded");
  });
}

struct ExportArguments {
  Filter filter;
  std::string out;
  bool force = false;
};

absl::StatusOr<std::string> ReadPem(Environment& environment, Client<v1::Issuance>& client, const std::string& cluster,
                                    const v1::IssuedCertificate& certificate) {
  v1::ShowCertificateRequest request;
  request.set_cluster(cluster);
  request.set_serial_prefix(certificate.serial());
  ASSIGN_OR_RETURN(const v1::ShowCertificateResponse response,
                   (environment.Ask(client, &v1::Issuance::Stub::ShowCertificate, request)));
  if (response.certificate().issuance_id() != certificate.issuance_id()) {
    return Internal("cad answered with {} for {}: look at its log", IssuedCertificateText(response.certificate()),
                    IssuedCertificateText(certificate));
  }
  return DerToPem(response.der());
}

absl::StatusOr<int> Export(Environment& environment, const ExportArguments& arguments) {
  if (environment.options().output != OutputFormat::kTable) {
    return UsageError("lsc export writes PEM only: leave --output out, or use `trustctl lsc list`");
  }
  ASSIGN_OR_RETURN(const v1::ListCertificatesRequest request, RequestFor(environment, arguments.filter));
  ASSIGN_OR_RETURN(Client<v1::Issuance> client, environment.Connect<v1::Issuance>(kCad));
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out()));
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "certificates read", /*total=*/0, clock);
  const CallSeries series(environment);
  int64_t count = 0;
  const absl::Status status = ForEachCertificate(
      environment, client, request, arguments.filter.limit,
      [&](const v1::IssuedCertificate& certificate) -> absl::Status {
        if (certificate.sha256().empty()) return absl::OkStatus();
        ASSIGN_OR_RETURN(const std::string pem, ReadPem(environment, client, request.cluster(), certificate));
        RETURN_IF_ERROR(file->Write(pem));
        progress.Update(++count);
        return absl::OkStatus();
      });
  progress.Finish();
  RETURN_IF_ERROR(status);
  const bool to_file = !arguments.out.empty();
  if (count == 0) {
    environment.err() << EscapeForTerminal("no certificate fits" +
                                           (to_file ? ": " + arguments.out + " was not written" : std::string()))
                      << std::endl;
    return kExitFailure;
  }
  RETURN_IF_ERROR(file->Commit());
  if (to_file) {
    environment.err() << EscapeForTerminal(CertificateCountText(count) + " written to " + arguments.out) << std::endl;
  }
  return kExitSuccess;
}

void AddExportCommand(CommandLine& line, CLI::App& lsc) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App& command = AddCommand(line, lsc, "export",
                                 "Write issued certificates in PEM. When none fits, it says so, writes no file (one "
                                 "that is there stays, with --force too) and ends with exit status 1",
                                 "  trustctl lsc export --state confirmed --out phones.pem\n"
                                 "  trustctl lsc export --device SEP0011 | openssl storeutl -noout -certs /dev/stdin",
                                 [arguments](Environment& environment) { return Export(environment, *arguments); });
  AddFilter(command, arguments->filter);
  AddFile(command, "--out", arguments->out, "File to write; the standard output unless given");
  command.add_flag("--force", arguments->force, "Replace the file when it exists");
}

}  // namespace

void AddLscCommands(CommandLine& line) {
  CLI::App& lsc = AddGroup(line.app, "lsc", "Certificates of devices: issued here, locally significant (LSC)",
                           "  trustctl lsc enroll SEP001122334455 --csr phone.csr --out phone.pem\n"
                           "  trustctl lsc list --device SEP0011");
  AddLscEnrollCommand(line, lsc);
  AddLscConfirmCommand(line, lsc);
  AddListCommand(line, lsc);
  AddShowCommand(line, lsc);
  AddRevokeCommand(line, lsc);
  AddExportCommand(line, lsc);
  AddLscPurgeCommand(line, lsc);
}

}  // namespace trustline
