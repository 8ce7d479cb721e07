// Plays administrators' operations against phones, each through the pre-flight, and looks for one that locks a phone
// out.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "itl/preflight/model_fleet_testing.h"
#include "itl/preflight/model_operations_testing.h"
#include "itl/preflight/preflight.h"

namespace trustline {

struct SearchOptions {
  uint32_t seed = 0;
  size_t operations = 300;
  FleetOptions fleet;
  PreFlightGuards guards;
  bool is_small = false;             // one server, one node besides the partner's
  std::vector<OperationKind> kinds;  // of operations, each as often as it stands here; empty: all
};

struct SearchResult {
  std::string story;  // of the phone that was locked out, and what led to it; empty: there is none
  size_t done = 0;    // operations: accepted, refused because of locked, because of unproven phones
  size_t locked = 0;
  size_t unproven = 0;
  std::map<OperationKind, std::pair<size_t, size_t>> of_kind;  // accepted, refused
  size_t accepted_unproven = 0;                                // phones, counted once an operation
  size_t lost_to_time = 0;                                     // phones of elsewhere whose only way has expired
  size_t slept = 0;  // phones that were asleep throughout, by what became of them
  size_t slept_follow = 0;
  size_t slept_rescued = 0;
  size_t slept_accepted = 0;  // by hand, as somebody has accepted
  absl::Duration passed;

  bool found() const { return !story.empty(); }
};

// What happens to one cluster and its phones.
class ModelRun {
 public:
  explicit ModelRun(const SearchOptions& options);

  // One operation, and with `lives` what phones do meanwhile. False when it locked a phone out: then story() tells.
  bool Do(const Operation& operation, bool lives = true);
  // One phone starts.
  bool Start(size_t phone, bool reports);
  // Those that slept wake up.
  bool WakeAll();

  const SearchResult& result() const { return result_; }
  ModelFleet& fleet() { return fleet_; }
  const ModelCluster& cluster() const { return cluster_; }

 private:
  // Whether the pre-flight, and the administrator, let it pass.
  bool Passes(const ModelCluster& judged, const Operation& operation);
  void Review(const std::string& what, bool is_time);
  void Lose(size_t phone, const std::string& what);

  const SearchOptions options_;
  std::shared_ptr<ListRegistry> registry_ = std::make_shared<ListRegistry>();
  ModelCluster cluster_;
  ModelFleet fleet_;
  const absl::Time began_;
  std::vector<std::string> told_;
  SearchResult result_;
};

// As many random operations as the options say.
std::vector<Operation> RandomOperations(const SearchOptions& options);
SearchResult Search(const SearchOptions& options, const std::vector<Operation>& operations);

// The same with fewer operations, as long as one is found.
std::vector<Operation> Shorten(const SearchOptions& options, std::vector<Operation> operations);

// All sequences of up to `depth` steps out of a few operations, and of starts of each phone. The first that locks a
// phone out, if any; `sequences` counts.
SearchResult SearchAll(const SearchOptions& options, size_t depth, size_t& sequences);

}  // namespace trustline
