// trustctl tvs questions: what phones asked the Trust Verification Service.
#include <algorithm>
#include <memory>

#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/trust_records.h"
#include "cli/trustctl/verdict_words.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "proto/tvs_question.grpc.pb.h"

namespace trustline {
namespace {

constexpr int64_t kPageSize = 1'000;

struct QuestionArguments {
  std::string device;
  v1::Verdict verdict = v1::VERDICT_UNSPECIFIED;
  bool unknown = false;
  std::optional<std::string> since;
  bool by_device = false;
  int64_t limit = 0;
};

std::vector<Column> QuestionColumns(bool by_device) {
  return {{"verdict", "VERDICT"},
          {"reason", "REASON"},
          {"count", "COUNT"},
          {"phones", "PHONES", !by_device},
          {"device", "DEVICE", by_device},
          {"subject", "SUBJECT"},
          {"issuer", "ISSUER"},
          {"serial", "SERIAL"},
          {"question", "QUESTION", false},
          {"nodes", "NODES"},
          {"first_asked", "FIRST ASKED", false},
          {"last_asked", "LAST ASKED"}};
}

Cell TextCell(const std::string& text) { return text.empty() ? Cell() : Cell(text); }

Cell QuestionReasonCell(const v1::ListQuestionsResponse::Question& question) {
  const bool has_no_role =
      question.verdict() == v1::VERDICT_INVALID && question.reason() == v1::INVALID_REASON_UNSPECIFIED;
  return has_no_role ? Cell("without a role") : ReasonCell(question.reason());
}

Row QuestionRow(const v1::ListQuestionsResponse::Question& question) {
  return {VerdictText(question.verdict()),
          QuestionReasonCell(question),
          question.count(),
          question.phones(),
          TextCell(question.device()),
          TextCell(question.subject()),
          TextCell(question.issuer()),
          TextCell(ToHex(AsBytes(question.serial()))),
          WordCell(kQuestionKinds, question.kind()),
          std::vector<std::string>(question.nodes().begin(), question.nodes().end()),
          TimestampCell(question.first_at()),
          TimestampCell(question.last_at())};
}

absl::StatusOr<int> ListQuestions(Environment& environment, const QuestionArguments& arguments) {
  v1::ListQuestionsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_device(arguments.device);
  request.set_verdict(arguments.unknown ? v1::VERDICT_INVALID : arguments.verdict);
  request.set_by_device(arguments.by_device);
  if (arguments.since) {
    ASSIGN_OR_RETURN(const absl::Time since, environment.ResolveTime(*arguments.since));
    *request.mutable_since() = TimeToProto(since);
  }
  ASSIGN_OR_RETURN(Client<v1::TvsQuestions> client, environment.Connect<v1::TvsQuestions>(kItld));
  ListWriter writer(environment.out(), environment.options().output, QuestionColumns(arguments.by_device),
                    "no questions");
  const auto has_enough = [&] { return arguments.limit != 0 && writer.count() == arguments.limit; };
  for (bool is_last = false; !is_last && !has_enough();) {
    const int64_t left = arguments.limit == 0 ? kPageSize : arguments.limit - writer.count();
    request.set_page_size(static_cast<int32_t>(std::min(kPageSize, left)));
    ASSIGN_OR_RETURN(const v1::ListQuestionsResponse page,
                     (environment.Ask(client, &v1::TvsQuestions::Stub::ListQuestions, request)));
    is_last = page.next_page_token().empty();
    request.set_page_token(page.next_page_token());
    for (const v1::ListQuestionsResponse::Question& question : page.questions()) {
      // They come first.
      is_last = is_last || (arguments.unknown && question.reason() != v1::INVALID_REASON_UNKNOWN);
      if (has_enough() || (arguments.unknown && question.reason() != v1::INVALID_REASON_UNKNOWN)) break;
      writer.Add(QuestionRow(question));
    }
  }
  writer.Finish();
  return kExitSuccess;
}

}  // namespace

void AddTvsQuestionCommands(CommandLine& line, CLI::App& tvs) {
  auto arguments = std::make_shared<QuestionArguments>();
  CLI::App& command = AddCommand(
      line, tvs, "questions",
      "List whom phones asked about and what they were told: unknown signers first, then the most asked about",
      "  trustctl tvs questions\n"
      "  trustctl tvs questions --unknown --since 24h --by-device\n"
      "  trustctl tvs questions --device SEP001122334455 --output json",
      [arguments](Environment& environment) { return ListQuestions(environment, *arguments); });
  AddDeviceName(command, "--device", arguments->device, "Only of the phone that calls itself so");
  CLI::Option* const verdict = AddWord(command, "--verdict", kVerdictType, kVerdicts, arguments->verdict,
                                       "Only questions that were answered so: valid or invalid");
  command.add_flag("--unknown", arguments->unknown, "Only about signers that the trust store does not know")
      ->excludes(verdict);
  AddTime(command, "--since", arguments->since,
          "Only what was asked since the hour of this time, or in the last so long; otherwise in the last 7 days");
  command.add_flag("--by-device", arguments->by_device, "A line for each phone instead of one for each signer");
  AddCount(command, "--limit", arguments->limit, "The first so many; 0 for all");
}

}  // namespace trustline
