// trustctl listener ...: the certificates by which phones know the listeners of a node.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <set>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/listener_services.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/trust_records.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/pem.h"
#include "proto/listener.grpc.pb.h"

namespace trustline {
namespace {

using ListenerInfos = google::protobuf::RepeatedPtrField<v1::ListenerInfo>;

std::vector<Column> ListenerColumns() {
  return {{"listener", "LISTENER"},
          {"cluster", "CLUSTER"},
          {"role", "ROLE"},
          {"sha256", "FINGERPRINT"},
          {"subject", "SUBJECT"},
          {"public_key", "KEY"},
          {"not_after", "EXPIRES"},
          {"requested_public_key", "REQUESTED KEY"},
          {"previous_sha256", "PREVIOUS"},
          {"issuer", "ISSUER", false},
          {"serial", "SERIAL", false},
          {"not_before", "VALID FROM", false},
          {"issuers", "ISSUERS", false},
          {"previous_subject", "PREVIOUS SUBJECT", false},
          {"previous_not_after", "PREVIOUS EXPIRES", false},
          {"service", "SERVICE", false}};
}

Row ListenerRow(const v1::ListenerInfo& listener, std::string_view service) {
  const v1::CertificateSummary& certificate = listener.certificate();
  const v1::CertificateSummary& previous = listener.previous();
  const bool replaced = listener.has_previous();
  return {listener.name(),
          listener.cluster(),
          RoleCell(listener.role()),
          Fingerprint{certificate.sha256()},
          certificate.subject(),
          certificate.public_key(),
          TimestampCell(certificate.not_after()),
          listener.requested_public_key().empty() ? Cell() : Cell(listener.requested_public_key()),
          replaced ? Cell(Fingerprint{previous.sha256()}) : Cell(),
          certificate.issuer(),
          certificate.serial(),
          TimestampCell(certificate.not_before()),
          std::vector<std::string>(listener.issuers().begin(), listener.issuers().end()),
          replaced ? Cell(previous.subject()) : Cell(),
          TimestampCell(previous.not_after()),
          std::string(service)};
}

std::vector<std::string> NamesOf(const ListenerInfos& listeners) {
  std::vector<std::string> names;
  for (const v1::ListenerInfo& listener : listeners) names.push_back(listener.name());
  return names;
}

std::string NamesText(const ListenerInfos& listeners) { return fmt::format("{}", fmt::join(NamesOf(listeners), ", ")); }

// What the listeners, which have one certificate, have in common; `listeners` instead of one's name and cluster.
absl::StatusOr<Record> ListenerRecord(const ListenerInfos& listeners, std::string_view service) {
  if (listeners.empty()) return DataLoss("the service named no listener");
  Record record;
  record.Add("listeners", "Listeners", NamesOf(listeners));
  const std::vector<Column> columns = ListenerColumns();
  Row row = ListenerRow(listeners[0], service);
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].key == "listener" || columns[i].key == "cluster") continue;
    record.Add(columns[i].key, columns[i].title, std::move(row[i]));
  }
  return record;
}

absl::StatusOr<int> List(Environment& environment) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> services, ListenerServices(environment));
  const CallSeries series(environment);
  ListWriter writer(environment.out(), environment.options().output, ListenerColumns(), "no listeners");
  absl::Status away;
  for (const std::string_view service : services) {
    ASSIGN_OR_RETURN(Client<v1::Listeners> client, environment.Connect<v1::Listeners>(service));
    const absl::StatusOr<v1::ListListenersResponse> response =
        environment.Ask(client, &v1::Listeners::Stub::ListListeners, v1::ListListenersRequest());
    if (!response.ok()) {
      away.Update(response.status());
      continue;
    }
    for (const v1::ListenerInfo& listener : response->listeners()) writer.Add(ListenerRow(listener, service));
  }
  // A daemon that cannot be asked is no reason not to show the other's.
  if (away.ok() || writer.count() > 0) {
    writer.Finish();
    environment.out().flush();
  }
  RETURN_IF_ERROR(away);
  return kExitSuccess;
}

struct NewCertificateArguments {
  std::string listener;
  v1::CertificateKey key = v1::CERTIFICATE_KEY_UNSPECIFIED;
  std::string subject;
  std::vector<std::string> dns_names;
  std::string out;
  bool force = false;
};

// The commands that make the trust store vouch for the certificate in `file`, one for each cluster of the listeners.
absl::StatusOr<std::string> TrustCommands(Environment& environment, const ListenerInfos& listeners,
                                          const std::string& file) {
  ASSIGN_OR_RETURN(const std::string own_cluster, environment.cluster());
  std::set<std::string> commands;
  for (const v1::ListenerInfo& listener : listeners) {
    const std::string cluster =
        listener.cluster() == own_cluster ? "" : fmt::format("--cluster {} ", listener.cluster());
    const Cell role = RoleCell(listener.role());
    const std::string* const role_text = std::get_if<std::string>(&role);
    commands.insert(
        fmt::format("trustctl {}trust add --role {} {}", cluster, role_text == nullptr ? "TVS" : *role_text, file));
  }
  return fmt::format("{}", fmt::join(commands, ", "));
}

absl::StatusOr<int> RequestCertificate(Environment& environment, const NewCertificateArguments& arguments,
                                       bool self_signed) {
  v1::RequestListenerCertificateRequest request;
  request.set_listener(arguments.listener);
  request.set_key(arguments.key);
  request.set_subject(arguments.subject);
  for (const std::string& name : arguments.dns_names) request.add_dns_names(name);
  request.set_self_signed(self_signed);
  const bool to_file = !arguments.out.empty();
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out()));
  const CallSeries series(environment);
  ASSIGN_OR_RETURN(Client<v1::Listeners> client, ConnectToListener(environment, arguments.listener));
  ASSIGN_OR_RETURN(const v1::RequestListenerCertificateResponse response,
                   (environment.Ask(client, &v1::Listeners::Stub::RequestListenerCertificate, request)));
  ASSIGN_OR_RETURN(Record record, ListenerRecord(response.listeners(), client.service));
  const std::string named = self_signed && to_file ? arguments.out : "FILE";
  ASSIGN_OR_RETURN(const std::string trust, TrustCommands(environment, response.listeners(), named));
  // With one certificate for all listeners the name can be left out.
  const std::string option = arguments.listener.empty() ? "" : fmt::format("--listener '{}' ", arguments.listener);
  const std::string import_command = fmt::format("trustctl listener import-cert {}{}", option, named);
  std::string pem;
  std::string sentence;
  if (self_signed) {
    pem = EncodePem("CERTIFICATE", response.certificate());
    sentence = fmt::format("a new certificate for {}{} waits; phones see it after: {}, the phones' new trust list, {}",
                           NamesText(response.listeners()), to_file ? fmt::format(" (in {})", named) : "", trust,
                           import_command);
  } else {
    pem = EncodePem("CERTIFICATE REQUEST", response.certificate_request());
    sentence = fmt::format(
        "a new key for {} waits for its certificate{}; when the outside authority has answered: {}, the phones' new "
        "trust list, {} ISSUER...",
        NamesText(response.listeners()), to_file ? ", its request is in " + arguments.out : "", trust, import_command);
  }
  const bool as_record = environment.options().output != OutputFormat::kTable;
  if (to_file || !as_record) {
    RETURN_IF_ERROR(file->Write(pem));
    RETURN_IF_ERROR(file->Commit());
  }
  if (to_file || as_record) {
    WriteResult(environment.out(), environment.options().output, sentence, record.Add("pem", "PEM", pem));
  } else {
    environment.err() << EscapeForTerminal(sentence) << std::endl;
  }
  return kExitSuccess;
}

template <typename Response>
absl::StatusOr<int> WritePlannedPresentation(Environment& environment, const Response& response) {
  if (response.preflights().empty()) return CheckPlanned(false, {});
  std::vector<PlannedChange> changes;
  for (const v1::ListenerPreFlight& one : response.preflights()) {
    RETURN_IF_ERROR(CheckPlanned(one.has_preflight(), one.preflight()));
    changes.push_back({response.preflights_size() == 1 ? "" : one.cluster(), one.preflight()});
  }
  return WritePlans(environment, changes);
}

// What import-cert and restore print.
template <typename Response>
absl::StatusOr<int> WritePresented(Environment& environment, const Response& response, std::string_view service) {
  ASSIGN_OR_RETURN(const Record record, ListenerRecord(response.listeners(), service));
  const v1::CertificateSummary& certificate = response.listeners(0).certificate();
  const Cell expires = TimestampCell(certificate.not_after());
  const absl::Time* const time = std::get_if<absl::Time>(&expires);
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{} presents {}{}", NamesText(response.listeners()), CertificateText(certificate),
                          time == nullptr ? "" : ", good until " + TimeTextSeconds(*time)),
              record);
  environment.out().flush();
  for (const v1::ListenerPreFlight& one : response.preflights()) {
    WritePreFlightLine(environment, one.preflight(), response.preflights_size() == 1 ? "" : one.cluster());
  }
  for (const std::string& warning : response.warnings()) environment.Warn(warning);
  return kExitSuccess;
}

struct PresentArguments {
  std::string listener;
  std::vector<std::string> paths;  // of import-cert
  CautionArguments caution;
};

absl::StatusOr<int> ImportCertificate(Environment& environment, const PresentArguments& arguments) {
  v1::ImportListenerCertificateRequest request;
  request.set_listener(arguments.listener);
  ASSIGN_OR_RETURN(const std::vector<InputCertificate> certificates, ReadInputCertificates(arguments.paths));
  for (const InputCertificate& certificate : certificates) request.add_certificates(certificate.der);
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::Listeners> client, ConnectToListener(environment, arguments.listener));
  ASSIGN_OR_RETURN(const v1::ImportListenerCertificateResponse response,
                   (environment.Ask(client, &v1::Listeners::Stub::ImportListenerCertificate, request)));
  if (arguments.caution.plan) return WritePlannedPresentation(environment, response);
  return WritePresented(environment, response, client.service);
}

absl::StatusOr<int> Restore(Environment& environment, const PresentArguments& arguments) {
  v1::RestoreListenerCertificateRequest request;
  request.set_listener(arguments.listener);
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::Listeners> client, ConnectToListener(environment, arguments.listener));
  ASSIGN_OR_RETURN(const v1::RestoreListenerCertificateResponse response,
                   (environment.Ask(client, &v1::Listeners::Stub::RestoreListenerCertificate, request)));
  if (arguments.caution.plan) return WritePlannedPresentation(environment, response);
  return WritePresented(environment, response, client.service);
}

void AddListener(CLI::App& command, std::string& listener) {
  command
      .add_option(
          "--listener", listener,
          "Which one: its name or port (see `trustctl listener list`); not needed when there is but one certificate")
      ->type_name("LISTENER");
}

void AddKeyAndOutput(CLI::App& command, NewCertificateArguments& arguments, const std::string& what) {
  AddListener(command, arguments.listener);
  AddWord(command, "--key", kCertificateKeyType, kCertificateKeys, arguments.key,
          "rsa:2048, rsa:3072, rsa:4096, ec:secp256r1 or ec:secp384r1; that of the present certificate unless given");
  AddFile(command, "--out", arguments.out,
          fmt::format("File to write the {} to; the standard output unless given", what));
  command.add_flag("--force", arguments.force, "Replace the file when it exists");
}

}  // namespace

void AddListenerCommands(CommandLine& line) {
  CLI::App& listener = AddGroup(line.app, "listener", "Certificates by which phones know the listeners of a node",
                                "  trustctl listener list\n"
                                "  trustctl listener renew --listener 2445 --out new.pem\n"
                                "  trustctl trust add --role TVS new.pem\n"
                                "  trustctl listener import-cert --listener 2445 new.pem");
  AddCommand(line, listener, "list", "List the listeners of the daemons that the context names",
             "  trustctl listener list\n"
             "  trustctl listener list --output json",
             List);

  auto requested = std::make_shared<NewCertificateArguments>();
  CLI::App& csr = AddCommand(
      line, listener, "csr",
      "Make a key and a certificate signing request in PEM for an outside (enterprise) authority",
      "  trustctl listener csr --out tvs.csr\n"
      "  trustctl listener csr --listener '[::]:2445' --key ec:secp384r1 --dns-name tvs.example.com > tvs.csr",
      [requested](Environment& environment) { return RequestCertificate(environment, *requested, false); });
  AddKeyAndOutput(csr, *requested, "request");
  AddSubject(csr, requested->subject,
             "Its name: CN=tvs.example.com,O=Example; that of the present certificate unless given");
  csr.add_option("--dns-name", requested->dns_names,
                 "DNS name for the certificate, as often as needed; those of the present certificate unless given")
      ->type_name("NAME")
      ->allow_extra_args(false);

  auto renewed = std::make_shared<NewCertificateArguments>();
  CLI::App& renew =
      AddCommand(line, listener, "renew", "Make a key and a self-signed certificate with the names of the present one",
                 "  trustctl listener renew --out new.pem\n"
                 "  trustctl listener renew --listener 3804 --key rsa:3072 > new.pem",
                 [renewed](Environment& environment) { return RequestCertificate(environment, *renewed, true); });
  AddKeyAndOutput(renew, *renewed, "certificate");

  auto imported = std::make_shared<PresentArguments>();
  CLI::App& import_cert = AddCommand(
      line, listener, "import-cert",
      "Present the certificate of the key that waits, from the next connection on; with its issuers up to the root",
      "  trustctl listener import-cert --plan new.pem\n"
      "  trustctl listener import-cert new.pem\n"
      "  trustctl listener import-cert --listener '[::]:2445' tvs.pem enterprise-intermediate.pem enterprise-root.pem",
      [imported](Environment& environment) { return ImportCertificate(environment, *imported); });
  AddListener(import_cert, imported->listener);
  AddCertificateFiles(import_cert, imported->paths);
  AddCaution(import_cert, imported->caution);

  auto restored = std::make_shared<PresentArguments>();
  CLI::App& restore = AddCommand(line, listener, "restore", "Present the certificate before the present one again",
                                 "  trustctl listener restore\n"
                                 "  trustctl listener restore --listener 2445",
                                 [restored](Environment& environment) { return Restore(environment, *restored); });
  AddListener(restore, restored->listener);
  AddCaution(restore, restored->caution);
}

}  // namespace trustline
