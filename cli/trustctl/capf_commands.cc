// trustctl capf ...: phones' enrolment. Here: what is scheduled and what became of it, one device in full, locks.
#include <fmt/format.h>

#include <limits>
#include <memory>

#include "cli/trustctl/capf_words.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/response_pages.h"
#include "cli/trustctl/trust_records.h"
#include "proto/enrolment.grpc.pb.h"

namespace trustline {
namespace {

std::vector<Column> OperationColumns() {
  return {{"operation_id", "ID"},
          {"operation", "OPERATION"},
          {"state", "STATE"},
          {"auth_mode", "AUTH MODE"},
          {"key", "KEY"},
          {"deadline", "DEADLINE"},
          {"scheduled_at", "SCHEDULED"},
          {"ended_at", "ENDED"},
          {"reason", "REASON"},
          {"scheduled_by", "SCHEDULED BY", false},
          {"started_at", "STARTED", false},
          {"session_address", "FROM", false},
          {"wrong_strings", "WRONG STRINGS", false},
          {"campaign_id", "CAMPAIGN", false},
          {"wave", "WAVE", false},
          {"serial", "SERIAL", false}};
}

Row OperationRow(const v1::OperationInfo& operation) {
  const bool installs = operation.operation() == v1::CERTIFICATE_OPERATION_INSTALL;
  const bool of_campaign = operation.campaign_id() != 0;
  return {operation.operation_id(),
          WordCell(kCertificateOperations, operation.operation()),
          WordCell(kOperationStates, operation.state()),
          WordCell(kAuthenticationModes, operation.authentication()),
          installs ? Cell(KeyText(operation.key())) : Cell(),
          TimestampCell(operation.deadline()),
          TimestampCell(operation.scheduled_at()),
          TimestampCell(operation.ended_at()),
          operation.reason(),
          operation.scheduled_by(),
          TimestampCell(operation.started_at()),
          operation.session_address(),
          int64_t{operation.wrong_strings()},
          of_campaign ? Cell(int64_t{operation.campaign_id()}) : Cell(),
          of_campaign ? Cell(int64_t{operation.wave()}) : Cell(),
          operation.serial()};
}

struct ListArguments {
  std::string device;
  v1::OperationState state = v1::OPERATION_STATE_UNSPECIFIED;
  v1::CertificateOperation operation = v1::CERTIFICATE_OPERATION_UNSPECIFIED;
  std::optional<int64_t> campaign;
  int64_t limit = 0;
};

absl::StatusOr<int> List(Environment& environment, const ListArguments& arguments) {
  v1::ListOperationsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device_prefix(arguments.device);
  request.set_state(arguments.state);
  request.set_operation(arguments.operation);
  request.set_campaign_id(static_cast<int32_t>(arguments.campaign.value_or(0)));
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  std::vector<Column> columns = OperationColumns();
  columns.insert(columns.begin() + 1, {"device", "DEVICE"});
  ListWriter writer(environment.out(), environment.options().output, columns, "no operations");
  RETURN_IF_ERROR(ForEachInPages(
      environment, client, &v1::Enrolment::Stub::ListOperations, request, arguments.limit,
      [](const auto& page) -> const auto& { return page.operations(); },
      [&writer](const v1::OperationInfo& operation) {
        Row row = OperationRow(operation);
        row.insert(row.begin() + 1, Cell(operation.device()));
        writer.Add(std::move(row));
      }));
  writer.Finish();
  return kExitSuccess;
}

void AddListCommand(CommandLine& line, CLI::App& capf) {
  auto arguments = std::make_shared<ListArguments>();
  CLI::App& command = AddCommand(line, capf, "list", "List what was scheduled and what became of it",
                                 "  trustctl capf list --state pending\n"
                                 "  trustctl capf list --device SEP0011 --limit 20\n"
                                 "  trustctl capf list --campaign 3 --state failed --output csv",
                                 [arguments](Environment& environment) { return List(environment, *arguments); });
  AddDeviceNamePrefix(command, "--device", arguments->device, "Only of devices whose name begins so");
  AddWord(command, "--state", kOperationStateType, kOperationStates, arguments->state,
          "Only in this state: pending, in-progress, success, failed, expired or cancelled");
  AddWord(command, "--operation", kOperationType, kDeviceOperations, arguments->operation,
          "Only this: install, fetch or delete");
  AddNumber(command, "--campaign", "N", 1, std::numeric_limits<int32_t>::max(), arguments->campaign,
            "Only of this campaign: see `trustctl capf campaign list`");
  AddCount(command, "--limit", arguments->limit, "The first so many; 0 for all");
}

struct ShowArguments {
  std::string device;
  bool pem = false;
};

absl::StatusOr<int> Show(Environment& environment, const ShowArguments& arguments) {
  v1::ShowEnrolmentRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device(arguments.device);
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  ASSIGN_OR_RETURN(const v1::ShowEnrolmentResponse response,
                   (environment.Ask(client, &v1::Enrolment::Stub::ShowEnrolment, request)));
  if (arguments.pem) {
    if (response.fetched().empty()) {
      return FailedPrecondition(
          "{0} was never asked for its certificates: `trustctl capf schedule fetch {0}`; for the one that it was "
          "issued: `trustctl lsc show {0} --pem`",
          arguments.device);
    }
    std::string text;
    for (const v1::ShowEnrolmentResponse::Fetched& fetched : response.fetched()) {
      ASSIGN_OR_RETURN(const std::string pem, DerToPem(fetched.der()));
      text += pem;
    }
    environment.out() << text;
    return kExitSuccess;
  }
  const v1::LscInfo& lsc = response.lsc();
  Record record;
  record.Add("device", "Device", response.device())
      .Add("lsc_status", "LSC status", WordCell(kLscStatuses, lsc.status()))
      .Add("lsc_serial", "Serial", lsc.serial())
      .Add("lsc_expires", "Expires", TimestampCell(lsc.expires()))
      .Add("issued_by", "Issued by", lsc.issued_by())
      .Add("issuer_expires", "Issuer expires by", TimestampCell(lsc.issuer_expires()))
      .Add("authority_id", "Authority", lsc.authority_id() == 0 ? Cell() : Cell(int64_t{lsc.authority_id()}))
      .Add("public_key", "Key", lsc.public_key());
  record.list = {"operations", OperationColumns(), {}};
  for (const v1::OperationInfo& operation : response.operations()) {
    record.list->rows.push_back(OperationRow(operation));
  }
  Record::List locks{"locks",
                     {{"locked_address", "WRONG STRINGS FROM"},
                      {"wrong_strings_from_there", "COUNT"},
                      {"last_wrong_at", "LAST"},
                      {"locked_until", "LOCKED UNTIL"}},
                     {}};
  for (const v1::ShowEnrolmentResponse::Lock& lock : response.locks()) {
    locks.rows.push_back({lock.address(), int64_t{lock.wrong_strings()}, TimestampCell(lock.last_wrong_at()),
                          TimestampCell(lock.locked_until())});
  }
  Record::List fetched{"fetched_certificates",
                       {{"certificate_type", "FETCHED"},
                        {"sha256", "FINGERPRINT"},
                        {"subject", "SUBJECT"},
                        {"issuer", "ISSUER"},
                        {"certificate_serial", "SERIAL"},
                        {"certificate_key", "KEY"},
                        {"not_before", "VALID FROM", false},
                        {"not_after", "EXPIRES"},
                        {"fetched_at", "FETCHED AT"}},
                       {}};
  for (const v1::ShowEnrolmentResponse::Fetched& certificate : response.fetched()) {
    const v1::CertificateSummary& summary = certificate.summary();
    fetched.rows.push_back({certificate.type(), Fingerprint{summary.sha256()}, summary.subject(), summary.issuer(),
                            summary.serial(), summary.public_key(), TimestampCell(summary.not_before()),
                            TimestampCell(summary.not_after()), TimestampCell(certificate.fetched_at())});
  }
  record.more_lists = {std::move(locks), std::move(fetched)};
  WriteRecord(environment.out(), environment.options().output, record);
  return kExitSuccess;
}

absl::StatusOr<int> Unlock(Environment& environment, const std::string& device) {
  v1::UnlockDeviceRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device(device);
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  ASSIGN_OR_RETURN(const v1::UnlockDeviceResponse response,
                   (environment.Ask(client, &v1::Enrolment::Stub::UnlockDevice, request)));
  const int32_t locks = response.locks();
  WriteResult(environment.out(), environment.options().output,
              locks == 0 ? fmt::format("{} was not locked; its wrong strings are counted anew", device)
                         : fmt::format("unlocked {}: {} lock{} ended", device, locks, locks == 1 ? "" : "s"),
              Record().Add("device", "DEVICE", device).Add("locks", "LOCKS", int64_t{locks}));
  return kExitSuccess;
}

void AddDeviceCommands(CommandLine& line, CLI::App& capf) {
  auto shown = std::make_shared<ShowArguments>();
  CLI::App& show = AddCommand(
      line, capf, "show",
      "Show everything of one device: its certificate, operations, wrong strings, and the certificates fetched from it",
      "  trustctl capf show SEP001122334455\n"
      "  trustctl capf show SEP001122334455 --pem > fetched.pem",
      [shown](Environment& environment) { return Show(environment, *shown); });
  AddDeviceName(show, "DEVICE", shown->device, "Name of the device")->required();
  show.add_flag("--pem", shown->pem, "Print the certificates that were fetched from it, in PEM");

  auto unlocked = std::make_shared<std::string>();
  CLI::App& unlock = AddCommand(line, capf, "unlock",
                                "Let a device try again at once that is locked after wrong authentication strings",
                                "  trustctl capf unlock SEP001122334455",
                                [unlocked](Environment& environment) { return Unlock(environment, *unlocked); });
  AddDeviceName(unlock, "DEVICE", *unlocked, "Name of the device")->required();
}

}  // namespace

void AddCapfCommands(CommandLine& line) {
  CLI::App& capf = AddGroup(line.app, "capf", "Phones' enrolment (CAPF): who is to get, show or delete a certificate",
                            "  trustctl capf schedule install SEP001122334455\n"
                            "  trustctl capf report --site Berlin\n"
                            "  trustctl capf campaign create --expires-within 30d --hours 22:00-05:00");
  AddCapfScheduleCommands(line, capf);
  AddListCommand(line, capf);
  AddDeviceCommands(line, capf);
  AddCapfReportCommands(line, capf);
  AddCapfPolicyCommands(line, capf);
  AddCapfCampaignCommands(line, capf);
}

}  // namespace trustline
