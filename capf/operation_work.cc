#include "capf/operation_work.h"

#include <utility>

#include "common/status/status.h"

namespace trustline {

OperationWork::Work OperationWork::Admit(CapfElements response, uint32_t session_id, SessionPace::Turn turn) {
  struct Asked {
    CapfElements response;
    SessionPace::Turn turn;
  };
  // Shared, because a std::function can be copied; the response, which has a secret, and the turn cannot.
  const auto asked = std::make_shared<const Asked>(Asked{std::move(response), std::move(turn)});
  return Begin(Kind::kAdmission, [this, session_id, asked]() -> absl::Status {
    ASSIGN_OR_RETURN(admission_, parts_.desk.Admit(asked->response, session_id, peer_.address));
    if (admission_.verdict == Admission::Verdict::kAdmitted) claim_ = admission_.claim;
    return absl::OkStatus();
  });
}

OperationWork::Work OperationWork::Issue(std::string public_key) {
  return Begin(Kind::kIssuance, [this, public_key = std::move(public_key)]() -> absl::Status {
    absl::StatusOr<std::string> certificate = parts_.desk.Issue(*claim_, public_key);
    if (!certificate.ok()) return EndIfRefused(std::move(certificate).status());
    certificate_ = *std::move(certificate);
    return absl::OkStatus();
  });
}

OperationWork::Work OperationWork::Acknowledge() {
  return Begin(Kind::kForTheRecord,
               [this] { return End(parts_.desk.Acknowledge(*claim_), "install", parts_.statistics.installed); });
}

OperationWork::Work OperationWork::StoreFetched(CapfCertificate certificate) {
  return Begin(Kind::kForTheRecord, [this, certificate = std::move(certificate)] {
    return End(EndIfRefused(parts_.desk.StoreFetched(*claim_, certificate)), "fetch", parts_.statistics.fetched);
  });
}

OperationWork::Work OperationWork::Deleted() {
  return Begin(Kind::kForTheRecord,
               [this] { return End(parts_.desk.Deleted(*claim_), "delete", parts_.statistics.deleted); });
}

OperationWork::Work OperationWork::Fail(std::string reason) {
  return Begin(Kind::kForTheRecord, [this, reason = std::move(reason)]() -> absl::Status {
    RETURN_IF_ERROR(parts_.desk.Fail(*claim_, reason));
    LogFailure(reason);
    claim_.reset();
    return absl::OkStatus();
  });
}

absl::Status OperationWork::End(absl::Status status, std::string_view operation, std::atomic<uint64_t>& counter) {
  if (!status.ok()) return status;
  Count(counter);
  parts_.log.Info("CAPF_ENROLLED", "a phone has done what was scheduled for it",
                  {{"device", claim_->device}, {"operation", operation}, {"peer", peer_.ToText()}});
  succeeded_ = std::exchange(claim_, std::nullopt);
  return absl::OkStatus();
}

void OperationWork::Told() {
  if (succeeded_) parts_.desk.Told(*succeeded_);
  succeeded_.reset();
}

absl::Status OperationWork::EndIfRefused(absl::Status status) {
  if (!absl::IsInvalidArgument(status)) return status;
  LogFailure(StatusMessage(status));
  claim_.reset();
  was_refused_ = true;
  return status;
}

void OperationWork::LogFailure(std::string_view reason) {
  Count(parts_.statistics.failed);
  parts_.log.Warning("CAPF_FAILED", "what was scheduled for a phone has failed for good: schedule it again",
                     {{"device", claim_->device}, {"peer", peer_.ToText()}, {"reason", reason}});
}

OperationWork::Work OperationWork::Begin(Kind kind, std::function<absl::Status()> call) {
  call_ = std::move(call);
  return [self = shared_from_this(), kind](const std::function<void()>& done) { self->Start(kind, done); };
}

void OperationWork::Start(Kind kind, const std::function<void()>& done) {
  {
    const std::lock_guard lock(mutex_);
    is_running_ = true;
  }
  auto work = [self = shared_from_this(), kind, done] {
    self->Run(kind);
    done();
  };
  const bool was_taken = kind == Kind::kAdmission  ? parts_.executor.Post(std::move(work))
                         : kind == Kind::kIssuance ? parts_.issuance.Post(std::move(work))
                                                   : parts_.executor.PostAlways(std::move(work));
  if (was_taken) return;
  call_ = nullptr;
  status_ = ResourceExhausted("too many enrolments wait for their turn, or this process ends");
  was_dropped_ = true;
  {
    const std::lock_guard lock(mutex_);
    is_running_ = false;
  }
  done();
}

void OperationWork::Run(Kind kind) {
  bool is_wanted = true;
  {
    const std::lock_guard lock(mutex_);
    is_wanted = !is_left_ || kind == Kind::kForTheRecord;
  }
  if (is_wanted) status_ = call_();
  call_ = nullptr;  // and with it what the phone has sent, and its turn
  std::optional<OperationClaim> unfinished;
  {
    const std::lock_guard lock(mutex_);
    is_running_ = false;
    if (is_left_) unfinished = TakeUnfinished();
  }
  if (unfinished) Release(*unfinished);
}

void OperationWork::Leave(std::string_view broken_by) {
  std::optional<OperationClaim> unfinished;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_left_, true)) return;
    broken_by_ = broken_by;
    if (is_running_) return;  // which releases it then
    unfinished = TakeUnfinished();
  }
  if (!unfinished) return;
  const bool was_taken =
      parts_.executor.PostAlways([self = shared_from_this(), claim = *unfinished] { self->Release(claim); });
  if (was_taken) return;
  parts_.log.Warning("CAPF_UNAVAILABLE",
                     "a phone's operation was not made pending again, because this process ends: it will be when the "
                     "session's lease is over",
                     {{"device", unfinished->device}});
}

std::optional<OperationClaim> OperationWork::TakeUnfinished() {
  if (succeeded_) parts_.desk.LeftUntold(*succeeded_);
  succeeded_.reset();
  if (claim_ && !broken_by_.empty()) {
    Count(parts_.statistics.broken);
    parts_.log.Warning("CAPF_BROKEN", "a session ended before its operation: the phone may try again",
                       {{"device", claim_->device}, {"peer", peer_.ToText()}, {"reason", broken_by_}});
  }
  return std::exchange(claim_, std::nullopt);
}

void OperationWork::Release(const OperationClaim& claim) {
  const absl::Status released = parts_.desk.Release(claim);
  if (released.ok()) return;
  parts_.log.Warning("CAPF_UNAVAILABLE",
                     "a phone's operation was not made pending again: it will be when the session's lease is over",
                     {{"device", claim.device}, {"reason", released}});
}

}  // namespace trustline
