#include "tvs/crl_downloads.h"

#include <algorithm>
#include <set>

#include "common/status/status.h"
#include "common/x509/crl.h"

namespace trustline {
namespace {

using std::chrono::steady_clock;

constexpr absl::Duration kConnectTimeout = absl::Seconds(1);
// A look that takes longer means a database that is as good as away.
constexpr absl::Duration kLookTimeout = absl::Seconds(1);
constexpr absl::Duration kReadTimeout = absl::Seconds(20);

// The length of a bytea is known without reading it.
constexpr Statement kLook = {"look_at_ca_crls",
                             "SELECT a.key_name, c.sha256, octet_length(c.der)::bigint FROM ca_crl c"
                             " JOIN ca_authority a USING (cluster_id, authority_id) WHERE a.key_name = ANY($1)"};
constexpr Statement kRead = {"read_ca_crl",
                             "SELECT c.der, c.sha256, c.next_update FROM ca_crl c"
                             " JOIN ca_authority a USING (cluster_id, authority_id) WHERE a.key_name = $1"};

absl::Status NoCrl(const std::string& key_name) { return NotFound("no authority {} has a CRL", key_name); }

}  // namespace

absl::StatusOr<std::unique_ptr<CrlDownloads>> CrlDownloads::Create(CrlDownloadsOptions options, const Clock& clock,
                                                                   Log& log) {
  PoolOptions pool_options;
  pool_options.connection = {.conninfo = options.connection,
                             .application_name = options.application_name,
                             .connect_timeout = kConnectTimeout,
                             .query_timeout = kLookTimeout};
  pool_options.max_connections = 1;  // of the one thread
  pool_options.acquire_timeout = kConnectTimeout;
  ASSIGN_OR_RETURN(std::unique_ptr<Pool> pool, Pool::Create(pool_options));
  return std::unique_ptr<CrlDownloads>(new CrlDownloads(std::move(options), std::move(pool), clock, log));
}

CrlDownloads::CrlDownloads(CrlDownloadsOptions options, std::unique_ptr<Pool> pool, const Clock& clock, Log& log)
    : options_(std::move(options)), clock_(clock), log_(log), pool_(std::move(pool)) {
  thread_ = std::thread([this] { AnswerLoop(); });
}

void CrlDownloads::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  pool_->Shutdown();
  if (thread_.joinable()) thread_.join();
}

void CrlDownloads::Find(std::string key_name, Done done) {
  std::unique_lock lock(mutex_);
  if (stopping_) {
    lock.unlock();
    done(Unavailable("this node is stopping"));
    return;
  }
  const auto found = cached_.find(key_name);
  const SteadyTime now = steady_clock::now();
  if (found != cached_.end() && now - found->second.confirmed < options_.confirm_interval &&
      (!found->second.crl.database_away || found->second.crl.next_update > clock_.Now())) {
    found->second.used = now;
    const CrlDownload crl = found->second.crl;
    lock.unlock();
    done(crl);
    return;
  }
  waiting_.push_back({std::move(key_name), std::move(done)});
  lock.unlock();
  wake_.notify_all();
}

void CrlDownloads::AnswerLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    std::vector<Waiting> asked = std::exchange(waiting_, {});
    const bool stopping = stopping_;
    lock.unlock();
    if (stopping) {
      for (const Waiting& one : asked) one.done(Unavailable("this node is stopping"));
      return;
    }
    AnswerAll(std::move(asked));
    lock.lock();
  }
}

void CrlDownloads::AnswerAll(std::vector<Waiting> asked) {
  std::ranges::stable_sort(asked, {}, &Waiting::key_name);
  std::set<std::string> names;
  for (const Waiting& one : asked) names.insert(one.key_name);
  const absl::StatusOr<std::map<std::string, Stored>> stored = Look({names.begin(), names.end()});
  ReportDatabase(stored.status());
  auto one = asked.begin();
  for (const std::string& name : names) {
    const absl::StatusOr<CrlDownload> answer = stored.ok() ? Refresh(name, *stored) : FromMemory(name, stored.status());
    for (; one != asked.end() && one->key_name == name; ++one) one->done(answer);
  }
}

absl::StatusOr<std::map<std::string, CrlDownloads::Stored>> CrlDownloads::Look(
    const std::vector<std::string>& key_names) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_->Acquire());
  ASSIGN_OR_RETURN(const Result rows, lease->Execute(kLook, Parameters().TextArray(key_names)));
  std::map<std::string, Stored> stored;
  for (const Row row : rows) {
    std::string key_name;
    Stored crl;
    RETURN_IF_ERROR(row.Scan(key_name, crl.sha256, crl.size));
    stored.emplace(std::move(key_name), crl);
  }
  return stored;
}

absl::StatusOr<CrlDownload> CrlDownloads::Refresh(const std::string& key_name,
                                                  const std::map<std::string, Stored>& stored) {
  const auto found = stored.find(key_name);
  {
    const std::lock_guard lock(mutex_);
    const auto cached = cached_.find(key_name);
    if (found == stored.end()) {
      if (cached != cached_.end()) cached_.erase(cached);
      return NoCrl(key_name);
    }
    if (cached != cached_.end() && cached->second.crl.sha256 == found->second.sha256) {
      cached->second.crl.database_away = false;
      cached->second.confirmed = cached->second.used = steady_clock::now();
      return cached->second.crl;
    }
  }
  if (found->second.size > static_cast<int64_t>(kMaxCrlSize)) {
    log_.Error("CRL_TOO_LARGE", "a CRL is not served: it is larger than anybody reads",
               {{"authority", key_name}, {"bytes", found->second.size}});
    return Unavailable("the CRL is too large to be served");
  }
  absl::StatusOr<CrlDownload> crl = Read(key_name);
  if (absl::IsNotFound(crl.status())) return NoCrl(key_name);
  if (!crl.ok()) {
    ReportDatabase(crl.status());
    return FromMemory(key_name, crl.status());
  }
  Keep(key_name, *crl);
  return crl;
}

absl::StatusOr<CrlDownload> CrlDownloads::Read(const std::string& key_name) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_->Acquire());
  RETURN_IF_ERROR(lease->SetQueryTimeout(kReadTimeout));
  const absl::StatusOr<Result> read = lease->Execute(kRead, Parameters().Text(key_name));
  // The next look must not wait as long; a connection that cannot be told so is broken.
  RETURN_IF_ERROR(lease->SetQueryTimeout(kLookTimeout));
  RETURN_IF_ERROR(read.status());
  const Result& rows = *read;
  if (rows.empty()) return NoCrl(key_name);
  CrlDownload crl;
  std::string der;
  RETURN_IF_ERROR(rows[0].Scan(der, crl.sha256, crl.next_update));
  crl.der = std::make_shared<const std::string>(std::move(der));
  return crl;
}

absl::StatusOr<CrlDownload> CrlDownloads::FromMemory(const std::string& key_name, const absl::Status& away) {
  const std::lock_guard lock(mutex_);
  const auto cached = cached_.find(key_name);
  if (cached == cached_.end() || cached->second.crl.next_update <= clock_.Now()) {
    return Unavailable("the database is away: {}", StatusMessage(away));
  }
  cached->second.crl.database_away = true;
  // The next attempt comes after the interval, too: until then nobody waits for a database that is away.
  cached->second.confirmed = cached->second.used = steady_clock::now();
  return cached->second.crl;
}

void CrlDownloads::Keep(const std::string& key_name, const CrlDownload& crl) {
  const SteadyTime now = steady_clock::now();
  const std::lock_guard lock(mutex_);
  cached_.insert_or_assign(key_name, Cached{crl, now, now});
  const auto bytes = [this] {
    size_t sum = 0;
    for (const auto& [name, cached] : cached_) sum += cached.crl.der->size();
    return sum;
  };
  while (cached_.size() > options_.max_authorities || bytes() > options_.max_bytes) {
    cached_.erase(std::ranges::min_element(cached_, {}, [](const auto& entry) { return entry.second.used; }));
  }
}

void CrlDownloads::ReportDatabase(const absl::Status& status) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;  // the pool was shut down
  }
  if (status.ok() != database_away_) return;
  database_away_ = !status.ok();
  if (status.ok()) {
    log_.Info("CRL_DATABASE_BACK", "CRLs are read from the database again");
  } else {
    log_.Warning("CRL_DATABASE_AWAY",
                 "CRLs cannot be read; those that are in memory are served until their next update",
                 {{"reason", status}});
  }
}

}  // namespace trustline
