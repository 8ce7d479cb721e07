#include "cli/trustctl/environment.h"

#include <chrono>

#include "cli/trustctl/escaping.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kShortCall = absl::Seconds(30);

}  // namespace

absl::StatusOr<const Context*> Environment::context() {
  if (!context_) {
    if (options_.context_path.empty()) {
      return FailedPrecondition(
          "no context: give --context FILE or set TRUSTLINE_CONTEXT; `trustline up --data DIR` writes one to "
          "DIR/admin/context.toml, and `trustctl access identity NAME --out DIR` makes one for another person");
    }
    absl::StatusOr<Context> loaded = LoadContext(options_.context_path);
    if (!loaded.ok()) return Annotate(loaded.status(), "context");
    context_ = *std::move(loaded);
  }
  return &*context_;
}

absl::StatusOr<std::string> Environment::cluster() {
  if (!options_.cluster.empty()) return options_.cluster;
  ASSIGN_OR_RETURN(const Context* named, context());
  return named->cluster;
}

void Environment::Warn(std::string_view warning) {
  err_ << "trustctl: warning: " << EscapeForTerminal(warning) << std::endl;
}

Call::Call(Environment& environment, Length length) : environment_(environment) {
  std::optional<absl::Duration> limit = environment.options().timeout;
  if (!limit && length == Length::kShort) limit = kShortCall;
  if (limit) context_.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(*limit));
  environment_.interrupt().SetCall(&context_);
}

Call::~Call() { environment_.interrupt().SetCall(nullptr); }

absl::Status Call::EndOf(const grpc::Status& status, std::string_view service, std::string_view address) const {
  if (!status.ok() && environment_.interrupt().requested()) return Aborted("interrupted");
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return DeadlineExceeded("{} at {} did not answer in time: look at its log, or give more with --timeout", service,
                            address);
  }
  return ToAbsl(status, service, address);
}

}  // namespace trustline
