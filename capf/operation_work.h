// What one session has the desk do, in the threads of an executor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "capf/enrolment_desk.h"
#include "capf/message.h"
#include "capf/session_pace.h"
#include "capf/statistics.h"
#include "capf/work_queue.h"
#include "common/net/session.h"
#include "common/service/log.h"

namespace trustline {

// What the work of all sessions of a listener is done with; all of it outlives the executor's last piece of work.
struct OperationWorkParts {
  EnrolmentDesk& desk;
  Executor& executor;
  Executor& issuance;  // for what waits for cad
  CapfStatistics& statistics;
  Log& log;
};

// The calls of one session, one at a time. A call that runs goes on when the session ends, and holds this object. From
// the admission to the end of the operation it holds the claim: what the session leaves unfinished is released, once,
// and after the call that runs. Operations that end are counted and logged here, because they may do so without their
// session.
class OperationWork : public std::enable_shared_from_this<OperationWork> {
 public:
  OperationWork(const OperationWorkParts& parts, Peer peer) : parts_(parts), peer_(std::move(peer)) {}

  // As SessionActions::wait_for: the call begins when this is called.
  using Work = std::function<void(std::function<void()> done)>;

  // `turn` is given back once the admission is over, or is not begun any more.
  Work Admit(CapfElements response, uint32_t session_id, SessionPace::Turn turn);
  Work Issue(std::string public_key);
  Work Acknowledge();
  Work StoreFetched(CapfCertificate certificate);
  Work Deleted();
  Work Fail(std::string reason);

  // Of the last call, once it is done. `was_dropped`: nothing was done because too much waits. `was_refused`: what the
  // phone gave is refused, and its operation has failed.
  const absl::Status& status() const { return status_; }
  bool was_dropped() const { return was_dropped_; }
  bool was_refused() const { return was_refused_; }
  const Admission& admission() const { return admission_; }        // after Admit
  const std::string& certificate() const { return certificate_; }  // after Issue, DER

  // After Acknowledge, StoreFetched or Deleted that went well: the phone is being told so.
  void Told();

  // The session has done with it. Unless `broken_by` is empty, an operation that it leaves unfinished is counted and
  // logged as broken by that. Only the first call has an effect.
  void Leave(std::string_view broken_by);

 private:
  enum class Kind : uint8_t {
    kAdmission,    // dropped when too much waits; pointless without its session
    kIssuance,     // the same, with the executor for it
    kForTheRecord  // what the phone has done stays so without its session
  };
  Work Begin(Kind kind, std::function<absl::Status()> call);
  void Start(Kind kind, const std::function<void()>& done);
  void Run(Kind kind);
  // What is to be released now; held no more after this call. With the mutex held.
  std::optional<OperationClaim> TakeUnfinished();
  void Release(const OperationClaim& claim);
  // With InvalidArgument the desk has refused what the phone gave.
  absl::Status EndIfRefused(absl::Status status);
  absl::Status End(absl::Status status, std::string_view operation, std::atomic<uint64_t>& counter);
  void LogFailure(std::string_view reason);

  const OperationWorkParts parts_;
  const Peer peer_;

  std::mutex mutex_;
  bool is_running_ = false;  // a call is with the executor; what stands below is its own then
  bool is_left_ = false;
  std::string broken_by_;

  std::function<absl::Status()> call_;
  std::optional<OperationClaim> claim_;      // of an operation that has not ended
  std::optional<OperationClaim> succeeded_;  // of one that has
  absl::Status status_;
  bool was_dropped_ = false;
  bool was_refused_ = false;
  Admission admission_;
  std::string certificate_;
};

}  // namespace trustline
