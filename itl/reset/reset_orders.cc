#include "itl/reset/reset_orders.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_join.h"
#include "common/service/audit.h"
#include "common/service/json.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/phone/holding_view.h"
#include "itl/phone/phone_messages.h"

namespace trustline {
namespace {

constexpr size_t kShownDevices = 10;
constexpr std::array<std::string_view, 5> kStateNames = {"running", "paused", "stopped", "done", "aborted"};

constexpr Statement kTimeZone = {"reset_time_zone", "SELECT time_zone FROM cluster WHERE cluster_id = $1"};
constexpr Statement kCountOpen = {"reset_count_open",
                                  "SELECT count(*) FROM phone_reset WHERE cluster_id = $1 AND ended_at IS NULL"};
constexpr Statement kNotInService = {
    "reset_not_in_service",
    "SELECT d.name FROM unnest($2::text[]) AS d(name) WHERE NOT EXISTS (SELECT FROM phone p WHERE p.cluster_id = $1 "
    "AND p.device = d.name) LIMIT $3"};
constexpr Statement kInsert = {
    "reset_insert",
    "INSERT INTO phone_reset (cluster_id, wave, pause_seconds, hours, stop_at_failures, hook, reason, ordered_by, "
    "ordered_at, next_wave_at, plan_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10) RETURNING reset_id"};
constexpr Statement kSetPhones = {
    "reset_set_phones",
    "UPDATE phone_reset r SET phones = $3, state = CASE WHEN $3 = 0 THEN 'done' ELSE 'running' END, ended_at = CASE "
    "WHEN $3 = 0 THEN ordered_at END WHERE cluster_id = $1 AND reset_id = $2 RETURNING " RESET_COLUMNS};
constexpr Statement kFind = {"reset_find",
                             "SELECT " RESET_COLUMNS " FROM phone_reset r WHERE r.cluster_id = $1 AND r.reset_id = $2"};
constexpr Statement kLock = {"reset_lock", "SELECT " RESET_COLUMNS
                                           " FROM phone_reset r WHERE r.cluster_id = $1 AND r.reset_id = $2 FOR NO KEY "
                                           "UPDATE"};
constexpr Statement kList = {"reset_list", "SELECT " RESET_COLUMNS
                                           " FROM phone_reset r WHERE r.cluster_id = $1 AND ($2::bigint = 0 OR "
                                           "r.reset_id < $2) ORDER BY r.reset_id DESC LIMIT $3"};
// A phone that unregisters loses its report, not what it was seen to hold. A phone may report before the hook has
// answered for the whole wave: what counts is when it was handed over.
#define REPORTED_SINCE "coalesce(greatest(p.reported_at, p.held_at) > r.at, false)"
constexpr Statement kReported = {
    "reset_reported",
    "SELECT count(*) FROM phone_reset_phone r JOIN phone p ON p.cluster_id = r.cluster_id AND p.device = r.device "
    "WHERE r.cluster_id = $1 AND r.reset_id = $2 AND r.state = 'accepted' AND " REPORTED_SINCE};
constexpr Statement kPhones = {
    "reset_phones",
    "SELECT r.device, r.state, r.answer, r.at, r.state = 'accepted' AND " REPORTED_SINCE
    " FROM phone_reset_phone r LEFT JOIN phone p ON p.cluster_id = r.cluster_id AND p.device = r.device WHERE "
    "r.cluster_id = $1 AND r.reset_id = $2 AND r.device > $3 ORDER BY r.device LIMIT $4"};
constexpr Statement kFailedPhones = {
    "reset_failed_phones",
    "SELECT r.device, r.state, r.answer, r.at, false FROM phone_reset_phone r WHERE r.cluster_id = $1 AND r.reset_id = "
    "$2 AND r.state = 'failed' AND r.device > $3 ORDER BY r.device LIMIT $4"};
constexpr Statement kPause = {"reset_pause",
                              "UPDATE phone_reset SET state = 'paused', state_reason = $3 WHERE "
                              "cluster_id = $1 AND reset_id = $2"};
constexpr Statement kResume = {
    "reset_resume",
    "UPDATE phone_reset SET forgiven_tried = CASE WHEN state = 'stopped' THEN accepted + failed ELSE forgiven_tried "
    "END, forgiven_failed = CASE WHEN state = 'stopped' THEN failed ELSE forgiven_failed END, state = 'running', "
    "state_reason = '', next_wave_at = $3 WHERE cluster_id = $1 AND reset_id = $2"};
constexpr Statement kAbort = {"reset_abort",
                              "UPDATE phone_reset SET state = 'aborted', state_reason = $3, ended_at = "
                              "$4 WHERE cluster_id = $1 AND reset_id = $2"};

absl::Status CheckReason(std::string_view reason) {
  if (reason.size() <= kLongestResetReason && PrintableText(reason) == reason) return absl::OkStatus();
  return InvalidArgument("the reason is at most {} bytes in one line", kLongestResetReason);
}

absl::Status CheckOrder(const ResetOrder& order) {
  if (order.wave < 1 || order.wave > kLargestResetWave) {
    return InvalidArgument("a wave has 1 to {} phones, not {}", kLargestResetWave, order.wave);
  }
  const int64_t seconds = absl::ToInt64Seconds(order.pause);
  if (order.pause != absl::Seconds(seconds) || seconds < 0 || seconds > kLongestResetPauseSeconds) {
    return InvalidArgument("the pause between two waves is 0 to {} whole seconds, not {}", kLongestResetPauseSeconds,
                           absl::FormatDuration(order.pause));
  }
  // Also false for what is no number.
  if (!(order.stop_at_failures >= 0 && order.stop_at_failures <= 1)) {
    return InvalidArgument("the share of failures to stop at is 0 to 1, not {}", order.stop_at_failures);
  }
  if (order.devices.size() > kMostResetDevices) {
    return InvalidArgument("at most {} devices are named at once, not {}: choose them with a filter, such as a site",
                           kMostResetDevices, order.devices.size());
  }
  return CheckReason(order.reason);
}

// The phones of an order, as what follows SELECT ... .
struct Choice {
  std::string sql;
  Parameters parameters;
};

// Holdings are chosen first, as in the mismatch report: a status is none of a phone, but of what it holds.
absl::StatusOr<Choice> ChoiceOf(Connection& connection, int32_t cluster_id, const ResetOrder& order) {
  Choice choice;
  choice.parameters.Int64(cluster_id);
  if (!order.devices.empty()) {
    choice.parameters.TextArray(order.devices);
    choice.sql = "FROM phone p WHERE p.cluster_id = $1 AND p.device = ANY($2)";
    return choice;
  }
  ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, cluster_id));
  ASSIGN_OR_RETURN(const auto counts,
                   PhoneReader(connection, cluster_id, views).Count(order.filter.model, order.filter.site));
  std::vector<int64_t> chosen, in_step, outdated_ctls;
  for (const auto& [holding_id, phones] : counts) {
    const HoldingView& view = views.Get(holding_id);
    if (!order.filter.Chooses(view)) continue;
    (order.out_of_step_only && view.status == PhoneStatus::kMatch ? in_step : chosen).push_back(holding_id);
  }
  for (const auto& [holding_id, view] : views.all()) {
    const bool lacks_it = view.status == PhoneStatus::kNotInstalled && views.served().ctl.has_value();
    if (view.holding.kind == ListKind::kCtl && (view.status == PhoneStatus::kMismatch || lacks_it)) {
      outdated_ctls.push_back(holding_id);
    }
  }
  choice.parameters.Int64Array(chosen).Int64Array(in_step).Int64Array(outdated_ctls);
  choice.sql =
      "FROM phone p WHERE p.cluster_id = $1 AND (p.holding_id = ANY($2) OR (p.holding_id = ANY($3) AND "
      "p.ctl_holding_id = ANY($4)))";
  const auto add = [&](std::string_view condition) {
    choice.sql += fmt::format(" AND {} ${}", condition, choice.parameters.size());
  };
  if (!order.filter.model.empty()) {
    choice.parameters.Text(order.filter.model);
    add("p.model =");
  }
  if (!order.filter.site.empty()) {
    choice.parameters.Text(order.filter.site);
    add("p.site =");
  }
  if (order.filter.since) {
    choice.parameters.Time(*order.filter.since);
    add("p.reported_at >=");
  }
  return choice;
}

absl::Status CheckDevices(Connection& connection, int32_t cluster_id, const std::vector<std::string>& devices) {
  if (devices.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      const Result rows,
      connection.Execute(kNotInService, Parameters().Int64(cluster_id).TextArray(devices).Int64(kShownDevices)));
  std::vector<std::string> missing;
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(missing.emplace_back(), row.Get<std::string>(0));
  }
  if (missing.empty()) return absl::OkStatus();
  return NotFound("not in service: {}{}: see `trustctl device list`", absl::StrJoin(missing, ", "),
                  missing.size() == kShownDevices ? " and perhaps others" : "");
}

// For the audit log.
std::string ChoiceText(const ResetOrder& order) {
  std::vector<std::string> parts;
  if (!order.devices.empty()) {
    const size_t shown = std::min(kShownDevices, order.devices.size());
    std::string text =
        absl::StrJoin(order.devices.begin(), order.devices.begin() + static_cast<ptrdiff_t>(shown), ", ");
    if (shown < order.devices.size()) text += fmt::format(" and {} more", order.devices.size() - shown);
    return text;
  }
  for (const PhoneStatus status : order.filter.statuses) parts.push_back(fmt::format("{}", PhoneStatusText(status)));
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) parts.push_back(fmt::format("{} {}", name, value));
  };
  add("server", order.filter.server);
  add("model", order.filter.model);
  add("site", order.filter.site);
  if (order.filter.since) add("reported since", TimeTextSeconds(*order.filter.since));
  if (order.filter.evidence_only) parts.emplace_back("with evidence");
  if (order.out_of_step_only) parts.emplace_back("out of step");
  return parts.empty() ? "all phones" : absl::StrJoin(parts, ", ");
}

absl::Status NotInState(const ResetRecord& reset, std::string_view wanted) {
  return FailedPrecondition("reset {} is {}, not {}: see `trustctl phones resets show {}`", reset.id,
                            ResetStateName(reset.state), wanted, reset.id);
}

}  // namespace

std::string_view ResetStateName(ResetState state) { return kStateNames[static_cast<size_t>(state)]; }

absl::StatusOr<absl::TimeZone> ClusterTimeZone(Connection& connection, int32_t cluster_id) {
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kTimeZone, Parameters().Int64(cluster_id)));
  ASSIGN_OR_RETURN(const std::string name, result.Value<std::string>());
  absl::TimeZone zone;
  if (!absl::LoadTimeZone(name, &zone)) {
    return FailedPrecondition("this machine does not know the cluster's time zone {}: install tzdata", name);
  }
  return zone;
}

std::vector<std::pair<std::string, std::string>> CountsDetail(const ResetRecord& reset) {
  const ResetCounts& counts = reset.counts;
  return {{"phones", std::to_string(counts.phones)},
          {"accepted", std::to_string(counts.accepted)},
          {"failed", std::to_string(counts.failed)},
          {"gone", std::to_string(counts.gone)},
          {"not_tried", std::to_string(counts.waiting)}};
}

absl::StatusOr<ResetRecord> ReadReset(const Row& row) {
  ResetRecord reset;
  std::string state, hours;
  int64_t pause_seconds = 0;
  ResetCounts& counts = reset.counts;
  RETURN_IF_ERROR(row.Scan(reset.id, state, reset.state_reason, reset.wave, pause_seconds, hours,
                           reset.stop_at_failures, reset.hook, reset.reason, reset.ordered_by, reset.ordered_at,
                           reset.ended_at, reset.next_wave_at, reset.plan_id, counts.phones, counts.accepted,
                           counts.failed, counts.gone, reset.forgiven_tried, reset.forgiven_failed));
  const auto* const name = std::ranges::find(kStateNames, state);
  if (name == kStateNames.end()) return Internal("reset {} has the state '{}'", reset.id, state);
  reset.state = static_cast<ResetState>(name - kStateNames.begin());
  reset.pause = absl::Seconds(pause_seconds);
  ASSIGN_OR_RETURN(reset.hours, HoursOfDay::Parse(hours));
  counts.waiting = counts.phones - counts.accepted - counts.failed - counts.gone;
  return reset;
}

absl::StatusOr<int64_t> ResetOrders::CountChosen(const ResetOrder& order) {
  RETURN_IF_ERROR(CheckOrder(order));
  RETURN_IF_ERROR(CheckDevices(connection_, cluster_id_, order.devices));
  ASSIGN_OR_RETURN(const Choice choice, ChoiceOf(connection_, cluster_id_, order));
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(("SELECT count(*) " + choice.sql).c_str(), choice.parameters));
  return result.Value<int64_t>();
}

absl::StatusOr<ResetRecord> ResetOrders::Order(const ResetOrder& order, std::string_view actor, absl::Time now) {
  // 1. Is it one?
  RETURN_IF_ERROR(CheckOrder(order));
  if (order.hook.empty()) return InvalidArgument("a reset needs a hook");
  RETURN_IF_ERROR(CheckDevices(connection_, cluster_id_, order.devices));
  ASSIGN_OR_RETURN(const Result counted, connection_.Execute(kCountOpen, Parameters().Int64(cluster_id_)));
  ASSIGN_OR_RETURN(const int64_t open, counted.Value<int64_t>());
  if (open >= kMostOpenResets) {
    return ResourceExhausted(
        "{} resets have not ended yet: wait, or `trustctl phones resets abort` those that are not needed any more",
        open);
  }

  // 2. The order and its phones.
  ASSIGN_OR_RETURN(const Result inserted,
                   connection_.Execute(kInsert, Parameters()
                                                    .Int64(cluster_id_)
                                                    .Int64(order.wave)
                                                    .Int64(absl::ToInt64Seconds(order.pause))
                                                    .Text(order.hours.ToText())
                                                    .Text(fmt::format("{}", order.stop_at_failures))
                                                    .Text(order.hook)
                                                    .Text(order.reason)
                                                    .Text(actor)
                                                    .Time(now)
                                                    .Int64(order.plan_id)));
  ASSIGN_OR_RETURN(const int32_t id, inserted.Value<int32_t>());
  ASSIGN_OR_RETURN(Choice choice, ChoiceOf(connection_, cluster_id_, order));
  choice.parameters.Int64(id);
  const std::string insert =
      fmt::format("INSERT INTO phone_reset_phone (cluster_id, reset_id, device) SELECT $1, ${}, p.device {}",
                  choice.parameters.size(), choice.sql);
  ASSIGN_OR_RETURN(const Result phones, connection_.Execute(insert.c_str(), choice.parameters));
  ASSIGN_OR_RETURN(const Result stored,
                   connection_.Execute(kSetPhones, Parameters().Int64(cluster_id_).Int64(id).Int64(phones.affected())));
  if (stored.empty()) return Internal("reset {} is not there", id);
  ASSIGN_OR_RETURN(ResetRecord reset, ReadReset(stored[0]));

  // 3. On record.
  RETURN_IF_ERROR(AppendAudit(connection_, {.cluster_id = cluster_id_,
                                            .actor = std::string(actor),
                                            .action = "phones.reset.order",
                                            .subject = fmt::format("reset {}", id),
                                            .detail = {{"phones", std::to_string(reset.counts.phones)},
                                                       {"choice", ChoiceText(order)},
                                                       {"hook", order.hook},
                                                       {"wave", std::to_string(order.wave)},
                                                       {"hours", order.hours.ToText()},
                                                       {"plan", std::to_string(order.plan_id)},
                                                       {"reason", order.reason}}}));
  return reset;
}

absl::StatusOr<ResetRecord> ResetOrders::Read(const Statement& statement, int32_t id) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(statement, Parameters().Int64(cluster_id_).Int64(id)));
  if (rows.empty()) return NotFound("there is no reset {}: see `trustctl phones resets list`", id);
  return ReadReset(rows[0]);
}

absl::StatusOr<ResetRecord> ResetOrders::Find(int32_t id) { return Read(kFind, id); }

absl::StatusOr<ResetRecord> ResetOrders::Lock(int32_t id) { return Read(kLock, id); }

absl::StatusOr<int64_t> ResetOrders::CountReported(int32_t id) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kReported, Parameters().Int64(cluster_id_).Int64(id)));
  return rows.Value<int64_t>();
}

absl::StatusOr<std::vector<ResetRecord>> ResetOrders::List(int32_t before, int64_t limit) {
  ASSIGN_OR_RETURN(const Result rows,
                   connection_.Execute(kList, Parameters().Int64(cluster_id_).Int64(before).Int64(limit)));
  std::vector<ResetRecord> resets;
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(resets.emplace_back(), ReadReset(row));
  }
  return resets;
}

absl::StatusOr<std::vector<ResetPhone>> ResetOrders::Phones(int32_t id, bool failed_only, const std::string& after,
                                                            int64_t limit) {
  ASSIGN_OR_RETURN(const Result rows,
                   connection_.Execute(failed_only ? kFailedPhones : kPhones,
                                       Parameters().Int64(cluster_id_).Int64(id).Text(after).Int64(limit)));
  std::vector<ResetPhone> phones;
  for (const Row row : rows) {
    ResetPhone phone;
    RETURN_IF_ERROR(row.Scan(phone.device, phone.state, phone.answer, phone.at, phone.reported));
    phones.push_back(std::move(phone));
  }
  return phones;
}

absl::Status ResetOrders::Audit(std::string_view action, std::string_view reason, std::string_view actor,
                                const ResetRecord& reset) {
  AuditEvent event = {.cluster_id = cluster_id_,
                      .actor = std::string(actor),
                      .action = std::string(action),
                      .subject = fmt::format("reset {}", reset.id),
                      .detail = CountsDetail(reset)};
  event.detail.emplace_back("reason", reason);
  return AppendAudit(connection_, event);
}

absl::StatusOr<ResetRecord> ResetOrders::Pause(int32_t id, std::string_view reason, std::string_view actor) {
  RETURN_IF_ERROR(CheckReason(reason));
  ASSIGN_OR_RETURN(const ResetRecord reset, Lock(id));
  if (reset.state != ResetState::kRunning) return NotInState(reset, "running");
  RETURN_IF_ERROR(connection_.Execute(kPause, Parameters().Int64(cluster_id_).Int64(id).Text(reason)).status());
  RETURN_IF_ERROR(Audit("phones.reset.pause", reason, actor, reset));
  return Find(id);
}

absl::StatusOr<ResetRecord> ResetOrders::Resume(int32_t id, std::string_view reason, std::string_view actor,
                                                absl::Time now) {
  RETURN_IF_ERROR(CheckReason(reason));
  ASSIGN_OR_RETURN(const ResetRecord reset, Lock(id));
  if (reset.state != ResetState::kPaused && reset.state != ResetState::kStopped) {
    return NotInState(reset, "paused or stopped");
  }
  RETURN_IF_ERROR(connection_.Execute(kResume, Parameters().Int64(cluster_id_).Int64(id).Time(now)).status());
  RETURN_IF_ERROR(Audit("phones.reset.resume", reason, actor, reset));
  return Find(id);
}

absl::StatusOr<ResetRecord> ResetOrders::Abort(int32_t id, std::string_view reason, std::string_view actor,
                                               absl::Time now) {
  RETURN_IF_ERROR(CheckReason(reason));
  ASSIGN_OR_RETURN(const ResetRecord reset, Lock(id));
  if (reset.ended_at) return NotInState(reset, "one that could be aborted");
  RETURN_IF_ERROR(
      connection_.Execute(kAbort, Parameters().Int64(cluster_id_).Int64(id).Text(reason).Time(now)).status());
  RETURN_IF_ERROR(Audit("phones.reset.abort", reason, actor, reset));
  return Find(id);
}

}  // namespace trustline
