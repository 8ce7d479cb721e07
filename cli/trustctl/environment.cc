#include "cli/trustctl/environment.h"

#include <chrono>

#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/escaping.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/access.grpc.pb.h"

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
    if (!loaded.ok()) return Annotate(WithFileAdvice(loaded.status()), "context");
    if (loaded->cluster.empty()) {
      return UsageError(fmt::format("context: {}: `cluster` is empty: name a cluster there, such as \"default\"",
                                    options_.context_path));
    }
    context_ = *std::move(loaded);
  }
  return &*context_;
}

absl::StatusOr<std::string> Environment::cluster() {
  if (!options_.cluster.empty()) return options_.cluster;
  ASSIGN_OR_RETURN(const Context* named, context());
  return named->cluster;
}

absl::StatusOr<absl::Time> Environment::ResolveTime(std::string_view text) {
  if (const absl::StatusOr<absl::Duration> ago = ParseDuration(text); ago.ok()) return absl::Now() - *ago;
  ASSIGN_OR_RETURN(const absl::Time in_utc, ParseTime(text, absl::UTCTimeZone()));
  ASSIGN_OR_RETURN(const absl::Time elsewhere, ParseTime(text, absl::FixedTimeZone(3600)));
  if (in_utc == elsewhere) return in_utc;  // the text names its zone
  ASSIGN_OR_RETURN(const std::string wanted, cluster());
  ASSIGN_OR_RETURN(Client<v1::Access> client, Connect<v1::Access>(kItld));
  ASSIGN_OR_RETURN(const v1::ListClustersResponse response,
                   (Ask(client, &v1::Access::Stub::ListClusters, v1::ListClustersRequest())));
  for (const v1::Cluster& known : response.clusters()) {
    if (known.name() != wanted) continue;
    absl::TimeZone zone;
    if (!absl::LoadTimeZone(known.time_zone(), &zone)) {
      return FailedPrecondition(
          "this machine does not know the time zone {} of cluster {}: write the time with its "
          "zone, such as 2026-11-22T08:00:00+01:00",
          known.time_zone(), wanted);
    }
    return ParseTime(text, zone);
  }
  return NotFound("there is no cluster {}, or you have no role on it", wanted);
}

void Environment::Warn(std::string_view warning) {
  err_ << "trustctl: warning: " << EscapeForTerminal(warning) << std::endl;
}

Call::Call(Environment& environment, Length length) : environment_(environment) {
  std::optional<absl::Duration> limit = environment.options().timeout;
  if (!limit && length == Length::kShort) limit = kShortCall;
  if (limit) context_.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(*limit));
  outer_ = environment_.interrupt().SetCall(&context_);
}

Call::~Call() { environment_.interrupt().SetCall(outer_); }

absl::Status Call::EndOf(const grpc::Status& status, std::string_view service, std::string_view address) const {
  if (!status.ok() && environment_.interrupt().requested()) return Aborted("interrupted");
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return DeadlineExceeded("{} at {} did not answer in time: look at its log, or give more with --timeout", service,
                            address);
  }
  return ToAbsl(status, service, address);
}

CallSeries::CallSeries(Environment& environment)
    : interrupt_(environment.interrupt()), outer_(interrupt_.SetCall(&between_calls_)) {}

CallSeries::~CallSeries() { interrupt_.SetCall(outer_); }

}  // namespace trustline
