// Options that choose phones: of the mismatch report, its summary, and the watch.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/trustctl/environment.h"
#include "proto/phone_trust.pb.h"

namespace trustline {

struct PhoneFilterArguments {
  std::vector<v1::PhoneStatus> statuses;
  std::vector<v1::PhoneCure> cures;
  std::optional<std::string> server;
  std::optional<std::string> model;
  std::optional<std::string> site;
  std::optional<std::string> since;
  bool evidence = false;
};

// --server; also of commands that choose by nothing else.
void AddPhoneServer(CLI::App& command, std::optional<std::string>& server);

// All but --cure and --since. `arguments` must outlive the command.
void AddPhoneFilter(CLI::App& command, PhoneFilterArguments& arguments);
// --cure: of commands that only show.
void AddPhoneCure(CLI::App& command, PhoneFilterArguments& arguments);

// Asks itld for the cluster's time zone when a time has none.
absl::StatusOr<v1::PhoneFilter> PhoneFilterFrom(Environment& environment, const PhoneFilterArguments& arguments);

}  // namespace trustline
