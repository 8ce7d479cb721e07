// One immutable value that many threads read without a lock while another replaces it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace trustline {

// Readers take no lock and never wait: they count themselves in and out of a slot of their own. Publish() swaps the
// value, waits until every reader that may have seen the old one has left, and frees it, so that at most two values
// exist at once.
template <typename T>
class Published {
 public:
  explicit Published(std::unique_ptr<const T> first) : value_(first.release()) {}
  ~Published() { delete value_.load(); }
  Published(const Published&) = delete;
  Published& operator=(const Published&) = delete;

  // The value as of its construction. Keep it for the length of one answer, not longer: Publish() waits for it.
  class View {
   public:
    explicit View(const Published& published) : readers_(published.slots_[ThreadSlot()].readers) {
      // Sequential consistency orders this increment before the load below for Publish(), which exchanges the value
      // first and looks at the counters after.
      readers_.fetch_add(1, std::memory_order_seq_cst);
      value_ = published.value_.load(std::memory_order_seq_cst);
    }
    ~View() { readers_.fetch_sub(1, std::memory_order_release); }
    View(const View&) = delete;
    View& operator=(const View&) = delete;

    const T& operator*() const { return *value_; }
    const T* operator->() const { return value_; }

   private:
    std::atomic<size_t>& readers_;
    const T* value_;
  };

  // Must not be called by a thread that holds a View.
  void Publish(std::unique_ptr<const T> next) {
    const std::lock_guard lock(publishing_);
    const std::unique_ptr<const T> old(value_.exchange(next.release(), std::memory_order_seq_cst));
    for (const Slot& slot : slots_) {
      while (slot.readers.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
    }
  }

 private:
  // Threads beyond this number share a slot, which costs them speed only.
  static constexpr size_t kSlots = 64;
  struct alignas(64) Slot {
    mutable std::atomic<size_t> readers = 0;
  };

  static size_t ThreadSlot() {
    static std::atomic<size_t> next = 0;
    thread_local const size_t slot = next.fetch_add(1, std::memory_order_relaxed) % kSlots;
    return slot;
  }

  std::atomic<const T*> value_;
  std::array<Slot, kSlots> slots_;
  std::mutex publishing_;
};

}  // namespace trustline
