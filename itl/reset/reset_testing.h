// What the tests of resets share: phones in a database, hooks, and a runner whose log is read.
#pragma once

#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/postgres/transaction.h"
#include "gmock/gmock.h"
#include "itl/phone/phone_testing.h"
#include "itl/reset/hook_testing.h"
#include "itl/reset/reset_orders.h"
#include "itl/reset/reset_runner.h"

namespace trustline {

inline const char kResetDaemon[] = "trustline:default/itld/node1";

class ResetTest : public PhoneDatabaseTest {
 protected:
  void SetUp() override {
    PhoneDatabaseTest::SetUp();
    UseHook(hooks_folder_.Write("hook", RememberingScript("")));
    NewRunner();
  }
  void TearDown() override { runner_.reset(); }

  // The only hook, "test", from now on, for runners that are made then.
  void UseHook(const std::string& path) {
    runner_.reset();
    const auto file = ConfigFile::Parse(
        fmt::format("[resets]\ndeadline = \"1m\"\n[resets.hooks]\ntest = \"{}\"\n", path), "itld.toml");
    ASSERT_OK(file);
    ASSERT_OK_AND_ASSIGN(hooks_, ResetHooks::Read(*file->root().Table("resets")));
  }
  // Accepts every phone but those whose names match the pattern of `case` (empty: none), and keeps what it was given in
  // the file "given", a line for each wave.
  std::string RememberingScript(const std::string& refused) const {
    return fmt::format(
        "#!/bin/sh\nwave=\nwhile read -r device rest; do wave=\"$wave $device\"\n"
        "case $device in {}) printf '%s\\tfailed\\tno such phone\\n' $device;; *) printf '%s\\tok\\tdone\\n' $device;; "
        "esac\ndone\necho \"$TRUSTLINE_RESET:$wave\" >> {}/given\n",
        refused.empty() ? "none" : refused, hooks_folder_.path().string());
  }
  // "1: SEP000000000001 SEP000000000002"
  std::vector<std::string> Given() const {
    std::ifstream file(hooks_folder_.path() / "given");
    std::vector<std::string> waves;
    for (std::string line; std::getline(file, line);) waves.push_back(line);
    return waves;
  }
  static std::string Wave(int reset, int from, int count) {
    std::string text = fmt::format("{}:", reset);
    for (int i = from; i < from + count; ++i) text += " " + Device(i);
    return text;
  }

  // As an itld that was started again: nothing of the last one is left.
  void NewRunner() {
    runner_.reset();
    runner_ =
        std::make_unique<ResetRunner>(ResetRunnerOptions{.actor = kResetDaemon, .interval = absl::Milliseconds(10)},
                                      hooks_, *pool_, *pool_, clock_, log_, metrics_);
  }
  void Step(int times = 1) {
    for (int i = 0; i < times; ++i) EXPECT_OK(runner_->AdvanceAll());
  }

  static ResetOrder OrderOf(int wave = 2) {
    return {.wave = wave, .pause = absl::Seconds(60), .hook = "test", .reason = "new lists"};
  }
  absl::StatusOr<ResetRecord> TryOrder(const ResetOrder& order) {
    return RunInTransaction(*pool_, {}, [&](Connection& connection) {
      return ResetOrders(connection, 1).Order(order, kTestActor, clock_.Now());
    });
  }
  int32_t Order(const ResetOrder& order) {
    const absl::StatusOr<ResetRecord> reset = TryOrder(order);
    EXPECT_OK(reset);
    return reset.ok() ? reset->id : 0;
  }
  ResetRecord Find(int32_t id) {
    const auto reset =
        RunInTransaction(*pool_, {}, [&](Connection& connection) { return ResetOrders(connection, 1).Find(id); });
    EXPECT_OK(reset);
    return reset.value_or(ResetRecord());
  }
  // "running 10: 4 ok, 1 failed, 0 gone, 5 waiting, 2 reported"
  std::string Said(int32_t id) {
    const ResetRecord reset = Find(id);
    const ResetCounts& counts = reset.counts;
    const auto reported = RunInTransaction(
        *pool_, {}, [&](Connection& connection) { return ResetOrders(connection, 1).CountReported(id); });
    EXPECT_OK(reported);
    return fmt::format("{} {}: {} ok, {} failed, {} gone, {} waiting, {} reported", ResetStateName(reset.state),
                       counts.phones, counts.accepted, counts.failed, counts.gone, counts.waiting,
                       reported.value_or(-1));
  }
  // Of every phone of a reset: "SEP000000000001 accepted: done".
  std::vector<std::string> PhonesOf(int32_t id, bool failed_only = false) {
    std::vector<std::string> texts;
    const auto phones = RunInTransaction(*pool_, {}, [&](Connection& connection) {
      return ResetOrders(connection, 1).Phones(id, failed_only, "", 10'000);
    });
    EXPECT_OK(phones);
    for (const ResetPhone& phone : *phones)
      texts.push_back(fmt::format("{} {}: {}", phone.device, phone.state, phone.answer));
    return texts;
  }
  // "phones.reset.order trustline:default/person/admin", in their order.
  std::vector<std::string> Audited() {
    std::vector<std::string> events;
    const auto rows = superuser_->Execute(
        "SELECT action || ' ' || actor FROM audit_event WHERE action LIKE 'phones.reset.%' ORDER BY event_id");
    EXPECT_OK(rows);
    for (const Row row : *rows) events.push_back(*row.Get<std::string>(0));
    return events;
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

  FakeClock clock_{kStart};
  std::mutex mutex_;
  std::vector<std::string> lines_;
  Log log_{{.form = LogOptions::Form::kJson, .sink = [this](std::string_view line) {
              const std::lock_guard lock(mutex_);
              lines_.emplace_back(line);
            }}};
  Metrics metrics_{"itld"};
  const HookFolder hooks_folder_;
  ResetHooks hooks_;
  std::unique_ptr<ResetRunner> runner_;
};

}  // namespace trustline
