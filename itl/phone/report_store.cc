#include "itl/phone/report_store.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/postgres/list_plan.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "itl/phone/claim_store.h"
#include "itl/phone/phone_table.h"

namespace trustline {
namespace {

bool SaysLists(const PhoneReport& report) {
  return report.event == PhoneEventKind::kLists || report.event == PhoneEventKind::kAdopted;
}

std::string_view HistoryName(PhoneEventKind event) {
  switch (event) {
    case PhoneEventKind::kLists:
      return "reported";
    case PhoneEventKind::kRegistered:
      return "registered";
    case PhoneEventKind::kUnregistered:
      return "unregistered";
    case PhoneEventKind::kAdopted:
      break;
  }
  return "adopted";
}

void AddToLedger(const std::string& device, const ListSignature& signature, int64_t holding_id, PhoneEventKind event,
                 absl::Time at, std::map<LedgerKey, LedgerSpan>& ledger) {
  if (signature.state == ListSignature::State::kUnreadable) return;
  const bool is_hash = signature.state == ListSignature::State::kHash;
  const auto [entry, is_new] =
      ledger.try_emplace({.device = device,
                          .holding_id = holding_id,
                          .sha1 = is_hash ? std::string(AsText(signature.sha1)) : std::string(),
                          .how = event == PhoneEventKind::kAdopted ? "adopted" : "reported"},
                         LedgerSpan{at, at});
  if (is_new) return;
  entry->second.first_at = std::min(entry->second.first_at, at);
  entry->second.last_at = std::max(entry->second.last_at, at);
}

}  // namespace

absl::StatusOr<StoredReports> ReportStore::Store(int32_t cluster_id, const std::vector<PhoneReport>& reports,
                                                 const Also& also) {
  ASSIGN_OR_RETURN(const std::set<std::string> in_service, InService(cluster_id, reports));
  // A claim must not make anything that stays.
  const auto is_evidence = [&](const PhoneReport& report) {
    return report.basis != EvidenceBasis::kNone && in_service.contains(report.device);
  };
  std::vector<HoldingStore::Said> said;
  std::vector<ResolvedReport> resolved;
  resolved.reserve(reports.size());
  for (const PhoneReport& report : reports) {
    resolved.push_back({.report = &report});
    if (!is_evidence(report) || !SaysLists(report)) continue;
    said.push_back({report.device, ListKind::kItl, report.itl, report.itl_server});
    if (report.ctl) said.push_back({report.device, ListKind::kCtl, *report.ctl, report.ctl_server});
  }
  if (!said.empty()) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> found, holdings_.Find(cluster_id, said));
    auto next = found.begin();
    for (ResolvedReport& one : resolved) {
      if (!is_evidence(*one.report) || !SaysLists(*one.report)) continue;
      one.holding_id = *next++;
      if (one.report->ctl) one.ctl_holding_id = *next++;
    }
  }
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  return RunInTransaction(*lease, {}, [&](Connection& connection) -> absl::StatusOr<StoredReports> {
    ASSIGN_OR_RETURN(StoredReports stored, StoreIn(connection, cluster_id, resolved));
    if (also) RETURN_IF_ERROR(also(connection, stored));
    return stored;
  });
}

absl::StatusOr<std::set<std::string>> ReportStore::InService(int32_t cluster_id,
                                                             const std::vector<PhoneReport>& reports) {
  static constexpr Statement kInService = {"phones_in_service",
                                           "SELECT device FROM phone WHERE cluster_id = $1 AND device = ANY($2)"};
  std::vector<std::string> devices;
  for (const PhoneReport& report : reports) {
    if (report.basis != EvidenceBasis::kNone) devices.push_back(report.device);
  }
  std::set<std::string> in_service;
  if (devices.empty()) return in_service;
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(const Result rows, lease->Execute(kInService, Parameters().Int64(cluster_id).TextArray(devices)));
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(std::string device, row.Get<std::string>(0));
    in_service.insert(std::move(device));
  }
  return in_service;
}

absl::StatusOr<StoredReports> ReportStore::StoreIn(Connection& connection, int32_t cluster_id,
                                                   const std::vector<ResolvedReport>& reports) {
  connection.ExecuteWithNext(kOnePlanForLists);
  StoredReports stored;
  PhoneTable table(connection, cluster_id);
  std::set<std::string> devices;
  for (const ResolvedReport& one : reports) {
    if (one.report->basis != EvidenceBasis::kNone) devices.insert(one.report->device);
  }
  ASSIGN_OR_RETURN(auto phones, table.Lock(devices));

  std::vector<PhoneReport> claims;
  std::map<LedgerKey, LedgerSpan> ledger;
  std::vector<HistoryEvent> history;
  std::map<std::string, const PhoneState*> written;
  for (const ResolvedReport& one : reports) {
    const PhoneReport& report = *one.report;
    const auto phone = phones.find(report.device);
    // A device that came into service since the holdings were found waits for its next report.
    const bool is_resolved = !SaysLists(report) || one.holding_id != 0;
    if (report.basis == EvidenceBasis::kNone || phone == phones.end() || !is_resolved) {
      // Somebody's registration says nothing of lists: there is nothing to show.
      if (SaysLists(report)) claims.push_back(report);
      continue;
    }
    ++stored.evidence;
    if (SaysLists(report) && report.itl.state == ListSignature::State::kUnreadable) ++stored.unreadable;
    PhoneState& state = phone->second;
    const ReportEffect effect = ApplyReport(one, state);
    if (SaysLists(report)) {
      AddToLedger(report.device, report.itl, one.holding_id, report.event, report.at, ledger);
      if (report.ctl) AddToLedger(report.device, *report.ctl, one.ctl_holding_id, report.event, report.at, ledger);
    }
    written[report.device] = &state;
    if (effect == ReportEffect::kOlder) {
      ++stored.older;
      continue;
    }
    stored.events.push_back({state, report.event, report.at, effect == ReportEffect::kChanged});
    if (effect == ReportEffect::kRenewed) continue;
    history.push_back({.device = report.device,
                       .at = report.at,
                       .event = HistoryName(report.event),
                       .holding_id = one.holding_id,
                       .ctl_holding_id = one.ctl_holding_id,
                       .itl_sha1 = SaysLists(report) ? state.itl_sha1 : std::nullopt,
                       .address = report.address,
                       .via = report.Via()});
  }
  std::vector<const PhoneState*> rows;
  for (const auto& [device, state] : written) rows.push_back(state);
  RETURN_IF_ERROR(table.Write(rows));
  RETURN_IF_ERROR(table.AddToLedger(ledger));
  RETURN_IF_ERROR(table.AddToHistory(history));
  stored.claims = static_cast<int64_t>(claims.size());
  if (!claims.empty()) {
    ASSIGN_OR_RETURN(stored.dropped, ClaimStore(connection, cluster_id).Add(claims));
    stored.claims -= stored.dropped;
  }
  return stored;
}

}  // namespace trustline
