#include "itl/reset/hook_run.h"

#include <poll.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>

#include "common/service/json.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/reset/hook_process.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::string_view kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kLongestError = 400;
// After its end: what a pipe holds, and more only from a process that has left its group.
constexpr int kMostLastReads = 16;

std::string Ending(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return fmt::format("was ended by signal {} ({})", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
  }
  return WEXITSTATUS(wait_status) == 0 ? "" : fmt::format("ended with status {}", WEXITSTATUS(wait_status));
}

// Watches one hook.
class HookRun {
 public:
  HookRun(HookProcess process, const std::vector<HandedPhone>& phones)
      : process_(std::move(process)), answers_(phones) {}

  HookOutcome ToEnd(absl::Duration deadline, int interrupt_fd) {
    const SteadyClock::time_point end = SteadyClock::now() + absl::ToChronoNanoseconds(deadline);
    std::optional<int> status;
    while (!status && !outcome_.is_interrupted) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - SteadyClock::now());
      if (left.count() <= 0) break;
      pollfd events[] = {{.fd = process_.ended_fd(), .events = POLLIN, .revents = 0},
                         {.fd = process_.output_fd(), .events = POLLIN, .revents = 0},
                         {.fd = process_.error_output_fd(), .events = POLLIN, .revents = 0},
                         {.fd = interrupt_fd, .events = POLLIN, .revents = 0}};
      poll(events, std::size(events), static_cast<int>(std::min<int64_t>(left.count(), 60'000)));
      TakeOutput();
      status = process_.TryWait();
      outcome_.is_interrupted = !status && (events[3].revents & POLLIN) != 0;
    }
    if (status) {
      outcome_.ending = Ending(*status);
    } else {
      process_.Kill();
      outcome_.ending = outcome_.is_interrupted
                            ? "was interrupted"
                            : fmt::format("did not end within {} and was killed", DurationText(deadline));
    }
    for (int i = 0; i < kMostLastReads && TakeOutput(); ++i) {
    }
    lines_.Finish(TakesAnswer());
    error_lines_.Finish(TakesError());
    return Outcome();
  }

 private:
  LineCutter::OnLine TakesAnswer() {
    return [this](std::string_view line) { answers_.AddLine(line); };
  }
  LineCutter::OnLine TakesError() {
    return [this](std::string_view line) {
      if (outcome_.errors.size() == kMostHookErrors) {
        ++outcome_.more_errors;
      } else {
        outcome_.errors.push_back(PrintableText(line, kLongestError));
      }
    };
  }

  // False when there was nothing.
  bool TakeOutput() {
    const std::string output = process_.ReadOutput();
    const std::string errors = process_.ReadErrorOutput();
    lines_.Add(output, TakesAnswer());
    error_lines_.Add(errors, TakesError());
    return !output.empty() || !errors.empty();
  }

  HookOutcome Outcome() {
    if (outcome_.is_interrupted) {
      outcome_.answers = answers_.Given();
    } else {
      outcome_.answers =
          answers_.All(outcome_.ending.empty() ? "the hook did not answer for it"
                                               : fmt::format("the hook did not answer for it: it {}", outcome_.ending));
    }
    outcome_.ignored_lines = answers_.ignored();
    outcome_.first_ignored_line = answers_.first_ignored();
    return std::move(outcome_);
  }

  HookProcess process_;
  HookAnswers answers_;
  LineCutter lines_;
  LineCutter error_lines_;
  HookOutcome outcome_;
};

}  // namespace

absl::StatusOr<HookOutcome> RunHook(const ResetHook& hook, std::string_view cluster, int32_t reset_id,
                                    const std::vector<HandedPhone>& phones, int interrupt_fd) {
  const std::string input = HookInput(phones);
  ASSIGN_OR_RETURN(HookProcess process,
                   HookProcess::Start({.path = hook.path,
                                       .environment = {fmt::format("PATH={}", kPath), "LANG=C.UTF-8",
                                                       fmt::format("TRUSTLINE_CLUSTER={}", cluster),
                                                       fmt::format("TRUSTLINE_RESET={}", reset_id)},
                                       .input = input}));
  return HookRun(std::move(process), phones).ToEnd(hook.deadline, interrupt_fd);
}

}  // namespace trustline
