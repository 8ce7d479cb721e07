#include "capf/session_pace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "common/status/status.h"
#include "tests/support/fake_clock.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr char kPhone[] = "SEP001122334455";
constexpr char kOtherPhone[] = "SEP0000000000A1";
constexpr char kAddress[] = "192.0.2.7";

class SessionPaceTest : public ::testing::Test {
 protected:
  // An admission that ends at once.
  static bool Admits(SessionPace& pace, std::string_view device, std::string_view address = kAddress) {
    return pace.Ask(device, address).turn.has_value();
  }
  static int HowManyOf(int asked, SessionPace& pace, std::string_view device, std::string_view address = kAddress) {
    int admitted = 0;
    for (int i = 0; i < asked; ++i) admitted += Admits(pace, device, address) ? 1 : 0;
    return admitted;
  }

  FakeClock clock_{absl::FromUnixSeconds(1'800'000'000)};
};

TEST_F(SessionPaceTest, ADeviceHasSoManyAdmissionsInAWindow) {
  SessionPace pace({}, clock_);
  EXPECT_EQ(HowManyOf(20, pace, kPhone), 20);
  const SessionPace::Answer refused = pace.Ask(kPhone, kAddress);
  EXPECT_FALSE(refused.turn.has_value());
  EXPECT_THAT(std::string(refused.reason), HasSubstr("too many sessions"));
  // Neither another device of its address, nor its name at another address.
  EXPECT_EQ(HowManyOf(100, pace, kOtherPhone), 20);
  EXPECT_EQ(HowManyOf(100, pace, kPhone, "192.0.2.8"), 20);
  // The window does not grow by what is refused in it.
  clock_.Advance(absl::Seconds(9.9));
  EXPECT_FALSE(Admits(pace, kPhone));
  clock_.Advance(absl::Seconds(0.1));
  EXPECT_EQ(HowManyOf(100, pace, kPhone), 20);
}

TEST_F(SessionPaceTest, AClockThatIsSetBackLocksNobodyOut) {
  SessionPace pace({}, clock_);
  EXPECT_EQ(HowManyOf(100, pace, kPhone), 20);
  clock_.Advance(-absl::Hours(1));
  EXPECT_TRUE(Admits(pace, kPhone));
}

TEST_F(SessionPaceTest, ADeviceIsTheSameHoweverItIsWritten) {
  SessionPace pace({}, clock_);
  EXPECT_EQ(HowManyOf(100, pace, kPhone), 20);
  EXPECT_FALSE(Admits(pace, "sep001122334455"));
  // A host has all 64 bits of its network.
  EXPECT_EQ(HowManyOf(100, pace, kPhone, "2001:db8::1"), 20);
  EXPECT_FALSE(Admits(pace, kPhone, "2001:db8::ffff"));
  EXPECT_TRUE(Admits(pace, kPhone, "2001:db8:0:1::1"));
}

TEST_F(SessionPaceTest, WhatIsNoNameIsOneDeviceAnAddress) {
  SessionPace pace({}, clock_);
  int admitted = 0;
  for (int i = 0; i < 1000; ++i) admitted += Admits(pace, std::string(1000, 'x') + std::to_string(i)) ? 1 : 0;
  EXPECT_EQ(admitted, 20);
  EXPECT_FALSE(Admits(pace, ""));
  EXPECT_EQ(pace.remembered(), 1U);
  EXPECT_TRUE(Admits(pace, kPhone));
  EXPECT_TRUE(Admits(pace, "", "192.0.2.8"));
}

TEST_F(SessionPaceTest, ADeviceHasOneAdmissionAtATime) {
  SessionPace pace({}, clock_);
  SessionPace::Answer first = pace.Ask(kPhone, kAddress);
  ASSERT_TRUE(first.turn.has_value());
  const SessionPace::Answer second = pace.Ask(kPhone, kAddress);
  EXPECT_FALSE(second.turn.has_value());
  EXPECT_THAT(std::string(second.reason), HasSubstr("another session"));
  EXPECT_TRUE(Admits(pace, kOtherPhone));
  EXPECT_TRUE(Admits(pace, kPhone, "192.0.2.8"));
  {
    // Who takes it over gives it back, once.
    const SessionPace::Turn taken = *std::move(first.turn);
    first.turn.reset();
    EXPECT_FALSE(Admits(pace, kPhone));
    clock_.Advance(absl::Hours(1));
    EXPECT_FALSE(Admits(pace, kPhone)) << "however long it takes";
  }
  EXPECT_TRUE(Admits(pace, kPhone));
}

TEST_F(SessionPaceTest, AnAddressHasSoManyAdmissionsAtATimeWhateverItsNames) {
  SessionPace pace({.most_at_once_of_address = 3}, clock_);
  std::vector<SessionPace::Answer> answers;
  for (int i = 0; i < 3; ++i) answers.push_back(pace.Ask(fmt::format("SEP{:012X}", i), kAddress));
  for (const SessionPace::Answer& answer : answers) EXPECT_TRUE(answer.turn.has_value());
  const size_t remembered = pace.remembered();
  for (int i = 100; i < 200; ++i) {
    const SessionPace::Answer refused = pace.Ask(fmt::format("SEP{:012X}", i), kAddress);
    EXPECT_FALSE(refused.turn.has_value());
    EXPECT_THAT(std::string(refused.reason), HasSubstr("its address"));
    EXPECT_EQ(refused.is_first_refusal, i == 100);
  }
  EXPECT_EQ(pace.remembered(), remembered + 1) << "one for the address";
  EXPECT_TRUE(Admits(pace, kPhone, "192.0.2.8"));
  answers.pop_back();
  EXPECT_TRUE(Admits(pace, kPhone));
}

TEST_F(SessionPaceTest, OneRefusalAWindowIsTheFirst) {
  SessionPace pace({}, clock_);
  for (int window = 0; window < 2; ++window) {
    EXPECT_EQ(HowManyOf(20, pace, kPhone), 20);
    EXPECT_TRUE(pace.Ask(kPhone, kAddress).is_first_refusal);
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(pace.Ask(kPhone, kAddress).is_first_refusal);
    clock_.Advance(absl::Seconds(10));
  }
}

TEST_F(SessionPaceTest, TheOldestWindowIsForgottenFirst) {
  SessionPace pace({.most_remembered = 3}, clock_);
  const auto device = [](int number) { return fmt::format("SEP{:012X}", number); };
  EXPECT_EQ(HowManyOf(100, pace, device(0)), 20);
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(HowManyOf(100, pace, device(1)), 20);
  EXPECT_EQ(HowManyOf(100, pace, device(2)), 20);
  // That of 0 begins anew, so that the oldest is that of 1.
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(HowManyOf(100, pace, device(0)), 20);
  EXPECT_TRUE(Admits(pace, device(3)));
  EXPECT_EQ(pace.remembered(), 3U);
  EXPECT_FALSE(Admits(pace, device(0)));
  EXPECT_FALSE(Admits(pace, device(2)));
  EXPECT_TRUE(Admits(pace, device(1)));
  // Who is being admitted is not forgotten.
  const SessionPace::Answer answer = pace.Ask(device(9), kAddress);
  for (int i = 10; i < 1000; ++i) EXPECT_TRUE(Admits(pace, device(i)));
  EXPECT_EQ(pace.remembered(), 3U);
  EXPECT_FALSE(Admits(pace, device(9)));
}

TEST_F(SessionPaceTest, ManyThreadsGetNoMoreThanOne) {
  SessionPace pace({}, clock_);
  std::atomic<int> admitted = 0;
  std::atomic<int> at_once = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 1000; ++j) {
        const SessionPace::Answer answer = pace.Ask(kPhone, kAddress);
        if (!answer.turn) continue;
        EXPECT_EQ(++at_once, 1);
        ++admitted;
        --at_once;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted, 20);
}

}  // namespace
}  // namespace trustline
