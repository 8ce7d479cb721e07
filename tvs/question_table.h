// What phones asked since it was last passed on: equal questions counted together.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "tvs/question_names.h"
#include "tvs/question_ring.h"

namespace trustline {

struct CountedQuestion {
  QuestionAnswer answer;
  std::string device;                          // a checked device name; empty: no name, or no room
  std::shared_ptr<const QuestionNames> names;  // never null
  int64_t count = 0;
  int64_t first_us = 0;  // microseconds since 1970
  int64_t last_us = 0;
  std::string address;  // that asked; without a device the last one; empty: unknown
};

struct QuestionTableLimits {
  size_t questions = 50'000;  // some 200 bytes each
  size_t signers = 10'000;    // up to 2 KB each
};

// Bounded: over its limits a question loses its device, then what it was about, but is counted. Questions of one name
// from two addresses are two: who asks under another's name hides none of that one's. Used by one thread, but for
// without_room().
class QuestionTable {
 public:
  // The clusters outlive it.
  QuestionTable(std::vector<const FollowedCluster*> clusters, QuestionTableLimits limits);

  void Add(const AnsweredQuestion& question);
  // Of which nothing else is known.
  void AddNameless(const QuestionAnswer& answer, int64_t count, int64_t at_us);

  // At most `most` of a cluster, which are in the table no longer.
  std::vector<CountedQuestion> Take(uint16_t cluster, size_t most);

  size_t size() const { return size_; }
  bool HasAny(uint16_t cluster) const { return !questions_[cluster].empty(); }
  // Questions that were counted without a name for want of room, ever.
  uint64_t without_room() const { return without_room_.load(std::memory_order_relaxed); }

 private:
  using SignerKey = std::tuple<bool, Sha256Digest>;                                           // is_query
  using Key = std::tuple<bool, bool, InvalidReason, Sha256Digest, std::string, std::string>;  // device, address

  std::shared_ptr<const QuestionNames> Names(const AnsweredQuestion& question);
  static Key KeyOf(const QuestionAnswer& answer, const Sha256Digest& signer, std::string_view device,
                   std::string_view address);
  CountedQuestion& Slot(Key key, const QuestionAnswer& answer, const std::shared_ptr<const QuestionNames>& names);

  const std::vector<const FollowedCluster*> clusters_;
  const QuestionTableLimits limits_;
  const std::shared_ptr<const QuestionNames> nobody_ = std::make_shared<const QuestionNames>();
  std::vector<absl::flat_hash_map<Key, CountedQuestion>> questions_;  // by cluster
  size_t size_ = 0;
  std::vector<absl::flat_hash_map<SignerKey, std::shared_ptr<const QuestionNames>>> names_;  // by cluster
  size_t names_size_ = 0;
  std::atomic<uint64_t> without_room_ = 0;
};

}  // namespace trustline
