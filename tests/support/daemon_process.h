// A daemon of the system as a process of its own, for tests and benchmarks.
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
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trustline {

struct DaemonProcessOptions {
  std::string program;                   // its path
  std::string configuration;             // path of its configuration file
  std::vector<std::string> environment;  // "NAME=value", added to this process's
  std::optional<int> core;               // the only processor core that it may use
};

// Listens on free ports of 127.0.0.1. Ends with the thread that started it, whatever ends that. Start and Stop from one
// thread; the rest from any.
class DaemonProcess {
 public:
  // Returns when every listener accepts; errors hold what the daemon printed.
  static absl::StatusOr<std::unique_ptr<DaemonProcess>> Start(const DaemonProcessOptions& options);
  virtual ~DaemonProcess();  // Kill()

  pid_t pid() const { return pid_; }
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
  // Until it has ended by itself. DeadlineExceeded.
  absl::Status WaitForEnd(std::chrono::milliseconds limit = std::chrono::seconds(10));

  // What it has printed so far, one JSON object a line.
  std::string LogText() const;
  // Until it has printed `text`. DeadlineExceeded, or Unavailable when it ended before.
  absl::Status WaitForLog(std::string_view text, std::chrono::milliseconds limit = std::chrono::seconds(10)) const;
  // The number in field "port" (or another) of the first line with this event id.
  absl::StatusOr<uint16_t> PortInLog(std::string_view id, std::string_view field) const;

  // Resident memory, and processor time since its start.
  absl::StatusOr<int64_t> ResidentBytes() const;
  absl::StatusOr<double> CpuSeconds() const;

 protected:
  DaemonProcess() = default;
  // Start() for an object of a derived class.
  absl::Status Launch(const DaemonProcessOptions& options);

 private:
  void ReadOutput();
  bool Reap(int options);

  std::string program_;
  pid_t pid_ = -1;
  std::mutex reap_mutex_;
  bool ended_ = false;
  int exit_status_ = -1;  // -1: ended by a signal
  uint16_t grpc_port_ = 0;
  uint16_t metrics_port_ = 0;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::string log_;
  bool output_ended_ = false;
  int output_ = -1;
  std::thread reader_;
};

}  // namespace trustline
