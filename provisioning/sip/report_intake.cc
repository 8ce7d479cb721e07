#include "provisioning/sip/report_intake.h"

#include "common/status/status.h"

namespace trustline {

ReportOrigin::ReportOrigin(const Peer& from, SipTransport transport)
    : peer{.address = IpAddress::Parse(from.address).value_or(IpAddress()), .transport = transport},
      port(from.port),
      text(from.ToText()) {}

bool ReportIntake::KeepsPace(const ReportOrigin& origin, const CertificateStanding* standing) {
  if (IsForwarder(origin, standing) || pace_.Admit(origin.peer.address)) return true;
  SipStatistics::Count(statistics_->floods_refused);
  log_.Info("SIP_FLOOD", "a request was refused: there are too many from this address", {{"peer", origin.text}});
  return false;
}

bool ReportIntake::IsForwarder(const ReportOrigin& origin, const CertificateStanding* standing) const {
  return trustline::IsForwarder(origin.peer, standing, forwarders_.Current().get());
}

std::optional<PendingAnswer> ReportIntake::Take(const SipMessage& message, const ReportOrigin& origin,
                                                const CertificateStanding* standing) {
  // 1. What gets no answer. Only RFC 3261's end of an INVITE, which there is none of, is an ACK.
  if (message.start_line.starts_with("SIP/")) {
    SipStatistics::Count(statistics_->responses_ignored);
    return std::nullopt;
  }
  const absl::StatusOr<SipRequest> request = ReadSipRequest(message);
  if (!request.ok()) return Refuse(message, origin, request.status());
  statistics_->CountRequest(request->method);
  std::optional<SipAnswerHead> head = SipAnswerHead::Of(message);
  if (!head) return std::nullopt;
  head->SetSource(origin.peer.address, origin.port);

  // 2. The rules.
  const std::shared_ptr<const Forwarders> forwarders = forwarders_.Current();
  ReportDecision decision = DecideReport(*request, origin.peer, standing, forwarders.get(), clock_.Now());
  switch (decision.alarm) {
    case AlarmKind::kNone:
      break;
    case AlarmKind::kTrustLists:
      SipStatistics::Count(statistics_->alarms_of_lists);
      break;
    case AlarmKind::kOther:
      SipStatistics::Count(statistics_->alarms_other);
      break;
    case AlarmKind::kUnreadable:
      SipStatistics::Count(statistics_->alarms_unreadable);
      break;
  }
  if (decision.report && decision.report->basis == ReportBasis::kNone) SipStatistics::Count(statistics_->claims);
  if (!decision.why.empty()) LogRefusal(origin, decision.answer.code, decision.why);
  return PendingAnswer{
      .head = *std::move(head), .answer = std::move(decision.answer), .report = std::move(decision.report)};
}

std::optional<PendingAnswer> ReportIntake::Refuse(const std::optional<SipMessage>& head, const ReportOrigin& origin,
                                                  const absl::Status& status) {
  SipStatistics::Count(statistics_->malformed);
  SipAnswer answer = RefusalOf(status);
  LogRefusal(origin, answer.code, StatusMessage(status));
  std::optional<SipAnswerHead> answered = head ? SipAnswerHead::Of(*head) : std::nullopt;
  if (!answered) return std::nullopt;
  answered->SetSource(origin.peer.address, origin.port);
  return PendingAnswer{.head = *std::move(answered), .answer = std::move(answer)};
}

std::optional<PendingAnswer> ReportIntake::RefuseFlood(const SipMessage& message, const ReportOrigin& origin) {
  std::optional<SipAnswerHead> head = SipAnswerHead::Of(message);
  if (!head) return std::nullopt;
  head->SetSource(origin.peer.address, origin.port);
  return PendingAnswer{.head = *std::move(head), .answer = AnswerToFlood()};
}

std::string ReportIntake::Response(const PendingAnswer& pending, const absl::Status& stored,
                                   SipStatistics& statistics) {
  if (stored.ok()) {
    statistics.CountAnswer(pending.answer.code);
    return pending.head.Response(pending.answer);
  }
  SipStatistics::Count(statistics.unstored);
  const SipAnswer answer = AnswerToUnstored(stored);
  statistics.CountAnswer(answer.code);
  return pending.head.Response(answer);
}

void ReportIntake::LogRefusal(const ReportOrigin& origin, int code, std::string_view reason) {
  log_.Info("SIP_REFUSED", "a request to the report listener was refused",
            {{"peer", origin.text}, {"answer", code}, {"reason", reason}});
}

}  // namespace trustline
