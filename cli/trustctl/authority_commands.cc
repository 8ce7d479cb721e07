// trustctl ca ...: the authorities that certify devices.
#include <fmt/format.h>

#include <limits>
#include <memory>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/issuance_records.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "common/x509/pem.h"
#include "proto/authority.grpc.pb.h"

namespace trustline {
namespace {

// As cad has them: 1 year to 30 years.
constexpr int64_t kShortestLifetimeDays = 365;
constexpr int64_t kLongestLifetimeDays = 365 * 30;

std::vector<Column> AuthorityColumns() {
  return {{"authority_id", "ID"},
          {"state", "STATE"},
          {"subject", "SUBJECT"},
          {"public_key", "KEY"},
          {"not_after", "EXPIRES"},
          {"crl_number", "CRL"},
          {"crl_next_update", "CRL NEXT UPDATE"},
          {"key_is_here", "KEY IS HERE"},
          {"issuer", "ISSUER", false},
          {"serial", "SERIAL", false},
          {"sha256", "FINGERPRINT", false},
          {"not_before", "VALID FROM", false},
          {"crl_revoked", "CRL REVOKED", false},
          {"crl_url", "CRL URL", false},
          {"created_by", "CREATED BY", false},
          {"created_at", "CREATED", false},
          {"prepared_at", "PREPARED", false},
          {"activated_at", "ACTIVATED", false},
          {"tainted_at", "TAINTED", false},
          {"retired_at", "RETIRED", false}};
}

Row AuthorityRow(const v1::AuthorityInfo& authority) {
  const v1::CertificateSummary& certificate = authority.certificate();
  return {int64_t{authority.authority_id()},
          WordCell(kAuthorityStates, authority.state()),
          authority.subject(),
          authority.public_key(),
          TimestampCell(certificate.not_after()),
          authority.crl_number() == 0 ? Cell() : Cell(authority.crl_number()),
          TimestampCell(authority.crl_next_update()),
          authority.key_is_here(),
          certificate.issuer(),
          certificate.serial(),
          authority.has_certificate() ? Cell(Fingerprint{certificate.sha256()}) : Cell(),
          TimestampCell(certificate.not_before()),
          authority.crl_revoked(),
          authority.crl_url(),
          authority.created_by(),
          TimestampCell(authority.created_at()),
          TimestampCell(authority.prepared_at()),
          TimestampCell(authority.activated_at()),
          TimestampCell(authority.tainted_at()),
          TimestampCell(authority.retired_at())};
}

Record AuthorityRecord(const v1::AuthorityInfo& authority) {
  const v1::CertificateSummary& certificate = authority.certificate();
  return Record()
      .Add("authority_id", "ID", int64_t{authority.authority_id()})
      .Add("state", "State", WordCell(kAuthorityStates, authority.state()))
      .Add("subject", "Subject", authority.subject())
      .Add("issuer", "Issuer", certificate.issuer())
      .Add("serial", "Serial", certificate.serial())
      .Add("sha256", "Fingerprint (SHA-256)",
           authority.has_certificate() ? Cell(ToHex(AsBytes(certificate.sha256()))) : Cell())
      .Add("public_key", "Key", authority.public_key())
      .Add("key_is_here", "Key is here", authority.key_is_here())
      .Add("not_before", "Valid from", TimestampCell(certificate.not_before()))
      .Add("not_after", "Expires", TimestampCell(certificate.not_after()))
      .Add("issued", "Issued", authority.has_issued() ? Cell(authority.issued()) : Cell())
      .Add("dependents", "Dependents", authority.has_dependents() ? Cell(authority.dependents()) : Cell())
      .Add("crl_number", "CRL number", authority.crl_number() == 0 ? Cell() : Cell(authority.crl_number()))
      .Add("crl_next_update", "CRL next update", TimestampCell(authority.crl_next_update()))
      .Add("crl_revoked", "CRL revoked", authority.crl_revoked())
      .Add("crl_url", "CRL URL", authority.crl_url())
      .Add("created_by", "Created by", authority.created_by())
      .Add("created_at", "Created", TimestampCell(authority.created_at()))
      .Add("prepared_at", "Prepared", TimestampCell(authority.prepared_at()))
      .Add("activated_at", "Activated", TimestampCell(authority.activated_at()))
      .Add("tainted_at", "Tainted", TimestampCell(authority.tainted_at()))
      .Add("retired_at", "Retired", TimestampCell(authority.retired_at()));
}

// "authority 3 (CN=Phones)".
std::string AuthorityText(const v1::AuthorityInfo& authority) {
  return fmt::format("authority {} ({})", authority.authority_id(), authority.subject());
}

CLI::Option* AddAuthorityId(CLI::App& command, std::optional<int64_t>& id, const std::string& description) {
  return AddNumber(command, "ID", "ID", 1, std::numeric_limits<int32_t>::max(), id, description);
}

absl::StatusOr<int> List(Environment& environment) {
  v1::ListAuthoritiesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  ASSIGN_OR_RETURN(const v1::ListAuthoritiesResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::ListAuthorities, request)));
  ListWriter writer(environment.out(), environment.options().output, AuthorityColumns(), "no authorities");
  for (const v1::AuthorityInfo& authority : response.authorities()) writer.Add(AuthorityRow(authority));
  writer.Finish();
  return kExitSuccess;
}

struct ShowArguments {
  std::optional<int64_t> id;
  bool pem = false;
};

absl::StatusOr<int> Show(Environment& environment, const ShowArguments& arguments) {
  v1::ShowAuthorityRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_authority_id(static_cast<int32_t>(arguments.id.value_or(0)));
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  ASSIGN_OR_RETURN(const v1::ShowAuthorityResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::ShowAuthority, request)));
  if (arguments.pem) {
    if (response.certificate().empty()) {
      return FailedPrecondition(
          "{} has no certificate yet: give it with `trustctl ca import-chain` when the outside authority has answered",
          AuthorityText(response.authority()));
    }
    ASSIGN_OR_RETURN(const std::string pem, ChainToPem(response.certificate(), response.chain()));
    environment.out() << pem;
    return kExitSuccess;
  }
  Record record = AuthorityRecord(response.authority());
  ASSIGN_OR_RETURN(record.list, ChainList(response.chain()));
  WriteRecord(environment.out(), environment.options().output, record);
  return kExitSuccess;
}

struct NewAuthorityArguments {
  v1::CertificateKey key = v1::CERTIFICATE_KEY_UNSPECIFIED;
  std::string subject;
  std::optional<int64_t> days;
  std::string out;
  bool force = false;
};

void AddKeyAndSubject(CLI::App& command, NewAuthorityArguments& arguments) {
  AddWord(command, "--key", kCertificateKeyType, kCertificateKeys, arguments.key,
          "rsa:2048, rsa:3072, rsa:4096, ec:secp256r1 or ec:secp384r1; rsa:2048 unless given");
  AddSubject(command, arguments.subject, "Its name: CN=Phones,O=Example; made from cad's settings unless given");
}

absl::StatusOr<int> RequestAuthority(Environment& environment, const NewAuthorityArguments& arguments) {
  v1::RequestAuthorityRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_key(arguments.key);
  request.set_subject(arguments.subject);
  const bool to_file = !arguments.out.empty();
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out()));
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  const CallSeries series(environment);
  ASSIGN_OR_RETURN(const v1::RequestAuthorityResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::RequestAuthority, request)));
  const std::string pem = EncodePem("CERTIFICATE REQUEST", response.certificate_request());
  const std::string sentence = fmt::format(
      "{} waits for its certificate{}; when the outside authority has answered: trustctl ca import-chain FILE...",
      AuthorityText(response.authority()), to_file ? ", its request is in " + arguments.out : "");
  const bool as_record = environment.options().output != OutputFormat::kTable;
  if (to_file || !as_record) {
    RETURN_IF_ERROR(file->Write(pem));
    RETURN_IF_ERROR(file->Commit());
  }
  if (to_file || as_record) {
    WriteResult(environment.out(), environment.options().output, sentence,
                AuthorityRecord(response.authority()).Add("pem", "Request", pem));
  } else {
    environment.err() << EscapeForTerminal(sentence) << std::endl;
  }
  return kExitSuccess;
}

absl::StatusOr<int> ImportChain(Environment& environment, const std::vector<std::string>& paths) {
  v1::ImportAuthorityChainRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(const std::vector<InputCertificate> certificates, ReadInputCertificates(paths));
  for (const InputCertificate& certificate : certificates) request.add_certificates(certificate.der);
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  ASSIGN_OR_RETURN(const v1::ImportAuthorityChainResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::ImportAuthorityChain, request)));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{} is prepared and in the trust store; it issues after: trustctl ca rollover activate {}",
                          AuthorityText(response.authority()), response.authority().authority_id()),
              AuthorityRecord(response.authority()));
  return kExitSuccess;
}

absl::StatusOr<int> Prepare(Environment& environment, const NewAuthorityArguments& arguments) {
  v1::PrepareAuthorityRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_key(arguments.key);
  request.set_subject(arguments.subject);
  if (arguments.days) *request.mutable_lifetime() = DurationToProto(absl::Hours(24 * *arguments.days));
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  ASSIGN_OR_RETURN(const v1::PrepareAuthorityResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::PrepareAuthority, request)));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{} is prepared and in the trust store; it issues after: trustctl ca rollover activate {}",
                          AuthorityText(response.authority()), response.authority().authority_id()),
              AuthorityRecord(response.authority()));
  return kExitSuccess;
}

absl::StatusOr<int> Activate(Environment& environment, int64_t id) {
  v1::ActivateAuthorityRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_authority_id(static_cast<int32_t>(id));
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  ASSIGN_OR_RETURN(const v1::ActivateAuthorityResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::ActivateAuthority, request)));
  const int64_t tainted = response.tainted_authority_id();
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{} issues from now on{}", AuthorityText(response.authority()),
                          tainted == 0 ? ""
                                       : fmt::format("; authority {} is tainted, renew its devices: trustctl lsc list "
                                                     "--authority {} --good",
                                                     tainted, tainted)),
              AuthorityRecord(response.authority())
                  .Add("tainted_authority_id", "Tainted", tainted == 0 ? Cell() : Cell(tainted)));
  return kExitSuccess;
}

struct TaintArguments {
  std::optional<int64_t> id;
  bool force = false;
};

absl::StatusOr<int> Taint(Environment& environment, const TaintArguments& arguments) {
  const int64_t id = arguments.id.value_or(0);
  v1::TaintAuthorityRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_authority_id(static_cast<int32_t>(id));
  request.set_force(arguments.force);
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  ASSIGN_OR_RETURN(const v1::TaintAuthorityResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::TaintAuthority, request)));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{} issues no more; renew its devices: trustctl lsc list --authority {} --good",
                          AuthorityText(response.authority()), id),
              AuthorityRecord(response.authority()));
  return kExitSuccess;
}

struct RetireArguments {
  std::optional<int64_t> id;
  CautionArguments caution;
};

absl::StatusOr<int> Retire(Environment& environment, const RetireArguments& arguments) {
  v1::RetireAuthorityRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_authority_id(static_cast<int32_t>(arguments.id.value_or(0)));
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  ASSIGN_OR_RETURN(const v1::RetireAuthorityResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::RetireAuthority, request)));
  for (const std::string& warning : response.warnings()) environment.Warn(warning);
  if (arguments.caution.plan) return WritePlanned(environment, response);
  WriteChangeResult(
      environment,
      fmt::format("{} is {}", AuthorityText(response.authority()),
                  response.discarded() ? "discarded: it had no certificate" : "retired and out of the trust store"),
      AuthorityRecord(response.authority()).Add("discarded", "Discarded", response.discarded()), response);
  return kExitSuccess;
}

void AddRolloverCommands(CommandLine& line, CLI::App& ca) {
  CLI::App& rollover = AddGroup(ca, "rollover", "Put a new authority in the place of the one that issues",
                                "  trustctl ca rollover prepare --subject 'CN=Phones 2027,O=Example'\n"
                                "  trustctl ca rollover activate 2\n"
                                "  trustctl ca rollover retire 1");
  auto arguments = std::make_shared<NewAuthorityArguments>();
  CLI::App& prepare =
      AddCommand(line, rollover, "prepare", "Make a self-signed authority and have the trust store vouch for it",
                 "  trustctl ca rollover prepare\n"
                 "  trustctl ca rollover prepare --key ec:secp384r1 --subject 'CN=Phones 2027,O=Example' --days 3650",
                 [arguments](Environment& environment) { return Prepare(environment, *arguments); });
  AddKeyAndSubject(prepare, *arguments);
  AddNumber(prepare, "--days", "DAYS", kShortestLifetimeDays, kLongestLifetimeDays, arguments->days,
            "How long it is good: 365 to 10950; ten years unless given");
  auto activated = std::make_shared<std::optional<int64_t>>();
  CLI::App& activate = AddCommand(
      line, rollover, "activate", "Let a prepared authority issue, or a tainted one again; the one that did is tainted",
      "  trustctl ca rollover activate 2",
      [activated](Environment& environment) { return Activate(environment, activated->value_or(0)); });
  AddAuthorityId(activate, *activated, "Number of the authority: see `trustctl ca list`")->required();
  auto tainted = std::make_shared<TaintArguments>();
  CLI::App& taint = AddCommand(line, rollover, "taint", "Let an authority issue no more; its devices are to be renewed",
                               "  trustctl ca rollover taint 2",
                               [tainted](Environment& environment) { return Taint(environment, *tainted); });
  AddAuthorityId(taint, tainted->id, "Number of the authority: see `trustctl ca list`")->required();
  taint.add_flag("--force", tainted->force, "Also the one that issues: then nothing does");
  auto retired = std::make_shared<RetireArguments>();
  CLI::App& retire =
      AddCommand(line, rollover, "retire",
                 "Take an authority out of the trust store; refused while a device in service depends on it. One that "
                 "waits for its certificate is discarded with its key",
                 "  trustctl ca rollover retire 1 --plan\n"
                 "  trustctl ca rollover retire 1",
                 [retired](Environment& environment) { return Retire(environment, *retired); });
  AddAuthorityId(retire, retired->id, "Number of the authority: see `trustctl ca list`")->required();
  AddCaution(retire, retired->caution);
}

}  // namespace

void AddAuthorityCommands(CommandLine& line) {
  CLI::App& ca = AddGroup(line.app, "ca", "Authorities that certify devices, their CRLs and rollover",
                          "  trustctl ca list\n"
                          "  trustctl ca show --pem > authority.pem\n"
                          "  trustctl ca audit --since 24h");
  AddCommand(line, ca, "list", "List authorities", "  trustctl ca list --output json", List);

  auto shown = std::make_shared<ShowArguments>();
  CLI::App& show = AddCommand(line, ca, "show", "Show an authority and its issuers",
                              "  trustctl ca show\n"
                              "  trustctl ca show 2 --pem > authority-chain.pem",
                              [shown](Environment& environment) { return Show(environment, *shown); });
  AddAuthorityId(show, shown->id, "Number of the authority; the one that issues unless given");
  show.add_flag("--pem", shown->pem, "Print its certificate and its issuers', in PEM");

  auto requested = std::make_shared<NewAuthorityArguments>();
  CLI::App& csr = AddCommand(
      line, ca, "csr", "Make a key and a certificate signing request in PEM for an outside (enterprise) authority",
      "  trustctl ca csr --subject 'CN=Phones,O=Example' --out phones.csr\n"
      "  trustctl ca csr --key ec:secp384r1 > phones.csr",
      [requested](Environment& environment) { return RequestAuthority(environment, *requested); });
  AddKeyAndSubject(csr, *requested);
  AddFile(csr, "--out", requested->out, "File to write; the standard output unless given");
  csr.add_flag("--force", requested->force, "Replace the file when it exists");

  auto paths = std::make_shared<std::vector<std::string>>();
  CLI::App& import_chain =
      AddCommand(line, ca, "import-chain",
                 "Take what the outside authority answered: the certificate and its issuers up to the root",
                 "  trustctl ca import-chain phones.pem enterprise-root.pem",
                 [paths](Environment& environment) { return ImportChain(environment, *paths); });
  AddCertificateFiles(import_chain, *paths);

  AddRolloverCommands(line, ca);
  AddAuthorityReportCommands(line, ca);
  AddKeyAdmissionCommands(line, ca);
}

}  // namespace trustline
