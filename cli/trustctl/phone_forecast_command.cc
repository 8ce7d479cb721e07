// trustctl phones forecast: which certificate's end will lock whom, and when, if nothing is done.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/phone_commands.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/trust_records.h"
#include "common/service/time_text.h"
#include "proto/phone_trust.grpc.pb.h"

namespace trustline {
namespace {

using Expiry = v1::ForecastExpiryResponse::Expiry;

void WriteForPeople(std::ostream& out, const v1::ForecastExpiryResponse& response) {
  ListWriter table(out, OutputFormat::kTable,
                   {{"at", "EXPIRES"},
                    {"standing", "WHAT IT IS"},
                    {"sha256", "FINGERPRINT"},
                    {"subject", "SUBJECT"},
                    {"locked", "LOCKED"},
                    {"unproven", "UNPROVEN"},
                    {"safe", "SAFE"}},
                   "no certificate that phones depend on expires until then");
  for (const Expiry& expiry : response.expiries()) {
    const v1::PreFlight& preflight = expiry.preflight();
    table.Add(
        {TimestampCell(expiry.at()), expiry.standing(), Fingerprint{expiry.certificate().sha256()},
         expiry.certificate().subject(), PhonesOf(preflight, v1::PHONE_VERDICT_LOCKED),
         PhonesOf(preflight, v1::PHONE_VERDICT_UNPROVEN),
         PhonesOf(preflight, v1::PHONE_VERDICT_SAFE_BY_LIST) + PhonesOf(preflight, v1::PHONE_VERDICT_SAFE_BY_TVS)});
  }
  table.Finish();
  for (const Expiry& expiry : response.expiries()) {
    const v1::PreFlight& preflight = expiry.preflight();
    if (PhonesOf(preflight, v1::PHONE_VERDICT_LOCKED) + PhonesOf(preflight, v1::PHONE_VERDICT_UNPROVEN) == 0) continue;
    const Cell at = TimestampCell(expiry.at());
    const auto* const time = std::get_if<absl::Time>(&at);
    out << "\n"
        << EscapeForTerminal(fmt::format("{}, {} ({}):", time == nullptr ? "-" : TimeTextSeconds(*time),
                                         CertificateText(expiry.certificate()), expiry.standing()))
        << "\n";
    WriteReasons(out, preflight);
  }
}

Record RecordForPrograms(const v1::ForecastExpiryResponse& response) {
  Record record;
  Record::List expiries = {
      "expiries", {{"at", ""}, {"standing", ""}, {"sha256", ""}, {"subject", ""}, {"issuer", ""}, {"serial", ""}}, {}};
  Record::List counts = {"counts",
                         {{"counts_at", ""},
                          {"counts_sha256", ""},
                          {"verdict", ""},
                          {"verdict_phones", ""},
                          {"reason", ""},
                          {"remedy", ""}},
                         {}};
  Record::List named = NamedPhones("named", "");
  named.columns.insert(named.columns.begin(), {{"named_at", ""}, {"named_sha256", ""}});
  Record numbers;
  AddVerdictFields(numbers, "", nullptr);
  for (const Record::Field& field : numbers.fields) expiries.columns.push_back(field.column);
  for (const Expiry& expiry : response.expiries()) {
    const v1::CertificateSummary& certificate = expiry.certificate();
    const Cell at = TimestampCell(expiry.at());
    const Cell sha256 = Fingerprint{certificate.sha256()};
    Row row = {at, expiry.standing(), sha256, certificate.subject(), certificate.issuer(), certificate.serial()};
    numbers.fields.clear();
    AddVerdictFields(numbers, "", &expiry.preflight());
    for (Record::Field& field : numbers.fields) row.push_back(std::move(field.cell));
    expiries.rows.push_back(std::move(row));
    for (const v1::PreFlight::Count& count : expiry.preflight().counts()) {
      counts.rows.push_back(
          {at, sha256, WordCell(kPhoneVerdicts, count.verdict()), count.phones(), count.reason(), count.remedy()});
    }
    const size_t before = named.rows.size();
    AddNamedPhones(named, expiry.preflight());
    for (size_t i = before; i < named.rows.size(); ++i) {
      named.rows[i].insert(named.rows[i].begin(), {at, sha256});
    }
  }
  record.list = std::move(expiries);
  record.more_lists = {std::move(counts), std::move(named)};
  return record;
}

absl::StatusOr<int> Forecast(Environment& environment, const std::optional<std::string>& until) {
  v1::ForecastExpiryRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  if (until) {
    ASSIGN_OR_RETURN(const absl::Time time, ResolveExpiry(environment, *until));
    *request.mutable_until() = TimeToProto(time);
  }
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::ForecastExpiryResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::ForecastExpiry, request)));
  const OutputFormat format = environment.options().output;
  if (format == OutputFormat::kTable) {
    WriteForPeople(environment.out(), response);
  } else {
    WriteRecord(environment.out(), format, RecordForPrograms(response));
  }
  return kExitSuccess;
}

}  // namespace

void AddPhoneForecastCommand(CommandLine& line, CLI::App& phones) {
  auto until = std::make_shared<std::optional<std::string>>();
  CLI::App& command = AddCommand(line, phones, "forecast",
                                 "Which certificate's end will lock which phones, and when, if nothing is done",
                                 "  trustctl phones forecast\n"
                                 "  trustctl phones forecast --until 90d\n"
                                 "  trustctl phones forecast --until 2028-01-01T00:00:00Z --output json",
                                 [until](Environment& environment) { return Forecast(environment, *until); });
  AddTime(command, "--until", *until, "So far ahead: a time, or so long from now (90d); a year unless given");
}

}  // namespace trustline
