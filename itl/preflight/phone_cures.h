// What brings single phones to what is published: the cures of the mismatch report.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/service/clock.h"
#include "common/service/key_folder.h"
#include "itl/preflight/fleet_reader.h"
#include "itl/preflight/list_memory.h"
#include "itl/preflight/preflight.h"
#include "itl/preflight/trust_world.h"
#include "proto/phone_trust.pb.h"

namespace trustline {

// Thread-safe. Remembers what it has judged until something is published or trusted, so that a page of the report costs
// two look-ups. The references must outlive it; `keys` is null where lists are not made.
class PhoneCures {
 public:
  PhoneCures(ListMemory& memory, KeyFolder* keys, const Clock& clock) : memory_(memory), keys_(keys), clock_(clock) {}

  // By device; one that is not in service is left out. Reads as the caller's transaction sees it.
  absl::StatusOr<std::map<std::string, PhoneCure>> Of(Connection& connection, int32_t cluster_id,
                                                      const std::vector<std::string>& devices);

  // How many phones of the whole cluster have which cure. Reads all of them, at most every `kCountAge`, or when
  // something was published or trusted since.
  absl::StatusOr<std::map<PhoneCure, int64_t>> Count(Connection& connection, int32_t cluster_id);

 private:
  // What cures of one cluster follow from besides the phone, while `token` holds.
  struct Basis {
    std::string token;
    std::shared_ptr<const TrustWorld> world;
    std::shared_ptr<const std::vector<std::string>> times;
  };
  struct Known {
    Basis basis;
    std::map<PhoneFacts, PhoneCure> cures;
    std::map<PhoneCure, int64_t> counts;
    absl::Time counted_at = absl::InfinitePast();
  };
  static constexpr size_t kMostCures = 100'000;
  static constexpr absl::Duration kCountAge = absl::Minutes(1);

  absl::StatusOr<Basis> Find(Connection& connection, int32_t cluster_id);

  ListMemory& memory_;
  KeyFolder* const keys_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<int32_t, Known> known_;  // by cluster; with mutex_
};

// Why, and what to do, in one sentence.
std::string_view CureSentence(PhoneCure cure);
v1::PhoneCure ToProto(PhoneCure cure);

}  // namespace trustline
