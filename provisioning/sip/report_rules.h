// What becomes of a request: who may report what, and whose word is evidence. A function of its arguments.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/net/ip_address.h"
#include "provisioning/forwarders.h"
#include "provisioning/report_desk.h"
#include "provisioning/sip/request.h"
#include "provisioning/sip/response.h"

namespace trustline {

struct ReportPeer {
  IpAddress address;
  SipTransport transport = SipTransport::kUdp;
};

enum class AlarmKind : uint8_t { kNone, kTrustLists, kOther, kUnreadable };

struct ReportDecision {
  SipAnswer answer;                        // when there is a report: once it is stored
  std::optional<PhoneTrustReport> report;  // for the ReportDesk
  AlarmKind alarm = AlarmKind::kNone;
  std::string why;  // of a refusal, for the log
};

// `standing`: of the certificate that the peer has shown; null when it showed none. `forwarders`: null before they are
// known. Of what is wrong with a request, that it is not allowed comes first.
ReportDecision DecideReport(const SipRequest& request, const ReportPeer& peer, const CertificateStanding* standing,
                            const Forwarders* forwarders, absl::Time now);

// The answer to a request that ReadSipRequest, or the framing, has refused.
SipAnswer RefusalOf(const absl::Status& status);
// The answer to a request whose report the ReportDesk has not stored.
SipAnswer AnswerToUnstored(const absl::Status& status);
// The answer when a peer sends too much.
SipAnswer AnswerToFlood();

// Whether the peer is a forwarder, whatever it may send: it has no pace of its own.
bool IsForwarder(const ReportPeer& peer, const CertificateStanding* standing, const Forwarders* forwarders);

}  // namespace trustline
