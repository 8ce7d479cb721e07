#include "cli/phone/list_report.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <pugixml.hpp>
#include <random>
#include <sstream>
#include <utility>

#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;

constexpr size_t kMaxAnswer = 16 * 1024;  // its header lines; it has no content
constexpr std::string_view kVersion = "SIP/2.0 ";
constexpr std::string_view kStored = "SIP/2.0 202 ";

// As phones write a hash: "1B A1 C9 ".
std::string HexPairs(const Sha1Digest& digest) {
  std::string pairs;
  for (const uint8_t byte : digest) pairs += fmt::format("{:02X} ", byte);
  return pairs;
}

std::string Alarm(const ListReport& report, const std::string& address) {
  pugi::xml_document document;
  pugi::xml_node declaration = document.append_child(pugi::node_declaration);
  declaration.append_attribute("version") = "1.0";
  declaration.append_attribute("encoding") = "UTF-8";
  pugi::xml_node alarm = document.append_child("x-cisco-alarm").append_child("Alarm");
  alarm.append_attribute("Name") = "DeviceTLInfo";
  pugi::xml_node parameters = alarm.append_child("ParameterList");
  const auto add = [&](const char* name, const std::string& value) {
    pugi::xml_node parameter = parameters.append_child("String");
    parameter.append_attribute("name") = name;
    parameter.text() = value.c_str();
  };
  const auto add_list = [&](const char* signature, const char* server, const std::optional<ReportedList>& list) {
    add(signature, list ? HexPairs(list->sha1) : "Not Installed");
    add(server, list && !list->server.empty() ? list->server : "N/A");
  };
  const bool is_v6 = address.find(':') != std::string::npos;
  add("DeviceName", report.device);
  add("IPv4Address", is_v6 ? "" : address);
  add("IPv6Address", is_v6 ? address : "");
  add_list("CTL_Signature", "CTL_TFTP_Server", report.ctl);
  add_list("ITL_Signature", "ITL_TFTP_Server", report.itl);
  std::ostringstream text;
  document.save(text, "", pugi::format_raw);
  return text.str();
}

// `from`, `to`: address and port as they stand in a URI.
std::string Refer(const ListReport& report, const std::string& address, const std::string& from,
                  const std::string& to) {
  std::random_device random;
  const std::string id = fmt::format("{:08x}{:08x}", random(), random());
  const std::string body = Alarm(report, address);
  return fmt::format(
      "REFER sip:{0} SIP/2.0\r\nVia: SIP/2.0/TCP {1};branch=z9hG4bK{2}\r\nMax-Forwards: 70\r\n"
      "From: <sip:{3}@{0}>;tag={2}\r\nTo: <sip:{0}>\r\nCall-ID: {2}@{1}\r\nCSeq: 1000 REFER\r\n"
      "Contact: <sip:{3}@{1}>;+u.sip!devicename.ccm.cisco.com=\"{3}\"\r\nUser-Agent: Cisco-CP{4}/phonefleet-{5}\r\n"
      "Require: norefersub\r\nRefer-To: <sip:{0}>\r\nContent-Type: application/x-cisco-alarm+xml\r\n"
      "Content-Length: {6}\r\n\r\n{7}",
      to, from, id, report.device, report.model, TRUSTLINE_VERSION, body.size(), body);
}

absl::Status FromError(const beast::error_code& error, const std::string& to) {
  if (!error) return absl::OkStatus();
  if (error == beast::error::timeout) return DeadlineExceeded("{} did not answer the report in time", to);
  if (error == asio::error::not_found) return DataLoss("{} answered the report with something that is no SIP", to);
  return Unavailable("no answer to the report from {}: {}", to, error.message());
}

absl::StatusOr<std::string> Exchange(const Endpoint& server, const ListReport& report,
                                     std::chrono::milliseconds timeout) {
  const std::string to = EndpointText(server.host, server.port);
  asio::io_context context{1};
  beast::error_code error;
  const auto found = asio::ip::tcp::resolver(context).resolve(server.host, std::to_string(server.port),
                                                              asio::ip::tcp::resolver::numeric_service, error);
  RETURN_IF_ERROR(FromError(error, to));

  beast::tcp_stream stream(context);
  stream.expires_after(timeout);  // Once, so that it is the deadline of all that follows.
  const auto finish = [&] {
    context.run();
    context.restart();
    return FromError(error, to);
  };
  stream.async_connect(found, [&](beast::error_code result, const asio::ip::tcp::endpoint&) { error = result; });
  RETURN_IF_ERROR(finish());
  const asio::ip::tcp::endpoint own = stream.socket().local_endpoint(error);
  RETURN_IF_ERROR(FromError(error, to));

  const std::string address = own.address().to_string();
  const std::string request = Refer(report, address, EndpointText(address, own.port()), to);
  asio::async_write(stream, asio::buffer(request), [&](beast::error_code result, size_t) { error = result; });
  RETURN_IF_ERROR(finish());
  std::string answer;
  asio::async_read_until(stream, asio::dynamic_buffer(answer, kMaxAnswer), "\r\n\r\n",
                         [&](beast::error_code result, size_t) { error = result; });
  RETURN_IF_ERROR(finish());
  return answer;
}

}  // namespace

ListReport ListReport::Of(const DeviceName& device, std::string model, const HeldLists& held) {
  const auto reported = [](const std::optional<HeldList>& list) -> std::optional<ReportedList> {
    if (!list) return std::nullopt;
    return ReportedList{.sha1 = Sha1(list->file()), .server = list->server};
  };
  return {.device = device.text(), .model = std::move(model), .ctl = reported(held.ctl), .itl = reported(held.itl)};
}

absl::Status SendListReport(const Endpoint& to, const ListReport& report, std::chrono::milliseconds timeout) {
  absl::StatusOr<std::string> answer;
  try {
    answer = Exchange(to, report, timeout);
  } catch (const boost::system::system_error& thrown) {
    return Unavailable("no report to {}: {}", EndpointText(to.host, to.port), thrown.what());
  }
  RETURN_IF_ERROR(answer.status());
  if (answer->starts_with(kStored)) return absl::OkStatus();
  const std::string first_line = answer->substr(0, answer->find("\r\n"));
  if (!first_line.starts_with(kVersion)) {
    return DataLoss("{} answered the report with something that is no SIP", EndpointText(to.host, to.port));
  }
  return FailedPrecondition("the report was not stored: {} answered {}", EndpointText(to.host, to.port), first_line);
}

}  // namespace trustline
