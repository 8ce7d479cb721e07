// A start of the system on one machine: what `trustline up` does, step by step.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/supervisor/back_off.h"
#include "cli/supervisor/data_directory.h"
#include "cli/supervisor/private_postgres.h"
#include "cli/supervisor/settings.h"
#include "cli/supervisor/site_settings.h"
#include "cli/supervisor/supervisor.h"
#include "cli/supervisor/system_user.h"

namespace trustline {

// What `trustline join` was told, kept in DIR/joined.toml; such a node has no PostgreSQL, itld, cad, capfd or
// provisiond of its own.
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
  // But for the first start cad, capfd and provisiond may be missing then: phones are served without them.
  absl::Status Start(Supervisor& supervisor);

  // Once cad, capfd and provisiond are there, what their absence left undone. Whether nothing is left.
  bool FinishStart(Supervisor& supervisor);

  // Renews identities that are due; for once a day.
  absl::Status Renew() const;

  // After all children have ended.
  void CleanUp() const { postgres_.RemoveSocketDirectory(); }

 private:
  Site(Settings settings, SiteSettings site_settings, Ports ports, DataPaths paths, SystemUsers users, DataLock lock,
       std::optional<JoinedNode> joined, std::vector<ListenerAddress> listeners, std::string postgres_bin_dir,
       bool is_first_start)
      : settings_(std::move(settings)),
        site_settings_(std::move(site_settings)),
        ports_(ports),
        paths_(std::move(paths)),
        users_(std::move(users)),
        lock_(std::move(lock)),
        joined_(std::move(joined)),
        listeners_(std::move(listeners)),
        postgres_(paths_, std::move(postgres_bin_dir), users_),
        is_first_start_(is_first_start) {}

  struct Daemon {
    std::string name;
    std::string directory;
    std::optional<SystemUser> user;
    uint16_t metrics_port;
    bool is_optional = false;
    // Before each start. Of the optional ones until it was ready once: later ones must not wait for a database that
    // is away.
    std::function<absl::Status()> prepare = {};
  };

  // How far an optional daemon has come.
  struct Progress {
    bool is_launched = false;
    bool is_up = false;  // it was ready once
  };

  absl::Status StartPostgres(Supervisor& supervisor) const;
  absl::Status PrepareDatabase() const;
  absl::Status StartItld(Supervisor& supervisor) const;
  absl::Status JoinLocalNode() const;
  // When tvsd's identity ended during a long rest, so that it cannot renew it at itld any more.
  absl::Status JoinLocalNodeAgain() const;
  // This machine's node needs nobody's approval but the start's; also after a start that was ended before it.
  absl::Status ApproveLocalNode() const;
  std::string LocalItld() const;
  std::string LocalCad() const;
  // Everything of cad's before it runs.
  absl::Status PrepareCad() const;
  // cad and the authorities; FinishStart() goes on where it failed.
  absl::Status StartCad(Supervisor& supervisor);
  // What phones will know this site by: the authority that certifies them, the certificates of CAPF and provisiond, the
  // first trust list and the names of its TFTP server.
  absl::Status MakeAuthorities() const;
  // Everything of a daemon's before it runs.
  absl::Status PrepareCapfd() const;
  absl::Status PrepareProvisiond() const;
  Daemon Capfd() const;
  Daemon Provisiond() const;
  // If it has its certificate; FinishStart() goes on where it failed.
  absl::Status StartOptional(Supervisor& supervisor, const Daemon& daemon, Progress& progress) const;
  absl::Status StartTvsd(Supervisor& supervisor) const;
  // Hands it over to the supervisor.
  absl::Status LaunchDaemon(Supervisor& supervisor, const Daemon& daemon) const;
  // And waits until it is ready.
  absl::Status StartDaemon(Supervisor& supervisor, const Daemon& daemon) const;
  // Whether what an optional daemon did not do ends the start: an error if it does.
  absl::Status EndsStart(const absl::Status& failure, const Supervisor& supervisor) const;
  // One more try each; whether it has just succeeded.
  bool FinishCad();
  bool FinishOptional(Supervisor& supervisor, const Daemon& daemon, Progress& progress) const;
  bool IsComplete() const;
  void SayIsReady(std::string_view daemon) const;
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
  bool is_first_start_;
  bool cad_is_up_ = false;  // it was ready once
  bool authorities_are_made_ = false;
  BackOff authorities_back_off_;
  absl::Time next_authorities_ = absl::InfinitePast();
  std::string authorities_failure_;  // that the operator was told
  Progress capfd_;
  Progress provisiond_;
};

// A line of progress on stdout.
void Say(std::string_view line);

}  // namespace trustline
