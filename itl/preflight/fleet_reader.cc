#include "itl/preflight/fleet_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/str_split.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr Statement kPublications = {
    "preflight_publications",
    "SELECT g.list_id::bigint, g.generation, g.sha256, l.tftp_server, l.device, g.published_at::text FROM "
    "trust_list_generation g JOIN trust_list l USING (cluster_id, list_id) WHERE g.cluster_id = $1 ORDER BY "
    "g.published_at, g.list_id, g.generation"};

// $2: now less kSilence, $3: now less kTvsReach, $4: when publications were made.
#define SINCE "coalesce(width_bucket(p.held_at, (SELECT $4::text[]::timestamptz[])), 0)::bigint"
#define PHONE_FACTS                                                                               \
  "p.held_id::bigint, p.held_ctl_id::bigint, " SINCE                                              \
  ", coalesce(p.held_at < $2, false), w.model IS NOT NULL, coalesce(r.sha512, m.sha512, false), " \
  "coalesce(r.version_1_1, m.version_1_1, false), coalesce(l.tftp_server, ''), coalesce(l.device, '')"
#define FROM_PHONES                                                                                                    \
  " FROM phone p LEFT JOIN model_without_lists w ON w.cluster_id = p.cluster_id AND w.model = p.model LEFT JOIN "      \
  "phone_reading r ON r.cluster_id = p.cluster_id AND r.device = p.device AND r.model = '' LEFT JOIN phone_reading m " \
  "ON m.cluster_id = p.cluster_id AND m.model = p.model AND m.device = '' LEFT JOIN trust_list l ON l.cluster_id = "   \
  "p.cluster_id AND l.kind = 'ITL' AND l.device = p.device AND l.removed_at IS NULL"
// Of all phones: what sites and single devices reach is worked out once. Of few: it is looked up for each.
#define ALL_REACH "coalesce(s.nodes, d.nodes, '')"
#define FROM_ALL_PHONES                                                                                               \
  FROM_PHONES                                                                                                         \
  " LEFT JOIN (SELECT site, string_agg(node, ',' ORDER BY node) AS nodes FROM tvs_reach WHERE cluster_id = $1 AND "   \
  "device = '' AND last_at > $3 GROUP BY site) AS s ON s.site = p.site LEFT JOIN (SELECT device, string_agg(node, "   \
  "',' ORDER BY node) AS nodes FROM tvs_reach WHERE cluster_id = $1 AND site = '' AND last_at > $3 GROUP BY device) " \
  "AS d ON d.device = p.device AND p.site = '' WHERE p.cluster_id = $1"
constexpr Statement kGroups = {"preflight_groups", "SELECT " PHONE_FACTS ", " ALL_REACH ", count(*)" FROM_ALL_PHONES
                                                   " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"};
// $5: keys of NameKey().
constexpr Statement kNames = {"preflight_names",
                              "SELECT " PHONE_FACTS ", " ALL_REACH ", p.device" FROM_ALL_PHONES
                              " AND concat_ws(' ', p.held_id, p.held_ctl_id, " SINCE ", " ALL_REACH ") = ANY($5)"};
// Until the end of the transaction. PostgreSQL expects as many groups as phones, and then lets one process do all of
// the work; and it looks keys up in a hash table only where it plans with them.
constexpr Statement kPlanForFleet = {
    "preflight_plan_for_fleet",
    "SELECT set_config('parallel_tuple_cost', '0', true), set_config('plan_cache_mode', 'force_custom_plan', true)"};
constexpr Statement kOf = {
    "preflight_phones",
    "SELECT " PHONE_FACTS
    ", coalesce((SELECT string_agg(t.node, ',' ORDER BY t.node) FROM tvs_reach t WHERE t.cluster_id = p.cluster_id AND "
    "t.site = p.site AND t.device = CASE WHEN p.site = '' THEN p.device ELSE '' END AND t.last_at > $3), ''), "
    "p.device" FROM_PHONES " WHERE p.cluster_id = $1 AND p.device = ANY($5)"};

template <typename Last>
absl::Status Scan(const Row& row, PhoneFacts& facts, Last& last) {
  return row.Scan(facts.itl, facts.ctl, facts.since, facts.is_silent, facts.has_no_lists, facts.reads.sha512,
                  facts.reads.version_1_1, facts.own_list_server, facts.own_list_device, facts.tvs_nodes, last);
}

// Of what tells groups apart most; few phones have it and are of none of them.
std::string NameKey(const PhoneFacts& facts) {
  return fmt::format("{} {} {} {}", facts.itl, facts.ctl, facts.since, facts.tvs_nodes);
}

}  // namespace

int64_t Fleet::phones() const {
  return std::accumulate(groups.begin(), groups.end(), int64_t{0},
                         [](int64_t sum, const PhoneGroup& group) { return sum + group.phones; });
}

absl::Status FleetReader::ReadPublications() {
  publications_.clear();
  times_.clear();
  files_.clear();
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kPublications, Parameters().Int64(cluster_id_)));
  for (const Row row : rows) {
    Publication& one = publications_.emplace_back();
    std::string& time = times_.emplace_back();
    RETURN_IF_ERROR(row.Scan(one.list_id, one.generation, one.file, one.server, one.device, time));
    files_[{one.list_id, one.generation}] = one.file;
  }
  return absl::OkStatus();
}

absl::StatusOr<Fleet> FleetReader::Read() {
  RETURN_IF_ERROR(ReadPublications());
  RETURN_IF_ERROR(connection_.Execute(kPlanForFleet).status());
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(
          kGroups, Parameters().Int64(cluster_id_).Time(now_ - kSilence).Time(now_ - kTvsReach).TextArray(times_)));
  Fleet fleet;
  std::vector<int64_t> counts;
  for (const Row row : rows) {
    RETURN_IF_ERROR(Scan(row, fleet.facts.emplace_back(), counts.emplace_back()));
  }
  ASSIGN_OR_RETURN(fleet.groups, ToGroups(fleet.facts));
  for (size_t i = 0; i < counts.size(); ++i) fleet.groups[i].phones = counts[i];
  return fleet;
}

absl::Status FleetReader::Names(const Fleet& fleet, const std::function<bool(size_t group)>& chosen,
                                const NameCallback& on_name) {
  std::map<PhoneFacts, size_t> wanted;
  for (size_t i = 0; i < fleet.facts.size(); ++i) {
    if (chosen(i)) wanted.emplace(fleet.facts[i], i);
  }
  if (wanted.empty()) return absl::OkStatus();
  std::set<std::string> keys;
  for (const auto& [facts, group] : wanted) keys.insert(NameKey(facts));
  return connection_.ForEachRow(kNames,
                                Parameters()
                                    .Int64(cluster_id_)
                                    .Time(now_ - kSilence)
                                    .Time(now_ - kTvsReach)
                                    .TextArray(times_)
                                    .TextArray(std::vector<std::string>(keys.begin(), keys.end())),
                                [&](const Row& row) -> absl::Status {
                                  PhoneFacts facts;
                                  std::string device;
                                  RETURN_IF_ERROR(Scan(row, facts, device));
                                  const auto found = wanted.find(facts);
                                  return found == wanted.end() ? absl::OkStatus() : on_name(device, found->second);
                                });
}

absl::StatusOr<std::map<std::string, PhoneFacts>> FleetReader::FactsOf(const std::vector<std::string>& devices,
                                                                       const std::vector<std::string>& times) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kOf, Parameters()
                                                                   .Int64(cluster_id_)
                                                                   .Time(now_ - kSilence)
                                                                   .Time(now_ - kTvsReach)
                                                                   .TextArray(times)
                                                                   .TextArray(devices)));
  std::map<std::string, PhoneFacts> all;
  for (const Row row : rows) {
    PhoneFacts facts;
    std::string device;
    RETURN_IF_ERROR(Scan(row, facts, device));
    all.emplace(std::move(device), std::move(facts));
  }
  return all;
}

absl::StatusOr<std::vector<std::string>> FleetReader::PublicationTimes() {
  RETURN_IF_ERROR(ReadPublications());
  return times_;
}

absl::StatusOr<std::vector<PhoneGroup>> FleetReader::GroupsOf(const std::vector<PhoneFacts>& facts) {
  RETURN_IF_ERROR(ReadPublications());
  return ToGroups(facts);
}

absl::StatusOr<std::vector<PhoneGroup>> FleetReader::ToGroups(const std::vector<PhoneFacts>& facts) {
  RETURN_IF_ERROR(ReadHoldings(facts));
  std::vector<PhoneGroup> groups;
  groups.reserve(facts.size());
  for (const PhoneFacts& one : facts) groups.push_back(ToGroup(one));
  return groups;
}

absl::Status FleetReader::ReadHoldings(const std::vector<PhoneFacts>& facts) {
  ASSIGN_OR_RETURN(views_, HoldingViews::Read(connection_, cluster_id_));
  // Every list that somebody may hold: those that were reported, and all since the oldest report.
  std::vector<Sha256Digest> files;
  std::vector<int64_t> adopted_ids;
  int64_t oldest = static_cast<int64_t>(publications_.size());
  bool has_ctl_of_any_age = false;
  for (const PhoneFacts& one : facts) {
    if (one.itl == 0) continue;
    oldest = std::min(oldest, one.since);
    has_ctl_of_any_age = has_ctl_of_any_age || one.ctl == 0;
    for (const int64_t holding_id : {one.itl, one.ctl}) {
      const Holding& holding = views_.Get(holding_id).holding;
      const auto file = files_.find({holding.list_id, holding.generation});
      if (file != files_.end()) files.push_back(file->second);
      if (holding.adopted_id != 0) adopted_ids.push_back(holding.adopted_id);
    }
  }
  // Of each list also the one that was published last before that.
  std::map<int64_t, Sha256Digest> before;
  for (size_t i = 0; i < publications_.size(); ++i) {
    const Publication& one = publications_[i];
    if (static_cast<int64_t>(i) < oldest && !(has_ctl_of_any_age && one.server.empty())) {
      before[one.list_id] = one.file;
    } else {
      files.push_back(one.file);
    }
  }
  for (const auto& [list_id, file] : before) files.push_back(file);
  ASSIGN_OR_RETURN(lists_, memory_.Generations(connection_, cluster_id_, files));
  ASSIGN_OR_RETURN(adopted_, memory_.Adopted(connection_, cluster_id_, adopted_ids));
  return absl::OkStatus();
}

bool FleetReader::ContentOf(int64_t holding_id, SharedPhoneList& list) const {
  const Holding& holding = views_.Get(holding_id).holding;
  if (holding.state == ListSignature::State::kNotInstalled) return true;
  if (holding.state != ListSignature::State::kHash) return false;
  if (holding.adopted_id != 0) {
    const auto found = adopted_.find(holding.adopted_id);
    if (found != adopted_.end()) list = found->second;
    return list != nullptr;
  }
  const auto file = files_.find({holding.list_id, holding.generation});
  const auto found = file == files_.end() ? lists_.end() : lists_.find(file->second);
  if (found != lists_.end()) list = found->second;
  return list != nullptr;
}

std::vector<SharedPhoneList> FleetReader::Published(const std::function<bool(const Publication&)>& concerns,
                                                    int64_t since) const {
  std::map<int64_t, SharedPhoneList> before;  // by list, what was offered when it was seen
  std::vector<SharedPhoneList> after;
  for (size_t i = 0; i < publications_.size(); ++i) {
    const Publication& one = publications_[i];
    if (!concerns(one)) continue;
    const auto found = lists_.find(one.file);
    if (found == lists_.end()) continue;
    if (static_cast<int64_t>(i) < since) {
      before[one.list_id] = found->second;
    } else {
      after.push_back(found->second);
    }
  }
  std::vector<SharedPhoneList> all;
  for (const auto& [list_id, list] : before) all.push_back(list);
  all.insert(all.end(), after.begin(), after.end());
  return all;
}

PhoneGroup FleetReader::ToGroup(const PhoneFacts& facts) const {
  PhoneGroup group{.reads = facts.reads, .is_silent = facts.is_silent};
  if (!facts.tvs_nodes.empty()) group.tvs_nodes = absl::StrSplit(facts.tvs_nodes, ',');
  const HoldingView& view = views_.Get(facts.itl);
  group.served_as = {.tftp_server = view.server, .device = ""};
  if (!facts.own_list_device.empty()) group.served_as = {facts.own_list_server, facts.own_list_device};
  if (facts.has_no_lists) {
    group.knowledge = PhoneKnowledge::kNoLists;
    return group;
  }
  if (facts.itl == 0) return group;
  if (view.status == PhoneStatus::kForeign) group.knowledge = PhoneKnowledge::kForeign;
  PhoneHoldings seen;
  if (!ContentOf(facts.itl, seen.itl) || (facts.ctl != 0 && !ContentOf(facts.ctl, seen.ctl))) {
    if (group.knowledge != PhoneKnowledge::kForeign) group.knowledge = PhoneKnowledge::kOtherList;
    return group;
  }
  if (group.knowledge == PhoneKnowledge::kForeign) {
    group.may_hold = {seen};
    return group;
  }
  group.knowledge = PhoneKnowledge::kKnown;
  const std::vector<SharedPhoneList> itls = Published(
      [&](const Publication& one) {
        const bool is_own = one.device == facts.own_list_device || one.device.empty();
        return !one.server.empty() && is_own && (view.server.empty() || one.server == view.server);
      },
      facts.since);
  // A report that says nothing of a CTL leaves open which it has taken.
  const std::vector<SharedPhoneList> ctls =
      Published([](const Publication& one) { return one.server.empty(); }, facts.ctl == 0 ? 0 : facts.since);
  group.may_hold = MayHold(seen, ctls, itls);
  return group;
}

}  // namespace trustline
