// trustctl phones report, adoption: which phones hold which list, now and over time.
#include <fmt/format.h>

#include <memory>

#include "absl/time/clock.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/phone_filter.h"
#include "cli/trustctl/phone_records.h"
#include "cli/trustctl/phone_words.h"
#include "cli/trustctl/response_pages.h"
#include "cli/trustctl/trust_records.h"
#include "proto/phone_trust.grpc.pb.h"

namespace trustline {
namespace {

constexpr int64_t kLeastPoints = 2;
constexpr int64_t kMostPoints = 500;

struct ReportArguments {
  PhoneFilterArguments filter;
  int64_t limit = 0;
  bool summary = false;
};

// People see "37.5 %" at the right of its column, programs get a number.
Cell PercentCell(int64_t part, int64_t whole, OutputFormat format) {
  const std::string percent = PercentText(part, whole);
  return format == OutputFormat::kTable ? Cell(fmt::format("{:>5} %", percent)) : Cell(JsonText{percent});
}

absl::StatusOr<int> Summarize(Environment& environment, const PhoneFilterArguments& filter) {
  v1::SummarizePhonesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_tftp_server(filter.server.value_or(""));
  request.set_model(filter.model.value_or(""));
  request.set_site(filter.site.value_or(""));
  // Cures are counted of all phones together.
  request.set_with_cures(!filter.server && !filter.model && !filter.site);
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::SummarizePhonesResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::SummarizePhones, request)));
  const OutputFormat format = environment.options().output;
  const absl::Time now = absl::Now();
  const int64_t all = response.phones();
  Record record;
  record.Add("phones", "Phones", all)
      .Add("claims", "Claims", response.claims())
      .Add("unusable_reports", "Unreadable hashes since itld began", response.unusable_reports());
  Record::List statuses = {
      "statuses", {{"status", "STATUS"}, {"status_phones", "PHONES"}, {"status_percent", "SHARE"}}, {}};
  for (const v1::SummarizePhonesResponse::StatusCount& count : response.statuses()) {
    statuses.rows.push_back(
        {WordCell(kPhoneStatuses, count.status()), count.phones(), PercentCell(count.phones(), all, format)});
  }
  Record::List held = {"held", HeldColumns(format, "held_"), {}};
  Append(held.columns, {{"held_phones", "PHONES"}, {"held_percent", "SHARE"}});
  for (const v1::SummarizePhonesResponse::HeldCount& count : response.held()) {
    Row row = HeldRow(count.held(), format, now);
    Append(row, {count.phones(), PercentCell(count.phones(), all, format)});
    held.rows.push_back(std::move(row));
  }
  Record::List cures = {"cures", {{"cure", "CURE"}, {"cure_phones", "PHONES"}, {"cure_percent", "SHARE"}}, {}};
  for (const v1::SummarizePhonesResponse::CureCount& count : response.cures()) {
    cures.rows.push_back(
        {WordCell(kPhoneCures, count.cure()), count.phones(), PercentCell(count.phones(), all, format)});
  }
  record.list = std::move(statuses);
  record.more_lists.push_back(std::move(cures));
  record.more_lists.push_back(std::move(held));
  WriteRecord(environment.out(), format, record);
  return kExitSuccess;
}

absl::StatusOr<int> Report(Environment& environment, const ReportArguments& arguments) {
  if (arguments.summary) return Summarize(environment, arguments.filter);
  v1::ListPhonesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(*request.mutable_filter(), PhoneFilterFrom(environment, arguments.filter));
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  const OutputFormat format = environment.options().output;
  const absl::Time now = absl::Now();
  ListWriter writer(environment.out(), format, PhoneColumns(format), "no phones");
  RETURN_IF_ERROR(ForEachInPages(
      environment, client, &v1::PhoneTrust::Stub::ListPhones, std::move(request), arguments.limit,
      [](const auto& page) -> const auto& { return page.phones(); },
      [&](const v1::Phone& phone) { writer.Add(PhoneRow(phone, format, now)); }));
  writer.Finish();
  return kExitSuccess;
}

void AddReportCommand(CommandLine& line, CLI::App& phones) {
  auto arguments = std::make_shared<ReportArguments>();
  CLI::App& command =
      AddCommand(line, phones, "report",
                 "The mismatch report: a line for each phone with the list that it holds, and after them the claims",
                 "  trustctl phones report --status Mismatch\n"
                 "  trustctl phones report --status mismatch,not-installed --site Berlin --since 7d\n"
                 "  trustctl phones report --cure by-hand,publish-recovery\n"
                 "  trustctl phones report --server tftp1 --evidence --output csv > phones.csv\n"
                 "  trustctl phones report --summary",
                 [arguments](Environment& environment) { return Report(environment, *arguments); });
  AddPhoneFilter(command, arguments->filter);
  AddPhoneCure(command, arguments->filter);
  CLI::Option* const since = AddTime(command, "--since", arguments->filter.since,
                                     "Only reported at this time or later, or so long ago at most");
  CLI::Option* const limit = AddCount(command, "--limit", arguments->limit, "The first so many; 0 for all");
  CLI::Option* const summary =
      command.add_flag("--summary", arguments->summary,
                       "How many phones have which status and cure, and hold which generation, in numbers");
  for (CLI::Option* const other :
       {command.get_option("--status"), command.get_option("--cure"), command.get_option("--evidence"), since, limit}) {
    summary->excludes(other);
  }
}

struct AdoptionArguments {
  std::optional<std::string> server;
  std::optional<std::string> since;
  std::optional<int64_t> points;
};

absl::StatusOr<int> Adoption(Environment& environment, const AdoptionArguments& arguments) {
  v1::ListAdoptionRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_tftp_server(arguments.server.value_or(""));
  if (arguments.since) {
    ASSIGN_OR_RETURN(const absl::Time since, environment.ResolveTime(*arguments.since));
    *request.mutable_since() = TimeToProto(since);
  }
  request.set_points(static_cast<int32_t>(arguments.points.value_or(0)));
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::ListAdoptionResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::ListAdoption, request)));
  const OutputFormat format = environment.options().output;
  std::vector<Column> columns = {{"at", "TIME"}};
  Append(columns, HeldColumns(format, ""));
  Append(columns, {{"phones", "PHONES"}, {"phones_in_service", "OF"}, {"percent", "SHARE"}});
  ListWriter writer(environment.out(), format, std::move(columns), "nothing is known of that time");
  for (const v1::ListAdoptionResponse::Point& point : response.points()) {
    for (const v1::ListAdoptionResponse::Share& share : point.shares()) {
      Row row = {TimestampCell(point.at())};
      Append(row, HeldRow(share.held(), format, std::nullopt));
      Append(row, {share.phones(), point.phones(), PercentCell(share.phones(), point.phones(), format)});
      writer.Add(std::move(row));
    }
  }
  writer.Finish();
  return kExitSuccess;
}

void AddAdoptionCommand(CommandLine& line, CLI::App& phones) {
  auto arguments = std::make_shared<AdoptionArguments>();
  CLI::App& command = AddCommand(line, phones, "adoption",
                                 "How many phones held which generation over time: a line for each moment and list, "
                                 "the oldest first",
                                 "  trustctl phones adoption\n"
                                 "  trustctl phones adoption --server tftp1 --since 24h --points 24\n"
                                 "  trustctl phones adoption --since 90d --points 500 --output csv > adoption.csv",
                                 [arguments](Environment& environment) { return Adoption(environment, *arguments); });
  AddPhoneServer(command, arguments->server);
  AddTime(command, "--since", arguments->since, "From this time on, or from so long ago; 30d unless given");
  AddNumber(command, "--points", "COUNT", kLeastPoints, kMostPoints, arguments->points,
            fmt::format("So many moments, {} to {}; 50 unless given", kLeastPoints, kMostPoints));
}

}  // namespace

void AddPhoneReportCommands(CommandLine& line, CLI::App& phones) {
  AddReportCommand(line, phones);
  AddAdoptionCommand(line, phones);
}

}  // namespace trustline
