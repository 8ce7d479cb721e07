// Whether a process has started, is ready, is alive: asked over HTTP, over gRPC's health service, and by a supervisor.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace trustline {

// Safe to use from any thread.
class Health {
 public:
  // `check` does the real thing once (a verdict, a query) within a second or two and says in a sentence what is wrong.
  // Calls of checks never overlap. A check must stay callable until ClearChecks().
  void AddReadinessCheck(std::string name, std::function<absl::Status()> check);
  // After this the process is not ready; checks that are running have ended when it returns.
  void ClearChecks();

  void SetStarted();
  bool started() const;

  // OK when started and every check passes; else the first failure, "NAME: what is wrong". Answers at most 1 s old are
  // given again.
  absl::Status Ready();

 private:
  struct Check {
    std::string name;
    std::function<absl::Status()> run;
  };
  mutable std::mutex mutex_;
  std::vector<Check> checks_;
  bool started_ = false;
  bool stopping_ = false;
  absl::Time evaluated_ = absl::InfinitePast();
  absl::Status last_;
};

}  // namespace trustline
