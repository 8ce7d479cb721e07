#include "itl/move/move_readiness.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/bytes/bytes.h"
#include "common/bytes/checksums.h"
#include "common/status/status.h"
#include "itl/phone/holding_view.h"
#include "itl/preflight/fleet_reader.h"
#include "itl/preflight/list_memory.h"
#include "itl/preflight/preflight.h"
#include "itl/preflight/preflight_report.h"
#include "itl/preflight/world_reader.h"

namespace trustline {
namespace {

constexpr size_t kNamedInRefusal = 10;
constexpr size_t kNamed = 5;

// A report here counts by the hash of a list of theirs, or by the name of a server of theirs that none of ours has; one
// there counts when it is newer than all that was heard here. $2: theirs, or 0; $3: SHA-1 of their lists; $4: names of
// their servers.
constexpr Statement kNotArrived = {
    "move_not_arrived",
    "WITH theirs AS (SELECT unnest($3::bytea[]) AS sha1 UNION SELECT g.sha1 FROM trust_list_generation g JOIN "
    "trust_list "
    "l USING (cluster_id, list_id) WHERE g.cluster_id = $2 AND l.kind = 'ITL'), names AS (SELECT unnest($4::text[]) AS "
    "name UNION SELECT name FROM tftp_server_name WHERE cluster_id = $2 EXCEPT SELECT name FROM tftp_server WHERE "
    "cluster_id = $1 EXCEPT SELECT lower(host) FROM tftp_server WHERE cluster_id = $1 EXCEPT SELECT name FROM "
    "tftp_server_name WHERE cluster_id = $1), away AS (SELECT h.holding_id FROM phone_holding h JOIN reported_server s "
    "ON s.cluster_id = h.cluster_id AND s.server_id = h.server_id WHERE h.cluster_id = $1 AND h.kind = 'ITL' AND "
    "h.state "
    "= 'hash' AND h.list_id = 0 AND s.name IN (SELECT name FROM names)), there AS (SELECT h.holding_id FROM "
    "phone_holding h WHERE h.cluster_id = $2 AND h.kind = 'ITL' AND h.state = 'hash' AND h.list_id <> 0) SELECT "
    "p.device, (p.held_sha1 IN (SELECT sha1 FROM theirs)) IS TRUE OR p.held_id IN (SELECT holding_id FROM away) OR "
    "EXISTS (SELECT FROM phone b WHERE b.cluster_id = $2 AND b.device = p.device AND b.held_id IN (SELECT holding_id "
    "FROM there) AND b.held_at > coalesce(p.held_at, '-infinity')) FROM phone p LEFT JOIN model_without_lists w ON "
    "w.cluster_id = p.cluster_id AND w.model = p.model WHERE p.cluster_id = $1 AND w.model IS NULL ORDER BY p.device"};
constexpr Statement kWithLsc = {"move_with_lsc",
                                "SELECT DISTINCT p.device FROM phone p JOIN issuance i ON i.cluster_id = p.cluster_id "
                                "AND i.device = p.device WHERE "
                                "p.cluster_id = $1 AND i.state IN ('signed', 'delivered', 'confirmed') AND "
                                "i.revoked_at IS NULL AND i.not_after > $2 "
                                "ORDER BY p.device"};
constexpr Statement kDeletionsWait = {
    "move_lsc_deletions_wait",
    "SELECT o.device FROM capf_operation o JOIN phone p USING (cluster_id, device) WHERE o.cluster_id = $1 AND "
    "o.operation = 'delete' AND o.state IN ('pending', 'in progress') ORDER BY o.device"};
constexpr Statement kDeleted = {
    "move_lsc_deleted",
    "SELECT DISTINCT o.device FROM capf_operation o JOIN phone p USING (cluster_id, device) WHERE o.cluster_id = $1 "
    "AND o.operation = 'delete' AND o.state = 'success' AND o.ended_at >= $2 AND NOT EXISTS (SELECT FROM issuance i "
    "WHERE i.cluster_id = $1 AND i.device = o.device AND i.state IN ('signed', 'delivered', 'confirmed') AND "
    "i.revoked_at IS NULL AND i.not_after > $3) ORDER BY o.device"};
constexpr Statement kNotIn = {"move_not_in",
                              "SELECT p.device FROM phone p WHERE p.cluster_id = $1 AND NOT EXISTS (SELECT 1 FROM "
                              "phone t WHERE t.cluster_id = $2 AND t.device = p.device) ORDER BY p.device"};

// No list of this cluster, which a reset would bring, names the other one's signers.
std::string_view MoveRemedyText(VerdictReason reason) {
  switch (reason) {
    case VerdictReason::kNoTvsSeen:
      return "restore its way to a TVS node of this cluster, which answers for the other one's signers";
    case VerdictReason::kSignerUnknown:
    case VerdictReason::kSignerNotVouched:
    case VerdictReason::kFileSigner:
    case VerdictReason::kMissedTheLast:
      return "let it take a list that names a TVS node of this cluster first; or move it by blank lists (`trustctl "
             "plan migrate --blank`), or delete its lists at the phone once it has moved";
    case VerdictReason::kNoKeyHere:
    case VerdictReason::kNotServed:
      return "export the other cluster again: its lists must name a signer whose key it has";
    case VerdictReason::kCannotRead:
      return "let the other cluster make lists in a form that it reads";
    case VerdictReason::kNone:
    case VerdictReason::kNeverSeen:
    case VerdictReason::kOtherList:
    case VerdictReason::kSilent:
      return RemedyText(reason);
  }
  return "";
}

// Those that have not done what is waited for.
struct Waiting {
  std::string reason;
  std::string remedy;
  int64_t others = 0;  // phones that have
  std::vector<std::string> devices;
};

absl::Status Conclude(const Waiting& waiting, const MoveAsked& asked) {
  v1::PreFlight& report = asked.report;
  const int64_t unproven = std::ssize(waiting.devices);
  if (asked.unproven != nullptr) {
    asked.unproven->clear();
    for (const std::string& device : waiting.devices) asked.unproven->emplace(device, waiting.reason);
  }
  report.set_phones(unproven + waiting.others);
  if (unproven > 0) {
    v1::PreFlight::Count& count = *report.add_counts();
    count.set_verdict(v1::PHONE_VERDICT_UNPROVEN);
    count.set_reason(waiting.reason);
    count.set_remedy(waiting.remedy);
    count.set_phones(unproven);
  }
  if (waiting.others > 0) {
    v1::PreFlight::Count& count = *report.add_counts();
    count.set_verdict(v1::PHONE_VERDICT_SAFE_BY_LIST);
    count.set_phones(waiting.others);
  }
  for (const std::string& device : waiting.devices) {
    if (static_cast<size_t>(report.named_size()) >= kMostNamed) break;
    v1::PreFlight::Named& one = *report.add_named();
    one.set_device(device);
    one.set_verdict(v1::PHONE_VERDICT_UNPROVEN);
    one.set_reason(waiting.reason);
  }
  report.set_not_named(unproven - report.named_size());
  const bool all_accepted = std::all_of(waiting.devices.begin(), waiting.devices.end(), [&](const std::string& device) {
    return asked.caution.Accepts(device, waiting.reason);
  });
  if (all_accepted) return absl::OkStatus();
  std::vector<std::string> first(waiting.devices.begin(),
                                 waiting.devices.begin() + std::min<std::ptrdiff_t>(unproven, kNamedInRefusal));
  report.set_refusal(
      fmt::format("{} of {} phones are waited for: {} ({}; {}); --accept-unproven {} does not wait for them", unproven,
                  report.phones(), FirstNames(first, unproven), waiting.reason, waiting.remedy, unproven));
  return PreFlightRefusal(report.refusal());
}

absl::StatusOr<NamedDevices> NameDevices(Connection& connection, const Statement& statement,
                                         const Parameters& parameters) {
  NamedDevices devices;
  RETURN_IF_ERROR(connection.ForEachRow(statement, parameters, [&](const Row& row) -> absl::Status {
    ASSIGN_OR_RETURN(std::string device, row.Get<std::string>(0));
    if (++devices.count <= static_cast<int64_t>(kNamed)) devices.first.push_back(std::move(device));
    return absl::OkStatus();
  }));
  return devices;
}

absl::Status ForEachArrival(Connection& connection, int32_t cluster_id, int32_t target_id, const ClusterTrust& target,
                            const std::function<void(std::string device, bool has_arrived)>& on_device) {
  std::vector<std::string> hashes, names;
  for (const MovedServer& server : target.servers) {
    hashes.emplace_back(AsText(Sha1(AsBytes(server.itl))));
    names.push_back(server.name);
    names.push_back(absl::AsciiStrToLower(server.host));
  }
  return connection.ForEachRow(kNotArrived,
                               Parameters().Int64(cluster_id).Int64(target_id).BytesArray(hashes).TextArray(names),
                               [&](const Row& row) -> absl::Status {
                                 std::string device;
                                 bool has_arrived = false;
                                 RETURN_IF_ERROR(row.Scan(device, has_arrived));
                                 on_device(std::move(device), has_arrived);
                                 return absl::OkStatus();
                               });
}

}  // namespace

absl::StatusOr<TrustWorld> WorldOfMove(TrustWorld world, const ClusterTrust& target) {
  SharedPhoneList ctl;
  if (!target.ctl.empty()) {
    ASSIGN_OR_RETURN(PhoneList read, ReadPhoneList(AsBytes(target.ctl)));
    ctl = std::make_shared<const PhoneList>(std::move(read));
  }
  world.served.clear();
  for (const MovedServer& server : target.servers) {
    ASSIGN_OR_RETURN(PhoneList itl, ReadPhoneList(AsBytes(server.itl)));
    // No server of ours has a name that begins with a blank: phones of each may come to any of theirs.
    world.served[{.tftp_server = " " + server.name, .device = ""}].published = {
        .ctl = ctl, .itl = std::make_shared<const PhoneList>(std::move(itl)), .file_signer = server.file_signer};
  }
  for (const MovedCertificate& one : target.certificates) {
    for (const CertificateRole role : one.roles) world.vouched.emplace(one.certificate.sha256(), role);
    // They have its key.
    if (one.Has(CertificateRole::kSast)) world.signing_keys.insert(one.certificate.sha256());
  }
  return world;
}

absl::Status JudgeReadiness(Connection& connection, int32_t cluster_id, KeyFolder& keys, const ClusterTrust& target,
                            absl::Time now, const MoveAsked& asked) {
  ListMemory memory;
  ASSIGN_OR_RETURN(const TrustWorld before,
                   WorldReader(connection, cluster_id, memory, &keys).ReadPublished({.now = now}));
  ASSIGN_OR_RETURN(const TrustWorld after, WorldOfMove(before, target));
  FleetReader reader(connection, cluster_id, memory, now);
  ASSIGN_OR_RETURN(const Fleet fleet, reader.Read());
  const PreFlightResult result = RunPreFlight(fleet.groups, before, after);
  ASSIGN_OR_RETURN(const std::vector<NamedPhone> named, NameConcerned(reader, fleet, result));
  const absl::Status terms = CheckTerms(result, named, asked.caution, MoveRemedyText);
  if (asked.unproven != nullptr) *asked.unproven = UnprovenOf(named);
  asked.report = ToProto(fleet, result, named, MoveRemedyText);
  if (!terms.ok()) asked.report.set_refusal(std::string(StatusMessage(terms)));
  return terms;
}

absl::Status JudgeArrival(Connection& connection, int32_t cluster_id, int32_t target_id, const ClusterTrust& target,
                          const MoveAsked& asked) {
  Waiting waiting = {.reason = fmt::format("nobody has seen it hold a list of the cluster {}", target.cluster),
                     .remedy =
                         "point it to a TFTP server of that cluster, and reset it; whoever is accepted instead "
                         "stays good for this cluster alone, and refuses that one's lists when it comes there "
                         "after the plan, unless it holds blank ones",
                     .others = 0,
                     .devices = {}};
  RETURN_IF_ERROR(ForEachArrival(connection, cluster_id, target_id, target, [&](std::string device, bool has_arrived) {
    if (has_arrived) {
      ++waiting.others;
    } else {
      waiting.devices.push_back(std::move(device));
    }
  }));
  return Conclude(waiting, asked);
}

absl::StatusOr<NamedDevices> FindArrived(Connection& connection, int32_t cluster_id, int32_t target_id,
                                         const ClusterTrust& target) {
  NamedDevices arrived;
  RETURN_IF_ERROR(ForEachArrival(connection, cluster_id, target_id, target, [&](std::string device, bool has_arrived) {
    if (has_arrived && ++arrived.count <= static_cast<int64_t>(kNamed)) arrived.first.push_back(std::move(device));
  }));
  return arrived;
}

absl::Status JudgeHolding(Connection& connection, int32_t cluster_id, absl::Time now, const MoveAsked& asked) {
  ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, cluster_id));
  ListMemory memory;
  FleetReader reader(connection, cluster_id, memory, now);
  ASSIGN_OR_RETURN(const Fleet fleet, reader.Read());
  const auto is_outside = [&](size_t i) {
    return fleet.facts[i].has_no_lists || fleet.groups[i].knowledge == PhoneKnowledge::kForeign;
  };
  const auto holds_all = [&](size_t i) {
    const bool has_ctl = !views.served().ctl || views.Get(fleet.facts[i].ctl).status == PhoneStatus::kMatch;
    return has_ctl && views.Get(fleet.facts[i].itl).status == PhoneStatus::kMatch;
  };
  Waiting waiting = {.reason = "nobody has seen it hold what is published now",
                     .remedy = "reset it, so that it takes that and reports it",
                     .others = 0,
                     .devices = {}};
  for (size_t i = 0; i < fleet.groups.size(); ++i) {
    if (!is_outside(i) && holds_all(i)) waiting.others += fleet.groups[i].phones;
  }
  RETURN_IF_ERROR(reader.Names(
      fleet, [&](size_t i) { return !is_outside(i) && !holds_all(i); },
      [&](const std::string& device, size_t) {
        waiting.devices.push_back(device);
        return absl::OkStatus();
      }));
  std::sort(waiting.devices.begin(), waiting.devices.end());
  return Conclude(waiting, asked);
}

absl::StatusOr<NamedDevices> FindDevicesWithLsc(Connection& connection, int32_t cluster_id, absl::Time now) {
  return NameDevices(connection, kWithLsc, Parameters().Int64(cluster_id).Time(now));
}

absl::StatusOr<LscDeletions> FindLscDeletions(Connection& connection, int32_t cluster_id, absl::Time since,
                                              absl::Time now) {
  LscDeletions deletions;
  ASSIGN_OR_RETURN(deletions.waiting, NameDevices(connection, kDeletionsWait, Parameters().Int64(cluster_id)));
  ASSIGN_OR_RETURN(deletions.done,
                   NameDevices(connection, kDeleted, Parameters().Int64(cluster_id).Time(since).Time(now)));
  return deletions;
}

absl::StatusOr<NamedDevices> FindDevicesNotIn(Connection& connection, int32_t cluster_id, int32_t other_id) {
  return NameDevices(connection, kNotIn, Parameters().Int64(cluster_id).Int64(other_id));
}

}  // namespace trustline
