// A bounded set of connections that many threads share.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"

namespace trustline {

struct PoolOptions {
  ConnectionOptions connection;  // its interrupt must be null: the pool has its own
  int max_connections = 4;
  // How long Acquire() waits for a connection.
  absl::Duration acquire_timeout = absl::Seconds(5);
  // After a failed attempt to connect the next one comes after this, doubling up to the maximum. Until then Acquire()
  // fails at once with the reason.
  absl::Duration first_retry = absl::Milliseconds(50);
  absl::Duration longest_retry = absl::Seconds(1);
};

struct PoolStatistics {
  std::atomic<int64_t> open = 0;
  std::atomic<int64_t> idle = 0;
  std::atomic<int64_t> waits = 0;      // Acquire() calls that found no idle connection
  std::atomic<int64_t> timeouts = 0;   // Acquire() calls that gave up
  std::atomic<int64_t> connected = 0;  // connections made since the start
  std::atomic<int64_t> connect_failures = 0;
  std::atomic<int64_t> discarded = 0;  // connections dropped because they were broken or left in a transaction
};

// Thread-safe. Connections are opened when first needed, by a thread of the pool, so that no caller waits past its
// deadline. A broken connection is never handed out. Must outlive its leases.
class Pool {
 public:
  // The right to use one connection; goes back when destroyed. A connection left broken or in a transaction is dropped.
  class Lease {
   public:
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease();
    Connection& operator*() const { return *connection_; }
    Connection* operator->() const { return connection_.get(); }

   private:
    friend class Pool;
    Lease(Pool* pool, std::unique_ptr<Connection> connection);
    Pool* pool_;
    std::unique_ptr<Connection> connection_;
  };

  // InvalidArgument for options that contradict themselves. Does not connect.
  static absl::StatusOr<std::unique_ptr<Pool>> Create(const PoolOptions& options);
  ~Pool();

  // While the database cannot be used, the error of the last attempt to connect (mostly Unavailable; Unauthenticated,
  // NotFound, InvalidArgument for a wrong connection string); ResourceExhausted when all connections stayed in use for
  // the whole time; Unavailable after Shutdown() or when connecting takes longer.
  absl::StatusOr<Lease> Acquire();
  absl::StatusOr<Lease> Acquire(absl::Duration timeout);

  // Ends all waits and running statements of the pool's connections with Cancelled; later Acquire() calls fail.
  void Shutdown();

  const PoolStatistics& statistics() const;

 private:
  class State;
  explicit Pool(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trustline
