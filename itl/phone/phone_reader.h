// The mismatch report: pages of phones and counts of what they hold. Reads as the caller's transaction sees it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "itl/phone/holding_view.h"
#include "itl/phone/phone_state.h"

namespace trustline {

struct PhoneFilter {
  std::set<PhoneStatus> statuses;  // empty: all
  std::string server;              // ours, or as phones name it; empty: all
  std::string model;
  std::string site;
  std::optional<absl::Time> since;
  bool evidence_only = false;

  bool Chooses(const HoldingView& view) const;
};

struct PhoneRow {
  PhoneState state;
  std::string model;
  std::string site;
};

class PhoneReader {
 public:
  PhoneReader(Connection& connection, int32_t cluster_id, const HoldingViews& views)
      : connection_(connection), cluster_id_(cluster_id), views_(views) {}

  // In the order of their names, from behind `after` on; at most `limit`. A phone that changes between two pages is
  // neither missed nor seen twice.
  absl::StatusOr<std::vector<PhoneRow>> List(const PhoneFilter& filter, const std::string& after, int64_t limit);
  // NotFound.
  absl::StatusOr<PhoneRow> Find(const std::string& device);

  // Phones by what they hold, of those of a model or a site (or both).
  absl::StatusOr<std::map<int64_t, int64_t>> Count(const std::string& model, const std::string& site);

 private:
  // The holdings that the filter chooses and that some phone of the model or the site has.
  absl::StatusOr<std::vector<int64_t>> ChosenHoldings(const PhoneFilter& filter);
  absl::StatusOr<bool> IsRare(const std::vector<int64_t>& holdings, absl::Time since);

  Connection& connection_;
  const int32_t cluster_id_;
  const HoldingViews& views_;
};

}  // namespace trustline
