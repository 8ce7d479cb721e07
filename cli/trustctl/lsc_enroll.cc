// trustctl lsc enroll: a certificate for a device whose key is elsewhere.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/trustctl/certificate_request_input.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/issuance_records.h"
#include "cli/trustctl/trust_records.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/issuance.grpc.pb.h"

namespace trustline {
namespace {

// As cad has them.
constexpr int64_t kLongestLifetimeDays = 1825;
constexpr size_t kMaxRequestId = 64;

struct EnrollArguments {
  std::string device;
  std::string request_path;
  std::string out;
  bool force = false;
  bool renew = false;
  std::optional<int64_t> days;
  std::string request_id;
};

// The command that is answered with the same certificate; `written` when its file is there.
std::string SameCommand(const EnrollArguments& arguments, bool written) {
  std::string text = "the same command";
  if (arguments.renew && arguments.request_id.empty()) text += " without --renew";
  if (written && !arguments.out.empty() && !arguments.force) text += " with --force";
  return text;
}

Record IssueRecord(const v1::IssuedCertificate& certificate, const v1::IssueResponse& response,
                   const std::string& pem) {
  Record record;
  const std::vector<Column> columns = IssuedCertificateColumns();
  Row row = IssuedCertificateRow(certificate);
  for (size_t i = 0; i < columns.size(); ++i) record.Add(columns[i].key, columns[i].title, std::move(row[i]));
  record.Add("existed", "EXISTED", response.existed());
  record.Add("warnings", "WARNINGS", std::vector<std::string>(response.warnings().begin(), response.warnings().end()));
  record.Add("pem", "PEM", pem);
  return record;
}

std::string Sentence(const v1::IssueResponse& response, const std::string& out) {
  const v1::IssuedCertificate& certificate = response.certificate();
  const Cell expires = TimestampCell(certificate.not_after());
  const absl::Time* const time = std::get_if<absl::Time>(&expires);
  const bool is_confirmed = certificate.state() == v1::CERTIFICATE_STATE_CONFIRMED;
  return fmt::format("{} {}{}{}{}", response.existed() ? "issued before:" : "issued",
                     IssuedCertificateText(certificate),
                     time == nullptr ? "" : ", good until " + TimeTextSeconds(*time),
                     out.empty() ? "" : fmt::format("; certificate and chain written to {}", out),
                     is_confirmed ? "" : "; once the device uses it: trustctl lsc confirm " + certificate.serial());
}

// Hands the certificate over: to the file, or to the standard output as PEM or within the record.
absl::Status HandOver(Environment& environment, const v1::IssueResponse& response, bool to_file, ExportFile& file) {
  ASSIGN_OR_RETURN(const std::string pem, ChainToPem(response.der(), response.chain()));
  if (to_file || environment.options().output == OutputFormat::kTable) {
    RETURN_IF_ERROR(file.Write(pem));
    RETURN_IF_ERROR(file.Commit());
  } else {
    WriteRecord(environment.out(), environment.options().output, IssueRecord(response.certificate(), response, pem));
  }
  environment.out().flush();
  if (!environment.out()) return Unavailable("cannot write to the standard output: is the disk full?");
  return absl::OkStatus();
}

absl::StatusOr<v1::RecordDeliveryResponse> RecordDelivery(Environment& environment, Client<v1::Issuance>& client,
                                                          const std::string& cluster, int64_t issuance_id,
                                                          v1::CertificateState state) {
  v1::RecordDeliveryRequest request;
  request.set_cluster(cluster);
  request.set_issuance_id(issuance_id);
  request.set_state(state);
  return environment.Ask(client, &v1::Issuance::Stub::RecordDelivery, request);
}

// The certificate as it is on record now. A failure is a warning: the certificate is handed over.
v1::IssuedCertificate RecordHandedOver(Environment& environment, Client<v1::Issuance>& client,
                                       const v1::IssuedCertificate& certificate, const std::string& cluster,
                                       const std::string& same_command) {
  const absl::StatusOr<v1::RecordDeliveryResponse> response =
      RecordDelivery(environment, client, cluster, certificate.issuance_id(), v1::CERTIFICATE_STATE_DELIVERED);
  if (response.ok()) return response->certificate();
  environment.Warn(
      fmt::format("cad has not recorded that {} was handed over ({}): it is good all the same; {} records "
                  "it",
                  IssuedCertificateText(certificate), StatusMessage(response.status()), same_command));
  return certificate;
}

absl::StatusOr<int> Confirm(Environment& environment, const std::string& serial) {
  v1::ShowCertificateRequest show;
  ASSIGN_OR_RETURN(*show.mutable_cluster(), environment.cluster());
  show.set_serial_prefix(serial);
  ASSIGN_OR_RETURN(Client<v1::Issuance> client, environment.Connect<v1::Issuance>(kCad));
  ASSIGN_OR_RETURN(const v1::ShowCertificateResponse shown,
                   (environment.Ask(client, &v1::Issuance::Stub::ShowCertificate, show)));
  if (shown.certificate().serial() != serial) {
    return NotFound("no certificate has the serial number {}, only {} begins so: give it whole", serial,
                    IssuedCertificateText(shown.certificate()));
  }
  ASSIGN_OR_RETURN(const v1::RecordDeliveryResponse response,
                   RecordDelivery(environment, client, show.cluster(), shown.certificate().issuance_id(),
                                  v1::CERTIFICATE_STATE_CONFIRMED));
  Record record;
  record.Add("superseded", "SUPERSEDED", response.superseded());
  record.list = {"certificates", IssuedCertificateColumns(), {IssuedCertificateRow(response.certificate())}};
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{} is in use{}", IssuedCertificateText(response.certificate()),
                          response.superseded() == 0 ? ""
                                                     : fmt::format("; {} that it replaced revoked",
                                                                   CertificateCountText(response.superseded()))),
              record);
  return kExitSuccess;
}

absl::StatusOr<int> Enroll(Environment& environment, const EnrollArguments& arguments) {
  v1::IssueFromRequestRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device(arguments.device);
  ASSIGN_OR_RETURN(*request.mutable_certificate_request(), ReadCertificateRequest(arguments.request_path));
  if (arguments.days) *request.mutable_lifetime() = DurationToProto(absl::Hours(24 * *arguments.days));
  request.set_renew(arguments.renew);
  request.set_request_id(arguments.request_id);

  const bool to_file = !arguments.out.empty();
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out()));
  ASSIGN_OR_RETURN(Client<v1::Issuance> client, environment.Connect<v1::Issuance>(kCad));
  const CallSeries series(environment);
  const absl::StatusOr<v1::IssueResponse> issued =
      environment.Ask(client, &v1::Issuance::Stub::IssueFromRequest, request);
  if (!issued.ok() && environment.interrupt().requested()) {
    return Aborted("interrupted: whether a certificate was issued is not known; {} gives it in any case",
                   SameCommand(arguments, false));
  }
  // The fault is in the request itself.
  if (absl::IsInvalidArgument(issued.status())) return Annotate(issued.status(), arguments.request_path);
  RETURN_IF_ERROR(issued.status());
  const v1::IssueResponse& response = *issued;
  for (const std::string& warning : response.warnings()) environment.Warn(warning);
  if (const absl::Status handed_over = HandOver(environment, response, to_file, *file); !handed_over.ok()) {
    return Annotate(handed_over,
                    fmt::format("{} is issued but was not handed over ({} gives it again)",
                                IssuedCertificateText(response.certificate()), SameCommand(arguments, false)));
  }
  const v1::IssuedCertificate recorded =
      RecordHandedOver(environment, client, response.certificate(), request.cluster(), SameCommand(arguments, true));

  const std::string sentence = Sentence(response, arguments.out);
  if (to_file) {
    ASSIGN_OR_RETURN(const std::string pem, ChainToPem(response.der(), response.chain()));
    WriteResult(environment.out(), environment.options().output, sentence, IssueRecord(recorded, response, pem));
  } else {
    environment.err() << EscapeForTerminal(sentence) << std::endl;
  }
  return kExitSuccess;
}

}  // namespace

void AddLscEnrollCommand(CommandLine& line, CLI::App& lsc) {
  auto arguments = std::make_shared<EnrollArguments>();
  CLI::App& command = AddCommand(
      line, lsc, "enroll",
      "Issue a certificate for the key of a certificate signing request, and print it with its chain. The same device "
      "and key get the same certificate again, unless --renew",
      "  trustctl lsc enroll SEP001122334455 --csr phone.csr --out phone.pem\n"
      "  trustctl lsc enroll CSFANNA --csr anna.csr --days 365 --request-id ticket-4711 > anna.pem",
      [arguments](Environment& environment) { return Enroll(environment, *arguments); });
  AddDeviceName(command, "DEVICE", arguments->device, "Name of the device")->required();
  AddFile(command, "--csr", arguments->request_path, "Certificate signing request (PKCS#10) in PEM or DER, up to 16 KB")
      ->required();
  AddFile(command, "--out", arguments->out, "File to write; the standard output unless given");
  command.add_flag("--force", arguments->force, "Replace the file when it exists");
  command.add_flag("--renew", arguments->renew, "Also when the device has a certificate that is still good");
  AddNumber(command, "--days", "DAYS", 1, kLongestLifetimeDays, arguments->days,
            "How long it is good, at most 1825; 1825 unless given, and never longer than its issuer");
  command
      .add_option("--request-id", arguments->request_id,
                  "The same id always gets the same certificate; up to 64 printable characters without blanks")
      ->type_name("ID")
      ->check([](const std::string& id) {
        const bool printable = std::ranges::all_of(id, [](char c) { return c > ' ' && c <= '~'; });
        const bool fits = printable && !id.empty() && id.size() <= kMaxRequestId;
        return fits ? std::string()
                    : fmt::format("an id has 1 to {} printable ASCII characters and no blanks", kMaxRequestId);
      });
}

void AddLscConfirmCommand(CommandLine& line, CLI::App& lsc) {
  auto serial = std::make_shared<std::string>();
  CLI::App& command = AddCommand(
      line, lsc, "confirm",
      "Record that the device uses a certificate that was handed over by other ways than its own enrolment. Those that "
      "it was issued before and never acknowledged are revoked",
      "  trustctl lsc confirm 5b7a90c1d2e3f4055b7a90c1d2e3f405",
      [serial](Environment& environment) { return Confirm(environment, *serial); });
  AddSerial(command, "SERIAL", *serial, "The whole serial number")->required();
}

}  // namespace trustline
