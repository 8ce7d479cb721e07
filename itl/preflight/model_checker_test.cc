// Whether the pre-flight holds what it promises: without override no sequence of operations, and no time, makes a phone
// one that somebody has to go to. And whether each of its checks is needed for that.
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "itl/preflight/model_search_testing.h"

namespace trustline {
namespace {

using Kind = OperationKind;

void Print(const SearchOptions& options, const SearchResult& result) {
  std::printf(
      "seed %u, %zu phones: %zu operations done, %zu refused for locked phones, %zu for unproven ones; %.1f years; %zu "
      "times a phone was accepted as unproven; %zu phones of elsewhere lost to time; of %zu that slept throughout %zu "
      "follow, %zu are rescued, %zu were accepted and lost\n",
      options.seed, options.fleet.phones, result.done, result.locked, result.unproven,
      absl::ToDoubleHours(result.passed) / 24 / 365, result.accepted_unproven, result.lost_to_time, result.slept,
      result.slept_follow, result.slept_rescued, result.slept_accepted);
}

// The shortest story that leads to a phone that is locked out; empty: none is.
std::string Check(const SearchOptions& options, SearchResult& result) {
  const std::vector<Operation> operations = RandomOperations(options);
  result = Search(options, operations);
  if (!result.found()) return "";
  return "seed " + std::to_string(options.seed) + ":\n" + Search(options, Shorten(options, operations)).story;
}

std::string Check(const SearchOptions& options) {
  SearchResult result;
  return Check(options, result);
}

TEST(ModelCheckerTest, TenThousandPhonesAndAThousandOperations) {
  const SearchOptions options{.seed = 12, .operations = 1'000, .fleet = {.phones = 10'000}};
  SearchResult result;
  EXPECT_EQ(Check(options, result), "");
  Print(options, result);
  // Not by refusing everything.
  const size_t judged = result.done + result.locked + result.unproven;
  EXPECT_GT(judged, 500);
  EXPECT_GT(result.done, judged / 5);
  EXPECT_GT(result.locked, 0);
  EXPECT_GT(result.unproven, 0);
  // Whoever was off through all of it follows, or is rescued by a key.
  EXPECT_EQ(result.slept, result.slept_follow + result.slept_rescued + result.slept_accepted);
}

TEST(ModelCheckerTest, ManyFleets) {
  SearchResult all;
  const auto add = [&](const SearchOptions& options) {
    SearchResult result;
    ASSERT_EQ(Check(options, result), "");
    all.done += result.done;
    all.locked += result.locked;
    all.unproven += result.unproven;
    all.slept += result.slept;
    all.slept_follow += result.slept_follow;
    all.slept_rescued += result.slept_rescued;
    all.slept_accepted += result.slept_accepted;
  };
  for (uint32_t seed = 1; seed <= 25; ++seed) {
    add({.seed = seed * 100, .fleet = {.phones = 200}});
    add({.seed = seed * 100 + 50, .fleet = {.phones = 6, .unheard = 60, .falls_asleep = 8}, .is_small = true});
  }
  EXPECT_GT(all.done, (all.done + all.locked + all.unproven) / 3);
  EXPECT_EQ(all.slept, all.slept_follow + all.slept_rescued + all.slept_accepted);
  EXPECT_GT(all.slept_follow, 0);
  EXPECT_GT(all.slept_rescued, 0);
  std::printf(
      "%zu operations done, %zu refused for locked phones, %zu for unproven ones; of %zu that slept throughout %zu "
      "follow, %zu are rescued, %zu were accepted and lost\n",
      all.done, all.locked, all.unproven, all.slept, all.slept_follow, all.slept_rescued, all.slept_accepted);
}

TEST(ModelCheckerTest, AnotherFleetEachTime) {
  const SearchOptions options{.seed = std::random_device()(), .operations = 600, .fleet = {.phones = 1'000}};
  SearchResult result;
  EXPECT_EQ(Check(options, result), "") << "seed " << options.seed;
  Print(options, result);
}

// Where the lack of a check shows: fleets and operations among which it soon does.
struct Weakness {
  std::string name;
  bool PreFlightGuards::*guard = nullptr;
  FleetOptions fleet = {.phones = 60};
  std::vector<Kind> kinds = {};  // all
  size_t operations = 200;
  bool is_small = false;
};

// What is refused twice would hide what one check does.
constexpr PreFlightGuards kOnce = {.beginning_to_wait = false};

class GuardTest : public ::testing::TestWithParam<Weakness> {};

TEST_P(GuardTest, WithoutItAPhoneIsLockedOut) {
  const Weakness& weakness = GetParam();
  constexpr uint32_t kMostSeeds = 300;
  for (uint32_t seed = 1; seed <= kMostSeeds; ++seed) {
    SearchOptions options{.seed = seed * 100,
                          .operations = weakness.operations,
                          .fleet = weakness.fleet,
                          .guards = kOnce,
                          .is_small = weakness.is_small,
                          .kinds = weakness.kinds};
    const std::vector<Operation> operations = RandomOperations(options);
    options.guards.*weakness.guard = false;
    if (!Search(options, operations).found()) continue;
    // Found; and with it that phone is as it was.
    std::printf("without %s, seed %u:\n%s\n", weakness.name.c_str(), options.seed,
                Search(options, Shorten(options, operations)).story.c_str());
    options.guards = kOnce;
    EXPECT_EQ(Check(options), "");
    return;
  }
  ADD_FAILURE() << "no phone is locked out without " << weakness.name << " by " << kMostSeeds << " seeds";
}

const FleetOptions kSleepyAndUnheard = {.phones = 6, .unheard = 90, .falls_asleep = 5};

INSTANTIATE_TEST_SUITE_P(
    EachGuard, GuardTest,
    ::testing::Values(Weakness{.name = "every_holding",
                               .guard = &PreFlightGuards::every_holding,
                               .fleet = kSleepyAndUnheard,
                               .kinds = {Kind::kSignOutside, Kind::kPublish, Kind::kTakeKeyAway, Kind::kSignLocally,
                                         Kind::kSignWithRecovery, Kind::kRemoveNode, Kind::kPassTime},
                               .operations = 60,
                               .is_small = true},
                      Weakness{.name = "proven_reach", .guard = &PreFlightGuards::proven_reach},
                      Weakness{.name = "tvs_certificates", .guard = &PreFlightGuards::tvs_certificates},
                      Weakness{.name = "vouching",
                               .guard = &PreFlightGuards::vouching,
                               .fleet = {.phones = 20},
                               .kinds = {Kind::kRetireAuthority, Kind::kPublish, Kind::kSignOutside, Kind::kPassTime,
                                         Kind::kRestoreTrust, Kind::kReplaceTvs},
                               .operations = 100,
                               .is_small = true},
                      Weakness{.name = "reading", .guard = &PreFlightGuards::reading},
                      Weakness{.name = "file_signer", .guard = &PreFlightGuards::file_signer},
                      Weakness{.name = "silent_phones",
                               .guard = &PreFlightGuards::silent_phones,
                               .fleet = {.phones = 20},
                               .operations = 300},
                      Weakness{.name = "waiting_lists",
                               .guard = &PreFlightGuards::waiting_lists,
                               .fleet = {.phones = 20},
                               .kinds = {Kind::kApprove, Kind::kSignOutside, Kind::kRemoveTrust, Kind::kRemoveNode,
                                         Kind::kRestoreTrust, Kind::kPassTime},
                               .operations = 100,
                               .is_small = true},
                      Weakness{.name = "ctl", .guard = &PreFlightGuards::ctl},
                      Weakness{.name = "next_key", .guard = &PreFlightGuards::next_key, .operations = 300}),
    [](const auto& weakness) { return weakness.param.name; });

// The checker believes nobody either: when whatever anybody says is evidence, it finds a phone.
TEST(ModelCheckerTest, ForgedClaimsThatWereBelievedWouldLockAPhoneOut) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SearchOptions options{.seed = seed * 100, .fleet = {.phones = 30, .believe_claims = true}};
    if (!Search(options, RandomOperations(options)).found()) continue;
    options.fleet.believe_claims = false;
    EXPECT_EQ(Check(options), "");
    return;
  }
  ADD_FAILURE() << "claims that are believed harm nobody";
}

SearchOptions Tiny(uint32_t seed) { return {.seed = seed, .fleet = {.phones = 3}, .is_small = true}; }

// One server, three phones, every sequence of some operations and starts.
TEST(ModelCheckerTest, EverySequenceOfAFewOperations) {
  for (const uint32_t seed : {1'000U, 3'000U}) {
    size_t sequences = 0;
    EXPECT_EQ(SearchAll(Tiny(seed), 4, sequences).story, "") << "seed " << seed;
    std::printf("seed %u: %zu sequences\n", seed, sequences);
    EXPECT_GT(sequences, 50'000);
  }
}

TEST(ModelCheckerTest, EverySequenceOfAFewOperationsFindsWhatIsNotGuarded) {
  const std::vector<std::pair<bool PreFlightGuards::*, uint32_t>> weaknesses = {
      {&PreFlightGuards::proven_reach, 3'000},
      {&PreFlightGuards::reading, 1'000},
      {&PreFlightGuards::file_signer, 1'000},
      {&PreFlightGuards::ctl, 1'000},
  };
  for (const auto& [guard, seed] : weaknesses) {
    SearchOptions options = Tiny(seed);
    options.guards = kOnce;
    options.guards.*guard = false;
    size_t sequences = 0;
    EXPECT_TRUE(SearchAll(options, 3, sequences).found()) << seed;
  }
}

}  // namespace
}  // namespace trustline
