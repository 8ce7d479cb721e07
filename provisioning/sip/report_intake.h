// What all report listeners have in common: a message in, an answer and perhaps a report out, counted and logged.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "common/net/session.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "provisioning/sip/report_rules.h"
#include "provisioning/sip/request_pace.h"
#include "provisioning/sip/statistics.h"

namespace trustline {

// Where a message came from.
struct ReportOrigin {
  ReportOrigin(const Peer& peer, SipTransport transport);

  ReportPeer peer;
  uint16_t port = 0;
  std::string text;  // for the log
};

// An answer that may wait for its report to be stored.
struct PendingAnswer {
  SipAnswerHead head;
  SipAnswer answer;
  std::optional<PhoneTrustReport> report;
};

// Thread-safe. Outlives the sessions and the listeners that use it; what `desk` and `judge` still owe an answer for may
// come after its end.
class ReportIntake {
 public:
  ReportIntake(ReportDesk& desk, CertificateJudge& judge, const ForwarderSource& forwarders,
               const RequestPaceOptions& pace, const Clock& clock, Log& log)
      : desk_(desk), judge_(judge), forwarders_(forwarders), pace_(pace, clock), clock_(clock), log_(log) {}

  // Whether the message may come now. Forwarders may always.
  bool KeepsPace(const ReportOrigin& origin, const CertificateStanding* standing);
  // nullopt: it gets no answer.
  std::optional<PendingAnswer> Take(const SipMessage& message, const ReportOrigin& origin,
                                    const CertificateStanding* standing);
  // Of a message that could not be taken out of its stream or datagram; `head` as far as it could be read.
  std::optional<PendingAnswer> Refuse(const std::optional<SipMessage>& head, const ReportOrigin& origin,
                                      const absl::Status& status);
  // Of a message over the pace.
  std::optional<PendingAnswer> RefuseFlood(const SipMessage& message, const ReportOrigin& origin);

  // The response's bytes. `stored` is what the desk has said of its report, OK when it had none.
  static std::string Response(const PendingAnswer& pending, const absl::Status& stored, SipStatistics& statistics);

  bool IsForwarder(const ReportOrigin& origin, const CertificateStanding* standing) const;

  ReportDesk& desk() const { return desk_; }
  CertificateJudge& judge() const { return judge_; }
  const Clock& clock() const { return clock_; }
  const std::shared_ptr<SipStatistics>& statistics() const { return statistics_; }

 private:
  void LogRefusal(const ReportOrigin& origin, int code, std::string_view reason);

  ReportDesk& desk_;
  CertificateJudge& judge_;
  const ForwarderSource& forwarders_;
  RequestPace pace_;
  const Clock& clock_;
  Log& log_;
  const std::shared_ptr<SipStatistics> statistics_ = std::make_shared<SipStatistics>();
};

}  // namespace trustline
