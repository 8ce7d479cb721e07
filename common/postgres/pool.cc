#include "common/postgres/pool.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "common/status/status.h"

namespace trustline {

class Pool::State {
 public:
  explicit State(const PoolOptions& options) : options_(options) {
    options_.connection.interrupt = &interrupt_;
    opener_ = std::thread([this] { OpenConnections(); });
  }

  ~State() {
    Shutdown();
    opener_.join();
  }

  absl::StatusOr<std::unique_ptr<Connection>> Acquire(absl::Duration timeout);
  void Release(std::unique_ptr<Connection> connection);
  void Shutdown();

  const PoolOptions& options() const { return options_; }
  const PoolStatistics& statistics() const { return statistics_; }

 private:
  using SteadyClock = std::chrono::steady_clock;

  void OpenConnections();
  std::unique_ptr<Connection> TakeIdle();
  void Discard(std::unique_ptr<Connection> connection);
  // The last attempt to connect failed and the next is not due.
  bool BackingOff() const { return !last_failure_.ok() && SteadyClock::now() < next_attempt_; }

  PoolOptions options_;
  Interrupt interrupt_;
  PoolStatistics statistics_;

  std::mutex mutex_;
  std::condition_variable wanted_;   // for the opener
  std::condition_variable changed_;  // for those who wait in Acquire()
  std::vector<std::unique_ptr<Connection>> idle_;
  int open_ = 0;     // idle, leased or being opened
  int waiting_ = 0;  // threads in Acquire() without a connection
  bool opening_ = false;
  bool shut_down_ = false;
  absl::Status last_failure_;
  SteadyClock::time_point next_attempt_;
  std::thread opener_;
};

void Pool::State::OpenConnections() {
  std::unique_lock lock(mutex_);
  absl::Duration retry = options_.first_retry;
  while (true) {
    wanted_.wait(lock, [&] {
      return shut_down_ || (waiting_ > 0 && idle_.empty() && open_ < options_.max_connections && !BackingOff());
    });
    if (shut_down_) return;
    ++open_;
    opening_ = true;
    lock.unlock();
    absl::StatusOr<Connection> opened = Connection::Open(options_.connection);
    lock.lock();
    opening_ = false;
    last_failure_ = opened.status();
    if (opened.ok()) {
      retry = options_.first_retry;
      ++statistics_.connected;
      ++statistics_.open;
      ++statistics_.idle;
      idle_.push_back(std::make_unique<Connection>(*std::move(opened)));
    } else {
      --open_;
      ++statistics_.connect_failures;
      next_attempt_ = SteadyClock::now() + absl::ToChronoNanoseconds(retry);
      retry = std::min(2 * retry, options_.longest_retry);
    }
    changed_.notify_all();
  }
}

// The most recently used idle connection that is alive; null without one. Needs the lock.
std::unique_ptr<Connection> Pool::State::TakeIdle() {
  while (!idle_.empty()) {
    std::unique_ptr<Connection> connection = std::move(idle_.back());
    idle_.pop_back();
    --statistics_.idle;
    if (connection->CheckAlive()) return connection;
    Discard(std::move(connection));
  }
  return nullptr;
}

// Needs the lock.
void Pool::State::Discard(std::unique_ptr<Connection> connection) {
  connection.reset();
  --open_;
  --statistics_.open;
  ++statistics_.discarded;
  wanted_.notify_one();
}

absl::StatusOr<std::unique_ptr<Connection>> Pool::State::Acquire(absl::Duration timeout) {
  const auto deadline =
      SteadyClock::now() + absl::ToChronoNanoseconds(std::clamp(timeout, absl::ZeroDuration(), absl::Hours(24)));
  std::unique_lock lock(mutex_);
  for (bool first = true;; first = false) {
    if (shut_down_) return Unavailable("the connection pool is shut down");
    if (std::unique_ptr<Connection> connection = TakeIdle(); connection != nullptr) return connection;
    if (first) ++statistics_.waits;
    const bool full = open_ >= options_.max_connections && !opening_;
    if (!full && BackingOff()) return last_failure_;
    if (SteadyClock::now() >= deadline) {
      ++statistics_.timeouts;
      if (full) {
        return ResourceExhausted("all {} database connections stayed in use for {}; raise the pool's size",
                                 options_.max_connections, absl::FormatDuration(timeout));
      }
      return Unavailable("no connection to PostgreSQL within {}", absl::FormatDuration(timeout));
    }
    ++waiting_;
    wanted_.notify_one();
    changed_.wait_until(lock, deadline);
    --waiting_;
  }
}

void Pool::State::Release(std::unique_ptr<Connection> connection) {
  const std::lock_guard lock(mutex_);
  if (!connection->ok() || connection->InTransaction() || shut_down_) {
    Discard(std::move(connection));
  } else {
    idle_.push_back(std::move(connection));
    ++statistics_.idle;
  }
  changed_.notify_one();
}

void Pool::State::Shutdown() {
  const std::lock_guard lock(mutex_);
  if (shut_down_) return;
  shut_down_ = true;
  interrupt_.Raise();
  while (!idle_.empty()) {
    Discard(std::move(idle_.back()));
    idle_.pop_back();
    --statistics_.idle;
  }
  wanted_.notify_all();
  changed_.notify_all();
}

absl::StatusOr<std::unique_ptr<Pool>> Pool::Create(const PoolOptions& options) {
  if (options.max_connections < 1) return InvalidArgument("a connection pool needs at least one connection");
  if (options.acquire_timeout < absl::ZeroDuration()) return InvalidArgument("acquire_timeout must not be negative");
  if (options.first_retry <= absl::ZeroDuration() || options.longest_retry < options.first_retry) {
    return InvalidArgument("the pool's first_retry must be above zero and at most longest_retry");
  }
  if (options.connection.connect_timeout <= absl::ZeroDuration() ||
      options.connection.query_timeout <= absl::ZeroDuration()) {
    return InvalidArgument("the timeouts of a PostgreSQL connection must be above zero");
  }
  if (options.connection.interrupt != nullptr) return InvalidArgument("a pool's connections have the pool's interrupt");
  return std::unique_ptr<Pool>(new Pool(std::make_unique<State>(options)));
}

Pool::Pool(std::unique_ptr<State> state) : state_(std::move(state)) {}
Pool::~Pool() = default;

absl::StatusOr<Pool::Lease> Pool::Acquire() { return Acquire(state_->options().acquire_timeout); }

absl::StatusOr<Pool::Lease> Pool::Acquire(absl::Duration timeout) {
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, state_->Acquire(timeout));
  return Lease(this, std::move(connection));
}

void Pool::Shutdown() { state_->Shutdown(); }

const PoolStatistics& Pool::statistics() const { return state_->statistics(); }

Pool::Lease::Lease(Pool* pool, std::unique_ptr<Connection> connection)
    : pool_(pool), connection_(std::move(connection)) {}

Pool::Lease::Lease(Lease&& other) noexcept = default;

Pool::Lease& Pool::Lease::operator=(Lease&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(connection_, other.connection_);
  return *this;
}

Pool::Lease::~Lease() {
  if (connection_ != nullptr) pool_->state_->Release(std::move(connection_));
}

}  // namespace trustline
