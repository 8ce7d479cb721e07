// trustctl trust ...: the trust store.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/trust_import.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {
namespace {

constexpr int kPageSize = 500;
// As itld has it.
constexpr absl::Duration kLongestTtl = absl::Hours(24 * 30);

// A change of one certificate: the sentence for people, the commit and the entries for programs.
template <typename Response>
void WriteChange(Environment& environment, std::string_view sentence, const Response& response) {
  Record record;
  record.Add("commit", "COMMIT", response.commit());
  record.Add("changed", "CHANGED", response.commit() != 0);
  record.list = {"entries", TrustedCertificateColumns(/*show_removed=*/true),
                 TrustedCertificateRows(response.certificate())};
  WriteChangeResult(environment, sentence, std::move(record), response);
}

// The lists are made when the store has been left alone for a moment, after the answer to its change.
void SayListsFollow(Environment& environment) {
  if (environment.options().output != OutputFormat::kTable) return;
  environment.out().flush();
  environment.err()
      << "notice: the phones' trust lists follow within seconds; `trustctl itl list` says when the change "
         "waits for you or is refused\n"
      << std::flush;
}

struct AddArguments {
  std::vector<CertificateRole> roles;
  std::optional<absl::Duration> ttl;
  bool anchor = false;
  bool listed = false;
  std::vector<std::string> files;
};

std::string AddSentence(const v1::AddResponse::Result& result) {
  const int64_t added = result.certificates_added();
  const int64_t unchanged = result.certificates_unchanged();
  if (result.commit() == 0) return CertificateCountText(unchanged) + " already trusted, nothing changed";
  const std::string sentence = fmt::format("added {} (commit {})", CertificateCountText(added), result.commit());
  return unchanged == 0 ? sentence : fmt::format("{}; {} already trusted", sentence, CertificateCountText(unchanged));
}

absl::StatusOr<int> Add(Environment& environment, const AddArguments& arguments) {
  v1::AddRequest::Options options;
  ASSIGN_OR_RETURN(*options.mutable_cluster(), environment.cluster());
  RolesToProto(arguments.roles, options.mutable_roles());
  if (arguments.ttl) *options.mutable_ttl() = DurationToProto(*arguments.ttl);
  options.set_anchor(arguments.anchor);
  options.set_listed(arguments.listed);

  ASSIGN_OR_RETURN(const std::vector<InputCertificate> certificates, ReadInputCertificates(arguments.files));
  ASSIGN_OR_RETURN(const v1::AddResponse::Result result, ImportCertificates(environment, options, certificates));
  for (const std::string& warning : result.warnings()) environment.Warn(warning);

  Record record;
  record.Add("commit", "COMMIT", result.commit());
  record.Add("certificates_added", "ADDED", result.certificates_added());
  record.Add("certificates_unchanged", "UNCHANGED", result.certificates_unchanged());
  record.Add("warnings", "WARNINGS", std::vector<std::string>(result.warnings().begin(), result.warnings().end()));
  record.list = {"certificates", TrustedCertificateColumns(/*show_removed=*/false), {}};
  for (const v1::TrustedCertificate& trusted : result.certificates()) {
    for (Row& row : TrustedCertificateRows(trusted)) record.list->rows.push_back(std::move(row));
  }
  WriteResult(environment.out(), environment.options().output, AddSentence(result), record);
  if (arguments.listed && result.commit() != 0) SayListsFollow(environment);
  return kExitSuccess;
}

void AddAddCommand(CommandLine& line, CLI::App& trust) {
  auto arguments = std::make_shared<AddArguments>();
  CLI::App& command =
      AddCommand(line, trust, "add", "Trust certificates: all of the files, or none when one is at fault",
                 "  trustctl trust add --role APP-SERVER cert.pem\n"
                 "  trustctl trust add --role CCM --role TFTP --ttl 1h callmanager.pem\n"
                 "  trustctl trust add --role TFTP --listed tftp.pem\n"
                 "  trustctl trust add --anchor lsc-authority.pem\n"
                 "  trustctl trust add --role APP-SERVER /etc/ssl/phone-services/\n"
                 "  openssl s_client -connect pbx:443 < /dev/null | trustctl trust add --role APP-SERVER -",
                 [arguments](Environment& environment) { return Add(environment, *arguments); });
  AddRoles(command, "--role", arguments->roles, "What the certificate is for; may be given several times");
  AddDurationUpTo(kLongestTtl, command, "--ttl", arguments->ttl,
                  "How long phones may keep the answer (1s to 30d); 24h unless given");
  command.add_flag("--anchor", arguments->anchor, "Certificates that it issued are valid too");
  command.add_flag("--listed", arguments->listed,
                   "They also stand in the phones' trust lists (ITL, CTL), as each of the roles");
  AddCertificateFiles(command, arguments->files);
  command.parse_complete_callback([arguments] {
    if (arguments->roles.empty() && !arguments->anchor) {
      throw CLI::ValidationError("add", "say what the certificates are trusted for: give --role, or --anchor");
    }
    if (arguments->roles.empty() && arguments->listed) {
      throw CLI::ValidationError("add", "trust lists hold certificates with a role: give --role with --listed");
    }
  });
}

struct SetArguments {
  std::string prefix;
  std::optional<absl::Duration> ttl;
  std::vector<CertificateRole> add_roles;
  std::vector<CertificateRole> remove_roles;
  bool anchor = false;
  bool no_anchor = false;
  bool listed = false;
  bool unlisted = false;
  CautionArguments caution;
};

absl::StatusOr<int> Set(Environment& environment, const SetArguments& arguments) {
  v1::SetRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_fingerprint_prefix(arguments.prefix);
  if (arguments.ttl) *request.mutable_ttl() = DurationToProto(*arguments.ttl);
  RolesToProto(arguments.add_roles, request.mutable_add_roles());
  RolesToProto(arguments.remove_roles, request.mutable_remove_roles());
  if (arguments.anchor || arguments.no_anchor) request.set_anchor(arguments.anchor);
  if (arguments.listed || arguments.unlisted) request.set_listed(arguments.listed);
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  ASSIGN_OR_RETURN(const v1::SetResponse response, (environment.Ask(client, &v1::TrustStore::Stub::Set, request)));
  if (arguments.caution.plan) return WritePlanned(environment, response);
  const std::string text = CertificateText(response.certificate().certificate());
  WriteChange(environment,
              response.commit() == 0 ? fmt::format("{}: nothing changed", text)
                                     : fmt::format("changed {} (commit {})", text, response.commit()),
              response);
  if ((arguments.listed || arguments.unlisted) && response.commit() != 0) SayListsFollow(environment);
  return kExitSuccess;
}

void AddSetCommand(CommandLine& line, CLI::App& trust) {
  auto arguments = std::make_shared<SetArguments>();
  CLI::App& command =
      AddCommand(line, trust, "set", "Change the TTL, roles, anchor or listing of a trusted certificate",
                 "  trustctl trust set 3f2a91c0 --ttl 1h\n"
                 "  trustctl trust set 3f2a91c0 --role TFTP --remove-role CCM\n"
                 "  trustctl trust set 3f2a91c0 --no-anchor --plan\n"
                 "  trustctl trust set 3f2a91c0 --listed",
                 [arguments](Environment& environment) { return Set(environment, *arguments); });
  AddFingerprintPrefix(command, arguments->prefix);
  AddDurationUpTo(kLongestTtl, command, "--ttl", arguments->ttl, "How long phones may keep the answer (1s to 30d)");
  AddRoles(command, "--role", arguments->add_roles, "A role to add; may be given several times");
  AddRoles(command, "--remove-role", arguments->remove_roles, "A role to take away; may be given several times");
  CLI::Option* anchor = command.add_flag("--anchor", arguments->anchor, "Certificates that it issued are valid too");
  command.add_flag("--no-anchor", arguments->no_anchor, "Certificates that it issued are not valid any more")
      ->excludes(anchor);
  CLI::Option* listed = command.add_flag("--listed", arguments->listed,
                                         "It also stands in the phones' trust lists (ITL, CTL), as each of its roles");
  command.add_flag("--unlisted", arguments->unlisted, "It does not stand in the phones' trust lists any more")
      ->excludes(listed);
  AddCaution(command, arguments->caution);
  command.parse_complete_callback([arguments] {
    if (!arguments->ttl && arguments->add_roles.empty() && arguments->remove_roles.empty() && !arguments->anchor &&
        !arguments->no_anchor && !arguments->listed && !arguments->unlisted) {
      throw CLI::ValidationError(
          "set", "nothing to change: give --ttl, --role, --remove-role, --anchor, --no-anchor, --listed or --unlisted");
    }
  });
}

struct RemoveArguments {
  std::string prefix;
  CautionArguments caution;
};

absl::StatusOr<int> Remove(Environment& environment, const RemoveArguments& arguments) {
  v1::RemoveRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_fingerprint_prefix(arguments.prefix);
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  ASSIGN_OR_RETURN(const v1::RemoveResponse response,
                   (environment.Ask(client, &v1::TrustStore::Stub::Remove, request)));
  if (arguments.caution.plan) return WritePlanned(environment, response);
  WriteChange(
      environment,
      fmt::format("removed {} (commit {})", CertificateText(response.certificate().certificate()), response.commit()),
      response);
  return kExitSuccess;
}

void AddRemoveCommand(CommandLine& line, CLI::App& trust) {
  auto arguments = std::make_shared<RemoveArguments>();
  CLI::App& command = AddCommand(line, trust, "remove", "Stop trusting a certificate",
                                 "  trustctl trust remove 3f2a91c0 --plan\n"
                                 "  trustctl trust remove 3f2a91c0\n"
                                 "  trustctl trust remove 3f2a91c0 --accept-unproven 31\n"
                                 "  trustctl trust remove 3f2a91c0 --override --reason 'its key is stolen'",
                                 [arguments](Environment& environment) { return Remove(environment, *arguments); });
  AddFingerprintPrefix(command, arguments->prefix);
  AddCaution(command, arguments->caution);
}

struct ListArguments {
  std::vector<CertificateRole> roles;
  bool removed = false;
};

absl::StatusOr<int> List(Environment& environment, const ListArguments& arguments) {
  v1::ListRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  RolesToProto(arguments.roles, request.mutable_roles());
  request.set_include_removed(arguments.removed);
  request.set_page_size(kPageSize);
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  ASSIGN_OR_RETURN(v1::ListResponse page, (environment.Ask(client, &v1::TrustStore::Stub::List, request)));
  ListWriter writer(environment.out(), environment.options().output, TrustedCertificateColumns(arguments.removed),
                    "no certificates");
  while (true) {
    for (const v1::TrustedCertificate& trusted : page.certificates()) {
      for (Row& row : TrustedCertificateRows(trusted)) writer.Add(std::move(row));
    }
    if (page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
    ASSIGN_OR_RETURN(page, (environment.Ask(client, &v1::TrustStore::Stub::List, request)));
  }
  writer.Finish();
  return kExitSuccess;
}

void AddListCommand(CommandLine& line, CLI::App& trust) {
  auto arguments = std::make_shared<ListArguments>();
  CLI::App& command = AddCommand(line, trust, "list", "List trusted certificates, a line for each role",
                                 "  trustctl trust list\n"
                                 "  trustctl trust list --role CCM --output csv\n"
                                 "  trustctl trust list --removed",
                                 [arguments](Environment& environment) { return List(environment, *arguments); });
  AddRoles(command, "--role", arguments->roles, "Only certificates with one of these roles");
  command.add_flag("--removed", arguments->removed, "Removed entries too");
}

struct ShowArguments {
  std::string prefix;
  bool pem = false;
};

absl::StatusOr<int> Show(Environment& environment, const ShowArguments& arguments) {
  v1::ShowRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_fingerprint_prefix(arguments.prefix);
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  ASSIGN_OR_RETURN(const v1::ShowResponse response, (environment.Ask(client, &v1::TrustStore::Stub::Show, request)));
  if (arguments.pem) {
    ASSIGN_OR_RETURN(const std::string pem, DerToPem(response.der()));
    environment.out() << pem;
    return kExitSuccess;
  }
  const v1::CertificateSummary& certificate = response.certificate().certificate();
  Record record;
  record.Add("sha256", "Fingerprint (SHA-256)", ToHex(AsBytes(certificate.sha256())))
      .Add("subject", "Subject", certificate.subject())
      .Add("issuer", "Issuer", certificate.issuer())
      .Add("serial", "Serial", certificate.serial())
      .Add("not_before", "Valid from", TimestampCell(certificate.not_before()))
      .Add("not_after", "Expires", TimestampCell(certificate.not_after()))
      .Add("public_key", "Key", certificate.public_key())
      .Add("is_ca", "CA", certificate.is_ca());
  record.list = {"entries",
                 {{"role", "ROLE"},
                  {"ttl_seconds", "TTL"},
                  {"anchor", "ANCHOR"},
                  {"listed", "LISTED"},
                  {"origin", "ORIGIN"},
                  {"added_by", "ADDED BY"},
                  {"added_at", "ADDED"},
                  {"removed_at", "REMOVED"},
                  {"removed_by", "REMOVED BY"}},
                 {}};
  for (const v1::TrustEntry& entry : response.certificate().entries()) {
    record.list->rows.push_back({RoleCell(entry.role()), DurationCell(entry.has_ttl(), entry.ttl()), entry.anchor(),
                                 entry.listed(), entry.origin(), entry.added_by(), TimestampCell(entry.added_at()),
                                 TimestampCell(entry.removed_at()), entry.removed_by()});
  }
  WriteRecord(environment.out(), environment.options().output, record);
  return kExitSuccess;
}

void AddShowCommand(CommandLine& line, CLI::App& trust) {
  auto arguments = std::make_shared<ShowArguments>();
  CLI::App& command = AddCommand(line, trust, "show", "Show one trusted certificate",
                                 "  trustctl trust show 3f2a91c0\n"
                                 "  trustctl trust show 3f2a91c0 --pem > cert.pem",
                                 [arguments](Environment& environment) { return Show(environment, *arguments); });
  AddFingerprintPrefix(command, arguments->prefix);
  command.add_flag("--pem", arguments->pem, "Print the certificate itself, in PEM");
}

struct ExportArguments {
  std::vector<CertificateRole> roles;
  std::string out;
  bool force = false;
};

// "no certificate has the role CCM or TFTP".
std::string NothingToExport(std::string_view cluster, const std::vector<CertificateRole>& roles) {
  if (roles.empty()) return fmt::format("no certificate has an entry in the trust store of {}", cluster);
  std::vector<std::string_view> names;
  for (const CertificateRole role : roles) names.push_back(CertificateRoleName(role));
  return fmt::format("no certificate has the role {}", fmt::join(names, " or "));
}

absl::StatusOr<int> Export(Environment& environment, const ExportArguments& arguments) {
  if (environment.options().output != OutputFormat::kTable) {
    return UsageError("trust export writes PEM only: leave --output out, or use `trustctl trust list`");
  }
  v1::ExportRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  RolesToProto(arguments.roles, request.mutable_roles());
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out()));
  Call call(environment, Call::Length::kLong);
  const auto stream = client.stub->Export(call.context(), request);
  absl::Status written;
  int64_t count = 0;
  v1::ExportResponse response;
  while (written.ok() && stream->Read(&response)) {
    for (const std::string& der : response.certificates()) {
      absl::StatusOr<std::string> pem = DerToPem(der);
      written = pem.ok() ? file->Write(*pem) : pem.status();
      if (!written.ok()) break;
      ++count;
    }
  }
  if (!written.ok()) call.context()->TryCancel();
  const absl::Status status = call.End(stream->Finish(), client);
  RETURN_IF_ERROR(written);
  RETURN_IF_ERROR(status);
  const bool to_file = !arguments.out.empty();
  if (count == 0) {
    environment.err() << EscapeForTerminal(NothingToExport(request.cluster(), arguments.roles) +
                                           (to_file ? ": " + arguments.out + " was not written" : ""))
                      << std::endl;
    return kExitFailure;
  }
  RETURN_IF_ERROR(file->Commit());
  if (to_file) {
    environment.err() << EscapeForTerminal(CertificateCountText(count) + " written to " + arguments.out) << std::endl;
  }
  return kExitSuccess;
}

void AddExportCommand(CommandLine& line, CLI::App& trust) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App& command = AddCommand(line, trust, "export",
                                 "Write trusted certificates in PEM. When none fits, it says so, writes no file (one "
                                 "that is there stays, with --force too) and ends with exit status 1",
                                 "  trustctl trust export --role CCM --out callmanagers.pem\n"
                                 "  trustctl trust export | openssl storeutl -noout -certs /dev/stdin",
                                 [arguments](Environment& environment) { return Export(environment, *arguments); });
  AddRoles(command, "--role", arguments->roles, "Only certificates with one of these roles");
  AddFile(command, "--out", arguments->out, "File to write; the standard output unless given");
  command.add_flag("--force", arguments->force, "Replace the file when it exists");
}

}  // namespace

void AddTrustCommands(CommandLine& line) {
  CLI::App& trust = AddGroup(line.app, "trust", "The trust store: certificates that phones are told to trust",
                             "  trustctl trust add --role APP-SERVER cert.pem\n"
                             "  trustctl trust list");
  AddAddCommand(line, trust);
  AddSetCommand(line, trust);
  AddRemoveCommand(line, trust);
  AddListCommand(line, trust);
  AddShowCommand(line, trust);
  AddExportCommand(line, trust);
  AddCrlCommands(line, trust);
}

}  // namespace trustline
