// SIP over UDP: a message a datagram, an answer to where it came from.
#pragma once

#include "common/net/udp_server.h"
#include "provisioning/sip/report_intake.h"

namespace trustline {

// A DatagramHandler. `intake` outlives the listener; answers may come later than that.
//
// RFC 3261, section 18.2.2, sends an answer to the port that the Via names unless `rport` is there; here it always goes
// to the port that the request came from, as RFC 3581 has it: anything else would let a forged Via direct answers to
// other services of the forged address.
class ReportDatagrams {
 public:
  explicit ReportDatagrams(ReportIntake& intake) : intake_(intake) {}

  void operator()(const Peer& peer, ByteView datagram, const DatagramReply& reply) const;

 private:
  ReportIntake& intake_;
};

}  // namespace trustline
