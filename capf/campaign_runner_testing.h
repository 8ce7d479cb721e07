// A runner of campaigns whose log the test reads.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/time/clock.h"
#include "capf/campaign_runner.h"
#include "capf/campaign_testing.h"

namespace trustline {

inline const char kDaemon[] = "trustline:default/capfd/node-1";

class CampaignRunnerTest : public CampaignTest {
 protected:
  void SetUp() override {
    CampaignTest::SetUp();
    NewRunner();
  }
  void TearDown() override { runner_.reset(); }

  // As a capfd that was started again: nothing of the last one is left.
  void NewRunner() {
    runner_.reset();
    pool_ = MakePool();
    runner_ = std::make_unique<CampaignRunner>(Options(), *pool_, clock_, log_, metrics_);
  }
  static CampaignRunnerOptions Options() { return {.actor = kDaemon, .interval = absl::Milliseconds(10)}; }
  void Step(int times = 1) {
    for (int i = 0; i < times; ++i) EXPECT_OK(runner_->AdvanceAll());
  }
  // The log's lines with this id.
  std::vector<std::string> Logged(std::string_view id) {
    log_.Flush();
    const std::lock_guard lock(mutex_);
    std::vector<std::string> found;
    for (const std::string& line : lines_) {
      if (line.find(id) != std::string::npos) found.push_back(line);
    }
    return found;
  }
  void WaitForLog(std::string_view id) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(logged_.wait_for(lock, std::chrono::seconds(20), [&] {
      return std::ranges::any_of(lines_, [&](const std::string& line) { return line.find(id) != std::string::npos; });
    })) << id;
  }

  // From now on an operation for the device waits, when it is inserted, until Release().
  void HoldAt(std::string_view device) {
    RunByHand(
        fmt::format("SELECT pg_advisory_lock(1); "
                    "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    "IF NEW.device = '{}' THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN NEW; END $$; "
                    "CREATE TRIGGER hold BEFORE INSERT ON capf_operation FOR EACH ROW EXECUTE FUNCTION hold()",
                    device));
  }
  // Until somebody waits there; his backend's process id.
  int64_t WaitUntilHeld() {
    for (const absl::Time end = absl::Now() + absl::Seconds(20); absl::Now() < end;) {
      const int64_t pid =
          Count("SELECT coalesce(max(pid), 0) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
      if (pid != 0) return pid;
      absl::SleepFor(absl::Milliseconds(5));
    }
    ADD_FAILURE() << "nobody waits";
    return 0;
  }
  void Release() { RunByHand("SELECT pg_advisory_unlock(1)"); }

  std::mutex mutex_;
  std::condition_variable logged_;
  std::vector<std::string> lines_;
  Log log_{{.form = LogOptions::Form::kJson, .sink = [this](std::string_view line) {
              const std::lock_guard lock(mutex_);
              lines_.emplace_back(line);
              logged_.notify_all();
            }}};
  Metrics metrics_{"capfd"};
  std::unique_ptr<CampaignRunner> runner_;
};

}  // namespace trustline
