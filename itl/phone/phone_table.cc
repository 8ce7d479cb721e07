#include "itl/phone/phone_table.h"

#include <algorithm>

#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// What a list of numbers has for NULL: no time and no truth value is less than zero.
constexpr int64_t kNone = -1;

constexpr Statement kLock = {
    "phones_lock",
    "SELECT device, holding_id::bigint, ctl_holding_id::bigint, itl_sha1, ctl_sha1, reported_at, address, user_agent, "
    "via, registered, registration_at, held_id::bigint, held_sha1, held_at, held_ctl_id::bigint, held_ctl_sha1, "
    "held_ctl_at FROM phone WHERE cluster_id = $1 AND device = ANY($2) ORDER BY device FOR UPDATE"};
#define MOMENT(column) \
  "CASE WHEN n." column " >= 0 THEN 'epoch'::timestamptz + n." column " * interval '1 microsecond' END"
constexpr Statement kWrite = {
    "phones_write",
    "UPDATE phone p SET holding_id = n.holding_id, ctl_holding_id = n.ctl_holding_id, itl_sha1 = nullif(n.itl_sha1, "
    "''::bytea), ctl_sha1 = nullif(n.ctl_sha1, ''::bytea), reported_at = " MOMENT("reported_at")
    ", address = n.address, user_agent = n.user_agent, via = n.via, registered = CASE WHEN n.registered >= 0 THEN "
    "n.registered = 1 END, registration_at = " MOMENT("registration_at")
    ", held_id = n.held_id, held_sha1 = nullif(n.held_sha1, ''::bytea), held_at = " MOMENT("held_at")
    ", held_ctl_id = n.held_ctl_id, held_ctl_sha1 = nullif(n.held_ctl_sha1, ''::bytea), held_ctl_at = "
    MOMENT("held_ctl_at")
    " FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bigint[], $8::text[], "
    "$9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bytea[], $15::bigint[], $16::bigint[], "
    "$17::bytea[], $18::bigint[]) AS n(device, holding_id, ctl_holding_id, itl_sha1, ctl_sha1, reported_at, address, "
    "user_agent, via, registered, registration_at, held_id, held_sha1, held_at, held_ctl_id, held_ctl_sha1, "
    "held_ctl_at) WHERE p.cluster_id = $1 AND p.device = n.device COLLATE \"C\""};
constexpr Statement kLedger = {
    "phone_ledger_add",
    "INSERT INTO phone_held AS h (cluster_id, device, holding_id, sha1, how, first_at, last_at) SELECT $1, n.device, "
    "n.holding_id, n.sha1, n.how, " MOMENT("first_at") ", " MOMENT("last_at")
    " FROM unnest($2::text[], $3::bigint[], $4::bytea[], $5::text[], $6::bigint[], $7::bigint[]) AS n(device, "
    "holding_id, sha1, how, first_at, last_at) ON CONFLICT (cluster_id, device, holding_id, sha1, how) DO UPDATE SET "
    "first_at = least(h.first_at, excluded.first_at), last_at = greatest(h.last_at, excluded.last_at)"};
// A ledger that a broken forwarder fills keeps the lists that are known here, and the newest of the others.
constexpr Statement kTrimLedger = {
    "phone_ledger_trim",
    "DELETE FROM phone_held h USING (SELECT d.device, d.holding_id, d.sha1, d.how, row_number() OVER (PARTITION BY "
    "d.device ORDER BY k.list_id = 0 AND k.adopted_id = 0 AND k.state = 'hash', d.last_at DESC) AS place FROM "
    "phone_held "
    "d JOIN phone_holding k USING (cluster_id, holding_id) WHERE d.cluster_id = $1 AND d.device = ANY($2)) o WHERE "
    "h.cluster_id = $1 AND (h.device, h.holding_id, h.sha1, h.how) = (o.device, o.holding_id, o.sha1, o.how) AND "
    "o.place "
    "> 100"};
constexpr Statement kHistory = {
    "phone_history_add",
    "INSERT INTO phone_history (cluster_id, device, at, event, holding_id, ctl_holding_id, itl_sha1, address, via) "
    "SELECT $1, n.device, " MOMENT("at")
    ", n.event, n.holding_id, n.ctl_holding_id, nullif(n.itl_sha1, ''::bytea), n.address, n.via FROM "
    "unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bytea[], $8::text[], $9::text[]) "
    "AS n(device, at, event, holding_id, ctl_holding_id, itl_sha1, address, via)"};
#undef MOMENT

std::string Bytes(const std::optional<Sha1Digest>& digest) {
  return digest ? std::string(AsText(*digest)) : std::string();
}
int64_t Micros(const std::optional<absl::Time>& time) { return time ? absl::ToUnixMicros(*time) : kNone; }

}  // namespace

absl::StatusOr<std::map<std::string, PhoneState>> PhoneTable::Lock(const std::set<std::string>& devices) {
  const std::vector<std::string> wanted(devices.begin(), devices.end());
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kLock, Parameters().Int64(cluster_id_).TextArray(wanted)));
  std::map<std::string, PhoneState> phones;
  for (const Row row : rows) {
    PhoneState phone;
    RETURN_IF_ERROR(row.Scan(phone.device, phone.holding_id, phone.ctl_holding_id, phone.itl_sha1, phone.ctl_sha1,
                             phone.reported_at, phone.address, phone.user_agent, phone.via, phone.registered,
                             phone.registration_at, phone.held.holding_id, phone.held.sha1, phone.held.at,
                             phone.held_ctl.holding_id, phone.held_ctl.sha1, phone.held_ctl.at));
    std::string device = phone.device;
    phones.emplace_hint(phones.end(), std::move(device), std::move(phone));
  }
  return phones;
}

absl::Status PhoneTable::Write(const std::vector<const PhoneState*>& phones) {
  if (phones.empty()) return absl::OkStatus();
  std::vector<std::string> devices, itl_sha1s, ctl_sha1s, addresses, user_agents, vias, held_sha1s, held_ctl_sha1s;
  std::vector<int64_t> holdings, ctl_holdings, reported, registered, registrations, held, held_at, held_ctl,
      held_ctl_at;
  for (const PhoneState* phone : phones) {
    devices.push_back(phone->device);
    holdings.push_back(phone->holding_id);
    ctl_holdings.push_back(phone->ctl_holding_id);
    itl_sha1s.push_back(Bytes(phone->itl_sha1));
    ctl_sha1s.push_back(Bytes(phone->ctl_sha1));
    reported.push_back(Micros(phone->reported_at));
    addresses.push_back(phone->address);
    user_agents.push_back(phone->user_agent);
    vias.push_back(phone->via);
    registered.push_back(phone->registered ? (*phone->registered ? 1 : 0) : kNone);
    registrations.push_back(Micros(phone->registration_at));
    held.push_back(phone->held.holding_id);
    held_sha1s.push_back(Bytes(phone->held.sha1));
    held_at.push_back(Micros(phone->held.at));
    held_ctl.push_back(phone->held_ctl.holding_id);
    held_ctl_sha1s.push_back(Bytes(phone->held_ctl.sha1));
    held_ctl_at.push_back(Micros(phone->held_ctl.at));
  }
  return connection_
      .Execute(kWrite, Parameters()
                           .Int64(cluster_id_)
                           .TextArray(devices)
                           .Int64Array(holdings)
                           .Int64Array(ctl_holdings)
                           .BytesArray(itl_sha1s)
                           .BytesArray(ctl_sha1s)
                           .Int64Array(reported)
                           .TextArray(addresses)
                           .TextArray(user_agents)
                           .TextArray(vias)
                           .Int64Array(registered)
                           .Int64Array(registrations)
                           .Int64Array(held)
                           .BytesArray(held_sha1s)
                           .Int64Array(held_at)
                           .Int64Array(held_ctl)
                           .BytesArray(held_ctl_sha1s)
                           .Int64Array(held_ctl_at))
      .status();
}

absl::Status PhoneTable::AddToLedger(const std::map<LedgerKey, LedgerSpan>& entries) {
  if (entries.empty()) return absl::OkStatus();
  std::vector<std::string> devices, sha1s, hows;
  std::vector<int64_t> holdings, first, last;
  for (const auto& [key, span] : entries) {
    devices.push_back(key.device);
    holdings.push_back(key.holding_id);
    sha1s.push_back(key.sha1);
    hows.push_back(key.how);
    first.push_back(absl::ToUnixMicros(span.first_at));
    last.push_back(absl::ToUnixMicros(span.last_at));
  }
  return connection_
      .Execute(kLedger, Parameters()
                            .Int64(cluster_id_)
                            .TextArray(devices)
                            .Int64Array(holdings)
                            .BytesArray(sha1s)
                            .TextArray(hows)
                            .Int64Array(first)
                            .Int64Array(last))
      .status();
}

absl::Status PhoneTable::AddToHistory(const std::vector<HistoryEvent>& events) {
  if (events.empty()) return absl::OkStatus();
  std::vector<std::string> devices, names, sha1s, addresses, vias;
  std::vector<int64_t> times, holdings, ctl_holdings;
  for (const HistoryEvent& event : events) {
    devices.push_back(event.device);
    times.push_back(absl::ToUnixMicros(event.at));
    names.emplace_back(event.event);
    holdings.push_back(event.holding_id);
    ctl_holdings.push_back(event.ctl_holding_id);
    sha1s.push_back(Bytes(event.itl_sha1));
    addresses.push_back(event.address);
    vias.push_back(event.via);
  }
  RETURN_IF_ERROR(connection_
                      .Execute(kHistory, Parameters()
                                             .Int64(cluster_id_)
                                             .TextArray(devices)
                                             .Int64Array(times)
                                             .TextArray(names)
                                             .Int64Array(holdings)
                                             .Int64Array(ctl_holdings)
                                             .BytesArray(sha1s)
                                             .TextArray(addresses)
                                             .TextArray(vias))
                      .status());
  // Only what changes can make a ledger longer.
  return connection_.Execute(kTrimLedger, Parameters().Int64(cluster_id_).TextArray(devices)).status();
}

}  // namespace trustline
