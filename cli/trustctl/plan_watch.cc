#include "cli/trustctl/plan_watch.h"

#include <fmt/format.h>

#include <map>
#include <string>

#include "absl/time/clock.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/next_look.h"
#include "cli/trustctl/plan_records.h"
#include "cli/trustctl/trust_list_records.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/plan.grpc.pb.h"

namespace trustline {
namespace {

constexpr absl::Duration kPollInterval = absl::Seconds(1);

std::vector<Column> EventColumns() {
  return {{"at", ""},   {"plan", ""},       {"plan_state", ""}, {"state_reason", ""},
          {"step", ""}, {"step_state", ""}, {"step_title", ""}, {"progress", ""}};
}

// Writes what differs from the last look, one by one: whoever reads it sees each at once.
class ChangeWriter {
 public:
  explicit ChangeWriter(Environment& environment)
      : environment_(environment), csv_(environment.out(), OutputFormat::kCsv, EventColumns()) {}

  void Look(const v1::Plan& plan) {
    for (const v1::PlanStep& step : plan.steps()) {
      const std::string now = fmt::format("{} {}", static_cast<int>(step.state()), step.progress());
      std::string& before = steps_[step.number()];
      // Of what lies ahead there is nothing to tell yet.
      if (now != before && step.state() != v1::PLAN_STEP_STATE_AHEAD) Write(plan, &step);
      before = now;
    }
    const std::string state = fmt::format("{} {}", static_cast<int>(plan.state()), plan.state_reason());
    if (state != state_) Write(plan, nullptr);
    state_ = state;
  }

  // A watch that saw nothing has the names of the columns all the same.
  void Finish() {
    if (environment_.options().output == OutputFormat::kCsv) csv_.Finish();
  }

 private:
  static std::string Text(const v1::Plan& plan, const v1::PlanStep* step, absl::Time now) {
    if (step == nullptr) {
      return fmt::format("{}  plan {}: {}{}{}", TimeTextSeconds(now), plan.number(), WordFor(kPlanStates, plan.state()),
                         plan.state_reason().empty() ? "" : ": ", plan.state_reason());
    }
    return fmt::format("{}  step {} of {}, {}: {}{}{}", TimeTextSeconds(now), step->number(), plan.steps_size(),
                       step->title(), WordFor(kPlanStepStates, step->state()), step->progress().empty() ? "" : ": ",
                       step->progress());
  }

  static Row EventRow(const v1::Plan& plan, const v1::PlanStep* step, absl::Time now) {
    Row row = {now, plan.number(), WordCell(kPlanStates, plan.state()), TextCell(plan.state_reason())};
    row.resize(EventColumns().size());
    if (step == nullptr) return row;
    row[4] = int64_t{step->number()};
    row[5] = WordCell(kPlanStepStates, step->state());
    row[6] = TextCell(step->title());
    row[7] = TextCell(step->progress());
    return row;
  }

  void Write(const v1::Plan& plan, const v1::PlanStep* step) {
    const absl::Time now = absl::Now();
    switch (environment_.options().output) {
      case OutputFormat::kTable:
        environment_.out() << EscapeForTerminal(Text(plan, step, now)) << "\n";
        break;
      case OutputFormat::kJson:
        environment_.out() << JsonLine(EventColumns(), EventRow(plan, step, now));
        break;
      case OutputFormat::kCsv:
        csv_.Add(EventRow(plan, step, now));
        break;
    }
    environment_.out().flush();
  }

  Environment& environment_;
  ListWriter csv_;
  std::string state_;
  std::map<int32_t, std::string> steps_;
};

}  // namespace

absl::StatusOr<int> WatchPlan(Environment& environment, int64_t number) {
  v1::ShowPlanRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_number(number);
  ASSIGN_OR_RETURN(Client<v1::Plans> client, environment.Connect<v1::Plans>(kItld));
  const CallSeries series(environment);
  const std::optional<absl::Duration>& timeout = environment.options().timeout;
  const absl::Time until = timeout ? absl::Now() + *timeout : absl::InfiniteFuture();
  ChangeWriter writer(environment);
  bool away = false;
  while (true) {
    const absl::StatusOr<v1::ShowPlanResponse> response = environment.Ask(client, &v1::Plans::Stub::ShowPlan, request);
    if (environment.interrupt().requested()) break;
    // A plan survives a restart of itld; so does who watches it, once there was something to watch.
    const bool goes_on = absl::IsUnavailable(response.status()) && request.number() != 0;
    if (!response.ok() && !goes_on) return response.status();
    if (goes_on && !away) environment.Warn(fmt::format("{}; asking again", StatusMessage(response.status())));
    away = goes_on;
    if (response.ok()) {
      // The plan that was open at first, also after it has ended.
      request.set_number(response->plan().number());
      writer.Look(response->plan());
      if (response->plan().state() != v1::PLAN_STATE_RUNNING) {
        writer.Finish();
        return response->plan().state() == v1::PLAN_STATE_DONE ? kExitSuccess : kExitFailure;
      }
    }
    if (!WaitForNextLook(environment, kPollInterval, until)) break;
  }
  writer.Finish();
  return kExitFailure;
}

}  // namespace trustline
