// SIP over TCP and TLS as a session: phones' and forwarders' reports in, answers out in the order of the requests.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/net/session.h"
#include "provisioning/sip/report_intake.h"
#include "provisioning/sip/stream_framer.h"

namespace trustline {

// What the desk has said of the reports of one batch of requests. It comes from any thread, perhaps when the session is
// gone.
class StoreResults {
 public:
  size_t Add();
  void Set(size_t index, absl::Status stored);
  bool AreComplete() const;
  // Calls `done` when all are there: at once, or later in the thread that brings the last one. Once only.
  void WhenComplete(std::function<void()> done);
  // When all are there.
  std::vector<absl::Status> Take();

 private:
  mutable std::mutex mutex_;
  std::vector<absl::Status> results_;
  size_t missing_ = 0;
  std::function<void()> done_;
};

// One connection. It takes every whole message of what has arrived, hands their reports to the desk together, waits for
// them and sends all answers in one write. `intake` outlives it.
//
// The socket layer's exchange deadline must be longer than the desk takes to store a report or to say that it cannot.
class ReportSession final : public PhoneSession {
 public:
  ReportSession(ReportIntake& intake, const Peer& peer, SipTransport transport)
      : intake_(intake), origin_(peer, transport), certificate_(peer.certificate) {}

  SessionActions OnBytes(ByteView bytes) override;
  SessionActions OnDrained() override { return Advance(/*is_drained=*/true); }
  SessionActions OnWaitDone() override;

 private:
  enum class Next : uint8_t { kReadOn, kBatchFull, kJudge };

  // Takes messages until the batch is full, or the certificate has to be judged first, or there is none.
  Next TakeMessages();
  void TakeMessage(const SipMessage& message);
  void Add(std::optional<PendingAnswer> pending);
  // `is_drained`: what has been decided need not wait for more requests.
  SessionActions Advance(bool is_drained);
  bool MustBeJudged() const;
  const CertificateStanding* standing() const { return standing_ ? &*standing_ : nullptr; }
  std::string TakeResponses();

  ReportIntake& intake_;
  const ReportOrigin origin_;
  const std::shared_ptr<const std::string> certificate_;
  SipStreamFramer framer_;
  std::optional<SipMessage> held_;                  // waits for the judgement
  std::shared_ptr<CertificateStanding> judgement_;  // asked for, not there yet
  std::optional<CertificateStanding> standing_;
  absl::Time judged_at_ = absl::InfinitePast();

  struct Waiting {
    PendingAnswer pending;
    std::optional<size_t> result;  // of results_, when it had a report
  };
  std::vector<Waiting> batch_;
  std::shared_ptr<StoreResults> results_;
  uint64_t keep_alives_ = 0;  // counted
  bool is_patient_ = false;   // a forwarder's connection, which may stay for hours
  bool asks_patience_ = false;
  bool renews_deadline_ = false;
  bool is_closing_ = false;
};

}  // namespace trustline
