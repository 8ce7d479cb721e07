// Messages as phones and call managers send them.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "provisioning/sip/message.h"

namespace trustline {

inline constexpr std::string_view kTestItlSignature = "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D ";

inline std::string TrustListAlarm(std::string_view device = "SEP001122334455",
                                  std::string_view itl_signature = kTestItlSignature) {
  return fmt::format(R"(<?xml version="1.0" encoding="UTF-8"?>
<x-cisco-alarm>
<Alarm Name="DeviceTLInfo">
<ParameterList>
<String name="DeviceName">{}</String>
<String name="IPv4Address">192.0.2.104</String>
<String name="IPv6Address"></String>
<String name="CTL_Signature">Not Installed</String>
<String name="CTL_TFTP_Server">N/A</String>
<String name="ITL_Signature">{}</String>
<String name="ITL_TFTP_Server">tftp1.example</String>
<String name="StatusCode">3</String>
</ParameterList>
</Alarm>
</x-cisco-alarm>
)",
                     device, itl_signature);
}

inline std::string OtherPhoneAlarm() {
  return R"(<?xml version="1.0" encoding="UTF-8"?><x-cisco-alarm><Alarm Name="LastOutOfServiceInformation"><ParameterList>)"
         R"(<String name="DeviceName">SEP001122334455</String><Enum name="ReasonForOutOfService">10</Enum>)"
         R"(</ParameterList></Alarm></x-cisco-alarm>)";
}

struct TestRequest {
  std::string method = "REFER";
  std::string number = "1";
  std::vector<std::string> more;  // header lines
  std::string contact = "<sip:u@192.0.2.104:5060>;+u.sip!devicename.ccm.cisco.com=\"SEP001122334455\"";
  std::string content_type = "application/x-cisco-alarm+xml";
  std::string body;
  bool says_length = true;

  std::string Text() const {
    std::string text = fmt::format(
        "{0} sip:cm1.example SIP/2.0\r\n"
        "Via: SIP/2.0/TCP 192.0.2.104:5060;branch=z9hG4bK{1}\r\n"
        "From: <sip:SEP001122334455@cm1.example>;tag=001122334455{1}\r\n"
        "To: <sip:cm1.example>\r\n"
        "Call-ID: call-{1}@192.0.2.104\r\n"
        "CSeq: {1} {0}\r\n",
        method, number);
    if (!contact.empty()) text += fmt::format("Contact: {}\r\n", contact);
    for (const std::string& line : more) text += line + "\r\n";
    if (!body.empty() && !content_type.empty()) text += fmt::format("Content-Type: {}\r\n", content_type);
    if (says_length) text += fmt::format("Content-Length: {}\r\n", body.size());
    return text + "\r\n" + body;
  }
};

inline TestRequest TestRefer(std::string body = TrustListAlarm()) {
  return {
      .method = "REFER", .more = {"User-Agent: Cisco-CP8841/14.1.1", "Require: norefersub"}, .body = std::move(body)};
}

inline TestRequest TestRegister(std::vector<std::string> more = {"Expires: 3600"}) {
  return {.method = "REGISTER", .more = std::move(more)};
}

// Head and body of a message that is there whole.
inline SipMessage TestMessage(std::string_view text) {
  const size_t head = text.find("\r\n\r\n") + 4;
  SipMessage message = ReadSipHead(text.substr(0, head)).value();
  message.body = text.substr(head);
  return message;
}

}  // namespace trustline
