// A wave of phones given to a hook, until it has answered, or its time is over.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "itl/reset/hook_answers.h"
#include "itl/reset/reset_hooks.h"

namespace trustline {

// Of its error output: so many lines are kept, the others counted.
inline constexpr size_t kMostHookErrors = 20;

struct HookOutcome {
  // Of each phone. Of an interrupted hook only those that it gave.
  std::vector<PhoneAnswer> answers;
  bool is_interrupted = false;
  std::string ending;         // "ended with status 1"; empty: with status 0
  int64_t ignored_lines = 0;  // of its output: no answers, or none for these phones
  std::string first_ignored_line;
  std::vector<std::string> errors;  // lines of its error output
  int64_t more_errors = 0;
};

// Runs the hook to its end; kills it, with all that it started in its group, when its deadline is over or when
// `interrupt_fd` becomes readable. A phone that it does not answer for has failed. Errors as of HookProcess::Start:
// then the hook was given no phone.
absl::StatusOr<HookOutcome> RunHook(const ResetHook& hook, std::string_view cluster, int32_t reset_id,
                                    const std::vector<HandedPhone>& phones, int interrupt_fd);

}  // namespace trustline
