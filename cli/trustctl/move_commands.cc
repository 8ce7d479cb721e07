// trustctl cluster export, import: what a cluster's phones trust as a file, for the cluster that hands phones over to
// it.
#include "cli/trustctl/move_commands.h"

#include <fmt/format.h>

#include <memory>
#include <optional>

#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/publication_arguments.h"
#include "cli/trustctl/terminal_questions.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"
#include "proto/migration.grpc.pb.h"

namespace trustline {
namespace {

// As itld has it.
constexpr size_t kLargestClusterTrust = 4 * 1024 * 1024;
constexpr size_t kFingerprintDigits = 64;

struct ExportArguments {
  std::string out;
  bool force = false;
};

absl::StatusOr<int> Export(Environment& environment, const ExportArguments& arguments) {
  if (environment.options().output != OutputFormat::kTable) {
    return UsageError("cluster export writes the file only: leave --output out");
  }
  v1::ExportTrustRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out()));
  ASSIGN_OR_RETURN(Client<v1::ClusterTrust> client, environment.Connect<v1::ClusterTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::ExportTrustResponse response,
                   (environment.Ask(client, &v1::ClusterTrust::Stub::ExportTrust, request)));
  // What the other side will see is worked out from what is written.
  const Sha256Digest sha256 = Sha256(AsBytes(response.file()));
  if (response.sha256() != AsText(sha256)) {
    return DataLoss("itld sent an export that is not the one it meant: SHA-256 {} instead of {}", ToHex(sha256),
                    ToHex(AsBytes(response.sha256())));
  }
  RETURN_IF_ERROR(file->Write(response.file()));
  RETURN_IF_ERROR(file->Commit());
  environment.err()
      << EscapeLinesForTerminal(
             fmt::format("{} of {} TFTP server{}{}\nSHA-256 {}\nTell the other side this number over another channel, "
                         "such as a telephone: whoever can change the file can take phones over.",
                         CertificateCountText(response.certificates()), response.tftp_servers(),
                         response.tftp_servers() == 1 ? "" : "s",
                         arguments.out.empty() ? "" : " written to " + arguments.out, ToHex(sha256)))
      << std::endl;
  return kExitSuccess;
}

struct ImportArguments {
  std::string file;
  std::string sha256;  // hexadecimal
  std::optional<std::string> reason;
};

// OK when the file is the one that the other side means.
absl::Status Compare(Environment& environment, const ImportArguments& arguments, const Sha256Digest& sha256) {
  if (!arguments.sha256.empty()) {
    if (arguments.sha256 == ToHex(sha256)) return absl::OkStatus();
    return FailedPrecondition(
        "nothing was imported: {} has the SHA-256 {}, and not {}. It is another file, or somebody has changed it on "
        "its "
        "way: have it exported again",
        arguments.file, ToHex(sha256), arguments.sha256);
  }
  const absl::Status answer = Confirm(
      environment, /*yes=*/false,
      fmt::format(
          "{} has the SHA-256 {}. Whoever can change the file can take phones over. Does the other side say the "
          "same number, over another channel?",
          arguments.file, ToHex(sha256)));
  if (!IsUsageError(answer)) return answer;
  return UsageError("this wants the file's SHA-256, as the other side says it over another channel: give --sha256");
}

absl::StatusOr<int> Import(Environment& environment, const ImportArguments& arguments) {
  absl::StatusOr<std::string> file = ReadTextFile(arguments.file, kLargestClusterTrust);
  if (!file.ok()) return WithFileAdvice(file.status());
  const Sha256Digest sha256 = Sha256(AsBytes(*file));
  RETURN_IF_ERROR(Compare(environment, arguments, sha256));
  v1::ImportTrustRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_file(*std::move(file));
  request.set_sha256(std::string(AsText(sha256)));
  request.set_reason(arguments.reason.value_or(""));
  ASSIGN_OR_RETURN(Client<v1::ClusterTrust> client, environment.Connect<v1::ClusterTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::ImportTrustResponse response,
                   (environment.Ask(client, &v1::ClusterTrust::Stub::ImportTrust, request)));
  for (const std::string& warning : response.warnings()) environment.Warn(warning);
  Record record;
  record.Add("from_cluster", "From cluster", response.from_cluster())
      .Add("added", "Added", response.added())
      .Add("unchanged", "Unchanged", response.unchanged())
      .Add("file_sha256", "File", Fingerprint{std::string(AsText(sha256))});
  record.list = {.key = "certificates",
                 .columns = {{"of", "OF"}, {"roles", "ROLES"}, {"sha256", "SHA256"}, {"subject", "SUBJECT"}},
                 .rows = {}};
  for (const v1::ExportedTrust::Certificate& one : response.certificates()) {
    const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(one.der()));
    if (!certificate.ok()) return DataLoss("itld sent what is no certificate: {}", StatusMessage(certificate.status()));
    record.list->rows.push_back({one.of(), RolesCell(one.roles()),
                                 Fingerprint{std::string(AsText(certificate->sha256()))},
                                 certificate->subject().ToText()});
  }
  WriteResult(environment.out(), environment.options().output,
              fmt::format("trusts the cluster {}: {} added, {} there already; no list names them",
                          response.from_cluster(), response.added(), response.unchanged()),
              record);
  return kExitSuccess;
}

}  // namespace

void AddMoveCommands(CommandLine& line, CLI::App& cluster) {
  auto exported = std::make_shared<ExportArguments>();
  CLI::App& export_command = AddCommand(
      line, cluster, "export",
      "Write what phones of the cluster trust (certificates and lists, no key), for a cluster whose phones are to move "
      "here. Tell the other side the SHA-256 that it prints over another channel: whoever can change the file can take "
      "phones over",
      "  trustctl cluster export --cluster berlin --out berlin.trust\n"
      "  trustctl cluster export | gpg --clearsign > berlin.trust.asc",
      [exported](Environment& environment) { return Export(environment, *exported); });
  AddFile(export_command, "--out", exported->out, "File to write; the standard output unless given");
  export_command.add_flag("--force", exported->force, "Replace the file when it exists");

  auto imported = std::make_shared<ImportArguments>();
  CLI::App& import_command =
      AddCommand(line, cluster, "import",
                 "Trust the signers and TVS certificates of another cluster, by its export, so that phones can move "
                 "between the two; "
                 "no list names them. Whoever can change the file can take phones over: the SHA-256 is compared with "
                 "what the other "
                 "side says over another channel",
                 "  trustctl cluster import berlin.trust\n"
                 "  trustctl cluster import berlin.trust --reason 'the move of May' --sha256 "
                 "3f2a91c07b1d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7",
                 [imported](Environment& environment) { return Import(environment, *imported); });
  AddFile(import_command, "FILE", imported->file, "What `trustctl cluster export` wrote there")->required();
  import_command
      .add_option_function<std::string>(
          "--sha256",
          [&import_command, arguments = imported.get()](const std::string& text) {
            absl::StatusOr<std::string> digits = ParseFingerprintPrefix(text);
            if (!digits.ok() || digits->size() != kFingerprintDigits) {
              throw CLI::ValidationError(import_command.get_name() + " --sha256",
                                         fmt::format("a SHA-256 has {} hexadecimal digits", kFingerprintDigits));
            }
            arguments->sha256 = *std::move(digits);
          },
          "Of the file, as the other side says it; asked for at the terminal unless given")
      ->type_name("HEX");
  AddReason(import_command, imported->reason, "Why, for the audit log");
}

}  // namespace trustline
