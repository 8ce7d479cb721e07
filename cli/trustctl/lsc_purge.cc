// trustctl lsc purge: retention of what was issued.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/progress.h"
#include "cli/trustctl/trust_records.h"
#include "common/service/clock.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/issuance.grpc.pb.h"

namespace trustline {
namespace {

struct PurgeArguments {
  std::optional<std::string> expired_before;
  bool dry_run = false;
};

// "2 certificates and 1 abandoned request"
std::string RecordsText(const v1::PurgeCertificatesResponse& response) {
  return fmt::format("{} and {} abandoned request{}", CertificateCountText(response.certificates()),
                     response.requests(), response.requests() == 1 ? "" : "s");
}

absl::StatusOr<int> Purge(Environment& environment, const PurgeArguments& arguments) {
  v1::PurgeCertificatesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(const absl::Time before, environment.ResolveTime(arguments.expired_before.value_or("")));
  *request.mutable_expired_before() = TimeToProto(before);
  request.set_dry_run(arguments.dry_run);
  ASSIGN_OR_RETURN(Client<v1::Issuance> client, environment.Connect<v1::Issuance>(kCad));
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "records removed", /*total=*/0, clock);
  Call call(environment, Call::Length::kLong);
  const auto stream = client.stub->PurgeCertificates(call.context(), request);
  v1::PurgeCertificatesResponse result;
  v1::PurgeCertificatesResponse response;
  while (stream->Read(&response)) {
    result = response;
    if (!response.finished()) progress.Update(response.certificates() + response.requests());
  }
  progress.Finish();
  const absl::Status status = call.End(stream->Finish(), client);
  if (!status.ok()) {
    if (result.certificates() + result.requests() == 0) return status;
    const std::string how_far = fmt::format("at least {} are removed and stay so", RecordsText(result));
    if (environment.interrupt().requested()) {
      return Aborted("interrupted: {}; the same command again goes on", how_far);
    }
    return Annotate(status, how_far + ", the same command again goes on; then");
  }
  if (!result.finished()) return Internal("cad ended without a result: look at its log, and at `trustctl audit list`");

  Record record;
  record.Add("dry_run", "DRY RUN", arguments.dry_run)
      .Add("expired_before", "EXPIRED BEFORE", TimestampCell(request.expired_before()))
      .Add("certificates", "CERTIFICATES", result.certificates())
      .Add("requests", "REQUESTS", result.requests());
  const std::string records = fmt::format("{} from before {}", RecordsText(result), TimeTextSeconds(before));
  WriteResult(environment.out(), environment.options().output,
              arguments.dry_run ? records + " would be removed; nothing was" : "removed " + records, record);
  return kExitSuccess;
}

}  // namespace

void AddLscPurgeCommand(CommandLine& line, CLI::App& lsc) {
  auto arguments = std::make_shared<PurgeArguments>();
  CLI::App& command = AddCommand(
      line, lsc, "purge",
      "Remove for good the records of certificates that ended long ago, and of requests that were abandoned. A revoked "
      "certificate stays until a CRL has named it. What is removed is in no list that was not made before",
      "  trustctl lsc list --expires-before 2025-01-01T00:00Z --output csv > ended-before-2025.csv\n"
      "  trustctl lsc purge --expired-before 2025-01-01T00:00Z --dry-run\n"
      "  trustctl lsc purge --expired-before 400d",
      [arguments](Environment& environment) { return Purge(environment, *arguments); });
  AddTime(command, "--expired-before", arguments->expired_before,
          "What ended before this time (RFC 3339), or so long ago (400d); at least 30 days ago")
      ->required();
  command.add_flag("--dry-run", arguments->dry_run, "Only count what would be removed");
}

}  // namespace trustline
