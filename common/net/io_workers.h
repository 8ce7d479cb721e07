// The threads that serve all phone-facing listeners of a process.
#pragma once

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trustline {

// One thread with an event loop of its own. A connection stays on its worker for life.
class IoWorker {
 public:
  IoWorker(size_t index, std::string thread_name);
  ~IoWorker() { Join(); }

  size_t index() const { return index_; }
  boost::asio::io_context& context() { return context_; }

  // Room for one read, for use within one handler in this worker's thread.
  std::array<uint8_t, 16'384>& read_buffer() { return read_buffer_; }

  // Starts the thread, with all signals blocked: the program's main thread handles them.
  absl::Status Start();

  // Makes the started thread wait for a free core, or the end of a time slice, instead of interrupting another thread
  // (SCHED_BATCH, sched(7)). On a busy machine it then accepts many connections at each turn.
  void YieldToOthers();

  // Runs `work` in the worker's thread and returns when it, and all handlers queued before its end, have run. Not from
  // that thread.
  void RunAndSettle(const std::function<void()>& work);

  // Lets the handler that runs finish, drops the others, and ends the thread.
  void Join();

 private:
  const size_t index_;
  const std::string thread_name_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
  std::array<uint8_t, 16'384> read_buffer_;
  std::thread thread_;
};

// A fixed number of workers, and one more thread that only accepts connections, so that no handshake delays it.
// Must outlive every server that was started on it.
class IoWorkers {
 public:
  // `count` 0 is one worker for each processor core that this process may use.
  static absl::StatusOr<std::unique_ptr<IoWorkers>> Start(size_t count = 0);

  size_t size() const { return workers_.size(); }

  // Shared, so that late completions of outside work may still post to a worker whose server has ended.
  const std::shared_ptr<IoWorker>& worker(size_t index) const { return workers_[index]; }
  IoWorker& acceptor() const { return *acceptor_; }

  ~IoWorkers();

 private:
  IoWorkers() = default;

  std::vector<std::shared_ptr<IoWorker>> workers_;
  std::unique_ptr<IoWorker> acceptor_;
};

}  // namespace trustline
