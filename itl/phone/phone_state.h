// What is known of one phone, and how reports change it: a pure function, whatever their order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/bytes/checksums.h"
#include "itl/phone/phone_report.h"

namespace trustline {

// A list that a phone was seen to hold, or that it holds none.
struct SeenList {
  int64_t holding_id = 0;          // 0: nothing is known
  std::optional<Sha1Digest> sha1;  // absent: not installed
  std::optional<absl::Time> at;

  bool operator==(const SeenList&) const = default;
};

// A row of the table `phone`.
struct PhoneState {
  std::string device;
  // The live row: what it says now. Gone when it unregisters.
  int64_t holding_id = 0;
  int64_t ctl_holding_id = 0;
  std::optional<Sha1Digest> itl_sha1;
  std::optional<Sha1Digest> ctl_sha1;
  std::optional<absl::Time> reported_at;
  std::string address;
  std::string user_agent;
  std::string via;
  std::optional<bool> registered;
  std::optional<absl::Time> registration_at;
  // The head of the ledger: stays until the device goes.
  SeenList held;
  SeenList held_ctl;
};

// A report with the numbers of what it says the phone holds.
struct ResolvedReport {
  const PhoneReport* report = nullptr;
  int64_t holding_id = 0;
  int64_t ctl_holding_id = 0;  // 0: it says nothing of a CTL
};

enum class ReportEffect : uint8_t {
  kChanged,  // the phone holds something else, or registers or unregisters
  kRenewed,  // says the same once more
  kOlder,    // of the past: the ledger alone gains
};

// The newest report of its kind counts: of the same time the one that comes later. A report of lists that is older than
// the phone's unregistration does not bring the live row back.
ReportEffect ApplyReport(const ResolvedReport& resolved, PhoneState& state);

}  // namespace trustline
