// A start of the system on one machine: what `trustline up` does, step by step.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/supervisor/data_directory.h"
#include "cli/supervisor/private_postgres.h"
#include "cli/supervisor/settings.h"
#include "cli/supervisor/site_settings.h"
#include "cli/supervisor/supervisor.h"
#include "cli/supervisor/system_user.h"

namespace trustline {

// What `trustline join` was told, kept in DIR/joined.toml; such a node has no PostgreSQL, itld or cad of its own.
struct JoinedNode {
  std::string node;
  std::string server;    // itld
  std::string database;  // libpq's connection string

  static absl::StatusOr<JoinedNode> Read(const std::string& path);
  absl::Status Write(const std::string& path) const;
};

// Checked settings, the lock on the data directory, the users. Nothing was made yet but the data directory itself.
class Site {
 public:
  // All preconditions, before anything is made; then the data directory and its lock. Ends what an earlier start left
  // running.
  static absl::StatusOr<Site> Open(const Settings& settings);

  // Brings everything up; returns when it is ready. Errors name what failed; what was made stays for the next start.
  absl::Status Start(Supervisor& supervisor);

  // Renews identities that are due; for once a day.
  absl::Status Renew() const;

  // After all children have ended.
  void CleanUp() const { postgres_.RemoveSocketDirectory(); }

 private:
  Site(Settings settings, SiteSettings site_settings, Ports ports, DataPaths paths, SystemUsers users, DataLock lock,
       std::optional<JoinedNode> joined, std::vector<ListenerAddress> listeners, std::string postgres_bin_dir)
      : settings_(std::move(settings)),
        site_settings_(std::move(site_settings)),
        ports_(ports),
        paths_(std::move(paths)),
        users_(std::move(users)),
        lock_(std::move(lock)),
        joined_(std::move(joined)),
        listeners_(std::move(listeners)),
        postgres_(paths_, std::move(postgres_bin_dir), users_) {}

  absl::Status StartPostgres(Supervisor& supervisor) const;
  absl::Status PrepareDatabase() const;
  absl::Status StartItld(Supervisor& supervisor) const;
  absl::Status JoinLocalNode() const;
  // When tvsd's identity ended during a long rest, so that it cannot renew it at itld any more.
  absl::Status JoinLocalNodeAgain() const;
  std::string LocalItld() const;
  absl::Status StartCad(Supervisor& supervisor) const;
  // What phones will know this site by: the authority that certifies them, and the certificate of its CAPF.
  absl::Status MakeAuthorities() const;
  absl::Status StartTvsd(Supervisor& supervisor) const;
  absl::Status StartDaemon(Supervisor& supervisor, const std::string& name, const std::string& directory,
                           const std::optional<SystemUser>& user, uint16_t metrics_port) const;
  void PrintAddresses() const;

  Settings settings_;
  SiteSettings site_settings_;
  Ports ports_;
  DataPaths paths_;
  SystemUsers users_;
  DataLock lock_;
  std::optional<JoinedNode> joined_;
  std::vector<ListenerAddress> listeners_;
  PrivatePostgres postgres_;
};

// A line of progress on stdout.
void Say(std::string_view line);

}  // namespace trustline
