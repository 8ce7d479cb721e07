// trustctl capf report, stale: how far a cluster's devices are with their certificates.
#include <memory>

#include "cli/trustctl/capf_words.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/response_pages.h"
#include "cli/trustctl/trust_records.h"
#include "proto/enrolment.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kMaxIssuedBy = 4096;

struct ReportArguments {
  std::string device;
  std::optional<std::string> model;
  std::optional<std::string> site;
  v1::LscInfo::Status lsc_status = v1::LscInfo::STATUS_UNSPECIFIED;
  std::optional<std::string> expires_before;
  std::optional<std::string> issued_by;
  std::optional<std::string> issuer_expires_before;
  v1::OperationState operation_status = v1::OPERATION_STATE_UNSPECIFIED;
  int64_t limit = 0;
};

// The columns that administrators know, in their words.
std::vector<Column> ColumnsForPeople() {
  return {{"device", "DEVICE"},
          {"lsc_status", "LSC STATUS"},
          {"expires", "EXPIRES"},
          {"issued_by", "ISSUED BY"},
          {"issuer_expires", "ISSUER EXPIRES BY"},
          {"operation", "OPERATION"},
          {"status", "STATUS"},
          {"auth_mode", "AUTH MODE"}};
}

Row RowForPeople(const v1::ReportEnrolmentResponse::Row& row) {
  const v1::LscInfo& lsc = row.lsc();
  const v1::OperationInfo& operation = row.operation();
  return {row.device(),
          WordCell(kLscStatuses, lsc.status()),
          TimestampCell(lsc.expires()),
          lsc.issued_by(),
          TimestampCell(lsc.issuer_expires()),
          OperationForPeople(operation.operation()),
          StatusForPeople(operation.state(), operation.reason()),
          AuthenticationForPeople(operation.authentication())};
}

// The same for programs: words that never change, and what is known besides.
std::vector<Column> ColumnsOfData() {
  std::vector<Column> columns = ColumnsForPeople();
  for (const char* key : {"reason", "deadline", "operation_id", "serial", "authority_id", "public_key"}) {
    columns.push_back({key, ""});
  }
  return columns;
}

Row RowOfData(const v1::ReportEnrolmentResponse::Row& row) {
  const v1::LscInfo& lsc = row.lsc();
  const v1::OperationInfo& operation = row.operation();
  return {row.device(),
          WordCell(kLscStatuses, lsc.status()),
          TimestampCell(lsc.expires()),
          lsc.issued_by().empty() ? Cell() : Cell(lsc.issued_by()),
          TimestampCell(lsc.issuer_expires()),
          row.has_operation() ? WordFor(kCertificateOperations, operation.operation()) : std::string("none"),
          WordCell(kOperationStates, operation.state()),
          WordCell(kAuthenticationModes, operation.authentication()),
          operation.reason().empty() ? Cell() : Cell(operation.reason()),
          TimestampCell(operation.deadline()),
          row.has_operation() ? Cell(operation.operation_id()) : Cell(),
          lsc.serial().empty() ? Cell() : Cell(lsc.serial()),
          lsc.authority_id() == 0 ? Cell() : Cell(int64_t{lsc.authority_id()}),
          lsc.public_key().empty() ? Cell() : Cell(lsc.public_key())};
}

absl::StatusOr<int> Report(Environment& environment, const ReportArguments& arguments) {
  v1::ReportEnrolmentRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device_prefix(arguments.device);
  request.set_model(arguments.model.value_or(""));
  request.set_site(arguments.site.value_or(""));
  request.set_lsc_status(arguments.lsc_status);
  if (arguments.expires_before) {
    ASSIGN_OR_RETURN(const absl::Time before, ResolveExpiry(environment, *arguments.expires_before));
    *request.mutable_expires_before() = TimeToProto(before);
  }
  request.set_issued_by(arguments.issued_by.value_or(""));
  if (arguments.issuer_expires_before) {
    ASSIGN_OR_RETURN(const absl::Time before, ResolveExpiry(environment, *arguments.issuer_expires_before));
    *request.mutable_issuer_expires_before() = TimeToProto(before);
  }
  request.set_operation_state(arguments.operation_status);
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  const OutputFormat format = environment.options().output;
  const bool for_people = format == OutputFormat::kTable;
  ListWriter writer(environment.out(), format, for_people ? ColumnsForPeople() : ColumnsOfData(), "no devices");
  RETURN_IF_ERROR(ForEachInPages(
      environment, client, &v1::Enrolment::Stub::ReportEnrolment, request, arguments.limit,
      [](const auto& page) -> const auto& { return page.rows(); },
      [&](const v1::ReportEnrolmentResponse::Row& row) {
        writer.Add(for_people ? RowForPeople(row) : RowOfData(row));
      }));
  writer.Finish();
  return kExitSuccess;
}

void AddReportCommand(CommandLine& line, CLI::App& capf) {
  auto arguments = std::make_shared<ReportArguments>();
  CLI::App& command =
      AddCommand(line, capf, "report", "A line for each device: its newest certificate and its newest operation",
                 "  trustctl capf report --site Berlin\n"
                 "  trustctl capf report --lsc-status installed --expires-before 90d\n"
                 "  trustctl capf report --operation-status failed --output csv > failed.csv\n"
                 "  trustctl capf report --issued-by 'CN=Phones 2026' --issuer-expires-before 2027-12-31T00:00Z",
                 [arguments](Environment& environment) { return Report(environment, *arguments); });
  AddDeviceNamePrefix(command, "--device", arguments->device, "Only devices whose name begins so");
  AddText(command, "--model", kMaxDeviceText, arguments->model, "Only devices of exactly this model");
  AddText(command, "--site", kMaxDeviceText, arguments->site, "Only devices of exactly this site");
  AddWord(command, "--lsc-status", kLscStatusType, kLscStatuses, arguments->lsc_status,
          "Only with a certificate (LSC) of this status: none, unacknowledged, installed, expired or revoked");
  AddTime(command, "--expires-before", arguments->expires_before,
          "Only with a certificate that ends before this time, or so long from now");
  AddText(command, "--issued-by", kMaxIssuedBy, arguments->issued_by,
          "Only with a certificate whose issuer's name has this in it");
  AddTime(command, "--issuer-expires-before", arguments->issuer_expires_before,
          "Only with an issuer that ends before this time, or so long from now");
  AddWord(command, "--operation-status", kOperationStateType, kOperationStates, arguments->operation_status,
          "Only with a newest operation of this status: pending, in-progress, success, failed, expired or cancelled");
  AddCount(command, "--limit", arguments->limit, "The first so many; 0 for all");
}

absl::StatusOr<int> Stale(Environment& environment, int64_t limit) {
  v1::ListStaleCertificatesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  ListWriter writer(environment.out(), environment.options().output,
                    {{"device", "DEVICE"},
                     {"serial", "SERIAL"},
                     {"issued_at", "ISSUED"},
                     {"expires", "EXPIRES"},
                     {"issued_by", "ISSUED BY"},
                     {"revoked", "REVOKED"},
                     {"replaced_by", "REPLACED BY"}},
                    "no stale certificates");
  RETURN_IF_ERROR(ForEachInPages(
      environment, client, &v1::Enrolment::Stub::ListStaleCertificates, request, limit,
      [](const auto& page) -> const auto& { return page.certificates(); },
      [&](const v1::ListStaleCertificatesResponse::Stale& stale) {
        writer.Add({stale.device(), stale.serial(), TimestampCell(stale.issued_at()), TimestampCell(stale.expires()),
                    stale.issued_by(), stale.revoked(),
                    stale.replaced_by().empty() ? Cell() : Cell(stale.replaced_by())});
      }));
  writer.Finish();
  return kExitSuccess;
}

}  // namespace

void AddCapfReportCommands(CommandLine& line, CLI::App& capf) {
  AddReportCommand(line, capf);

  auto limit = std::make_shared<int64_t>(0);
  CLI::App& stale = AddCommand(
      line, capf, "stale",
      "List certificates that no device has acknowledged, half an hour after they were issued or once a newer "
      "one has replaced them; newest first",
      "  trustctl capf stale\n"
      "  trustctl capf stale --limit 100 --output json",
      [limit](Environment& environment) { return Stale(environment, *limit); });
  AddCount(stale, "--limit", *limit, "The first so many; 0 for all");
}

}  // namespace trustline
