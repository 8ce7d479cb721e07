#include "itl/preflight/phone_cures.h"

#include <utility>

#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/preflight/world_reader.h"

namespace trustline {
namespace {

// Everything that a cure follows from but the phone's own facts and the time.
constexpr Statement kToken = {
    "cure_token",
    "SELECT concat_ws(' ', (SELECT trust_commit FROM cluster WHERE cluster_id = $1), (SELECT concat(count(*), '/', "
    "sum(generation)) FROM trust_list WHERE cluster_id = $1 AND removed_at IS NULL), (SELECT concat(count(*), '/', "
    "count(approved_at)) FROM node WHERE removed_at IS NULL), (SELECT md5(string_agg(concat(node, sha256), ',' ORDER "
    "BY "
    "node, sha256)) FROM tvs_node_certificate WHERE cluster_id = $1), (SELECT md5(string_agg(node, ',' ORDER BY node)) "
    "FROM tvs_node_certificate WHERE cluster_id = $1 AND said_at < $2), (SELECT concat(count(*), '/', max(adopted_id), "
    "'/', "
    "count(*) FILTER (WHERE own)) FROM adopted_list WHERE cluster_id = $1), (SELECT md5(string_agg(concat(name, "
    "tftp_server), ',' ORDER BY name)) FROM tftp_server_name WHERE cluster_id = $1), (SELECT concat(count(*), '/', "
    "count(removed_at)) FROM tftp_server WHERE cluster_id = $1), (SELECT concat(max(signer_id), '/', "
    "count(replaced_at)) "
    "FROM list_signer WHERE cluster_id = $1))"};

}  // namespace

absl::StatusOr<PhoneCures::Basis> PhoneCures::Find(Connection& connection, int32_t cluster_id) {
  const absl::Time now = clock_.Now();
  ASSIGN_OR_RETURN(const Result row,
                   connection.Execute(kToken, Parameters().Int64(cluster_id).Time(now - kNodeSilence)));
  ASSIGN_OR_RETURN(std::string token, row.Value<std::string>());
  // What expires is seen within the hour.
  token += absl::FormatTime(" %Y-%m-%d %H", now, absl::UTCTimeZone());
  {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(cluster_id);
    if (found != known_.end() && found->second.basis.token == token) return found->second.basis;
  }
  ASSIGN_OR_RETURN(TrustWorld world, WorldReader(connection, cluster_id, memory_, keys_).ReadPublished({.now = now}));
  ASSIGN_OR_RETURN(std::vector<std::string> times,
                   FleetReader(connection, cluster_id, memory_, now).PublicationTimes());
  Basis basis = {.token = std::move(token),
                 .world = std::make_shared<const TrustWorld>(std::move(world)),
                 .times = std::make_shared<const std::vector<std::string>>(std::move(times))};
  const std::lock_guard lock(mutex_);
  known_[cluster_id] = Known{.basis = basis};
  return basis;
}

absl::StatusOr<std::map<std::string, PhoneCure>> PhoneCures::Of(Connection& connection, int32_t cluster_id,
                                                                const std::vector<std::string>& devices) {
  std::map<std::string, PhoneCure> cures;
  if (devices.empty()) return cures;
  ASSIGN_OR_RETURN(const Basis basis, Find(connection, cluster_id));
  FleetReader reader(connection, cluster_id, memory_, clock_.Now());
  ASSIGN_OR_RETURN(const auto facts, reader.FactsOf(devices, *basis.times));

  // 1. What was judged before.
  std::map<PhoneFacts, PhoneCure> judged;
  std::vector<PhoneFacts> missing;
  {
    const std::lock_guard lock(mutex_);
    const Known& known = known_[cluster_id];
    for (const auto& [device, one] : facts) {
      if (judged.contains(one)) continue;
      const auto found = known.cures.find(one);
      if (known.basis.token == basis.token && found != known.cures.end()) {
        judged.insert(*found);
      } else {
        judged.emplace(one, PhoneCure::kUnknown);
        missing.push_back(one);
      }
    }
  }

  // 2. What is new.
  if (!missing.empty()) {
    ASSIGN_OR_RETURN(const std::vector<PhoneGroup> groups, reader.GroupsOf(missing));
    for (size_t i = 0; i < missing.size(); ++i) judged[missing[i]] = CureOf(groups[i], *basis.world);
    const std::lock_guard lock(mutex_);
    Known& known = known_[cluster_id];
    if (known.basis.token == basis.token && known.cures.size() < kMostCures) {
      for (const PhoneFacts& one : missing) known.cures.emplace(one, judged[one]);
    }
  }
  for (const auto& [device, one] : facts) cures[device] = judged[one];
  return cures;
}

absl::StatusOr<std::map<PhoneCure, int64_t>> PhoneCures::Count(Connection& connection, int32_t cluster_id) {
  const absl::Time now = clock_.Now();
  ASSIGN_OR_RETURN(const Basis basis, Find(connection, cluster_id));
  {
    const std::lock_guard lock(mutex_);
    const Known& known = known_[cluster_id];
    if (known.basis.token == basis.token && now - known.counted_at < kCountAge) return known.counts;
  }
  ASSIGN_OR_RETURN(const Fleet fleet, FleetReader(connection, cluster_id, memory_, now).Read());
  std::map<PhoneCure, int64_t> counts;
  for (const PhoneGroup& group : fleet.groups) counts[CureOf(group, *basis.world)] += group.phones;
  const std::lock_guard lock(mutex_);
  Known& known = known_[cluster_id];
  if (known.basis.token == basis.token) {
    known.counts = counts;
    known.counted_at = now;
  }
  return counts;
}

std::string_view CureSentence(PhoneCure cure) {
  switch (cure) {
    case PhoneCure::kNone:
      return "It has what is published.";
    case PhoneCure::kReset:
      return "It accepts what is published, and reads lists at a start only: reset it.";
    case PhoneCure::kRestoreReach:
      return "Its lists do not know the signer, and no TVS that could tell it, and answers now, was asked from its "
             "site in the last 30 days: restore its way to a TVS, then reset it.";
    case PhoneCure::kPublishRecovery:
      return "It refuses what is published, and would take the same signed with a key that is here: publish that "
             "(trustctl itl reset, or trustctl itl recovery restore: --plan says which helps), then reset it.";
    case PhoneCure::kByHand:
      return "It refuses what is published, and its lists know no key that is here: somebody must clear its lists.";
    case PhoneCure::kForeign:
      return "It belongs to another cluster.";
    case PhoneCure::kNoLists:
      return "Its model knows no trust lists.";
    case PhoneCure::kUnknown:
      return "Too little is known of it: reset it, so that it reports what it holds.";
  }
  return "";
}

v1::PhoneCure ToProto(PhoneCure cure) {
  switch (cure) {
    case PhoneCure::kNone:
      return v1::PHONE_CURE_NONE;
    case PhoneCure::kReset:
      return v1::PHONE_CURE_RESET;
    case PhoneCure::kRestoreReach:
      return v1::PHONE_CURE_RESTORE_REACH;
    case PhoneCure::kPublishRecovery:
      return v1::PHONE_CURE_PUBLISH_RECOVERY;
    case PhoneCure::kByHand:
      return v1::PHONE_CURE_BY_HAND;
    case PhoneCure::kForeign:
      return v1::PHONE_CURE_FOREIGN;
    case PhoneCure::kNoLists:
      return v1::PHONE_CURE_NO_LISTS;
    case PhoneCure::kUnknown:
      return v1::PHONE_CURE_UNKNOWN;
  }
  return v1::PHONE_CURE_UNSPECIFIED;
}

}  // namespace trustline
