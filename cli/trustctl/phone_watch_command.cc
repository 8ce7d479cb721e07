// trustctl phones watch: reports as they come.
#include <fmt/format.h>

#include <memory>

#include "absl/time/clock.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/phone_filter.h"
#include "cli/trustctl/phone_records.h"
#include "cli/trustctl/phone_words.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/phone_trust.grpc.pb.h"

namespace trustline {
namespace {

std::vector<Column> EventColumns() {
  std::vector<Column> columns = {{"at", ""}, {"event", ""}, {"missed", ""}};
  Append(columns, PhoneColumns(OutputFormat::kJson));
  return columns;
}

Row EventRow(const v1::WatchPhonesResponse& event, absl::Time now) {
  Row row = {now, event.event(), event.missed()};
  Append(row, PhoneRow(event.phone(), OutputFormat::kJson, now));
  return row;
}

// "2026-11-27T15:51:00Z  SEP001122334455  reported  Mismatch  holds 3 (12 d), expected 4 of tftp1  evidence (...)".
// Nothing can be aligned with what is yet to come but the columns of known width.
std::string EventText(const v1::WatchPhonesResponse& event, absl::Time now) {
  const v1::Phone& phone = event.phone();
  const v1::HeldList& itl = phone.itl();
  std::string text = fmt::format("{}  {:<15}  {:<12}  {:<13}", TimeTextSeconds(now), phone.device(), event.event(),
                                 WordFor(kPhoneStatuses, itl.status()));
  if (const std::string held = HeldText(itl, now); !held.empty()) text += fmt::format("  holds {}", held);
  if (itl.expected_generation() != 0) text += fmt::format(", expected {}", itl.expected_generation());
  if (const std::string server = ServerText(itl); !server.empty()) text += fmt::format(" of {}", server);
  if (const std::string basis = BasisText(phone); !basis.empty()) text += fmt::format("  {}", basis);
  return EscapeForTerminal(text);
}

// Writes events one by one: whoever reads them sees each at once.
class EventWriter {
 public:
  explicit EventWriter(Environment& environment)
      : environment_(environment), csv_(environment.out(), OutputFormat::kCsv, EventColumns()) {}

  void Write(const v1::WatchPhonesResponse& event) {
    if (event.missed() > 0) {
      environment_.Warn(fmt::format("{} events missed before the next: they came faster than they could be passed on",
                                    event.missed()));
    }
    const absl::Time now = absl::Now();
    switch (environment_.options().output) {
      case OutputFormat::kTable:
        environment_.out() << EventText(event, now) << "\n";
        break;
      case OutputFormat::kJson:
        environment_.out() << JsonLine(EventColumns(), EventRow(event, now));
        break;
      case OutputFormat::kCsv:
        csv_.Add(EventRow(event, now));
        break;
    }
    environment_.out().flush();
  }

  // A watch that saw nothing has the names of the columns all the same.
  void Finish() {
    if (environment_.options().output == OutputFormat::kCsv) csv_.Finish();
  }

 private:
  Environment& environment_;
  ListWriter csv_;
};

absl::StatusOr<int> Watch(Environment& environment, const PhoneFilterArguments& arguments) {
  v1::WatchPhonesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(*request.mutable_filter(), PhoneFilterFrom(environment, arguments));
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  EventWriter writer(environment);
  Call call(environment, Call::Length::kLong);
  const auto stream = client.stub->WatchPhones(call.context(), request);
  v1::WatchPhonesResponse event;
  while (environment.out() && stream->Read(&event)) writer.Write(event);
  if (!environment.out()) call.context()->TryCancel();
  const grpc::Status status = stream->Finish();
  writer.Finish();
  // The ways to end it: main says what became of the output.
  if (environment.interrupt().requested() || !environment.out()) return kExitSuccess;
  if (environment.options().timeout && status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return kExitSuccess;
  RETURN_IF_ERROR(call.End(status, client));
  return Unavailable("{} at {} has ended the watch: start it again", client.service, client.address);
}

}  // namespace

void AddPhoneWatchCommand(CommandLine& line, CLI::App& phones) {
  auto arguments = std::make_shared<PhoneFilterArguments>();
  CLI::App& command = AddCommand(line, phones, "watch",
                                 "A line for each report as it comes, until Ctrl-C, or for as long as --timeout says",
                                 "  trustctl phones watch --site Berlin\n"
                                 "  trustctl phones watch --status mismatch --evidence --timeout 10m\n"
                                 "  trustctl phones watch --output json | jq .phone",
                                 [arguments](Environment& environment) { return Watch(environment, *arguments); });
  AddPhoneFilter(command, *arguments);
}

}  // namespace trustline
