#include "capf/work_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;

// Occupies a thread of a queue from the end of the constructor to Open.
class Gate {
 public:
  explicit Gate(WorkQueue& queue) {
    const auto entered = std::make_shared<std::promise<void>>();
    EXPECT_TRUE(queue.Post([entered, opened = opened_.get_future().share()] {
      entered->set_value();
      opened.wait();
    }));
    entered->get_future().wait();
  }
  void Open() { opened_.set_value(); }

 private:
  std::promise<void> opened_;
};

TEST(WorkQueueTest, WorkIsBegunInTheOrderInWhichItCame) {
  WorkQueue queue(1, 3);
  Gate gate(queue);
  std::vector<int> done;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.Post([&done, i] { done.push_back(i); }));
  EXPECT_TRUE(queue.PostAlways([&done] { done.push_back(3); }));
  gate.Open();
  queue.Stop();
  EXPECT_THAT(done, ElementsAre(0, 1, 2, 3));
}

TEST(WorkQueueTest, OnlySoManyPiecesWaitUnlessTheyMustNotBeDropped) {
  WorkQueue queue(1, 2);
  Gate gate(queue);
  std::vector<int> done;
  EXPECT_EQ(queue.waiting(), 0U) << "what is worked on does not wait";
  EXPECT_TRUE(queue.Post([&done] { done.push_back(0); }));
  EXPECT_TRUE(queue.Post([&done] { done.push_back(1); }));
  EXPECT_FALSE(queue.Post([&done] { done.push_back(2); }));
  EXPECT_TRUE(queue.PostAlways([&done] { done.push_back(3); }));
  EXPECT_EQ(queue.waiting(), 3U);
  EXPECT_FALSE(queue.Post([&done] { done.push_back(4); }));
  gate.Open();
  queue.Stop();
  EXPECT_THAT(done, ElementsAre(0, 1, 3));
  EXPECT_EQ(queue.waiting(), 0U);
}

TEST(WorkQueueTest, ThereIsRoomAgainOnceAPieceIsBegun) {
  std::promise<void> entered, opened;
  WorkQueue queue(1, 1);
  Gate first(queue);
  EXPECT_TRUE(queue.Post([&] {
    entered.set_value();
    opened.get_future().wait();
  }));
  EXPECT_FALSE(queue.Post([] {}));
  first.Open();
  entered.get_future().wait();
  EXPECT_TRUE(queue.Post([] {}));
  opened.set_value();
}

TEST(WorkQueueTest, ItsThreadsWorkAtTheSameTime) {
  std::promise<void> done;
  WorkQueue queue(3, 10);
  Gate first(queue), second(queue);
  EXPECT_TRUE(queue.Post([&done] { done.set_value(); }));
  done.get_future().wait();
  first.Open();
  second.Open();
}

TEST(WorkQueueTest, StopFinishesWhatWaitsAndTakesNothingMore) {
  WorkQueue queue(2, 100);
  Gate first(queue), second(queue);
  std::atomic<int> done = 0;
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(queue.Post([&done] { ++done; }));
  std::thread stopping([&queue] { queue.Stop(); });
  // Until it has begun to stop, work is taken.
  int taken = 50;
  const absl::Time end = absl::Now() + absl::Seconds(20);
  while (absl::Now() < end && queue.PostAlways([&done] { ++done; })) {
    ++taken;
    std::this_thread::yield();
  }
  EXPECT_EQ(done, 0);
  first.Open();
  second.Open();
  stopping.join();
  EXPECT_EQ(done, taken);
  EXPECT_FALSE(queue.Post([&done] { ++done; }));
  EXPECT_FALSE(queue.PostAlways([&done] { ++done; }));
  queue.Stop();
  EXPECT_EQ(done, taken);
}

TEST(WorkQueueTest, TheEndOfTheQueueIsAStop) {
  std::atomic<int> done = 0;
  {
    WorkQueue queue(2, 100);
    for (int i = 0; i < 100; ++i) queue.PostAlways([&done] { ++done; });
  }
  EXPECT_EQ(done, 100);
}

// It may hold what others wait for.
TEST(WorkQueueTest, WhatIsDoneIsNotKept) {
  std::promise<void> next;
  WorkQueue queue(1, 10);
  auto held = std::make_shared<int>(0);
  const std::weak_ptr<int> watched = held;
  EXPECT_TRUE(queue.Post([held = std::move(held)] { ++*held; }));
  EXPECT_TRUE(queue.Post([&next] { next.set_value(); }));
  next.get_future().wait();
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace trustline
