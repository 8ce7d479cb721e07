#include "provisioning/sip/report_session.h"

#include <algorithm>
#include <utility>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxBatch = 256;
// Connections last for hours: what was trusted then may have been revoked, and what TVS could not say it may say soon.
constexpr absl::Duration kStandingLife = absl::Minutes(5);
constexpr absl::Duration kRefusedStandingLife = absl::Seconds(10);

}  // namespace

size_t StoreResults::Add() {
  const std::lock_guard lock(mutex_);
  ++missing_;
  results_.push_back(Unavailable("not stored yet"));
  return results_.size() - 1;
}

void StoreResults::Set(size_t index, absl::Status stored) {
  std::function<void()> done;
  {
    const std::lock_guard lock(mutex_);
    results_[index] = std::move(stored);
    if (--missing_ == 0) done = std::exchange(done_, nullptr);
  }
  if (done) done();
}

bool StoreResults::AreComplete() const {
  const std::lock_guard lock(mutex_);
  return missing_ == 0;
}

void StoreResults::WhenComplete(std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    if (missing_ > 0) {
      done_ = std::move(done);
      return;
    }
  }
  done();
}

std::vector<absl::Status> StoreResults::Take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(results_, {});
}

SessionActions ReportSession::OnBytes(ByteView bytes) {
  framer_.Append(bytes);
  return Advance(/*is_drained=*/false);
}

SessionActions ReportSession::OnWaitDone() {
  if (judgement_ != nullptr) {
    standing_ = *std::exchange(judgement_, nullptr);
    judged_at_ = intake_.clock().Now();
  }
  // Bytes that came with the last ones are not delivered again, nor is it said again that there are no more.
  return Advance(/*is_drained=*/true);
}

SessionActions ReportSession::Advance(bool is_drained) {
  SessionActions actions;
  while (true) {
    // 1. Requests.
    const Next next = TakeMessages();
    if (next == Next::kJudge) {
      judgement_ = std::make_shared<CertificateStanding>();
      actions.wait_for = [&judge = intake_.judge(), der = certificate_,
                          judgement = judgement_](std::function<void()> done) {
        judge.Judge(der, [judgement, done = std::move(done)](CertificateStanding standing) {
          *judgement = std::move(standing);
          done();
        });
      };
      break;
    }
    if (batch_.empty() || !(is_drained || is_closing_ || next == Next::kBatchFull)) break;

    // 2. Their answers, when all are known.
    if (results_ != nullptr && !results_->AreComplete()) {
      actions.wait_for = [results = results_](std::function<void()> done) { results->WhenComplete(std::move(done)); };
      break;
    }
    actions.send += TakeResponses();
    if (next != Next::kBatchFull) break;
  }
  actions.close = is_closing_ && batch_.empty() && !actions.wait_for;
  actions.patient = std::exchange(asks_patience_, false);
  actions.renew_deadline = std::exchange(renews_deadline_, false);
  return actions;
}

ReportSession::Next ReportSession::TakeMessages() {
  while (!is_closing_) {
    if (batch_.size() >= kMaxBatch) return Next::kBatchFull;
    if (!held_) {
      absl::StatusOr<std::optional<SipMessage>> message = framer_.Next();
      const uint64_t keep_alives = framer_.keep_alives() - std::exchange(keep_alives_, framer_.keep_alives());
      SipStatistics::Count(intake_.statistics()->keep_alives, keep_alives);
      // Of others a connection without a request ends: they need none that lasts.
      if (keep_alives > 0 && is_patient_) renews_deadline_ = true;
      if (!message.ok()) {
        Add(intake_.Refuse(framer_.refused(), origin_, message.status()));
        is_closing_ = true;
        break;
      }
      if (!*message) break;
      held_ = **std::move(message);
    }
    if (batch_.empty() && MustBeJudged()) return Next::kJudge;
    TakeMessage(*std::exchange(held_, std::nullopt));
  }
  return Next::kReadOn;
}

void ReportSession::TakeMessage(const SipMessage& message) {
  renews_deadline_ = true;
  if (!intake_.KeepsPace(origin_, standing())) {
    Add(intake_.RefuseFlood(message, origin_));
    is_closing_ = true;
    return;
  }
  if (!is_patient_ && intake_.IsForwarder(origin_, standing())) is_patient_ = asks_patience_ = true;
  Add(intake_.Take(message, origin_, standing()));
}

void ReportSession::Add(std::optional<PendingAnswer> pending) {
  if (!pending) return;
  Waiting& waiting = batch_.emplace_back(Waiting{.pending = *std::move(pending)});
  if (!waiting.pending.report) return;
  if (results_ == nullptr) results_ = std::make_shared<StoreResults>();
  waiting.result = results_->Add();
  intake_.desk().Submit(
      *std::exchange(waiting.pending.report, std::nullopt),
      [results = results_, index = *waiting.result](absl::Status stored) { results->Set(index, std::move(stored)); });
}

std::string ReportSession::TakeResponses() {
  std::vector<absl::Status> stored;
  if (results_ != nullptr) stored = std::exchange(results_, nullptr)->Take();
  std::string responses;
  for (const Waiting& waiting : std::exchange(batch_, {})) {
    responses += ReportIntake::Response(waiting.pending, waiting.result ? stored[*waiting.result] : absl::OkStatus(),
                                        *intake_.statistics());
  }
  return responses;
}

bool ReportSession::MustBeJudged() const {
  if (certificate_ == nullptr) return false;
  if (!standing_) return true;
  const absl::Duration age = intake_.clock().Now() - judged_at_;
  return age < absl::ZeroDuration() || age > (standing_->valid ? kStandingLife : kRefusedStandingLife);
}

}  // namespace trustline
