// trustctl plan rollover, migrate, rollback: plans are made; nothing is changed before they run.
#include <fmt/format.h>

#include <memory>

#include "absl/strings/escaping.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/listener_services.h"
#include "cli/trustctl/plan_commands.h"
#include "cli/trustctl/plan_records.h"
#include "cli/trustctl/publication_arguments.h"
#include "cli/trustctl/wave_arguments.h"
#include "common/bytes/bytes.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "proto/plan.grpc.pb.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kMaxExportFile = 4 * 1024 * 1024;
constexpr size_t kFingerprintDigits = 64;

// Of all kinds.
struct MakeArguments {
  bool without_resets = false;
  WaveArguments waves;
  std::optional<std::string> reason;
};

void AddMakeArguments(CLI::App& command, MakeArguments& arguments) {
  AddWaves(command, arguments.waves);
  CLI::Option* const without =
      command.add_flag("--without-resets", arguments.without_resets,
                       "Order no resets: somebody else resets the phones, or they start by themselves");
  for (const char* const name : {"--hook", "--wave", "--hours", "--stop-at-failures"}) {
    without->excludes(command.get_option(name));
  }
  AddReason(command, arguments.reason, "Why, for the audit log")->required();
}

absl::StatusOr<int> Make(Environment& environment, const MakeArguments& arguments, v1::MakePlanRequest request) {
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_reason(arguments.reason.value_or(""));
  request.set_without_resets(arguments.without_resets);
  FillWaves(arguments.waves, request);
  ASSIGN_OR_RETURN(Client<v1::Plans> client, environment.Connect<v1::Plans>(kItld));
  ASSIGN_OR_RETURN(const v1::MakePlanResponse response, (environment.Ask(client, &v1::Plans::Stub::MakePlan, request)));
  WritePlan(environment,
            fmt::format("made {}; nothing is changed before `trustctl plan run {}`", PlanText(response.plan()),
                        response.plan().number()),
            response.plan(), v1::PreFlight());
  return kExitSuccess;
}

struct RolloverArguments {
  v1::PlanKind kind = v1::PLAN_KIND_UNSPECIFIED;
  std::string server;
  std::string node;
  std::string certificate;
  std::string replaces;
  MakeArguments make;
};

absl::StatusOr<std::string> ReadNewCertificate(const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<InputCertificate> certificates, ReadInputCertificates({path}));
  if (certificates.size() != 1) {
    return InvalidArgument("{} has {} certificates: give a file with the new one alone", path, certificates.size());
  }
  return certificates.front().der;
}

// The whole SHA-256 of the certificate in the trust store that begins so.
absl::StatusOr<std::string> FindReplaced(Environment& environment, const std::string& prefix) {
  if (prefix.size() == kFingerprintDigits) return absl::HexStringToBytes(prefix);
  v1::ShowRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_fingerprint_prefix(prefix);
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  ASSIGN_OR_RETURN(const v1::ShowResponse response, (environment.Ask(client, &v1::TrustStore::Stub::Show, request)));
  return response.certificate().certificate().sha256();
}

absl::StatusOr<int> Rollover(Environment& environment, const RolloverArguments& arguments) {
  const CallSeries series(environment);
  std::string advice;
  v1::MakePlanRequest request;
  request.set_kind(arguments.kind);
  request.set_tftp_server(arguments.server);
  request.set_node(arguments.node);
  if (!arguments.certificate.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_certificate(), ReadNewCertificate(arguments.certificate));
    ASSIGN_OR_RETURN(const Certificate made, Certificate::FromDer(AsBytes(request.certificate())));
    const bool is_tvs = arguments.kind == v1::PLAN_KIND_ROLLOVER_TVS;
    advice = KeyAdvice(environment, is_tvs ? v1::CERTIFICATE_ROLE_TVS : v1::CERTIFICATE_ROLE_CAPF, made);
  }
  if (!arguments.replaces.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_old_certificate_sha256(), FindReplaced(environment, arguments.replaces));
  }
  ASSIGN_OR_RETURN(const int exit_status, Make(environment, arguments.make, std::move(request)));
  if (!advice.empty()) environment.Warn(advice);
  return exit_status;
}

// What each signer takes; a mistake in words, or nothing.
std::string CheckRollover(const RolloverArguments& arguments) {
  const bool is_tvs = arguments.kind == v1::PLAN_KIND_ROLLOVER_TVS;
  const bool is_listener = is_tvs || arguments.kind == v1::PLAN_KIND_ROLLOVER_CAPF;
  if (is_listener && arguments.certificate.empty()) {
    return fmt::format("--signer {} needs --certificate, the new one", WordFor(kPlanSigners, arguments.kind));
  }
  if (!is_listener && (!arguments.certificate.empty() || !arguments.replaces.empty())) {
    return "--certificate and --replaces are for --signer tvs and capf: itld makes the keys of the others itself";
  }
  if (!arguments.server.empty() && arguments.kind != v1::PLAN_KIND_ROLLOVER_CALLMANAGER) {
    return "--server is for --signer callmanager";
  }
  if (!arguments.node.empty() && !is_tvs) return "--node is for --signer tvs";
  return "";
}

void AddRolloverCommand(CommandLine& line, CLI::App& plan) {
  auto arguments = std::make_shared<RolloverArguments>();
  CLI::App& command = AddCommand(
      line, plan, "rollover", "Plan to put another key in the place of one that phones know, so that no phone is lost",
      "  trustctl plan rollover --signer callmanager --server tftp1 --hook axl --hours 22:00-05:00 --reason expiry\n"
      "  trustctl plan rollover --signer itlrecovery --without-resets --reason 'the key file was copied'\n"
      "  trustctl plan rollover --signer tvs --node branch1 --certificate tvs-new.pem --reason 'new host name'\n"
      "  trustctl plan rollover --signer capf --certificate capf-new.pem --replaces 3f2a91c0 --reason expiry",
      [arguments](Environment& environment) { return Rollover(environment, *arguments); });
  AddWord(command, "--signer", kPlanSignerType, kPlanSigners, arguments->kind,
          "Whose key: callmanager (signs files, and lists after a reset), itlrecovery (signs lists), tvs or capf")
      ->required();
  command.add_option("--server", arguments->server, "Of callmanager: which TFTP server's; not needed for the only one")
      ->type_name("NAME");
  command.add_option("--node", arguments->node, "Of tvs: which machine's; not needed for the only one")
      ->type_name("NAME");
  AddFile(command, "--certificate", arguments->certificate,
          "Of tvs and capf: the new certificate, which the listener is to present (trustctl listener)");
  command
      .add_option_function<std::string>(
          "--replaces",
          [&command, arguments = arguments.get()](const std::string& text) {
            absl::StatusOr<std::string> prefix = ParseFingerprintPrefix(text);
            if (!prefix.ok()) {
              throw CLI::ValidationError(command.get_name() + " --replaces",
                                         std::string(StatusMessage(prefix.status())));
            }
            arguments->replaces = *std::move(prefix);
          },
          "Of tvs and capf: the one that it replaces, by the first digits of its SHA-256; not needed for the only one")
      ->type_name("HEX");
  AddMakeArguments(command, arguments->make);
  command.parse_complete_callback([arguments] {
    if (std::string mistake = CheckRollover(*arguments); !mistake.empty()) {
      throw CLI::ValidationError("rollover", std::move(mistake));
    }
  });
}

struct MigrateArguments {
  std::string to_cluster;
  std::string export_file;
  bool blank = false;
  MakeArguments make;
};

absl::StatusOr<int> Migrate(Environment& environment, const MigrateArguments& arguments) {
  v1::MakePlanRequest request;
  request.set_kind(v1::PLAN_KIND_MIGRATE);
  request.set_to_cluster(arguments.to_cluster);
  request.set_blank(arguments.blank);
  if (!arguments.export_file.empty()) {
    absl::StatusOr<std::string> file = ReadTextFile(arguments.export_file, kMaxExportFile);
    if (!file.ok()) return WithFileAdvice(file.status());
    request.set_export_file(*std::move(file));
  }
  return Make(environment, arguments.make, std::move(request));
}

void AddMigrateCommand(CommandLine& line, CLI::App& plan) {
  auto arguments = std::make_shared<MigrateArguments>();
  CLI::App& command =
      AddCommand(line, plan, "migrate", "Plan to move the phones to another cluster, of this system or of another one",
                 "  trustctl plan migrate --to-cluster berlin --reason 'the move of May'\n"
                 "  trustctl plan migrate --export berlin.export --reason 'the move of May'\n"
                 "  trustctl plan migrate --to-cluster berlin --blank --hook axl --reason 'old phones'",
                 [arguments](Environment& environment) { return Migrate(environment, *arguments); });
  CLI::Option* const to_cluster =
      command.add_option("--to-cluster", arguments->to_cluster, "The other cluster, when it is of this system")
          ->type_name("NAME");
  AddFile(command, "--export", arguments->export_file, "What the other cluster has exported, when it is of another one")
      ->excludes(to_cluster);
  command.add_flag(
      "--blank", arguments->blank,
      "By blank lists, with which phones take anything from anybody, instead of by TVS nodes that answer for "
      "the other cluster's signers");
  AddMakeArguments(command, arguments->make);
  command.parse_complete_callback([arguments] {
    if (!arguments->to_cluster.empty() || !arguments->export_file.empty()) return;
    throw CLI::ValidationError("migrate", "say where to: give --to-cluster or --export");
  });
}

void AddRollbackCommand(CommandLine& line, CLI::App& plan) {
  auto arguments = std::make_shared<MakeArguments>();
  CLI::App& command =
      AddCommand(line, plan, "rollback", "Plan to give the phones back to the call manager that they come from",
                 "  trustctl plan rollback --reason 'end of the trial'\n"
                 "  trustctl plan rollback --without-resets --reason 'end of the trial'",
                 [arguments](Environment& environment) {
                   v1::MakePlanRequest request;
                   request.set_kind(v1::PLAN_KIND_ROLLBACK);
                   return Make(environment, *arguments, std::move(request));
                 });
  AddMakeArguments(command, *arguments);
}

}  // namespace

void AddPlanMakeCommands(CommandLine& line, CLI::App& plan) {
  AddRolloverCommand(line, plan);
  AddMigrateCommand(line, plan);
  AddRollbackCommand(line, plan);
}

}  // namespace trustline
