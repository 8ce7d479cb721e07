// What the database was just asked for and does not have.
#pragma once

#include <chrono>
#include <cstring>
#include <vector>

#include "common/bytes/sha256.h"

namespace trustline {

// A bounded memory of digests that were confirmed as unknown, each for a second and for one state of the trust store.
// Used by one thread. An entry may be evicted by another digest at any time.
class UnknownCache {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr size_t kEntries = 4096;
  static constexpr std::chrono::seconds kLifetime{1};

  bool Contains(const Sha256Digest& digest, int64_t commit, Time now) const {
    const Entry& entry = entries_[IndexOf(digest)];
    return now < entry.until && entry.commit == commit && entry.digest == digest;
  }
  void Insert(const Sha256Digest& digest, int64_t commit, Time now) {
    entries_[IndexOf(digest)] = {digest, commit, now + kLifetime};
  }

 private:
  struct Entry {
    Sha256Digest digest{};
    int64_t commit = 0;
    Time until{};
  };
  static size_t IndexOf(const Sha256Digest& digest) {
    size_t index;
    std::memcpy(&index, digest.data(), sizeof(index));
    return index % kEntries;
  }

  std::vector<Entry> entries_ = std::vector<Entry>(kEntries);
};

}  // namespace trustline
