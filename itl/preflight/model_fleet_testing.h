// Phones that exist only in a test: what they truly hold, and what the system knows of them by their reports.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/time/time.h"
#include "itl/preflight/model_cluster_testing.h"
#include "itl/preflight/phone_group.h"

namespace trustline {

// By what is truly offered and truly reached, and by nothing that the system believes.
enum class TrueState : uint8_t { kFollows, kRescuedByKey, kByHand };

struct ModelSite {
  std::set<std::string> nodes;                   // that its phones reach
  std::map<std::string, absl::Time> last_asked;  // as the system has seen it
};

struct ModelPhone {
  // The truth.
  std::string server;
  std::string device;   // of those that may get lists of their own
  uint32_t served = 0;  // the same for the same server and device
  size_t site = 0;
  PhoneReads reads;
  PhoneHoldings holdings;
  absl::Time asleep_until = absl::InfinitePast();
  bool is_foreign = false;
  bool came_keyless = false;  // from elsewhere: nothing that it holds was ever signed with a key of this cluster
  bool is_accepted = false;   // an administrator has accepted that nothing is known of it
  TrueState state = TrueState::kFollows;

  // What is known.
  PhoneKnowledge knowledge = PhoneKnowledge::kNeverSeen;
  PhoneReads recorded;
  PhoneHoldings seen;
  size_t since = 0;  // publications before it
  absl::Time seen_at = absl::InfinitePast();
};

struct FleetOptions {
  size_t phones = 300;
  bool believe_claims = false;  // a fault, put in to be found: whatever anybody reports is evidence
  size_t unheard = 20;          // percent of starts that nobody hears of
  size_t falls_asleep = 60;     // one in so many, each step
};

class ModelFleet {
 public:
  ModelFleet(const FleetOptions& options, uint32_t seed, const ModelCluster& cluster, ListRegistry& registry);

  // What the system knows, as the pre-flight is told; `places` of each phone's group.
  std::vector<PhoneGroup> Groups(const ModelCluster& cluster, std::vector<size_t>& places);

  // Judges every phone anew and calls `lost` with each that was not by hand and is now.
  template <typename Lost>
  void Review(const ModelCluster& cluster, const Lost& lost) {
    StateMemory memory;
    for (size_t i = 0; i < phones.size(); ++i) {
      const TrueState before = phones[i].state;
      phones[i].state = StateOf(phones[i], cluster, memory);
      if (before != TrueState::kByHand && phones[i].state == TrueState::kByHand) lost(i);
    }
  }

  // A step of their lives: some start, sleep, wake, move away, come; some report, others only claim. Answers with those
  // whose start has made them by hand.
  std::vector<size_t> Live(const ModelCluster& cluster, std::mt19937& random, ListRegistry& registry);
  // One start, with a report or without.
  void Start(size_t phone, const ModelCluster& cluster, bool reports);

  std::vector<ModelPhone> phones;
  std::vector<ModelSite> sites;

 private:
  using StateKey = std::tuple<const PhoneList*, const PhoneList*, uint32_t, size_t, PhoneReads>;
  using StateMemory = std::map<StateKey, TrueState>;

  TrueState StateOf(const ModelPhone& phone, const ModelCluster& cluster, StateMemory& memory) const;
  std::vector<ReachableTvs> Reach(const ModelPhone& phone, const TvsAnswers& answers,
                                  const ModelCluster& cluster) const;
  void Ask(const ModelPhone& phone, const PhoneHoldings& held, const ModelCluster& cluster);
  void Report(ModelPhone& phone, const ModelCluster& cluster);
  const std::vector<PhoneHoldings>& MayHoldOf(const ModelPhone& phone, const ModelCluster& cluster);

  FleetOptions options_;
  std::map<std::tuple<uint32_t, const PhoneList*, const PhoneList*, size_t>,
           std::pair<size_t, std::vector<PhoneHoldings>>>
      may_hold_;  // with the number of publications that it is of
};

// Where a phone looks for its lists: its own server's, or where that is gone those of the first that is there.
PhoneOffer OfferTo(const ModelPhone& phone, const ModelCluster& cluster);

}  // namespace trustline
