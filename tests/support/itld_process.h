// The real itld with trust lists, and the tvsd that its lists need, as processes of their own, for tests.
#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/support/daemon_process.h"
#include "tests/support/scratch_database.h"
#include "tests/support/tvsd_process.h"

namespace trustline {

struct ItldOptions {
  std::string node = "node1";
  std::string program = "itld";  // in the folder of the built programs
  std::string fail_point;        // for the program with fail points
  // How long it leaves a changed trust store alone. With "1h" it follows none, and answers all the same.
  std::string quiet_time = "100ms";
  uint16_t grpc_port = 0;  // 0: a free one
  // Between two looks for plans. With "1h" it runs none but those that are changed by a call to it.
  std::string plan_interval = "100ms";
};

// A system with a database, one approved TVS node, and any number of itld that share the keys of the lists. The person
// "admin" is an administrator. Not for several threads at once.
class ItldSite {
 public:
  // `database` must outlive it.
  static absl::StatusOr<std::unique_ptr<ItldSite>> Create(const ScratchDatabase& database);

  // Ready for calls.
  absl::StatusOr<std::unique_ptr<DaemonProcess>> StartItld(const ItldOptions& options = {}) const;
  // As the person "admin".
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Channel(const DaemonProcess& itld) const;

  // The TVS node begins or begins anew, and its address is on record.
  absl::Status StartTvsd();
  TvsdProcess& tvsd() { return *tvsd_; }
  // For daemons of other kinds beside them.
  const TestIdentities& identities() const { return tvsd_site_->identities(); }
  const TvsdSite& tvsd_site() const { return *tvsd_site_; }

 private:
  ItldSite(const ScratchDatabase& database, std::unique_ptr<TvsdSite> tvsd_site)
      : database_(database), tvsd_site_(std::move(tvsd_site)) {}

  const ScratchDatabase& database_;
  const std::unique_ptr<TvsdSite> tvsd_site_;
  std::unique_ptr<TvsdProcess> tvsd_;
};

}  // namespace trustline
