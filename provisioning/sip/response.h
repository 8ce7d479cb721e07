// Responses, and what they copy out of a request (RFC 3261, section 8.2.6).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/net/ip_address.h"
#include "provisioning/sip/message.h"

namespace trustline {

// What is answered, whoever asked.
struct SipAnswer {
  int code = 200;
  std::string reason;  // empty: the usual phrase of the code
  std::vector<std::pair<std::string_view, std::string>> headers;
};

// The part of a request that stands in its response: all Via in their order, From, To with a tag, Call-ID, CSeq, each
// byte for byte. They come from lines, so that none can hold a line end.
class SipAnswerHead {
 public:
  // nullopt for what gets no response: a response, an ACK (section 17.1.1.3), and what lacks one of these lines.
  static std::optional<SipAnswerHead> Of(const SipMessage& message);

  // Says in the first Via where the request came from: `received` when its host is another (section 18.2.1), and
  // `rport` with the port when it asked for that (RFC 3581).
  void SetSource(const IpAddress& address, uint16_t port);

  // The whole response. Reason and header values are made printable.
  std::string Response(const SipAnswer& answer) const;

 private:
  std::vector<std::string> vias_;  // a line may have several, with commas
  std::string from_;
  std::string to_;
  std::string call_id_;
  std::string cseq_;
};

}  // namespace trustline
