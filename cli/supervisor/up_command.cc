#include <cstdio>
#include <memory>

#include "cli/supervisor/commands.h"
#include "cli/supervisor/site.h"
#include "cli/supervisor/supervisor.h"
#include "common/rpc/credentials.h"
#include "common/status/status.h"

namespace trustline {
namespace {

void Report(std::string_view line) { fmt::print(stderr, "{}\n", line); }

}  // namespace

absl::Status RunUp(const Settings& settings) {
  // The supervisor first: it blocks the signals that would end this process half-way.
  ASSIGN_OR_RETURN(const std::unique_ptr<Supervisor> supervisor, Supervisor::Create(Report));
  RETURN_IF_ERROR(RequireTls13());
  ASSIGN_OR_RETURN(Site site, Site::Open(settings));
  const absl::Status started = site.Start(*supervisor);
  if (started.ok()) {
    supervisor->Run(
        [&site] {
          if (const absl::Status renewed = site.Renew(); !renewed.ok()) {
            Report(fmt::format("identities could not be renewed: {}", renewed.message()));
          }
        },
        [&] { return site.FinishStart(*supervisor); });
  }
  if (supervisor->stop_requested()) Say("stopping");
  supervisor->StopAll();
  site.CleanUp();
  if (supervisor->stop_requested()) {
    Say("stopped");
    return absl::OkStatus();
  }
  return started;
}

}  // namespace trustline
