#include "itl/reset/reset_wave.h"

#include <utility>

#include "common/postgres/list_plan.h"
#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr Statement kRunning = {
    "reset_running",
    "SELECT r.cluster_id, c.name, r.reset_id FROM phone_reset r JOIN cluster c ON c.cluster_id = r.cluster_id WHERE "
    "r.ended_at IS NULL AND r.state = 'running' ORDER BY r.cluster_id, r.reset_id"};
constexpr Statement kLockRunning = {
    "reset_lock_running",
    "SELECT " RESET_COLUMNS
    " FROM phone_reset r WHERE r.cluster_id = $1 AND r.reset_id = $2 AND r.state = 'running' FOR NO KEY UPDATE"};
// Each half is read along the index, and each phone is looked up, whatever their number.
constexpr Statement kNext = {
    "reset_next_phones",
    "SELECT r.device, p.device IS NOT NULL, coalesce(p.model, ''), coalesce(p.site, ''), coalesce(p.address, ''), "
    "coalesce(p.user_agent, '') FROM ((SELECT device FROM phone_reset_phone WHERE cluster_id = $1 AND reset_id = $2 "
    "AND state = 'handed over' ORDER BY device LIMIT $3) UNION ALL (SELECT device FROM phone_reset_phone WHERE "
    "cluster_id = $1 AND reset_id = $2 AND state = 'waiting' ORDER BY device LIMIT $3) LIMIT $3) AS r LEFT JOIN "
    "LATERAL "
    "(SELECT * FROM phone p WHERE p.cluster_id = $1 AND p.device = r.device OFFSET 0) AS p ON true"};
constexpr Statement kSetStates = {
    "reset_set_states",
    "UPDATE phone_reset_phone SET state = $4, answer = $5, at = $6 WHERE cluster_id = $1 AND reset_id = $2 AND device "
    "= ANY($3)"};
constexpr Statement kCountGone = {"reset_count_gone",
                                  "UPDATE phone_reset SET gone = gone + $3 WHERE cluster_id = $1 AND reset_id = $2"};
constexpr Statement kRecord = {
    "reset_record_answers",
    "WITH answered AS (UPDATE phone_reset_phone r SET state = CASE a.accepted WHEN 1 THEN 'accepted' ELSE 'failed' "
    "END, answer = a.words FROM unnest($3::text[], $4::bigint[], $5::text[]) AS a(device, accepted, words) WHERE "
    "r.cluster_id = $1 AND r.reset_id = $2 AND r.device = a.device AND r.state = 'handed over' RETURNING r.state) "
    "SELECT count(*) FILTER (WHERE state = 'accepted'), count(*) FILTER (WHERE state = 'failed') FROM answered"};
constexpr Statement kCount = {
    "reset_count_answers",
    "UPDATE phone_reset r SET accepted = accepted + $3, failed = failed + $4, next_wave_at = coalesce($5, "
    "next_wave_at) WHERE cluster_id = $1 AND reset_id = $2 RETURNING " RESET_COLUMNS};
constexpr Statement kFinish = {
    "reset_finish",
    "UPDATE phone_reset r SET state = 'done', state_reason = '', ended_at = $3 WHERE cluster_id = $1 AND reset_id = $2 "
    "RETURNING " RESET_COLUMNS};
constexpr Statement kStop = {"reset_stop",
                             "UPDATE phone_reset SET state = 'stopped', state_reason = $3 WHERE cluster_id = $1 AND "
                             "reset_id = $2 AND state = 'running'"};
constexpr Statement kForgetPhones = {
    "reset_forget_phones",
    "DELETE FROM phone_reset_phone p USING (SELECT cluster_id, reset_id FROM phone_reset WHERE ended_at < $1 ORDER BY "
    "ended_at, cluster_id, reset_id LIMIT 1) AS old WHERE p.cluster_id = old.cluster_id AND p.reset_id = old.reset_id"};
constexpr Statement kForget = {
    "reset_forget",
    "DELETE FROM phone_reset r USING (SELECT cluster_id, reset_id FROM phone_reset WHERE ended_at < $1 ORDER BY "
    "ended_at, cluster_id, reset_id LIMIT 1) AS old WHERE r.cluster_id = old.cluster_id AND r.reset_id = old.reset_id"};
constexpr std::string_view kGone = "left service before its wave";

std::string TooMany(const ResetRecord& reset, int64_t failures, int64_t tried) {
  return fmt::format("{} of {} phones failed, more than {:.3g} %: see `trustctl phones resets show {} --failed`",
                     failures, tried, 100 * reset.stop_at_failures, reset.id);
}

}  // namespace

absl::StatusOr<std::vector<OpenReset>> ListRunningResets(Connection& connection) {
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kRunning));
  std::vector<OpenReset> open;
  for (const Row row : rows) {
    OpenReset& reset = open.emplace_back();
    RETURN_IF_ERROR(row.Scan(reset.cluster_id, reset.cluster, reset.reset_id));
  }
  return open;
}

absl::StatusOr<ResetWave::Begun> ResetWave::Begin(absl::Time now) {
  Begun begun;
  // 1. May it go on? A plan for a list of one length, while there are no statistics of a new reset, would read all of
  // it.
  connection_.ExecuteWithNext(kOnePlanForLists);
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kLockRunning, Key()));
  if (rows.empty()) return begun;
  ASSIGN_OR_RETURN(begun.reset, ReadReset(rows[0]));
  if (now < begun.reset.next_wave_at) return begun;
  if (!begun.reset.hours.ToText().empty()) {
    ASSIGN_OR_RETURN(const absl::TimeZone zone, ClusterTimeZone(connection_, reset_.cluster_id));
    if (!begun.reset.hours.Contain(now, zone)) return begun;
  }

  // 2. With whom?
  begun.hook = begun.reset.hook;
  if (begun.reset.counts.waiting > 0) {
    ASSIGN_OR_RETURN(begun.phones, HandOver(begun.reset, now));
    if (!begun.phones.empty() || begun.reset.counts.waiting > begun.reset.wave) return begun;
  }

  // 3. With nobody any more: all that were left have left service.
  ASSIGN_OR_RETURN(begun.reset, Finish(now));
  begun.is_done = true;
  return begun;
}

absl::StatusOr<std::vector<HandedPhone>> ResetWave::HandOver(const ResetRecord& reset, absl::Time now) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kNext, Key().Int64(reset.wave)));
  std::vector<HandedPhone> phones;
  std::vector<std::string> handed, gone;
  for (const Row row : rows) {
    HandedPhone phone;
    bool in_service = false;
    RETURN_IF_ERROR(row.Scan(phone.device, in_service, phone.model, phone.site, phone.address, phone.user_agent));
    (in_service ? handed : gone).push_back(phone.device);
    if (in_service) phones.push_back(std::move(phone));
  }
  RETURN_IF_ERROR(
      connection_.Execute(kSetStates, Key().TextArray(handed).Text("handed over").Text("").Time(now)).status());
  if (!gone.empty()) {
    RETURN_IF_ERROR(connection_.Execute(kSetStates, Key().TextArray(gone).Text("gone").Text(kGone).Time(now)).status());
    RETURN_IF_ERROR(connection_.Execute(kCountGone, Key().Int64(static_cast<int64_t>(gone.size()))).status());
  }
  return phones;
}

absl::StatusOr<ResetWave::Ended> ResetWave::End(std::span<const PhoneAnswer> answers, bool is_whole, absl::Time now) {
  Ended ended;
  std::vector<std::string> devices, words;
  std::vector<int64_t> accepted;
  for (const PhoneAnswer& answer : answers) {
    devices.push_back(answer.device);
    accepted.push_back(answer.accepted ? 1 : 0);
    words.push_back(answer.words);
  }
  connection_.ExecuteWithNext(kOnePlanForLists);
  // 1. The reset's row first, as everybody locks it; whatever its state: it may have been aborted meanwhile.
  ASSIGN_OR_RETURN(const ResetRecord before, ResetOrders(connection_, reset_.cluster_id).Lock(reset_.reset_id));
  ASSIGN_OR_RETURN(const Result counts,
                   connection_.Execute(kRecord, Key().TextArray(devices).Int64Array(accepted).TextArray(words)));
  if (counts.empty()) return Internal("answers were recorded without a count");
  RETURN_IF_ERROR(counts[0].Scan(ended.accepted, ended.failed));
  const std::optional<absl::Time> next = is_whole ? std::optional(now + before.pause) : std::nullopt;
  ASSIGN_OR_RETURN(const Result rows,
                   connection_.Execute(kCount, Key().Int64(ended.accepted).Int64(ended.failed).Time(next)));
  if (rows.empty()) return Internal("reset {} is not there", reset_.reset_id);
  ASSIGN_OR_RETURN(ended.reset, ReadReset(rows[0]));
  if (ended.reset.state != ResetState::kRunning || !is_whole) return ended;

  // 2. Did too much fail? Of the last wave too: whoever waits for the reset would take it for a good one.
  const int64_t failures = ended.reset.counts.failed - ended.reset.forgiven_failed;
  const int64_t tried = ended.reset.counts.accepted + ended.reset.counts.failed - ended.reset.forgiven_tried;
  const bool is_all = failures > 0 && failures == tried && ended.reset.counts.waiting == 0;
  if ((is_all || failures >= kLeastFailures) &&
      static_cast<double>(failures) > ended.reset.stop_at_failures * static_cast<double>(tried)) {
    ended.kind = Ended::Kind::kStopped;
    ended.reason = TooMany(ended.reset, failures, tried);
    RETURN_IF_ERROR(Stop(ended.reason, ended.reset));
    return ended;
  }

  // 3. Is anything left to do?
  if (ended.reset.counts.waiting == 0) {
    ASSIGN_OR_RETURN(ended.reset, Finish(now));
    ended.kind = Ended::Kind::kDone;
  }
  return ended;
}

absl::Status ResetWave::TakeBack(const std::vector<HandedPhone>& phones, std::string_view reason) {
  ASSIGN_OR_RETURN(const ResetRecord reset, ResetOrders(connection_, reset_.cluster_id).Lock(reset_.reset_id));
  std::vector<std::string> devices;
  for (const HandedPhone& phone : phones) devices.push_back(phone.device);
  RETURN_IF_ERROR(
      connection_.Execute(kSetStates, Key().TextArray(devices).Text("waiting").Text("").Time(std::nullopt)).status());
  return reset.state == ResetState::kRunning ? Stop(reason, reset) : absl::OkStatus();
}

absl::StatusOr<ResetRecord> ResetWave::Finish(absl::Time now) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kFinish, Key().Time(now)));
  if (rows.empty()) return Internal("reset {} is not there", reset_.reset_id);
  ASSIGN_OR_RETURN(ResetRecord reset, ReadReset(rows[0]));
  RETURN_IF_ERROR(Audit("phones.reset.done", "", reset));
  return reset;
}

absl::Status ResetWave::Stop(std::string_view reason, const ResetRecord& reset) {
  RETURN_IF_ERROR(connection_.Execute(kStop, Key().Text(reason)).status());
  return Audit("phones.reset.stop", reason, reset);
}

absl::Status ResetWave::Audit(std::string_view action, std::string_view reason, const ResetRecord& reset) {
  AuditEvent event = {.cluster_id = reset_.cluster_id,
                      .actor = std::string(actor_),
                      .action = std::string(action),
                      .subject = fmt::format("reset {}", reset.id),
                      .detail = CountsDetail(reset)};
  if (!reason.empty()) event.detail.emplace_back("reason", reason);
  return AppendAudit(connection_, event);
}

absl::StatusOr<bool> ForgetOldReset(Connection& transaction, absl::Time before) {
  RETURN_IF_ERROR(transaction.Execute(kForgetPhones, Parameters().Time(before)).status());
  ASSIGN_OR_RETURN(const Result forgotten, transaction.Execute(kForget, Parameters().Time(before)));
  return forgotten.affected() > 0;
}

}  // namespace trustline
