// Threads for what blocks, with a bound on what waits for them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace trustline {

// Where work is done that would hold up whoever asks for it. Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;

  // False, and the work is dropped, when too much waits already or nothing is begun any more.
  virtual bool Post(std::function<void()> work) = 0;
  // The same without a bound, for what must not be dropped and whose number something else bounds.
  virtual bool PostAlways(std::function<void()> work) = 0;
};

// Work is begun in the order in which it came.
class WorkQueue final : public Executor {
 public:
  WorkQueue(size_t threads, size_t capacity);
  ~WorkQueue() override { Stop(); }

  // `capacity` pieces may wait.
  bool Post(std::function<void()> work) override;
  bool PostAlways(std::function<void()> work) override;

  // Finishes what waits, then ends the threads. Idempotent; not from a thread of its own.
  void Stop();

  size_t waiting() const;

 private:
  bool Enqueue(std::function<void()> work, bool is_bounded);
  void Run();

  const size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace trustline
