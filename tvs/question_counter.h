// Takes what phones asked from the threads that answer them.
#pragma once

#include <semaphore.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "tvs/question_ring.h"
#include "tvs/trust_follower.h"

namespace trustline {

// One ring a worker. Memory is bounded: QuestionRing::kCapacity for each worker.
class QuestionCounter {
 public:
  // The clusters outlive it.
  QuestionCounter(size_t workers, const std::vector<std::unique_ptr<FollowedCluster>>& clusters);
  ~QuestionCounter();
  QuestionCounter(const QuestionCounter&) = delete;
  QuestionCounter& operator=(const QuestionCounter&) = delete;

  // Of one of the clusters.
  uint16_t ClusterNumber(const FollowedCluster& cluster) const;
  const std::vector<const FollowedCluster*>& clusters() const { return clusters_; }

  // Called by the worker's own thread at each answer. Neither lock nor allocation nor waiting: what finds no room is
  // counted by its answer alone.
  void Count(size_t worker, const AnsweredQuestion& question);

  // What follows is for one other thread.

  // Everything since the last call. `take` gets views that are good during its call only; `take_nameless` what found
  // no room.
  void Collect(absl::FunctionRef<void(const AnsweredQuestion&)> take,
               absl::FunctionRef<void(const QuestionAnswer&, int64_t count)> take_nameless);

  // Returns when somebody has called Wake(), when a ring is half full, or after `longest`.
  void Wait(std::chrono::nanoseconds longest);

  // From any thread.
  void Wake();
  // Questions that found no room, ever.
  uint64_t nameless() const { return nameless_.load(std::memory_order_relaxed); }

 private:
  struct Worker {
    explicit Worker(size_t answers) : nameless(answers) {}
    QuestionRing ring;
    std::vector<std::atomic<int64_t>> nameless;  // by QuestionAnswer::Number
  };

  std::vector<const FollowedCluster*> clusters_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<uint64_t> nameless_ = 0;
  sem_t wake_;  // a condition variable would need a lock where phones are answered
};

}  // namespace trustline
