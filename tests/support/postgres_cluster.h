// A private PostgreSQL cluster and its processes, for ScratchDatabase.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trustline {

// Lives in a folder under that for temporary files (TMPDIR, /tmp). A keeper process, child of ours, is the postmaster's
// parent: when we end in whatever way it sees the end of a pipe, ends the postmaster and removes the folder; when the
// keeper itself is killed, the postmaster gets SIGQUIT from the kernel. Not thread-safe.
class PostgresCluster {
 public:
  PostgresCluster() = default;
  ~PostgresCluster();
  PostgresCluster(const PostgresCluster&) = delete;
  PostgresCluster& operator=(const PostgresCluster&) = delete;

  // initdb at the first call, then the server; waits until it answers. Nothing when it runs.
  absl::Status Start();
  absl::Status Stop();
  absl::Status Kill();
  absl::Status Pause();
  absl::Status Resume();

  bool running() const { return postmaster_ != 0; }
  bool paused() const { return paused_; }

  // The folder of its Unix socket, for `host=`.
  std::string socket_directory() const { return directory_.string(); }

 private:
  struct Account {
    uid_t uid;
    gid_t gid;
  };

  absl::Status Initialize();
  absl::Status StartPostmaster();
  absl::Status WaitUntilReady();
  // Sends `signal` to the postmaster and then to the children it has.
  void SignalAll(int signal);
  // Until the keeper has ended, and with it every process of the server.
  absl::Status WaitUntilEnded();
  std::string ServerLog() const;

  std::filesystem::path binaries_;
  std::filesystem::path directory_;
  std::optional<Account> account_;  // whom the server runs as, when we are root
  pid_t keeper_ = 0;
  pid_t postmaster_ = 0;
  int keeper_pipe_ = -1;  // its end ends the keeper
  bool paused_ = false;
};

}  // namespace trustline
