// Options of every command that changes trust: say first what it would do to phones, and on which terms it is made.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cli/trustctl/environment.h"
#include "common/status/status.h"
#include "proto/preflight.pb.h"

namespace trustline {

struct CautionArguments {
  bool plan = false;
  std::optional<int64_t> accept_unproven;
  bool override_refusal = false;
  std::optional<std::string> reason;  // of the command, or for the override alone
  bool yes = false;
};

// --accept-unproven; also of commands that have no other of these options.
CLI::Option* AddAcceptUnproven(CLI::App& command, std::optional<int64_t>& accept_unproven,
                               const std::string& description);

// --plan, --accept-unproven and --override. Comes after the command's own options: its --reason and --yes are those of
// the override too, and are added when it has none. `arguments` must outlive the command.
void AddCaution(CLI::App& command, CautionArguments& arguments);

// Asks before an override, unless nothing is to be changed. Aborted when the answer is no.
absl::Status ConfirmOverride(Environment& environment, const CautionArguments& arguments);

v1::Caution CautionOf(const CautionArguments& arguments);

// Into a request that has one, after ConfirmOverride.
template <typename Request>
absl::Status FillCaution(Environment& environment, const CautionArguments& arguments, Request& request) {
  RETURN_IF_ERROR(ConfirmOverride(environment, arguments));
  *request.mutable_caution() = CautionOf(arguments);
  return absl::OkStatus();
}

}  // namespace trustline
