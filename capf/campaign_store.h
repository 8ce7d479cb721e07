// Campaigns in the database (table capf_campaign, written by capfd alone): each has the certificates of many devices
// renewed, wave by wave. Works inside a transaction that the caller owns and commits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/operation.h"
#include "common/postgres/connection.h"
#include "common/postgres/result.h"
#include "common/service/hours_of_day.h"

namespace trustline {

enum class CampaignState : uint8_t { kCreated, kRunning, kPaused, kFinished };
std::string_view CampaignStateName(CampaignState state);

// Which devices, by their certificate (capf/campaign_devices.h): at least one of the first two is given.
struct CampaignOrder {
  std::optional<absl::Duration> expires_within;  // counted once, from when the campaign is created
  int32_t authority_id = 0;                      // 0: any
  EnrolmentAuthentication authentication = EnrolmentAuthentication::kCertificateLsc;  // never by string
  KeyPlan keys;
  int32_t wave_size = 200;
  HoursOfDay hours;
  int32_t stop_at_failures = 5;                     // per cent of what ended; 0: never
  absl::Duration operation_time = absl::Hours(24);  // from the beginning of a wave to its deadline
};

// Operations by their state. A cancelled one is in none of them.
struct CampaignCounts {
  int64_t pending = 0;
  int64_t in_progress = 0;
  int64_t success = 0;
  int64_t failed = 0;
  int64_t expired = 0;
  int64_t cancelled = 0;

  bool operator==(const CampaignCounts&) const = default;
};

struct CampaignRecord {
  int32_t id = 0;
  CampaignState state = CampaignState::kCreated;
  std::string state_reason;  // why it paused
  std::optional<absl::Time> expires_before;
  int32_t authority_id = 0;  // 0: any
  EnrolmentAuthentication authentication = EnrolmentAuthentication::kCertificateLsc;
  KeyPlan keys;
  int32_t wave_size = 0;
  HoursOfDay hours;
  int32_t stop_at_failures = 0;
  absl::Duration operation_time;
  int32_t waves = 0;           // begun so far
  int32_t forgiven_waves = 0;  // the first of them, whose failures do not count any more
  std::string created_by;      // identity URI
  absl::Time created_at;
  CampaignCounts counts;
};

// The columns of CampaignRecord but the counts, for SELECT ... FROM capf_campaign c.
#define CAMPAIGN_COLUMNS                                                                                       \
  "c.campaign_id, c.state, c.state_reason, c.expires_before, c.authority_id, c.authentication, c.key_order, "  \
  "c.rsa_bits, c.curve, c.wave_size, c.from_minute, c.until_minute, c.stop_at_failures, c.operation_seconds, " \
  "c.waves, c.forgiven_waves, c.created_by, c.created_at"
absl::StatusOr<CampaignRecord> ReadCampaign(const Row& row);

// Each change is audited in its transaction. An id that the cluster does not have is NotFound.
class CampaignStore {
 public:
  CampaignStore(Connection& transaction, int32_t cluster_id) : connection_(transaction), cluster_id_(cluster_id) {}

  // InvalidArgument for an order that contradicts itself or the limits; NotFound for an authority that the cluster does
  // not have.
  absl::StatusOr<CampaignRecord> Create(const CampaignOrder& order, std::string_view actor, absl::Time now);

  // FailedPrecondition when it runs or is finished.
  absl::StatusOr<CampaignRecord> Start(int32_t id, std::string_view actor, absl::Time now);

  // FailedPrecondition unless it runs. What is scheduled stays.
  absl::StatusOr<CampaignRecord> Pause(int32_t id, std::string_view actor, absl::Time now);

  // The newest first.
  absl::StatusOr<std::vector<CampaignRecord>> List();
  absl::StatusOr<CampaignRecord> Load(int32_t id);

  // The devices that it would still schedule. Takes a second for 100,000 certificates.
  absl::StatusOr<int64_t> CountRemaining(const CampaignRecord& campaign, absl::Time now);

 private:
  absl::StatusOr<CampaignRecord> Read(const Statement& statement, int32_t id);
  absl::Status SetState(int32_t id, CampaignState state, std::string_view reason, absl::Time now);

  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
