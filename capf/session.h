// The phones' CAPF protocol as a session: the server asks who the phone is, and does what is scheduled for it
// (docs/PROTOCOLS.md, "CAPF").
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "capf/enrolment_desk.h"
#include "capf/message_reader.h"
#include "capf/operation_work.h"
#include "capf/session_pace.h"
#include "capf/statistics.h"
#include "capf/work_queue.h"
#include "common/net/session.h"
#include "common/service/clock.h"
#include "common/service/log.h"

namespace trustline {

struct CapfEndpointOptions {
  absl::Duration longest_session = absl::Minutes(30);  // from its beginning, however often it says that it goes on
  absl::Duration retry_delay = absl::Seconds(30);      // what a phone is told that is to come later
  Executor* issuance = nullptr;  // for what waits for cad, so that it holds up nothing else; the other unless given
  std::function<uint32_t()> new_session_id;  // random unless given (recorded sessions have theirs)
};

// What the sessions of one listener share. To be ended in this order: the StreamServer, whose sessions give work to the
// executor to the last; the executor (WorkQueue::Stop), whose work uses the endpoint and what it was made with; then
// the endpoint.
class CapfEndpoint {
 public:
  CapfEndpoint(CapfEndpointOptions options, EnrolmentDesk& desk, Executor& executor, SessionPace& pace,
               const Clock& clock, Log& log);

  // A SessionFactory.
  std::unique_ptr<PhoneSession> NewSession(const Peer& peer);

  const CapfStatistics& statistics() const { return statistics_; }

 private:
  friend class CapfSession;
  const CapfEndpointOptions options_;
  SessionPace& pace_;
  const Clock& clock_;
  Log& log_;
  CapfStatistics statistics_;
  const OperationWorkParts work_parts_;
};

// One connection. How it ends, when the phone does not break it off:
//   end session 1  a certificate was installed or deleted
//   end session 0  nothing scheduled; the phone has shown its certificate; it could not do what it was asked, so that
//                  nothing has changed
//   end session 7  the proof is wrong, a message is malformed or was not asked for, the phone's key is refused, what it
//                  shows is no certificate
//   end session 9  unknown device
//   retry later    too many enrolments, or too many of the device or its address, or another session of the device is
//                  open
//   no answer      what became of it is not known, or it took too long: phones try again
class CapfSession final : public PhoneSession {
 public:
  CapfSession(CapfEndpoint& endpoint, const Peer& peer);
  ~CapfSession() override;

  SessionActions OnConnected() override;
  SessionActions OnBytes(ByteView bytes) override;
  SessionActions OnWaitDone() override;

 private:
  // What it awaits:
  //   authentication response -> admission -> key -> certificate -> store response -> record -> told -> end
  //                                           key (fails) -> key, or record
  //                              admission -> fetched certificate -> record
  //                              admission -> delete response -> record
  // and from each of them the end.
  enum class State : uint8_t {
    kAuthenticationResponse,
    kAdmission,  // outside work
    kKey,
    kCertificate,  // outside work
    kStoreResponse,
    kFetchedCertificate,
    kDeleteResponse,
    kRecord,  // outside work: how the operation has ended
    kTold,    // that the end has left
    kEnd,
  };

  absl::StatusOr<std::optional<CapfMessage>> NextMessage();
  void ReadOn(SessionActions& actions);
  void Answer(CapfMessage message, SessionActions& actions);

  void OnAuthenticationResponse(CapfElements response, SessionActions& actions);
  void OnAdmission(SessionActions& actions);
  void BeginOperation(SessionActions& actions);
  void OnStillAtWork(SessionActions& actions);
  void OnKey(CapfElements response, SessionActions& actions);
  void OnCertificate(SessionActions& actions);
  void OnStoreResponse(const CapfElements& response, SessionActions& actions);
  void OnFetchedCertificate(CapfElements response, SessionActions& actions);
  void OnDeleteResponse(const CapfElements& response, SessionActions& actions);
  void OnRecord(SessionActions& actions);
  void EndAfterError(SessionActions& actions);

  // Asks for the next kind of key; when there is none left, the phone has failed for every reason why it made none.
  void AskForKey(SessionActions& actions);
  void AskForAnotherKey(std::string_view reason, SessionActions& actions);
  void Record(OperationWork::Work work, CapfReason outcome, SessionActions& actions);
  void Fail(std::string_view what, const CapfElements& response, SessionActions& actions);

  void Send(CapfCommand command, const CapfElements& elements, State next, SessionActions& actions);
  void WaitFor(OperationWork::Work work, State next, SessionActions& actions);
  void EndSession(CapfReason reason, SessionActions& actions);
  void RetryLater(SessionActions& actions);
  void Malformed(const absl::Status& status, SessionActions& actions);
  void CloseUnavailable(const absl::Status& status, SessionActions& actions);
  void Close(SessionActions& actions);

  CapfEndpoint& endpoint_;
  const Peer peer_;
  const uint32_t session_id_;
  const absl::Time begun_;
  CapfMessageReader reader_;
  const std::shared_ptr<OperationWork> work_;
  State state_ = State::kAuthenticationResponse;
  std::string device_;                          // as the phone calls itself
  size_t next_key_ = 0;                         // of the claim's
  std::string key_failures_;                    // why it did not make those before
  CapfReason outcome_ = CapfReason::kNoAction;  // what the phone is told once it is on record
};

}  // namespace trustline
