// What became of the sessions of one listener.
#pragma once

#include <atomic>
#include <cstdint>

namespace trustline {

// Relaxed counters, read at any time.
struct CapfStatistics {
  std::atomic<uint64_t> sessions{0};
  std::atomic<uint64_t> installed{0};
  std::atomic<uint64_t> fetched{0};
  std::atomic<uint64_t> deleted{0};
  std::atomic<uint64_t> nothing_scheduled{0};
  std::atomic<uint64_t> refused{0};  // the proof was wrong
  std::atomic<uint64_t> unknown_device{0};
  std::atomic<uint64_t> failed{0};     // the phone could not do it, or its key was refused
  std::atomic<uint64_t> busy{0};       // told to come later: another session of the device is open
  std::atomic<uint64_t> over_rate{0};  // told to come later: too many enrolments, or too many wait
  std::atomic<uint64_t> over_pace{0};  // told to come later: too many of the device, or of its address
  std::atomic<uint64_t> malformed{0};
  std::atomic<uint64_t> unavailable{0};  // closed: database or cad did not answer, or the operation was taken from it
  std::atomic<uint64_t> broken{0};       // the connection, or the time, ended in the middle of an operation
};

inline void Count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

}  // namespace trustline
