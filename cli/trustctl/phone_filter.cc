#include "cli/trustctl/phone_filter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/phone_words.h"
#include "cli/trustctl/trust_records.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxServerName = 255;  // of a DNS name

}  // namespace

void AddPhoneServer(CLI::App& command, std::optional<std::string>& server) {
  AddText(command, "--server", kMaxServerName, server, "Only of this TFTP server: one of ours, or as phones name it");
}

void AddPhoneFilter(CLI::App& command, PhoneFilterArguments& arguments) {
  AddPhoneStatuses(command, arguments.statuses,
                   fmt::format("Only of these statuses, with commas: {}", fmt::join(PhoneStatusArguments(), ", ")));
  AddPhoneServer(command, arguments.server);
  AddText(command, "--model", kMaxDeviceText, arguments.model, "Only devices of exactly this model");
  AddText(command, "--site", kMaxDeviceText, arguments.site, "Only devices of exactly this site");
  command.add_flag("--evidence", arguments.evidence,
                   "Only what is evidence: no claims, and no phones without a report");
}

void AddPhoneCure(CLI::App& command, PhoneFilterArguments& arguments) {
  AddPhoneCures(command, arguments.cures,
                fmt::format("Only those that this brings to what is published, with commas: {}",
                            fmt::join(WordTexts(kPhoneCures), ", ")));
}

absl::StatusOr<v1::PhoneFilter> PhoneFilterFrom(Environment& environment, const PhoneFilterArguments& arguments) {
  v1::PhoneFilter filter;
  for (const v1::PhoneStatus status : arguments.statuses) filter.add_statuses(status);
  for (const v1::PhoneCure cure : arguments.cures) filter.add_cures(cure);
  filter.set_tftp_server(arguments.server.value_or(""));
  filter.set_model(arguments.model.value_or(""));
  filter.set_site(arguments.site.value_or(""));
  if (arguments.since) {
    ASSIGN_OR_RETURN(const absl::Time since, environment.ResolveTime(*arguments.since));
    *filter.mutable_since() = TimeToProto(since);
  }
  filter.set_evidence_only(arguments.evidence);
  return filter;
}

}  // namespace trustline
