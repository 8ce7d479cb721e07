#include "ca/revocation/crl_publisher.h"

#include <algorithm>
#include <vector>

#include "ca/authority/authority_store.h"
#include "ca/revocation/crl_builder.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr char kMetric[] = "trustline_ca_crls_total";
constexpr char kHelp[] = "CRLs that were to be made";

// Past its end an authority makes none: nothing that it issued is good any more. A retired one, which is in no trust
// store, makes one more for what was revoked last.
constexpr Statement kDue = {
    "crls_due",
    "SELECT a.cluster_id, k.name, a.authority_id, a.key_name, coalesce(c.crl_number, 0), "
    "a.state <> 'retired' AND (c.crl_number IS NULL OR c.this_update < $1 OR c.this_update > $2) OR EXISTS (SELECT "
    "FROM issuance i WHERE i.cluster_id = a.cluster_id AND i.authority_id = a.authority_id AND i.state = 'revoked' AND "
    "i.first_crl_number IS NULL), c.trust_store_at IS NULL, a.state = 'retired' "
    "FROM ca_authority a JOIN cluster k USING (cluster_id) LEFT JOIN ca_crl c USING (cluster_id, authority_id) "
    "WHERE a.state <> 'requested' AND a.not_after > $3 ORDER BY a.cluster_id, a.authority_id"};
// Holds the row until the CRL is stored, so that numbers are in the order of what the CRLs say.
constexpr Statement kTakeNumber = {"take_crl_number",
                                   "UPDATE ca_authority SET crl_number = crl_number + 1 WHERE cluster_id = $1 AND "
                                   "authority_id = $2 RETURNING crl_number"};
// An entry stays until a CRL that was made after the certificate's end has named it (RFC 5280, section 3.3).
constexpr Statement kRevoked = {
    "crl_entries",
    "SELECT issuance_id, serial, revoked_at, revocation_reason, first_crl_number IS NULL FROM issuance "
    "WHERE cluster_id = $1 AND authority_id = $2 AND state = 'revoked' AND (first_crl_number IS NULL OR not_after >= "
    "coalesce((SELECT c.this_update FROM ca_crl c WHERE c.cluster_id = $1 AND c.authority_id = $2), '-infinity'))"};
constexpr Statement kStoreCrl = {
    "store_crl",
    "INSERT INTO ca_crl (cluster_id, authority_id, crl_number, der, sha256, this_update, next_update, revoked_count) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (cluster_id, authority_id) DO UPDATE SET crl_number = "
    "excluded.crl_number, der = excluded.der, sha256 = excluded.sha256, this_update = excluded.this_update, "
    "next_update = excluded.next_update, revoked_count = excluded.revoked_count, made_at = now(), trust_store_at = "
    "NULL"};
constexpr Statement kMarkNamed = {
    "mark_in_crl", "UPDATE issuance SET first_crl_number = $2 WHERE cluster_id = $1 AND issuance_id = ANY($3)"};
constexpr Statement kNewest = {"newest_crl",
                               "SELECT crl_number, der FROM ca_crl WHERE cluster_id = $1 AND authority_id = $2"};
constexpr Statement kMarkInTrustStore = {
    "mark_crl_in_trust_store",
    "UPDATE ca_crl SET trust_store_at = now() WHERE cluster_id = $1 AND authority_id = $2 AND crl_number = $3"};

}  // namespace

CrlPublisher::CrlPublisher(CrlPublisherOptions options, Pool& pool, AuthorityKeys& keys, TrustStoreClient& trust_store,
                           const Clock& clock, Log& log, Metrics& metrics)
    : options_(options),
      pool_(pool),
      keys_(keys),
      trust_store_(trust_store),
      clock_(clock),
      log_(log),
      made_(metrics.GetCounter(kMetric, kHelp, {{"outcome", "made"}})),
      failed_(metrics.GetCounter(kMetric, kHelp, {{"outcome", "failed"}})) {}

CrlPublisher::~CrlPublisher() { Stop(); }

void CrlPublisher::Start() {
  thread_ = std::thread([this] { Run(); });
}

void CrlPublisher::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void CrlPublisher::Wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

void CrlPublisher::Run() {
  std::string last_failure;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    const absl::Status published = Publish();
    if (!published.ok()) {
      failed_.Add();
      // The same reason every half second would fill the log.
      if (last_failure != StatusMessage(published)) {
        log_.Warning("CA_CRL_FAILED", "a CRL is not up to date; it is tried again", {{"reason", published}});
      }
      last_failure = StatusMessage(published);
    } else if (!last_failure.empty()) {
      last_failure.clear();
      log_.Info("CA_CRL_RECOVERED", "the CRLs are up to date again", {});
    }
    lock.lock();
    changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.interval), [this] { return stopping_ || woken_; });
  }
}

absl::Status CrlPublisher::Publish() {
  ASSIGN_OR_RETURN(const std::vector<Due> all, FindDue());
  absl::Status first_failure;
  for (const Due& due : all) {
    const absl::Status status = PublishOne(due);
    if (first_failure.ok())
      first_failure = Annotate(status, fmt::format("authority {} of {}", due.authority_id, due.cluster));
  }
  return first_failure;
}

absl::Status CrlPublisher::PublishOne(const Due& due) {
  bool is_new = false;
  absl::Status without_key;
  if (due.needs_crl) {
    const absl::StatusOr<std::shared_ptr<const AuthorityKey>> key = keys_.Find(due.key_name);
    if (key.ok()) {
      RETURN_IF_ERROR(MakeCrl(due, **key));
      is_new = true;
    } else if (IsOverdue(due)) {
      without_key = key.status();
    }
  }
  // Whoever can does it, also with what another cad has made.
  if (!due.is_retired && (is_new || due.needs_trust_store)) RETURN_IF_ERROR(BringToTrustStore(due));
  return without_key;
}

bool CrlPublisher::IsOverdue(const Due& due) {
  const absl::Time now = clock_.Now();
  const std::lock_guard lock(mutex_);
  Missing& missing = missing_[{due.cluster_id, due.authority_id}];
  if (missing.since == absl::Time() || missing.crl_number != due.crl_number) missing = {due.crl_number, now};
  return now - missing.since > options_.key_patience;
}

absl::StatusOr<std::vector<CrlPublisher::Due>> CrlPublisher::FindDue() {
  const absl::Time now = clock_.Now();
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  // One from the future was made before the clock was set back.
  ASSIGN_OR_RETURN(
      const Result result,
      lease->Execute(kDue, Parameters().Time(now - options_.renew_after).Time(now + absl::Hours(1)).Time(now)));
  std::vector<Due> all;
  for (const Row row : result) {
    Due& due = all.emplace_back();
    RETURN_IF_ERROR(row.Scan(due.cluster_id, due.cluster, due.authority_id, due.key_name, due.crl_number, due.needs_crl,
                             due.needs_trust_store, due.is_retired));
  }
  const std::lock_guard lock(mutex_);
  for (const Due& due : all) {
    if (!due.needs_crl) missing_.erase({due.cluster_id, due.authority_id});
  }
  return all;
}

absl::Status CrlPublisher::MakeCrl(const Due& due, const AuthorityKey& key) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  const absl::Status made = RunInTransaction(*lease, {}, [&](Connection& connection) -> absl::Status {
    const Parameters of_authority = Parameters().Int64(due.cluster_id).Int64(due.authority_id);
    ASSIGN_OR_RETURN(const Result taken, connection.Execute(kTakeNumber, of_authority));
    ASSIGN_OR_RETURN(const int64_t number, taken.Value<int64_t>());
    ASSIGN_OR_RETURN(const Authority authority, AuthorityStore(connection, due.cluster_id).Load(due.authority_id));
    if (!authority.certificate) return absl::OkStatus();

    // Whole seconds, as a CRL has them; never past the authority's own end.
    const absl::Time now = absl::FromUnixSeconds(absl::ToUnixSeconds(clock_.Now()));
    const absl::Time next = std::min(now + options_.lifetime, authority.certificate->not_after());
    ASSIGN_OR_RETURN(CrlBuilder builder, CrlBuilder::Begin(*authority.certificate, now, next));
    std::vector<int64_t> new_ones;
    RETURN_IF_ERROR(connection.ForEachRow(kRevoked, of_authority, [&](const Row& row) -> absl::Status {
      int64_t id = 0;
      std::string serial;
      absl::Time revoked_at;
      int16_t reason = 0;
      bool is_new = false;
      RETURN_IF_ERROR(row.Scan(id, serial, revoked_at, reason, is_new));
      if (is_new) new_ones.push_back(id);
      return builder.Add(AsBytes(serial), revoked_at, static_cast<RevocationReason>(reason));
    }));
    ASSIGN_OR_RETURN(const std::string der, builder.Sign(number, key));
    RETURN_IF_ERROR(connection
                        .Execute(kStoreCrl, Parameters()
                                                .Int64(due.cluster_id)
                                                .Int64(due.authority_id)
                                                .Int64(number)
                                                .Bytes(AsBytes(der))
                                                .Bytes(Sha256(AsBytes(der)))
                                                .Time(now)
                                                .Time(next)
                                                .Int64(builder.count()))
                        .status());
    return connection.Execute(kMarkNamed, Parameters().Int64(due.cluster_id).Int64(number).Int64Array(new_ones))
        .status();
  });
  RETURN_IF_ERROR(made);
  made_.Add();
  return absl::OkStatus();
}

absl::Status CrlPublisher::BringToTrustStore(const Due& due) {
  int64_t number = 0;
  std::string der;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    ASSIGN_OR_RETURN(const Result newest,
                     lease->Execute(kNewest, Parameters().Int64(due.cluster_id).Int64(due.authority_id)));
    if (newest.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(newest[0].Scan(number, der));
  }
  RETURN_IF_ERROR(trust_store_.AddCrl(due.cluster, der));
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  return lease->Execute(kMarkInTrustStore, Parameters().Int64(due.cluster_id).Int64(due.authority_id).Int64(number))
      .status();
}

}  // namespace trustline
