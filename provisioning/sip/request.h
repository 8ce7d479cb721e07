// SIP requests as values. libosip2 reads what stands in the lines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "provisioning/sip/message.h"

namespace trustline {

struct SipContact {
  bool is_wildcard = false;  // "Contact: *"
  std::string user;
  std::string host;
  std::string device_name;             // parameter +u.sip!devicename.ccm.cisco.com, without quotes
  std::optional<std::string> expires;  // parameter; nobody has read it yet
};

struct SipRequest {
  std::string method;
  std::string uri_host;
  std::string from_user;
  std::string to_user;
  std::string call_id;
  std::vector<SipContact> contacts;
  std::optional<std::string> expires;
  std::string user_agent;            // UTF-8 in one line, cut at 256 bytes
  std::vector<std::string> require;  // option tags, in lower case
  std::string content_type;          // "type/subtype" in lower case, without parameters; empty: none
  bool is_encoded = false;           // Content-Encoding says something but identity
  std::string body;
};

// InvalidArgument when the request cannot be read: a line that each request has is missing or stands there twice, or
// does not follow RFC 3261; CSeq names another method. Unimplemented for another version of SIP.
absl::StatusOr<SipRequest> ReadSipRequest(const SipMessage& message);

}  // namespace trustline
