// Keeps child processes alive: one event loop for their ends, their output, their restarts, and the signals to stop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/supervisor/back_off.h"
#include "cli/supervisor/child_log.h"
#include "cli/supervisor/child_process.h"
#include "common/posix/unique_fd.h"

namespace trustline {

struct ChildSpec {
  std::string name;
  ChildCommand command;
  int stop_signal = SIGTERM;
  absl::Duration patience = absl::Seconds(10);  // from the stop signal to SIGKILL
  std::string log_path;
  std::string pid_path;
  // Which of its lines the operator sees at once.
  std::function<bool(std::string_view line)> is_important;
  // Whether its end with an exit status, before it was ready, ends the start of the system.
  bool must_survive_start = true;
  // The system starts without it: its end ends no start, and what cannot even be started is tried again later.
  bool is_optional = false;
  // Before each start; its error is reported and the restart tried again later.
  std::function<absl::Status()> prepare;
};

// Used by one thread. Blocks SIGTERM and SIGINT in the thread that makes it (and those that it starts later) and takes
// them as the request to stop.
class Supervisor {
 public:
  // `report` gets the sentences for the operator: a child's important lines, deaths and restarts.
  static absl::StatusOr<std::unique_ptr<Supervisor>> Create(std::function<void(std::string_view)> report);
  // Ends what still runs, like StopAll.
  ~Supervisor();

  // Starts a child and keeps it alive from then on. Children are stopped in the reverse order.
  absl::Status Start(ChildSpec spec);

  // Looks after the children until `done` says yes. FailedPrecondition when a child ended by itself meanwhile (its last
  // line says why), DeadlineExceeded with `what` after `timeout`, Cancelled when a stop was asked for; an error of
  // `done` is returned.
  absl::Status WaitUntil(std::string_view what, absl::Duration timeout,
                         const std::function<absl::StatusOr<bool>()>& done);

  // Why no start can succeed any more: Cancelled or FailedPrecondition as WaitUntil has them.
  absl::Status StartFailure() const;

  // How the child last ended, with its last line, or why it could not be started; OK when neither has happened.
  absl::Status LastEnd(std::string_view name) const;

  // Looks after the children until a stop is asked for. `daily` runs once a day, `finish` once a second until it says
  // that nothing is left to do.
  void Run(const std::function<void()>& daily, const std::function<bool()>& finish);

  // Stops the children, each after those that were started later.
  void StopAll();

  bool stop_requested() const { return stop_requested_; }

 private:
  struct Child;
  explicit Supervisor(std::function<void(std::string_view)> report);

  absl::Status StartProcess(Child& child);
  // One round of the loop, at most `timeout` long.
  void Step(absl::Duration timeout);
  void ReadSignals();
  void AfterEnd(Child& child, int wait_status);
  void PutOff(Child& child, const absl::Status& not_started);
  void RestartDue();
  absl::Duration UntilNextRestart(absl::Duration at_most) const;

  std::function<void(std::string_view)> report_;
  UniqueFd signals_;
  std::vector<std::unique_ptr<Child>> children_;
  bool stop_requested_ = false;
  bool stopping_ = false;
  int stop_requests_ = 0;
  bool starting_ = true;  // until Run
  // Set by a child that ends by itself with an exit status, so that a start which cannot succeed ends at once.
  absl::Status early_end_;
};

}  // namespace trustline
