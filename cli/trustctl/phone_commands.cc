// trustctl phones ...: which phone holds which trust list. Here: the group, and what is known of one phone.
#include "cli/trustctl/phone_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <tuple>

#include "absl/time/clock.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/phone_records.h"
#include "cli/trustctl/phone_words.h"
#include "cli/trustctl/response_pages.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_list_words.h"
#include "cli/trustctl/trust_records.h"
#include "proto/phone_trust.grpc.pb.h"

namespace trustline {
namespace {

Record::List LedgerOf(const v1::ShowPhoneResponse& response, OutputFormat format, absl::Time now) {
  Record::List ledger = {"ledger", {{"ledger_kind", "LIST"}}, {}};
  Append(ledger.columns, HeldColumns(format, "ledger_"));
  Append(ledger.columns, {{"ledger_how", "HOW"}, {"ledger_first_at", "FIRST SEEN"}, {"ledger_last_at", "LAST SEEN"}});
  for (const v1::LedgerEntry& entry : response.ledger()) {
    Row row = {WordCell(kTrustListKinds, entry.kind())};
    Append(row, HeldRow(entry.held(), format, now));
    Append(row, {entry.how(), TimestampCell(entry.first_at()), TimestampCell(entry.last_at())});
    ledger.rows.push_back(std::move(row));
  }
  return ledger;
}

Record::List ClaimsOf(const v1::ShowPhoneResponse& response, OutputFormat format, absl::Time now) {
  Record::List claims = {"claims", {{"claim_source", "CLAIMED BY"}}, {}};
  Append(claims.columns, HeldColumns(format, "claim_"));
  Append(claims.columns, {{"claim_last_report", "LAST REPORT"}, {"claim_why_no_evidence", "WHY NO EVIDENCE"}});
  for (const v1::Phone& claim : response.claims()) {
    Row row = {claim.claimed_from()};
    Append(row, HeldRow(claim.itl(), format, now));
    Append(row, {TimestampCell(claim.reported_at()), claim.claim_reason()});
    claims.rows.push_back(std::move(row));
  }
  return claims;
}

absl::StatusOr<int> Show(Environment& environment, const std::string& device) {
  v1::ShowPhoneRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device(device);
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::ShowPhoneResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::ShowPhone, request)));
  const OutputFormat format = environment.options().output;
  const absl::Time now = absl::Now();
  Record record = PhoneRecord(response.phone(), format, now);
  record.list = LedgerOf(response, format, now);
  record.more_lists.push_back(ClaimsOf(response, format, now));
  WriteRecord(environment.out(), format, record);
  return kExitSuccess;
}

struct HistoryArguments {
  std::string device;
  int64_t limit = 0;
};

absl::StatusOr<int> History(Environment& environment, const HistoryArguments& arguments) {
  v1::ListPhoneHistoryRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device(arguments.device);
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  const OutputFormat format = environment.options().output;
  std::vector<Column> columns = {{"at", "TIME"}, {"event", "EVENT"}};
  Append(columns, HeldColumns(format, ""));
  Append(columns, {{"address", "ADDRESS"}, {"via", "VIA"}});
  ListWriter writer(environment.out(), format, std::move(columns), "no history");
  RETURN_IF_ERROR(ForEachInPages(
      environment, client, &v1::PhoneTrust::Stub::ListPhoneHistory, std::move(request), arguments.limit,
      [](const auto& page) -> const auto& { return page.events(); },
      [&](const v1::PhoneEvent& event) {
        Row row = {TimestampCell(event.at()), event.event()};
        // An age would be that of now, not of then.
        Append(row, event.has_itl() ? HeldRow(event.itl(), format, std::nullopt) : Row(HeldColumns(format, "").size()));
        Append(row, {TextCell(event.address()), TextCell(event.via())});
        writer.Add(std::move(row));
      }));
  writer.Finish();
  return kExitSuccess;
}

using Fact = v1::ExplainPhoneResponse::Fact;

// The newest first; those without a time, which hold now and always, at the end.
std::vector<Fact> InOrderOfTime(const v1::ExplainPhoneResponse& response) {
  std::vector<Fact> facts(response.facts().begin(), response.facts().end());
  std::ranges::stable_sort(facts, std::ranges::greater(),
                           [](const Fact& fact) { return std::tuple(fact.at().seconds(), fact.at().nanos()); });
  return facts;
}

absl::StatusOr<int> Why(Environment& environment, const std::string& device) {
  v1::ExplainPhoneRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device(device);
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::ExplainPhoneResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::ExplainPhone, request)));
  const OutputFormat format = environment.options().output;
  Record::List facts = {"facts", {{"at", "TIME"}, {"subject", "WHAT"}, {"sentence", "WHAT IS KNOWN"}}, {}};
  for (const Fact& fact : InOrderOfTime(response)) {
    facts.rows.push_back({TimestampCell(fact.at()), fact.subject(), fact.sentence()});
  }
  if (format == OutputFormat::kTable) {
    const v1::Phone& phone = response.phone();
    environment.out() << EscapeForTerminal(
                             fmt::format("{}: {}", phone.device(), WordFor(kPhoneStatuses, phone.itl().status())))
                      << "\n"
                      << EscapeForTerminal(response.verdict()) << "\n"
                      << EscapeForTerminal(fmt::format("Next step: {}", response.next_step())) << "\n";
    if (phone.cure() != v1::PHONE_CURE_UNSPECIFIED) {
      environment.out() << EscapeForTerminal(fmt::format("Cure: {}", CureText(phone))) << "\n";
    }
    environment.out() << "\n";
    ListWriter writer(environment.out(), format, facts.columns, "nothing else is known");
    for (Row& row : facts.rows) writer.Add(std::move(row));
    writer.Finish();
    return kExitSuccess;
  }
  Record record;
  record.Add("verdict", "", response.verdict()).Add("next_step", "", response.next_step());
  for (Record::Field& field : PhoneRecord(response.phone(), format, absl::Now()).fields) {
    record.fields.push_back(std::move(field));
  }
  record.list = std::move(facts);
  WriteRecord(environment.out(), format, record);
  return kExitSuccess;
}

void AddShowCommand(CommandLine& line, CLI::App& phones) {
  auto device = std::make_shared<std::string>();
  CLI::App& command = AddCommand(
      line, phones, "show", "Show what a phone holds, everything that it was seen to hold, and what others claim of it",
      "  trustctl phones show SEP001122334455\n"
      "  trustctl phones show SEP001122334455 --output json",
      [device](Environment& environment) { return Show(environment, *device); });
  AddDeviceName(command, "DEVICE", *device, "Name of the device")->required();
}

void AddHistoryCommand(CommandLine& line, CLI::App& phones) {
  auto arguments = std::make_shared<HistoryArguments>();
  CLI::App& command = AddCommand(line, phones, "history", "List what changed for a phone, the newest first",
                                 "  trustctl phones history SEP001122334455\n"
                                 "  trustctl phones history SEP001122334455 --limit 20 --output csv",
                                 [arguments](Environment& environment) { return History(environment, *arguments); });
  AddDeviceName(command, "DEVICE", arguments->device, "Name of the device")->required();
  AddCount(command, "--limit", arguments->limit, "The newest so many; 0 for all");
}

void AddWhyCommand(CommandLine& line, CLI::App& phones) {
  auto device = std::make_shared<std::string>();
  CLI::App& command = AddCommand(
      line, phones, "why",
      "Why a phone has the status that it has, and what to do next: reports, lists held and offered, claims, questions "
      "to TVS, enrolment and certificate in one answer",
      "  trustctl phones why SEP001122334455\n"
      "  trustctl phones why SEP001122334455 --output json",
      [device](Environment& environment) { return Why(environment, *device); });
  AddDeviceName(command, "DEVICE", *device, "Name of the device")->required();
}

}  // namespace

void AddPhoneCommands(CommandLine& line) {
  CLI::App& phones = AddGroup(line.app, "phones", "Which phone holds which trust list",
                              "  trustctl phones report --status Mismatch\n"
                              "  trustctl phones report --summary\n"
                              "  trustctl phones why SEP001122334455");
  AddPhoneReportCommands(line, phones);
  AddShowCommand(line, phones);
  AddHistoryCommand(line, phones);
  AddWhyCommand(line, phones);
  AddPhoneModelCommands(line, phones);
  AddPhoneWatchCommand(line, phones);
  AddPhoneResetCommands(line, phones);
  AddPhoneForecastCommand(line, phones);
}

}  // namespace trustline
