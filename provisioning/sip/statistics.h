// What came to the report listeners, and what became of it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trustline {

inline constexpr std::array<std::string_view, 4> kSipMethods = {"REFER", "REGISTER", "OPTIONS", "other"};
// In the order of SipStatistics::answers; the last one stands for any other.
inline constexpr std::array<int, 10> kSipAnswerCodes = {200, 202, 400, 403, 405, 415, 420, 503, 505, 0};

// Relaxed counters, read at any time.
struct SipStatistics {
  std::array<std::atomic<uint64_t>, kSipMethods.size()> requests{};     // by method
  std::array<std::atomic<uint64_t>, kSipAnswerCodes.size()> answers{};  // by code
  std::atomic<uint64_t> malformed{0};          // messages that could not be read, answered with 400 or not at all
  std::atomic<uint64_t> responses_ignored{0};  // nobody asked anything
  std::atomic<uint64_t> floods_refused{0};     // over the pace of their address
  std::atomic<uint64_t> keep_alives{0};        // empty lines between messages
  std::atomic<uint64_t> alarms_of_lists{0};    // DeviceTLInfo
  std::atomic<uint64_t> alarms_other{0};
  std::atomic<uint64_t> alarms_unreadable{0};
  std::atomic<uint64_t> claims{0};    // reports of anybody, handed to the desk
  std::atomic<uint64_t> unstored{0};  // reports that the desk did not store

  void CountRequest(std::string_view method) {
    const auto* const known = std::find(kSipMethods.begin(), kSipMethods.end() - 1, method);
    Count(requests[static_cast<size_t>(known - kSipMethods.begin())]);
  }
  void CountAnswer(int code) {
    const auto* const known = std::find(kSipAnswerCodes.begin(), kSipAnswerCodes.end() - 1, code);
    Count(answers[static_cast<size_t>(known - kSipAnswerCodes.begin())]);
  }
  static void Count(std::atomic<uint64_t>& counter, uint64_t by = 1) {
    counter.fetch_add(by, std::memory_order_relaxed);
  }
};

}  // namespace trustline
