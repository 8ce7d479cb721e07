// A hash index from SHA-256 digests to record numbers. The digests are their own hash.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "common/bytes/sha256.h"

namespace trustline {

// Open addressing over 8-byte slots: 32 bits of the digest, so that a look-up touches a foreign record once in four
// billion slots, and the record's number. Copies are plain memory.
class DigestIndex {
 public:
  // Several records may stand under one digest.
  void Insert(const Sha256Digest& digest, uint32_t record) {
    if ((size_ + 1) * 2 > slots_.size()) Grow();
    Place(Slot{Tag(digest), record + 1}, Home(digest));
    ++size_;
  }

  // Calls `visit(record)` for each record that may have this digest until it returns true; returns whether one did.
  template <typename Visit>
  bool Find(const Sha256Digest& digest, Visit&& visit) const {
    if (slots_.empty()) return false;
    const size_t mask = slots_.size() - 1;
    const uint32_t tag = Tag(digest);
    for (size_t i = Home(digest) & mask; slots_[i].record_plus_one != 0; i = (i + 1) & mask) {
      if (slots_[i].tag == tag && visit(slots_[i].record_plus_one - 1)) return true;
    }
    return false;
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    uint32_t record_plus_one = 0;  // 0: free
  };

  static uint32_t Tag(const Sha256Digest& digest) {
    uint32_t tag;
    std::memcpy(&tag, digest.data() + 4, sizeof(tag));
    return tag;
  }
  // From the tag as well, so that Grow() needs no digests.
  static size_t HomeOfTag(uint32_t tag) { return tag * size_t{0x9e3779b97f4a7c15} >> 16; }
  static size_t Home(const Sha256Digest& digest) { return HomeOfTag(Tag(digest)); }

  void Place(Slot slot, size_t home) {
    const size_t mask = slots_.size() - 1;
    size_t i = home & mask;
    while (slots_[i].record_plus_one != 0) i = (i + 1) & mask;
    slots_[i] = slot;
  }

  void Grow() {
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(old.empty() ? 64 : old.size() * 2, Slot{});
    for (const Slot& slot : old) {
      if (slot.record_plus_one != 0) Place(slot, HomeOfTag(slot.tag));
    }
  }

  std::vector<Slot> slots_;
  size_t size_ = 0;
};

}  // namespace trustline
