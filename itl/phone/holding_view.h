// What phones hold, judged by what is published now: the statuses of the mismatch report.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "itl/list/list_content.h"
#include "itl/phone/phone_report.h"

namespace trustline {

enum class PhoneStatus : uint8_t { kMatch, kMismatch, kNotInstalled, kUnknown, kForeign };

// A row of phone_holding with what it refers to.
struct Holding {
  int64_t holding_id = 0;
  ListKind kind = ListKind::kItl;
  ListSignature::State state = ListSignature::State::kUnreadable;
  std::string reported_server;  // empty: none was named
  bool own_list = false;        // of phones that are to have a list of their own
  // One of our lists:
  int64_t list_id = 0;  // 0: none
  int64_t generation = 0;
  std::string list_server;  // whose it is; empty for a CTL
  std::string list_device;
  std::optional<absl::Time> published_at;
  // An adopted one:
  int64_t adopted_id = 0;  // 0: none
  std::string adopted_origin;
  std::string adopted_server;
  bool adopted_own = false;
  bool adopted_current = false;
};

// What a list is now.
struct PublishedState {
  int64_t list_id = 0;
  int64_t generation = 0;
};

// What statuses are worked out from.
struct ServedLists {
  std::map<std::string, std::string> servers;  // by any of their names, in lower case
  std::map<std::string, PublishedState> itls;  // of all phones, by server
  std::optional<PublishedState> ctl;
  std::map<int64_t, int64_t> generations;              // the current one of each list
  std::map<std::string, std::string> adopted_servers;  // of this cluster's own history, by name: the origin
};

struct HoldingView {
  Holding holding;
  PhoneStatus status = PhoneStatus::kUnknown;
  std::string server;               // of ours, that it names, or whose list it holds; empty when it is none
  int64_t expected_generation = 0;  // 0: nothing of ours is expected
};

// Pure. A list is ours when its hash is, whatever name the phone has for the server that it came from.
HoldingView JudgeHolding(const Holding& holding, const ServedLists& served);

class HoldingViews {
 public:
  // All of a cluster, as of now.
  static absl::StatusOr<HoldingViews> Read(Connection& connection, int32_t cluster_id);

  // Of an unknown number, as 0 is one, the view of a phone without a report.
  const HoldingView& Get(int64_t holding_id) const;
  // By their numbers.
  const std::map<int64_t, HoldingView>& all() const { return views_; }
  const ServedLists& served() const { return served_; }

  // As they were judged at a moment, by the generation of each list that was published last before it.
  class Past {
   public:
    const HoldingView& Get(int64_t holding_id);

   private:
    friend class HoldingViews;
    Past(const HoldingViews& views, ServedLists served) : views_(views), served_(std::move(served)) {}
    const HoldingViews& views_;
    const ServedLists served_;
    std::map<int64_t, HoldingView> judged_;
  };
  // `published` are those of ReadPublished(). The views must outlive the result.
  struct Publication {
    absl::Time at;
    int64_t list_id = 0;
    int64_t generation = 0;
  };
  Past At(absl::Time moment, const std::vector<Publication>& published) const;
  // Every publication of the cluster's lists, the oldest first.
  absl::StatusOr<std::vector<Publication>> ReadPublished(Connection& connection) const;

  // How claims would be judged if they were evidence, in their order.
  struct Claimed {
    ListSignature signature;
    std::string server;
  };
  absl::StatusOr<std::vector<HoldingView>> JudgeClaims(Connection& connection,
                                                       const std::vector<Claimed>& claims) const;

 private:
  int32_t cluster_id_ = 0;
  ServedLists served_;
  std::map<int64_t, HoldingView> views_;
  HoldingView none_;
};

}  // namespace trustline
