// A whole site under the real `trustline up`, for tests that span processes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/supervisor/child_process.h"
#include "cli/supervisor/port_offset_testing.h"
#include "tests/support/run_program.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

// On 127.0.0.1 with ports of its own; ends with the test. Used by one thread.
class RunningSystem {
 public:
  // Returns when it has printed `ready`. `extra` goes to `trustline up`.
  static absl::StatusOr<std::unique_ptr<RunningSystem>> Start(const std::string& data, int port_offset,
                                                              std::vector<std::string> extra = {});

  // SIGTERM; its exit status in words.
  std::string Stop();

  // The base port with this system's offset.
  uint16_t Port(uint16_t base) const { return static_cast<uint16_t>(base + port_offset_); }
  const std::string& data() const { return data_; }
  const std::string& output() const { return output_; }

  // trustctl as the person "admin", or with the context file of another.
  ProgramResult Trustctl(const std::vector<std::string>& arguments, const std::string& context = "") const;

 private:
  RunningSystem(std::string data, int port_offset, ChildProcess process)
      : data_(std::move(data)), port_offset_(port_offset), process_(std::move(process)) {}
  absl::Status WaitForReady();

  std::string data_;
  int port_offset_;
  ChildProcess process_;
  std::string output_;
};

// A built program with this environment, run to its end.
ProgramResult RunBuilt(const std::string& program, const std::vector<std::string>& arguments,
                       const std::vector<std::string>& environment = {});

}  // namespace trustline
