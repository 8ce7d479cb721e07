// trustctl audit ...: who did what.
#include <fmt/format.h>

#include <functional>
#include <memory>

#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/progress.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/service/clock.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/audit.grpc.pb.h"

namespace trustline {
namespace {

constexpr int64_t kListedUnlessTold = 100;

struct Filter {
  std::optional<std::string> since;
  std::optional<std::string> until;
  std::string actor;
  std::string action;
  int64_t limit = 0;
};

void AddFilter(CLI::App& command, Filter& filter) {
  AddTime(command, "--since", filter.since, "From this time on (RFC 3339), or so long before now (24h)");
  AddTime(command, "--until", filter.until, "Before this time (RFC 3339), or so long before now (1h)");
  command.add_option("--actor", filter.actor, "Only what this identity did: trustline:default/person/anna")
      ->type_name("IDENTITY");
  command.add_option("--action", filter.action, "Only this action: trust.add, trust.remove, access.denied, ...")
      ->type_name("ACTION");
  AddCount(command, "--limit", filter.limit, "The newest so many; 0 for all");
}

std::vector<Column> EventColumns() {
  return {{"event_id", "EVENT"},
          {"at", "TIME"},
          {"occurred_at", "OCCURRED", false},
          {"cluster", "CLUSTER", false},
          {"actor", "ACTOR"},
          {"action", "ACTION"},
          {"subject", "SUBJECT"},
          {"outcome", "OUTCOME"},
          {"detail", "DETAIL"},
          {"seal_number", "SEAL", false},
          {"seal_hash", "SEAL HASH", false}};
}

Row EventRow(const v1::AuditEvent& event) {
  const bool sealed = event.seal_number() != 0;
  return {event.event_id(),
          TimestampCell(event.at()),
          TimestampCell(event.occurred_at()),
          event.cluster(),
          event.actor(),
          event.action(),
          event.subject(),
          event.outcome(),
          event.detail().empty() ? Cell() : Cell(JsonText{event.detail()}),
          sealed ? Cell(event.seal_number()) : Cell(),
          sealed ? Cell(ToHex(AsBytes(event.seal_hash()))) : Cell()};
}

// Calls `visit` for each event, until it is not OK.
absl::Status ForEachEvent(Environment& environment, const Filter& filter,
                          const std::function<absl::Status(const v1::AuditEvent&)>& visit) {
  v1::ListAuditRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  if (filter.since) {
    ASSIGN_OR_RETURN(const absl::Time since, environment.ResolveTime(*filter.since));
    *request.mutable_since() = TimeToProto(since);
  }
  if (filter.until) {
    ASSIGN_OR_RETURN(const absl::Time until, environment.ResolveTime(*filter.until));
    *request.mutable_until() = TimeToProto(until);
  }
  request.set_actor(filter.actor);
  request.set_action(filter.action);
  request.set_limit(filter.limit);
  ASSIGN_OR_RETURN(Client<v1::Audit> client, environment.Connect<v1::Audit>(kItld));
  Call call(environment, Call::Length::kLong);
  const auto stream = client.stub->List(call.context(), request);
  absl::Status visited;
  v1::AuditEvent event;
  while (visited.ok() && stream->Read(&event)) visited = visit(event);
  if (!visited.ok()) call.context()->TryCancel();
  const absl::Status status = call.End(stream->Finish(), client);
  RETURN_IF_ERROR(visited);
  return status;
}

absl::StatusOr<int> List(Environment& environment, const Filter& filter) {
  ListWriter writer(environment.out(), environment.options().output, EventColumns(), "no events");
  RETURN_IF_ERROR(ForEachEvent(environment, filter, [&](const v1::AuditEvent& event) {
    writer.Add(EventRow(event));
    return absl::OkStatus();
  }));
  writer.Finish();
  return kExitSuccess;
}

struct ExportArguments {
  Filter filter;
  std::string out;
  bool force = false;
};

absl::StatusOr<int> Export(Environment& environment, const ExportArguments& arguments) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out()));
  int64_t count = 0;
  RETURN_IF_ERROR(ForEachEvent(environment, arguments.filter, [&](const v1::AuditEvent& event) {
    ++count;
    return file->Write(JsonLine(EventColumns(), EventRow(event)));
  }));
  RETURN_IF_ERROR(file->Commit());
  if (!arguments.out.empty()) {
    environment.err() << fmt::format("{} events written to {}", count, arguments.out) << std::endl;
  }
  return kExitSuccess;
}

absl::StatusOr<int> Verify(Environment& environment) {
  ASSIGN_OR_RETURN(Client<v1::Audit> client, environment.Connect<v1::Audit>(kItld));
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "events checked", /*total=*/0, clock);
  Call call(environment, Call::Length::kLong);
  const auto stream = client.stub->Verify(call.context(), v1::VerifyAuditRequest());
  v1::VerifyAuditResponse result;
  v1::VerifyAuditResponse response;
  while (stream->Read(&response)) {
    progress.Update(response.events_checked());
    if (response.finished()) result = response;
  }
  progress.Finish();
  RETURN_IF_ERROR(call.End(stream->Finish(), client));
  if (!result.finished()) return Internal("itld ended the check without a result: look at its log");

  Record record;
  record.Add("intact", "Intact", result.intact())
      .Add("events_checked", "Events checked", result.events_checked())
      .Add("events_not_yet_sealed", "Not yet sealed", result.events_not_yet_sealed())
      .Add("last_number", "Last seal", result.last_number())
      .Add("last_hash", "Last hash", ToHex(AsBytes(result.last_hash())))
      .Add("retired_rows", "Rows retired by checkpoint", result.retired_rows())
      .Add("retired_before", "Retired before",
           result.has_retired_before() ? TimestampCell(result.retired_before()) : Cell());
  record.list = {"findings", {{"finding", "FINDING"}}, {}};
  for (const std::string& finding : result.findings()) record.list->rows.push_back({finding});
  WriteRecord(environment.out(), environment.options().output, record);
  return result.intact() && result.findings().empty() ? kExitSuccess : kExitFailure;
}

absl::StatusOr<int> Retire(Environment& environment, const std::string& before) {
  v1::RetireAuditRequest request;
  ASSIGN_OR_RETURN(const absl::Time time, environment.ResolveTime(before));
  *request.mutable_before() = TimeToProto(time);
  ASSIGN_OR_RETURN(Client<v1::Audit> client, environment.Connect<v1::Audit>(kItld));
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "events checked", /*total=*/0, clock);
  Call call(environment, Call::Length::kLong);
  const auto stream = client.stub->Retire(call.context(), request);
  v1::RetireAuditResponse result;
  v1::RetireAuditResponse response;
  while (stream->Read(&response)) {
    progress.Update(response.events_checked());
    if (response.finished()) result = response;
  }
  progress.Finish();
  RETURN_IF_ERROR(call.End(stream->Finish(), client));
  if (!result.finished())
    return Internal("itld ended without a result: look at its log, and at `trustctl audit verify`");

  Record record;
  record.Add("removed_rows", "Removed rows", result.removed_rows())
      .Add("first_number", "First seal", result.first_number())
      .Add("last_number", "Last seal", result.last_number())
      .Add("last_hash", "Last hash", ToHex(AsBytes(result.last_hash())))
      .Add("retired_before", "Retired before", TimestampCell(result.retired_before()));
  const absl::Time retired_before = absl::FromUnixSeconds(result.retired_before().seconds());
  WriteResult(environment.out(), environment.options().output,
              fmt::format("retired {} audit rows before {}; a signed checkpoint at number {} stands for them",
                          result.removed_rows(), TimeTextSeconds(retired_before), result.last_number()),
              record);
  return kExitSuccess;
}

}  // namespace

void AddAuditCommands(CommandLine& line) {
  CLI::App& audit = AddGroup(line.app, "audit", "The audit log: who did what, chained by hashes",
                             "  trustctl audit list --since 24h\n"
                             "  trustctl audit verify");
  auto filter = std::make_shared<Filter>();
  filter->limit = kListedUnlessTold;
  CLI::App& list = AddCommand(line, audit, "list", "List events, the newest last",
                              "  trustctl audit list --since 24h\n"
                              "  trustctl audit list --since 2026-11-22T08:00:00+01:00 --action trust.remove --limit 0",
                              [filter](Environment& environment) { return List(environment, *filter); });
  AddFilter(list, *filter);

  AddCommand(line, audit, "verify",
             "Recompute the chain and compare it with the record kept outside the database; exit status 1 when "
             "something does not fit",
             "  trustctl audit verify --output json", Verify);

  auto arguments = std::make_shared<ExportArguments>();
  CLI::App& exported = AddCommand(line, audit, "export", "Write events as JSON, one on each line",
                                  "  trustctl audit export --since 2026-11-01 --out november.jsonl\n"
                                  "  trustctl audit export | grep access.denied",
                                  [arguments](Environment& environment) { return Export(environment, *arguments); });
  AddFilter(exported, arguments->filter);
  AddFile(exported, "--out", arguments->out, "File to write; the standard output unless given");
  exported.add_flag("--force", arguments->force, "Replace the file when it exists");

  auto before = std::make_shared<std::optional<std::string>>();
  CLI::App& retire = AddCommand(
      line, audit, "retire",
      "Remove old months for good and leave a signed checkpoint in the chain. What is removed is in no export that was "
      "not made before: export every cluster first",
      "  trustctl audit export --until 2026-09-01T00:00Z --out until-september.jsonl\n"
      "  trustctl audit retire --before 2026-09-01T00:00Z",
      [before](Environment& environment) { return Retire(environment, before->value_or("")); });
  AddTime(
      retire, "--before", *before,
      "Months (UTC) that end at or before this time (RFC 3339), or so long ago (400d); the current and the previous "
      "month are kept")
      ->required();
}

}  // namespace trustline
