#include "common/rpc/refusal.h"

#include <string>

#include "common/rpc/peer_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxSubject = 64;

}  // namespace

void AuditRefusal(AuditQueue& audit, const grpc::ServerContextBase& context, const Caller& caller,
                  std::string_view action, std::string_view subject, const absl::Status& reason) {
  if (absl::IsUnavailable(reason) || absl::IsInternal(reason) || absl::IsDeadlineExceeded(reason) ||
      absl::IsResourceExhausted(reason) || absl::IsAborted(reason) || absl::IsCancelled(reason)) {
    return;
  }
  audit.AppendDenial({.cluster_id = caller.cluster_id,
                      .actor = caller.actor(),
                      .action = std::string(action),
                      .subject = std::string(subject.substr(0, kMaxSubject)),
                      .outcome = AuditOutcome::kDenied,
                      .detail = {{"reason", std::string(StatusMessage(reason))}}},
                     PeerAddress(context.peer()));
}

}  // namespace trustline
