#include "itl/preflight/preflight_gate.h"

#include <algorithm>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/proto_time.h"
#include "common/service/audit.h"
#include "common/status/status.h"
#include "itl/list/list_store.h"
#include "itl/preflight/preflight_report.h"
#include "itl/preflight/world_reader.h"

namespace trustline {
namespace {

constexpr char kMetric[] = "trustline_preflights_total";
constexpr char kHelp[] = "Changes of trust that were played against all phones";

// A way that ends so soon is none any more for a phone that would need it: it may start later than that. CRLs, which
// are replaced in their last hours, count as they are.
constexpr absl::Duration kEndsSoon = absl::Hours(24);

constexpr Statement kAddWaiver = {
    "preflight_waiver_add",
    "INSERT INTO preflight_waiver (cluster_id, action, subject, reason, made_by) VALUES ($1, $2, $3, $4, $5) RETURNING "
    "waiver_id::bigint"};
constexpr Statement kAddWaived = {
    "preflight_waiver_phones_add",
    "INSERT INTO preflight_waiver_phone (cluster_id, waiver_id, device, verdict, reason) SELECT $1, $2, n.device, "
    "n.verdict, n.reason FROM unnest($3::text[], $4::text[], $5::text[]) AS n(device, verdict, reason)"};
constexpr Statement kCertificate = {"preflight_certificate", "SELECT der FROM certificate WHERE sha256 = $1"};

bool HasObjection(const GuardedChange& change) { return change.objection != nullptr && !change.objection->empty(); }

// Who is concerned stays on record with the change, and the audit log has their number and names.
absl::Status RecordWaiver(Connection& connection, const GuardedChange& change, const std::vector<NamedPhone>& named) {
  std::vector<std::string> devices, verdicts, reasons;
  for (const NamedPhone& phone : named) {
    if (phone.verdict.verdict == PhoneVerdict::kLostBefore) continue;
    devices.push_back(phone.device);
    verdicts.emplace_back(phone.verdict.verdict == PhoneVerdict::kLocked ? "locked" : "unproven");
    reasons.emplace_back(ReasonText(phone.verdict.reason));
  }
  const bool is_objected = HasObjection(change);
  if (devices.empty() && !is_objected) return absl::OkStatus();
  const std::string& override_reason = change.caution.override_reason;
  ASSIGN_OR_RETURN(const Result added, connection.Execute(kAddWaiver, Parameters()
                                                                          .Int64(change.cluster_id)
                                                                          .Text(change.action)
                                                                          .Text(change.subject)
                                                                          .Text(override_reason)
                                                                          .Text(change.actor)));
  ASSIGN_OR_RETURN(const int64_t waiver_id, added.Value<int64_t>());
  RETURN_IF_ERROR(connection
                      .Execute(kAddWaived, Parameters()
                                               .Int64(change.cluster_id)
                                               .Int64(waiver_id)
                                               .TextArray(devices)
                                               .TextArray(verdicts)
                                               .TextArray(reasons))
                      .status());
  const size_t locked = static_cast<size_t>(std::count(verdicts.begin(), verdicts.end(), "locked"));
  AuditEvent event = {.cluster_id = change.cluster_id,
                      .actor = change.actor,
                      .action = override_reason.empty() ? "preflight.accept_unproven" : "preflight.override",
                      .subject = change.subject,
                      .detail = {{"change", change.action},
                                 {"locked", fmt::format("{}", locked)},
                                 {"unproven", fmt::format("{}", devices.size() - locked)},
                                 {"waiver", fmt::format("{}", waiver_id)}}};
  const std::string& reason = override_reason.empty() ? change.reason : override_reason;
  if (!reason.empty()) event.detail.emplace_back("reason", reason);
  if (is_objected) event.detail.emplace_back("objection", *change.objection);
  AddNames(devices, event);
  return AppendAudit(connection, event);
}

}  // namespace

absl::StatusOr<TrustWorld> PreFlightGate::ReadWorld(Connection& connection, int32_t cluster_id, absl::Time now) {
  return WorldReader(connection, cluster_id, memory_, keys_).Read({.now = now, .certificates_at = now + kEndsSoon});
}

void PreFlightGate::RecordRefusal(const GuardedChange& change, const PreFlightResult& result,
                                  const absl::Status& terms) {
  log_.Warning("PREFLIGHT_REFUSED", "a change of trust was refused, because of the phones",
               {{"cluster_id", change.cluster_id},
                {"change", change.action},
                {"subject", change.subject},
                {"actor", change.actor},
                {"locked", result.Count(PhoneVerdict::kLocked)},
                {"unproven", result.Count(PhoneVerdict::kUnproven)}});
  if (audit_ == nullptr) return;
  // Whoever tries again and again makes one event with a count.
  audit_->AppendDenial({.cluster_id = change.cluster_id,
                        .occurred_at = clock_.Now(),
                        .actor = change.actor,
                        .action = change.action,
                        .subject = change.subject,
                        .outcome = AuditOutcome::kDenied,
                        .detail = {{"reason", std::string(StatusMessage(terms))},
                                   {"locked", fmt::format("{}", result.Count(PhoneVerdict::kLocked))},
                                   {"unproven", fmt::format("{}", result.Count(PhoneVerdict::kUnproven))}}},
                       /*peer_address=*/"");
}

absl::Status PreFlightGate::Run(Connection& transaction, const GuardedChange& change,
                                const std::function<absl::Status()>& apply) {
  const auto count = [&](const char* outcome) { metrics_.GetCounter(kMetric, kHelp, {{"outcome", outcome}}).Add(); };
  // 1. Before it, and after it.
  RETURN_IF_ERROR(ListStore(transaction, change.cluster_id).LockPolicy().status());
  // Of one moment: what ends, or is away, in between is not this change's doing.
  const absl::Time now = clock_.Now();
  ASSIGN_OR_RETURN(const TrustWorld before, ReadWorld(transaction, change.cluster_id, now));
  if (const absl::Status applied = apply(); !applied.ok()) {
    // Whoever plans a change is told in the same way that it would be refused, whatever the reason.
    const bool is_asked_only = change.caution.plan && change.report != nullptr && !change.is_retried;
    if (!is_asked_only || !absl::IsFailedPrecondition(applied)) return applied;
    change.report->set_refusal(std::string(StatusMessage(applied)));
    count("planned");
    return Planned();
  }
  ASSIGN_OR_RETURN(TrustWorld after, ReadWorld(transaction, change.cluster_id, now));
  after.away_nodes.insert(change.away_nodes.begin(), change.away_nodes.end());
  // What takes nothing away harms nobody: then phones are looked at only when somebody wants to see them.
  const bool is_first = before.served.empty() && !after.served.empty();
  const bool is_objected = HasObjection(change);
  const bool is_asked =
      change.report != nullptr || change.unproven != nullptr || change.caution.accept_unproven || is_objected;
  if (!is_asked && !is_first && TakesNothingAway(before, after)) {
    count("nothing taken away");
    return absl::OkStatus();
  }

  // 2. All phones.
  FleetReader reader(transaction, change.cluster_id, memory_, now);
  ASSIGN_OR_RETURN(const Fleet fleet, reader.Read());
  const PreFlightResult result = RunPreFlight(fleet.groups, before, after);
  ASSIGN_OR_RETURN(const std::vector<NamedPhone> named, NameConcerned(reader, fleet, result));
  absl::Status terms = CheckTerms(result, named, change.caution);
  if (terms.ok() && is_objected && change.caution.override_reason.empty()) terms = PreFlightRefusal(*change.objection);
  if (change.unproven != nullptr) *change.unproven = UnprovenOf(named);
  if (change.report != nullptr) {
    *change.report = ToProto(fleet, result, named);
    change.report->set_made(terms.ok() && !change.caution.plan);
    if (!terms.ok()) change.report->set_refusal(std::string(StatusMessage(terms)));
  }

  // 3. What becomes of it.
  if (change.caution.plan) {
    count("planned");
    return Planned();
  }
  if (!terms.ok()) {
    count("refused");
    if (!change.is_retried) RecordRefusal(change, result, terms);
    return terms;
  }
  const bool is_waived = is_objected || result.Count(PhoneVerdict::kLocked) + result.Count(PhoneVerdict::kUnproven) > 0;
  count(is_waived ? "waived" : "safe");
  return is_waived ? RecordWaiver(transaction, change, named) : absl::OkStatus();
}

absl::StatusOr<v1::ForecastExpiryResponse> ForecastExpiry(Connection& connection, int32_t cluster_id,
                                                          ListMemory& memory, KeyFolder* keys, absl::Time now,
                                                          absl::Time until) {
  WorldReader worlds(connection, cluster_id, memory, keys);
  ASSIGN_OR_RETURN(const TrustWorld present, worlds.Read({.now = now}));
  ASSIGN_OR_RETURN(const std::vector<StandingCertificate> standing, worlds.ReadStanding(present));
  FleetReader reader(connection, cluster_id, memory, now);
  ASSIGN_OR_RETURN(const Fleet fleet, reader.Read());
  v1::ForecastExpiryResponse response;
  for (const StandingCertificate& one : standing) {
    if (one.ends_at > until) break;
    const absl::Time then_is = std::max(one.ends_at, now);
    ASSIGN_OR_RETURN(const TrustWorld then, worlds.Read({.now = now, .certificates_at = then_is, .crls_at = then_is}));
    const PreFlightResult result = RunPreFlight(fleet.groups, present, then);
    ASSIGN_OR_RETURN(const std::vector<NamedPhone> named, NameConcerned(reader, fleet, result));
    ASSIGN_OR_RETURN(const Result der, connection.Execute(kCertificate, Parameters().Bytes(one.sha256)));
    ASSIGN_OR_RETURN(const std::string bytes, der.Value<std::string>());
    ASSIGN_OR_RETURN(const Certificate certificate, Certificate::FromDer(AsBytes(bytes)));
    v1::ForecastExpiryResponse::Expiry& expiry = *response.add_expiries();
    *expiry.mutable_at() = ToProtoTime(one.ends_at);
    *expiry.mutable_certificate() = SummaryOf(certificate);
    expiry.set_standing(one.standing);
    *expiry.mutable_preflight() = ToProto(fleet, result, named);
  }
  return response;
}

}  // namespace trustline
