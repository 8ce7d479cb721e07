#include "cli/trustctl/plan_records.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/trustctl/escaping.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_records.h"
#include "common/service/time_text.h"

namespace trustline {
namespace {

constexpr double kPercent = 100;

Cell CertificateCell(bool is_there, const v1::CertificateSummary& certificate) {
  return is_there ? Cell(CertificateText(certificate)) : Cell();
}

Cell FingerprintCell(bool is_there, const v1::CertificateSummary& certificate) {
  return is_there ? Cell(Fingerprint{certificate.sha256()}) : Cell();
}

// "by the hook axl, 200 phones a wave, 22:00-05:00, stops at 5% failures".
std::string ResetsText(const v1::Plan& plan) {
  if (!plan.with_resets()) return "none are ordered: phones follow when they start";
  return fmt::format("by {}, {} a wave{}, stops at {:g}% failures",
                     plan.hook().empty() ? "no hook" : "the hook " + plan.hook(), PhonesText(plan.wave()),
                     plan.hours().empty() ? "" : ", " + plan.hours(), plan.stop_at_failures() * kPercent);
}

Record RecordForPeople(const v1::Plan& plan) {
  Record record;
  record.Add("plan", "Plan", plan.number())
      .Add("kind", "What", WordCell(kPlanKinds, plan.kind()))
      .Add("subject", "Of", TextCell(plan.subject()))
      .Add("state", "State", WordCell(kPlanStates, plan.state()));
  if (!plan.state_reason().empty()) record.Add("state_reason", "Because", plan.state_reason());
  if (plan.has_old_certificate()) record.Add("old", "Old certificate", CertificateText(plan.old_certificate()));
  if (plan.has_new_certificate()) record.Add("new", "New certificate", CertificateText(plan.new_certificate()));
  record.Add("resets", "Resets", ResetsText(plan));
  if (plan.accepted_unproven() > 0) {
    record.Add("accepted_unproven", "Not waited for", PhonesText(plan.accepted_unproven()));
  }
  if (plan.goes_without() > 0) {
    record.Add("goes_without", "Goes without",
               fmt::format("up to {} with older lists", PhonesText(plan.goes_without())));
  }
  record.Add("reason", "Reason", TextCell(plan.reason()))
      .Add("made_by", "Made by", TextCell(plan.made_by()))
      .Add("made_at", "Made", TimestampCell(plan.made_at()));
  if (plan.has_ended_at()) record.Add("ended_at", "Ended", TimestampCell(plan.ended_at()));
  return record;
}

std::string TimesText(const v1::PlanStep& step) {
  std::string text;
  const auto add = [&text](std::string_view word, const Cell& time) {
    if (const auto* known = std::get_if<absl::Time>(&time))
      text += fmt::format(" {} {}", word, TimeTextSeconds(*known));
  };
  add("since", step.has_ended_at() ? Cell() : TimestampCell(step.began_at()));
  add("at", TimestampCell(step.ended_at()));
  return text;
}

// Sentences do not fit into a table.
void WriteSteps(std::ostream& out, const v1::Plan& plan) {
  for (const v1::PlanStep& step : plan.steps()) {
    out << "\n"
        << EscapeForTerminal(fmt::format("{}. {}: {}{}", step.number(), step.title(),
                                         WordFor(kPlanStepStates, step.state()), TimesText(step)))
        << "\n";
    const auto line = [&out](std::string_view title, const std::string& text) {
      if (!text.empty()) out << EscapeForTerminal(fmt::format("   {:<10}{}", title, text)) << "\n";
    };
    line("gate", step.gate());
    line("progress", step.progress());
    line("way back", step.way_back());
  }
}

void WriteForPeople(Environment& environment, const std::string& sentence, const v1::Plan& plan,
                    const v1::PreFlight& waits_for) {
  std::ostream& out = environment.out();
  if (!sentence.empty()) out << EscapeForTerminal(sentence) << "\n\n";
  WriteRecord(out, OutputFormat::kTable, RecordForPeople(plan));
  WriteSteps(out, plan);
  if (waits_for.counts().empty()) return;
  out << "\nphones: " << EscapeForTerminal(PreFlightText(waits_for)) << "\n";
  const bool all_follow = std::ranges::all_of(waits_for.counts(), [](const v1::PreFlight::Count& count) {
    return count.phones() == 0 || IsSafe(count.verdict()) || count.verdict() == v1::PHONE_VERDICT_OUTSIDE;
  });
  if (all_follow) return;
  out << "\nit waits for phones:\n";
  WriteReasons(out, waits_for);
}

Record::List StepsOf(const v1::Plan& plan) {
  Record::List steps = {"steps",
                        {{"step", ""},
                         {"step_state", ""},
                         {"title", ""},
                         {"gate", ""},
                         {"progress", ""},
                         {"way_back", ""},
                         {"step_began_at", ""},
                         {"step_ended_at", ""}},
                        {}};
  for (const v1::PlanStep& step : plan.steps()) {
    steps.rows.push_back({int64_t{step.number()}, WordCell(kPlanStepStates, step.state()), TextCell(step.title()),
                          TextCell(step.gate()), TextCell(step.progress()), TextCell(step.way_back()),
                          TimestampCell(step.began_at()), TimestampCell(step.ended_at())});
  }
  return steps;
}

Record RecordForPrograms(const v1::Plan& plan, const v1::PreFlight& waits_for) {
  Record record;
  const std::vector<Column> columns = PlanColumns();
  Row row = PlanRow(plan);
  for (size_t i = 0; i < columns.size(); ++i) record.Add(columns[i].key, columns[i].title, std::move(row[i]));
  record.list = StepsOf(plan);
  Record::List counts = {
      "waits_for_counts",
      {{"waits_for_verdict", ""}, {"waits_for_phones", ""}, {"waits_for_reason", ""}, {"waits_for_remedy", ""}},
      {}};
  for (const v1::PreFlight::Count& count : waits_for.counts()) {
    counts.rows.push_back({WordCell(kPhoneVerdicts, count.verdict()), count.phones(), TextCell(count.reason()),
                           TextCell(count.remedy())});
  }
  Record::List phones = NamedPhones("waits_for", "");
  AddNamedPhones(phones, waits_for);
  record.more_lists = {std::move(counts), std::move(phones)};
  return record;
}

// "2 of 7": how many steps need nothing more.
std::string StepsText(const v1::Plan& plan) {
  const auto over = std::ranges::count_if(plan.steps(), [](const v1::PlanStep& step) {
    return step.state() == v1::PLAN_STEP_STATE_DONE || step.state() == v1::PLAN_STEP_STATE_SKIPPED;
  });
  return fmt::format("{} of {}", over, plan.steps_size());
}

}  // namespace

std::vector<Column> PlanColumns() {
  return {{"plan", "PLAN"},
          {"kind", "WHAT"},
          {"subject", "OF"},
          {"state", "STATE"},
          {"steps_done", "STEPS DONE"},
          {"made_at", "MADE"},
          {"ended_at", "ENDED"},
          {"state_reason", "BECAUSE"},
          {"plan_reason", "REASON", false},
          {"made_by", "MADE BY", false},
          {"old_certificate_sha256", "OLD", false},
          {"old_certificate", "OLD CERTIFICATE", false},
          {"new_certificate_sha256", "NEW", false},
          {"new_certificate", "NEW CERTIFICATE", false},
          {"with_resets", "RESETS", false},
          {"wave", "WAVE", false},
          {"hours", "HOURS", false},
          {"stop_at_failures_percent", "STOP AT FAILURES", false},
          {"hook", "HOOK", false},
          {"accepted_unproven", "ACCEPTED UNPROVEN", false},
          {"goes_without", "GOES WITHOUT", false}};
}

Row PlanRow(const v1::Plan& plan) {
  const auto of_resets = [&plan](Cell cell) { return plan.with_resets() ? std::move(cell) : Cell(); };
  return {plan.number(),
          WordCell(kPlanKinds, plan.kind()),
          TextCell(plan.subject()),
          WordCell(kPlanStates, plan.state()),
          StepsText(plan),
          TimestampCell(plan.made_at()),
          TimestampCell(plan.ended_at()),
          TextCell(plan.state_reason()),
          TextCell(plan.reason()),
          TextCell(plan.made_by()),
          FingerprintCell(plan.has_old_certificate(), plan.old_certificate()),
          CertificateCell(plan.has_old_certificate(), plan.old_certificate()),
          FingerprintCell(plan.has_new_certificate(), plan.new_certificate()),
          CertificateCell(plan.has_new_certificate(), plan.new_certificate()),
          plan.with_resets(),
          of_resets(int64_t{plan.wave()}),
          of_resets(TextCell(plan.hours())),
          of_resets(JsonText{fmt::format("{:g}", plan.stop_at_failures() * kPercent)}),
          of_resets(TextCell(plan.hook())),
          plan.accepted_unproven(),
          plan.goes_without()};
}

std::string PlanText(const v1::Plan& plan) {
  return fmt::format("plan {}, {}{}", plan.number(), WordFor(kPlanKinds, plan.kind()),
                     plan.subject().empty() ? "" : " of " + plan.subject());
}

void WritePlan(Environment& environment, const std::string& sentence, const v1::Plan& plan,
               const v1::PreFlight& waits_for) {
  const OutputFormat format = environment.options().output;
  if (format == OutputFormat::kTable) return WriteForPeople(environment, sentence, plan, waits_for);
  WriteRecord(environment.out(), format, RecordForPrograms(plan, waits_for));
}

}  // namespace trustline
