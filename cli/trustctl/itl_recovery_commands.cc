// trustctl itl recovery ...: the key of last resort that all lists are signed with.
#include <fmt/format.h>
#include <openssl/crypto.h>

#include <memory>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/publication_arguments.h"
#include "cli/trustctl/recovery_key_file.h"
#include "cli/trustctl/terminal_questions.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/pkcs12.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {
namespace {

constexpr mode_t kKeyFileMode = 0600;

// Overwrites the passphrase in a message when the call is over.
class PassphraseInMessage {
 public:
  PassphraseInMessage(std::string& field, const SecretBytes& passphrase) : field_(field) {
    field_.assign(passphrase.ExposeSecret());
  }
  ~PassphraseInMessage() { OPENSSL_cleanse(field_.data(), field_.size()); }
  PassphraseInMessage(const PassphraseInMessage&) = delete;
  PassphraseInMessage& operator=(const PassphraseInMessage&) = delete;

 private:
  std::string& field_;
};

Record& AddSummary(Record& record, const v1::CertificateSummary& certificate, const std::string& prefix = "") {
  return record.Add(prefix + "subject", "Subject", certificate.subject())
      .Add(prefix + "sha256", "Fingerprint (SHA-256)", ToHex(AsBytes(certificate.sha256())))
      .Add(prefix + "serial", "Serial", certificate.serial())
      .Add(prefix + "public_key", "Key", certificate.public_key())
      .Add(prefix + "not_before", "Valid from", TimestampCell(certificate.not_before()))
      .Add(prefix + "not_after", "Expires", TimestampCell(certificate.not_after()));
}

absl::StatusOr<int> Show(Environment& environment) {
  v1::ListTrustListsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::ListTrustListsResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::ListTrustLists, request)));
  for (const v1::ListSigner& signer : response.signers()) {
    if (!signer.tftp_server().empty()) continue;
    Record record;
    AddSummary(record, signer.certificate())
        .Add("since", "Since", TimestampCell(signer.created_at()))
        .Add("reason", "Reason", TextCell(signer.reason()));
    if (environment.options().output != OutputFormat::kTable) {
      record.Add("notices", "Notices", NoticesCell(response.notices()));
    }
    WriteRecord(environment.out(), environment.options().output, record);
    WriteNotices(environment, response.notices());
    return kExitSuccess;
  }
  return FailedPrecondition(
      "the cluster has no ITLRecovery key yet: it is made with the first TFTP server (trustctl itl server add NAME)");
}

struct ExportArguments {
  std::string out;
  std::string passphrase_file;
  bool force = false;
};

absl::StatusOr<int> Export(Environment& environment, const ExportArguments& arguments) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out(), kKeyFileMode));
  ASSIGN_OR_RETURN(const SecretBytes passphrase,
                   ReadNewPassphrase(environment, arguments.passphrase_file, arguments.out));
  const CallSeries series(environment);
  v1::ExportRecoveryRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  const PassphraseInMessage passphrase_in_message(*request.mutable_passphrase(), passphrase);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::ExportRecoveryResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::ExportRecovery, request)));
  // A file that cannot be opened would show so on the day when it is needed.
  absl::StatusOr<CertifiedKey> opened = ReadPkcs12(AsBytes(response.file()), passphrase);
  if (!opened.ok()) return DataLoss("what itld sent cannot be opened: {}", StatusMessage(opened.status()));
  RETURN_IF_ERROR(file->Write(response.file()));
  RETURN_IF_ERROR(file->Commit());
  Record record;
  record.Add("file", "File", arguments.out);
  AddSummary(record, response.certificate());
  WriteResult(
      environment.out(), environment.options().output,
      fmt::format("the ITLRecovery key {} is in {}: keep it and its passphrase apart, off this machine; whether "
                  "it rescues all phones: trustctl itl recovery drill {}",
                  CertificateText(response.certificate()), arguments.out, arguments.out),
      record);
  return kExitSuccess;
}

struct ImportArguments {
  std::string path;
  std::string passphrase_file;
  PublicationArguments publication;
  CautionArguments caution;
  bool yes = false;
};

absl::StatusOr<int> AskToReplace(Environment& environment, const CautionArguments& caution,
                                 v1::ReplaceRecoveryRequest& request) {
  RETURN_IF_ERROR(FillCaution(environment, caution, request));
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(v1::ReplaceRecoveryResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::ReplaceRecovery, request)));
  if (caution.plan) return WritePlanned(environment, response);
  // The lists that it makes are part of the change: one pre-flight is of both.
  if (response.has_preflight()) *response.mutable_published()->mutable_preflight() = response.preflight();
  Record record;
  AddSummary(record, response.certificate());
  AddSummary(record, response.replaced(), "replaced_");
  if (environment.options().output == OutputFormat::kTable) {
    environment.out() << EscapeForTerminal(fmt::format("ITLRecovery is {} from now on, instead of {}",
                                                       CertificateText(response.certificate()),
                                                       CertificateText(response.replaced())))
                      << "\n";
  }
  WriteOutcomes(environment, response.published(), std::move(record));
  return OutcomeExit(response.published(), /*may_wait=*/true);
}

constexpr std::string_view kReplaceWarning =
    "WARNING: another ITLRecovery key is another signer of all lists.\n"
    "  Phones that hold lists with the old ITLRecovery only believe the new lists while a TVS that they can reach\n"
    "  vouches for the new key. A phone that is away or cut off from its TVS until then is locked: it refuses every "
    "new\n"
    "  list and every new configuration, until a list is signed with a key that it knows (trustctl itl reset) or\n"
    "  somebody deletes its trust list at the phone itself.\n"
    "  Keep the old key for them, before you go on: trustctl itl recovery export --out old-itlrecovery.p12\n";

absl::Status WarnAndConfirm(Environment& environment, const CautionArguments& caution, bool yes,
                            std::string_view question) {
  if (caution.plan) return absl::OkStatus();
  environment.err() << kReplaceWarning << std::flush;
  return Confirm(environment, yes, question);
}

absl::StatusOr<int> Import(Environment& environment, const ImportArguments& arguments) {
  // Opened here first, so that a mistake does not reach the audit log as an attempt.
  ASSIGN_OR_RETURN(const RecoveryKeyFile key,
                   ReadRecoveryKeyFile(environment, arguments.path, arguments.passphrase_file));
  RETURN_IF_ERROR(
      WarnAndConfirm(environment, arguments.caution, arguments.yes,
                     fmt::format("Sign the lists as {} from now on?", key.content.certificate.subject().ToText())));
  v1::ReplaceRecoveryRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_file(key.bytes);
  request.set_reason(arguments.publication.reason.value_or(""));
  const PassphraseInMessage passphrase_in_message(*request.mutable_passphrase(), key.passphrase);
  return AskToReplace(environment, arguments.caution, request);
}

struct RegenerateArguments {
  PublicationArguments publication;
  CautionArguments caution;
  bool yes = false;
};

absl::StatusOr<int> Regenerate(Environment& environment, const RegenerateArguments& arguments) {
  RETURN_IF_ERROR(WarnAndConfirm(environment, arguments.caution, arguments.yes, "Make a new ITLRecovery key?"));
  v1::ReplaceRecoveryRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_reason(arguments.publication.reason.value_or(""));
  return AskToReplace(environment, arguments.caution, request);
}

struct RestoreArguments {
  PublicationArguments publication;
  CautionArguments caution;
};

absl::StatusOr<int> Restore(Environment& environment, const RestoreArguments& arguments) {
  v1::ReplaceRecoveryRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_previous(true);
  request.set_reason(arguments.publication.reason.value_or(""));
  return AskToReplace(environment, arguments.caution, request);
}

}  // namespace

void AddRecoveryCommands(CommandLine& line, CLI::App& itl) {
  CLI::App& recovery = AddGroup(itl, "recovery", "The ITLRecovery key, which signs the lists and rescues locked phones",
                                "  trustctl itl recovery export --out itlrecovery.p12\n"
                                "  trustctl itl recovery drill itlrecovery.p12");
  AddCommand(line, recovery, "show", "Show the ITLRecovery certificate and since when it is in use",
             "  trustctl itl recovery show --output json", Show);

  auto exported = std::make_shared<ExportArguments>();
  CLI::App& export_command =
      AddCommand(line, recovery, "export", "Write the ITLRecovery key to a PKCS#12 file, to be kept off the system",
                 "  trustctl itl recovery export --out itlrecovery.p12\n"
                 "  trustctl itl recovery export --out itlrecovery.p12 --passphrase-file passphrase",
                 [exported](Environment& environment) { return Export(environment, *exported); });
  AddFile(export_command, "--out", exported->out, "File to write, readable for you alone")->required();
  AddPassphraseFile(export_command, exported->passphrase_file);
  export_command.add_flag("--force", exported->force, "Replace the file when it exists");

  auto imported = std::make_shared<ImportArguments>();
  CLI::App& import_command =
      AddCommand(line, recovery, "import",
                 "Sign the lists with the key of a PKCS#12 file from now on; they wait for `itl publish`",
                 "  trustctl itl recovery import itlrecovery.p12 --reason 'restored after a disaster'",
                 [imported](Environment& environment) { return Import(environment, *imported); });
  AddFile(import_command, "FILE", imported->path, "PKCS#12 file with the key and its certificate")->required();
  AddPassphraseFile(import_command, imported->passphrase_file);
  AddReason(import_command, imported->publication, /*required=*/true);
  AddYes(import_command, imported->yes);
  AddCaution(import_command, imported->caution);

  auto regenerated = std::make_shared<RegenerateArguments>();
  CLI::App& regenerate = AddCommand(
      line, recovery, "regenerate", "Make a new ITLRecovery key; the lists that it signs wait for `itl publish`",
      "  trustctl itl recovery regenerate --reason 'the old key was lost' --plan\n"
      "  trustctl itl recovery regenerate --reason 'the old key was lost'",
      [regenerated](Environment& environment) { return Regenerate(environment, *regenerated); });
  AddReason(regenerate, regenerated->publication, /*required=*/true);
  AddYes(regenerate, regenerated->yes);
  AddCaution(regenerate, regenerated->caution);

  auto restored = std::make_shared<RestoreArguments>();
  CLI::App& restore = AddCommand(
      line, recovery, "restore",
      "Take back the last import or regenerate: the ITLRecovery key before it signs again (again: the other one)",
      "  trustctl itl recovery restore --reason 'regenerated by mistake'",
      [restored](Environment& environment) { return Restore(environment, *restored); });
  AddReason(restore, restored->publication, /*required=*/true);
  AddCaution(restore, restored->caution);

  AddRecoveryDrillCommand(line, recovery);
}

}  // namespace trustline
