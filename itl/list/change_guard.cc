#include "itl/list/change_guard.h"

#include "absl/strings/cord.h"
#include "common/status/status.h"
#include "proto/preflight.pb.h"

namespace trustline {
namespace {

constexpr size_t kLongestReason = 1000;
constexpr char kRefusal[] = "trustline/preflight-refusal";
constexpr char kPlanned[] = "trustline/planned";

absl::Status Marked(const std::string& message, const char* mark) {
  absl::Status status = absl::FailedPreconditionError(message);
  status.SetPayload(mark, absl::Cord("1"));
  return status;
}

}  // namespace

absl::StatusOr<Caution> FromProto(const v1::Caution& proto) {
  Caution caution{.plan = proto.plan(), .accept_unproven = {}, .override_reason = proto.override_reason()};
  if (proto.has_accept_unproven()) caution.accept_unproven = proto.accept_unproven();
  if (caution.accept_unproven.value_or(0) < 0) return InvalidArgument("the number of unproven phones is 0 or more");
  if (caution.override_reason.size() > kLongestReason) {
    return InvalidArgument("the reason of an override has at most {} bytes", kLongestReason);
  }
  return caution;
}

absl::Status PreFlightRefusal(const std::string& message) { return Marked(message, kRefusal); }
bool IsPreFlightRefusal(const absl::Status& status) { return status.GetPayload(kRefusal).has_value(); }
absl::Status Planned() { return Marked("it was planned only", kPlanned); }
bool IsPlanned(const absl::Status& status) { return status.GetPayload(kPlanned).has_value(); }

absl::Status RunGuarded(Pool& pool, ChangeGuard* guard, const GuardedChange& change,
                        const std::function<absl::Status(Connection&)>& body) {
  if (guard == nullptr && change.caution.plan) {
    return FailedPrecondition("this itld plays no change against phones, so that it cannot be planned");
  }
  const absl::Status status = RunInTransaction(pool, {}, [&](Connection& connection) -> absl::Status {
    if (guard == nullptr) return body(connection);
    return guard->Run(connection, change, [&] { return body(connection); });
  });
  return IsPlanned(status) ? absl::OkStatus() : status;
}

}  // namespace trustline
