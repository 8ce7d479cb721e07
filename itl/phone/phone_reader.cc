#include "itl/phone/phone_reader.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/ascii.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// So many phones are sorted quicker than a name order is searched for them.
constexpr int64_t kFew = 10'000;
// So many orders by name are merged quicker than one order is searched.
constexpr size_t kMostMerged = 64;

#define PHONE_COLUMNS                                                                                                  \
  "p.device, p.model, p.site, p.holding_id::bigint, p.ctl_holding_id::bigint, p.itl_sha1, p.ctl_sha1, p.reported_at, " \
  "p.address, p.user_agent, p.via, p.registered, p.registration_at, p.held_id::bigint, p.held_sha1, p.held_at, "       \
  "p.held_ctl_id::bigint, p.held_ctl_sha1, p.held_ctl_at"
constexpr Statement kFind = {"phone_find",
                             "SELECT " PHONE_COLUMNS " FROM phone p WHERE p.cluster_id = $1 AND p.device = $2"};
// Totals and the changes that are not folded in yet are read by one statement, of one state.
constexpr Statement kCount = {"phone_counts",
                              "SELECT holding_id::bigint, sum(phones)::bigint FROM (SELECT holding_id, phones FROM "
                              "phone_count WHERE cluster_id = "
                              "$1 AND dimension = $2 AND value = $3 UNION ALL SELECT holding_id, phones FROM "
                              "phone_count_change WHERE cluster_id = "
                              "$1 AND dimension = $2 AND value = $3) AS c GROUP BY holding_id HAVING sum(phones) > 0"};
constexpr Statement kCountBoth = {
    "phone_counts_both",
    "SELECT holding_id::bigint, count(*) FROM phone WHERE cluster_id = $1 AND site = $2 AND model = $3 GROUP BY "
    "holding_id"};
constexpr Statement kIsRare = {
    "phones_since_are_rare",
    "SELECT count(*) FROM (SELECT FROM unnest($2::bigint[]) AS h(id) CROSS JOIN LATERAL (SELECT FROM phone WHERE "
    "cluster_id = $1 AND holding_id = h.id AND reported_at >= $3 LIMIT $4) AS p LIMIT $4) AS few"};

absl::StatusOr<std::vector<PhoneRow>> ReadRows(const Result& rows) {
  std::vector<PhoneRow> phones;
  for (const Row row : rows) {
    PhoneRow phone;
    PhoneState& state = phone.state;
    RETURN_IF_ERROR(row.Scan(state.device, phone.model, phone.site, state.holding_id, state.ctl_holding_id,
                             state.itl_sha1, state.ctl_sha1, state.reported_at, state.address, state.user_agent,
                             state.via, state.registered, state.registration_at, state.held.holding_id, state.held.sha1,
                             state.held.at, state.held_ctl.holding_id, state.held_ctl.sha1, state.held_ctl.at));
    phones.push_back(std::move(phone));
  }
  return phones;
}

}  // namespace

bool PhoneFilter::Chooses(const HoldingView& view) const {
  if (!statuses.empty() && !statuses.contains(view.status)) return false;
  if (evidence_only && view.holding.holding_id == 0) return false;
  if (server.empty()) return true;
  const std::string wanted = absl::AsciiStrToLower(server);
  return view.server == wanted || view.holding.reported_server == wanted;
}

absl::StatusOr<std::map<int64_t, int64_t>> PhoneReader::Count(const std::string& model, const std::string& site) {
  Parameters parameters;
  parameters.Int64(cluster_id_);
  if (!model.empty() && !site.empty()) {
    parameters.Text(site).Text(model);
  } else {
    parameters.Text(!model.empty() ? "model" : !site.empty() ? "site" : "").Text(model.empty() ? site : model);
  }
  ASSIGN_OR_RETURN(const Result rows,
                   connection_.Execute(!model.empty() && !site.empty() ? kCountBoth : kCount, parameters));
  std::map<int64_t, int64_t> counts;
  for (const Row row : rows) {
    int64_t holding_id = 0, phones = 0;
    RETURN_IF_ERROR(row.Scan(holding_id, phones));
    counts[holding_id] = phones;
  }
  return counts;
}

absl::StatusOr<std::vector<int64_t>> PhoneReader::ChosenHoldings(const PhoneFilter& filter) {
  ASSIGN_OR_RETURN(const auto counts, Count(filter.model, filter.site));
  std::vector<int64_t> chosen;
  for (const auto& [holding_id, phones] : counts) {
    if (filter.Chooses(views_.Get(holding_id))) chosen.push_back(holding_id);
  }
  return chosen;
}

absl::StatusOr<bool> PhoneReader::IsRare(const std::vector<int64_t>& holdings, absl::Time since) {
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(kIsRare, Parameters().Int64(cluster_id_).Int64Array(holdings).Time(since).Int64(kFew)));
  ASSIGN_OR_RETURN(const int64_t phones, rows.Value<int64_t>());
  return phones < kFew;
}

absl::StatusOr<std::vector<PhoneRow>> PhoneReader::List(const PhoneFilter& filter, const std::string& after,
                                                        int64_t limit) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> holdings, ChosenHoldings(filter));
  if (holdings.empty()) return std::vector<PhoneRow>();
  Parameters parameters;
  parameters.Int64(cluster_id_).Int64Array(holdings).Text(after).Int64(limit);
  std::string conditions;
  const auto add = [&](std::string_view condition) {
    conditions += fmt::format(" AND {} ${}", condition, parameters.size());
  };
  if (!filter.model.empty()) {
    parameters.Text(filter.model);
    add("p.model =");
  }
  if (!filter.site.empty()) {
    parameters.Text(filter.site);
    add("p.site =");
  }
  bool is_rare = false;
  if (filter.since) {
    ASSIGN_OR_RETURN(is_rare, IsRare(holdings, *filter.since));
    parameters.Time(*filter.since);
    add("p.reported_at >=");
  }
  // What is rare is read whole and sorted. Else each holding has its phones in the order of their names, of which a
  // page needs the beginnings. Of very many holdings, which few phones each share, one order of names is searched.
  std::string sql;
  if (is_rare) {
    sql = fmt::format(
        "SELECT " PHONE_COLUMNS
        " FROM unnest($2::bigint[]) AS h(id) CROSS JOIN LATERAL (SELECT * FROM phone p WHERE p.cluster_id = $1 AND "
        "p.holding_id = h.id{} AND p.device > $3 OFFSET 0) AS p ORDER BY p.device LIMIT $4",
        conditions);
  } else if (holdings.size() <= kMostMerged) {
    sql = fmt::format(
        "SELECT " PHONE_COLUMNS
        " FROM unnest($2::bigint[]) AS h(id) CROSS JOIN LATERAL (SELECT * FROM phone p WHERE p.cluster_id = $1 AND "
        "p.holding_id = h.id{} AND p.device > $3 ORDER BY p.device LIMIT $4) AS p ORDER BY p.device LIMIT $4",
        conditions);
  } else {
    sql = fmt::format(
        "SELECT " PHONE_COLUMNS
        " FROM phone p WHERE p.cluster_id = $1 AND p.holding_id = ANY($2){} AND p.device > $3 ORDER BY p.device LIMIT "
        "$4",
        conditions);
  }
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(sql.c_str(), parameters));
  return ReadRows(rows);
}

absl::StatusOr<PhoneRow> PhoneReader::Find(const std::string& device) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kFind, Parameters().Int64(cluster_id_).Text(device)));
  ASSIGN_OR_RETURN(std::vector<PhoneRow> phones, ReadRows(rows));
  if (phones.empty()) return NotFound("no device {} is in service", device);
  return std::move(phones.front());
}

}  // namespace trustline
