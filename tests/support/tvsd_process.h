// The real tvsd, in a process of its own, for tests and benchmarks.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/identity_authority.h"
#include "common/service/identity_files.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

// What the nodes of one system share: a database, an identity authority, and the certificate that phones know TVS by.
// Outlives its nodes. Not for several threads at once.
class TvsdSite {
 public:
  // `connection` is the connection string of the role trustline_tvsd.
  static absl::StatusOr<std::unique_ptr<TvsdSite>> Create(std::string connection);

  // The files of an identity such as "trustline:default/person/admin", made at the first call.
  absl::StatusOr<IdentityFiles> IdentityFor(std::string_view uri) const;

  const std::string& connection() const { return connection_; }
  const Certificate& tvs_certificate() const { return tvs_certificate_; }
  const PrivateKey& tvs_key() const { return tvs_key_; }

 private:
  friend class TvsdProcess;
  TvsdSite(std::string connection, IdentityAuthority authority, PrivateKey tvs_key, Certificate tvs_certificate)
      : connection_(std::move(connection)),
        authority_(std::move(authority)),
        tvs_key_(std::move(tvs_key)),
        tvs_certificate_(std::move(tvs_certificate)) {}

  // Writes what a node needs and returns the path of its configuration.
  absl::StatusOr<std::string> WriteNode(const struct TvsdOptions& options) const;

  const std::string connection_;
  const IdentityAuthority authority_;
  const PrivateKey tvs_key_;
  const Certificate tvs_certificate_;
  const TemporaryDirectory directory_;
};

struct TvsdOptions {
  std::string node = "node1";
  size_t workers = 0;       // 0: one a core
  std::optional<int> core;  // the only processor core that it may use
  std::string log_level = "info";
  std::string listener;  // more lines for its [[listener]] of cluster default: "connections = 100\n"
  std::string tables;    // more tables at the end of the file
};

// Listens on free ports of 127.0.0.1. Ends with the thread that started it, whatever ends that. Start and Stop from one
// thread; the rest from any.
class TvsdProcess {
 public:
  // Returns when every listener accepts; errors hold what tvsd printed.
  static absl::StatusOr<std::unique_ptr<TvsdProcess>> Start(const TvsdSite& site, const TvsdOptions& options = {});
  ~TvsdProcess();  // Kill()

  pid_t pid() const { return pid_; }
  uint16_t tvs_port() const { return tvs_port_; }
  uint16_t grpc_port() const { return grpc_port_; }
  uint16_t metrics_port() const { return metrics_port_; }

  // Until /health/ready says so. DeadlineExceeded holds its last sentence.
  absl::Status WaitUntilReady(std::chrono::milliseconds limit = std::chrono::seconds(30)) const;

  // The process that was started still runs.
  bool Running();
  // SIGTERM; FailedPrecondition unless it ends with status 0 within ten seconds.
  absl::Status Stop();
  // SIGKILL.
  void Kill();

  // What it has printed so far, one JSON object a line.
  std::string LogText() const;
  // Until it has printed `text`. DeadlineExceeded, or Unavailable when it ended before.
  absl::Status WaitForLog(std::string_view text, std::chrono::milliseconds limit = std::chrono::seconds(10)) const;

  // Resident memory, and processor time since its start.
  absl::StatusOr<int64_t> ResidentBytes() const;
  absl::StatusOr<double> CpuSeconds() const;

 private:
  TvsdProcess(pid_t pid, int output);

  void ReadOutput();
  // The number in field "port" (or another) of the first line with this event id.
  absl::StatusOr<uint16_t> PortInLog(std::string_view id, std::string_view field) const;
  bool Reap(int options);

  pid_t pid_;
  std::mutex reap_mutex_;
  bool ended_ = false;
  int exit_status_ = -1;  // -1: ended by a signal
  uint16_t tvs_port_ = 0;
  uint16_t grpc_port_ = 0;
  uint16_t metrics_port_ = 0;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::string log_;
  bool output_ended_ = false;
  const int output_;
  std::thread reader_;
};

}  // namespace trustline
