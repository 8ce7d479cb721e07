#include "tvs/question_counter.h"

#include <time.h>

#include <algorithm>

namespace trustline {

QuestionCounter::QuestionCounter(size_t workers, const std::vector<std::unique_ptr<FollowedCluster>>& clusters) {
  for (const auto& cluster : clusters) clusters_.push_back(cluster.get());
  for (size_t i = 0; i < workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(clusters.size() * QuestionAnswer::kNumbersOfACluster));
  }
  sem_init(&wake_, 0, 0);
}

QuestionCounter::~QuestionCounter() { sem_destroy(&wake_); }

uint16_t QuestionCounter::ClusterNumber(const FollowedCluster& cluster) const {
  return static_cast<uint16_t>(std::ranges::find(clusters_, &cluster) - clusters_.begin());
}

void QuestionCounter::Count(size_t worker, const AnsweredQuestion& question) {
  Worker& own = *workers_[worker];
  if (!own.ring.Write(question)) {
    own.nameless[question.answer.Number()].fetch_add(1, std::memory_order_relaxed);
    nameless_.fetch_add(1, std::memory_order_relaxed);
  }
  if (own.ring.IsReadingDue()) Wake();
}

void QuestionCounter::Collect(absl::FunctionRef<void(const AnsweredQuestion&)> take,
                              absl::FunctionRef<void(const QuestionAnswer&, int64_t count)> take_nameless) {
  for (const auto& worker : workers_) {
    worker->ring.Read(take);
    for (size_t cluster = 0; cluster < clusters_.size(); ++cluster) {
      for (const bool is_query : {false, true}) {
        for (const bool valid : {false, true}) {
          for (size_t reason = 0; reason < kInvalidReasons; ++reason) {
            const QuestionAnswer answer = {static_cast<uint16_t>(cluster), is_query, valid,
                                           static_cast<InvalidReason>(reason)};
            std::atomic<int64_t>& count = worker->nameless[answer.Number()];
            if (count.load(std::memory_order_relaxed) == 0) continue;
            take_nameless(answer, count.exchange(0, std::memory_order_relaxed));
          }
        }
      }
    }
  }
}

void QuestionCounter::Wait(std::chrono::nanoseconds longest) {
  timespec until{};
  clock_gettime(CLOCK_MONOTONIC, &until);
  const int64_t nanoseconds = until.tv_nsec + std::max<int64_t>(longest.count(), 0);
  until.tv_sec += nanoseconds / 1'000'000'000;
  until.tv_nsec = nanoseconds % 1'000'000'000;
  if (sem_clockwait(&wake_, CLOCK_MONOTONIC, &until) != 0) return;
  while (sem_trywait(&wake_) == 0) {
  }
}

void QuestionCounter::Wake() { sem_post(&wake_); }

}  // namespace trustline
