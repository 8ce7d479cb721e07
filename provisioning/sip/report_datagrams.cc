#include "provisioning/sip/report_datagrams.h"

#include <utility>

#include "common/status/status.h"

namespace trustline {
namespace {

// RFC 3261, section 18.3: "If there are additional bytes in the transport packet beyond the end of the body, they MUST
// be discarded. If the transport packet ends before the end of the message body, this is considered an error."
absl::Status TakeBody(SipMessage& message, std::string_view rest) {
  ASSIGN_OR_RETURN(const std::optional<size_t> length, SipContentLength(message));
  if (length && *length > rest.size()) return InvalidArgument("SIP: the datagram ends before its body");
  message.body = rest.substr(0, length.value_or(rest.size()));
  if (message.body.size() > kMaxSipBodyBytes) {
    return InvalidArgument("SIP: the body is longer than {} bytes", kMaxSipBodyBytes);
  }
  return absl::OkStatus();
}

}  // namespace

void ReportDatagrams::operator()(const Peer& peer, ByteView datagram, const DatagramReply& reply) const {
  const std::shared_ptr<SipStatistics>& statistics = intake_.statistics();
  const ReportOrigin origin(peer, SipTransport::kUdp);
  std::string_view bytes = AsText(datagram);
  while (bytes.starts_with("\r\n")) bytes.remove_prefix(2);
  if (bytes.empty()) {
    SipStatistics::Count(statistics->keep_alives);
    return;
  }
  // An answer to a flood is a flood too, to whom it was forged from.
  if (!intake_.KeepsPace(origin, nullptr)) return;

  const size_t end = bytes.find("\r\n\r\n");
  const size_t head_size = end == std::string_view::npos ? bytes.size() : end + 4;
  absl::StatusOr<SipMessage> message = ReadSipHead(bytes.substr(0, head_size));
  std::optional<PendingAnswer> pending;
  if (!message.ok()) {
    pending = intake_.Refuse(std::nullopt, origin, message.status());
  } else if (const absl::Status body = TakeBody(*message, bytes.substr(head_size)); !body.ok()) {
    pending = intake_.Refuse(*message, origin, body);
  } else {
    pending = intake_.Take(*message, origin, nullptr);
  }
  if (!pending) return;
  if (!pending->report) {
    reply(ReportIntake::Response(*pending, absl::OkStatus(), *statistics));
    return;
  }
  PhoneTrustReport report = *std::exchange(pending->report, std::nullopt);
  intake_.desk().Submit(std::move(report),
                        [pending = *std::move(pending), statistics, reply](const absl::Status& stored) {
                          reply(ReportIntake::Response(pending, stored, *statistics));
                        });
}

}  // namespace trustline
