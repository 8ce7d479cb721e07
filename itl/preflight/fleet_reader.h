// Reads what is known of all phones of a cluster as groups of those that the phone model cannot tell apart: a million
// phones are a few hundred of them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "itl/phone/holding_view.h"
#include "itl/preflight/list_memory.h"
#include "itl/preflight/phone_group.h"

namespace trustline {

// What PostgreSQL groups phones by.
struct PhoneFacts {
  int64_t itl = 0;  // phone_holding; 0: nothing was ever said
  int64_t ctl = 0;
  int64_t since = 0;  // how many of the cluster's publications were there when its ITL was seen last
  bool is_silent = false;
  bool has_no_lists = false;
  PhoneReads reads;
  std::string own_list_server;  // empty: it has no list of its own
  std::string own_list_device;
  std::string tvs_nodes;  // "node1,node2", sorted

  auto operator<=>(const PhoneFacts&) const = default;  // NOLINT(modernize-use-nullptr): it reads the implied 0
};

struct Fleet {
  std::vector<PhoneFacts> facts;  // in the order of the groups
  std::vector<PhoneGroup> groups;

  int64_t phones() const;
};

// Within one transaction of the caller's, which sees one state.
class FleetReader {
 public:
  FleetReader(Connection& transaction, int32_t cluster_id, ListMemory& memory, absl::Time now)
      : connection_(transaction), cluster_id_(cluster_id), memory_(memory), now_(now) {}

  absl::StatusOr<Fleet> Read();

  // Hands over every phone of groups that `chosen` picks, by their place in the fleet that was read last.
  using NameCallback = std::function<absl::Status(const std::string& device, size_t group)>;
  absl::Status Names(const Fleet& fleet, const std::function<bool(size_t group)>& chosen, const NameCallback& on_name);

  // Of single phones: those of a page of a report. `times` are those of PublicationTimes().
  absl::StatusOr<std::map<std::string, PhoneFacts>> FactsOf(const std::vector<std::string>& devices,
                                                            const std::vector<std::string>& times);
  // When lists were published, as PostgreSQL writes it.
  absl::StatusOr<std::vector<std::string>> PublicationTimes();
  // In their order; each stands for no phones.
  absl::StatusOr<std::vector<PhoneGroup>> GroupsOf(const std::vector<PhoneFacts>& facts);

 private:
  struct Publication {
    int64_t list_id = 0;
    int64_t generation = 0;
    Sha256Digest file = {};
    std::string server;  // empty: the CTL
    std::string device;
  };
  absl::Status ReadPublications();
  absl::Status ReadHoldings(const std::vector<PhoneFacts>& facts);
  absl::StatusOr<std::vector<PhoneGroup>> ToGroups(const std::vector<PhoneFacts>& facts);
  PhoneGroup ToGroup(const PhoneFacts& facts) const;
  // What it holds, by its report; false when that is not known here.
  bool ContentOf(int64_t holding_id, SharedPhoneList& list) const;
  // What was published for it from `since` on, and just before.
  std::vector<SharedPhoneList> Published(const std::function<bool(const Publication&)>& concerns, int64_t since) const;

  Connection& connection_;
  const int32_t cluster_id_;
  ListMemory& memory_;
  const absl::Time now_;
  std::vector<Publication> publications_;  // the oldest first
  std::vector<std::string> times_;         // of them, as PostgreSQL writes them
  HoldingViews views_;
  std::map<Sha256Digest, SharedPhoneList> lists_;
  std::map<std::pair<int64_t, int64_t>, Sha256Digest> files_;  // by list and generation
  std::map<int64_t, SharedPhoneList> adopted_;
};

}  // namespace trustline
