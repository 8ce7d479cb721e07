#include "capf/work_queue.h"

#include <utility>

namespace trustline {

WorkQueue::WorkQueue(size_t threads, size_t capacity) : capacity_(capacity) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

bool WorkQueue::Post(std::function<void()> work) { return Enqueue(std::move(work), true); }

bool WorkQueue::PostAlways(std::function<void()> work) { return Enqueue(std::move(work), false); }

bool WorkQueue::Enqueue(std::function<void()> work, bool is_bounded) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_ || (is_bounded && waiting_.size() >= capacity_)) return false;
    waiting_.push_back(std::move(work));
  }
  changed_.notify_one();
  return true;
}

void WorkQueue::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

size_t WorkQueue::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size();
}

void WorkQueue::Run() {
  while (true) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
  }
}

}  // namespace trustline
