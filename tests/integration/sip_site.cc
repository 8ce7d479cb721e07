#include "tests/integration/sip_site.h"

#include <arpa/inet.h>
#include <fmt/ranges.h>
#include <netinet/in.h>

#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "absl/strings/numbers.h"
#include "cli/trustctl/context.h"
#include "common/bytes/checksums.h"
#include "common/net/http_client.h"

namespace trustline {

std::string SipTestRequest::Text() const {
  static std::atomic<int> number = 0;
  const int n = ++number;
  std::string text = fmt::format(
      "{0} sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/{1} 127.0.0.1:5060;branch=z9hG4bK{2};rport\r\nMax-Forwards: 70\r\n"
      "From: <sip:{3}@192.0.2.1>;tag={2}\r\nTo: <sip:{3}@192.0.2.1>\r\nCall-ID: {2}@127.0.0.1\r\nCSeq: {2} {0}\r\n"
      "Contact: <sip:{3}@127.0.0.1:5060>;+u.sip!devicename.ccm.cisco.com=\"{3}\"\r\n"
      "User-Agent: Cisco-CP8845/12.8.1\r\n",
      method, transport, n, device);
  if (method == "REFER") text += "Require: norefersub\r\nRefer-To: cid:1@127.0.0.1\r\n";
  for (const std::string& line : more) text += line + "\r\n";
  if (!body.empty()) text += fmt::format("Content-Type: {}\r\n", content_type);
  return text + fmt::format("Content-Length: {}\r\n\r\n{}", body.size(), body);
}

std::string TrustListAlarmBody(std::string_view device, std::string_view itl, std::string_view server) {
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<x-cisco-alarm>\n<Alarm Name=\"DeviceTLInfo\">\n<ParameterList>\n"
      "<String name=\"DeviceName\">{}</String>\n<String name=\"IPv4Address\">192.0.2.104</String>\n"
      "<String name=\"IPv6Address\"></String>\n<String name=\"CTL_Signature\">Not Installed</String>\n"
      "<String name=\"CTL_TFTP_Server\">N/A</String>\n<String name=\"ITL_Signature\">{}</String>\n"
      "<String name=\"ITL_TFTP_Server\">{}</String>\n<String name=\"StatusCode\">3</String>\n"
      "</ParameterList>\n</Alarm>\n</x-cisco-alarm>\n",
      device, itl, server);
}

SipTestRequest AlarmOf(std::string_view device, std::string_view itl, std::string_view server) {
  return {.device = std::string(device), .body = TrustListAlarmBody(device, itl, server)};
}

SipTestRequest RegistrationOf(std::string_view device, int expires) {
  return {.method = "REGISTER", .device = std::string(device), .more = {fmt::format("Expires: {}", expires)}};
}

std::string DeviceNumber(int number) { return fmt::format("SEP{:012}", number); }

std::string HexPairs(std::string_view bytes) {
  std::string pairs;
  for (const char byte : bytes) pairs += fmt::format("{:02X} ", static_cast<uint8_t>(byte));
  return pairs;
}

SipPeer::SipPeer(int type, uint16_t port, std::string_view source)
    : is_stream_(type == SOCK_STREAM), fd_(socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
  const timeval patience = {.tv_sec = 30, .tv_usec = 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  sockaddr_in own = {};
  own.sin_family = AF_INET;
  sockaddr_in server = {};
  server.sin_family = AF_INET;
  server.sin_port = htons(port);
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (inet_pton(AF_INET, std::string(source).c_str(), &own.sin_addr) != 1 ||
      bind(fd_.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0 ||
      connect(fd_.get(), reinterpret_cast<const sockaddr*>(&server), sizeof(server)) != 0) {
    throw std::runtime_error(fmt::format("no connection from {} to port {}", source, port));
  }
}

bool SipPeer::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

int SipPeer::ReadCode() {
  constexpr std::string_view kVersion = "SIP/2.0 ";
  constexpr std::string_view kEnd = "\r\n\r\n";  // answers have no body
  if (!is_stream_) buffer_.clear();
  size_t end = 0;
  while ((end = buffer_.find(kEnd)) == std::string::npos) {
    char bytes[8'192];
    const ssize_t count = recv(fd_.get(), bytes, sizeof(bytes), 0);
    if (count <= 0) return 0;
    buffer_.append(bytes, static_cast<size_t>(count));
  }
  const std::string answer = buffer_.substr(0, end);
  buffer_.erase(0, end + kEnd.size());
  int code = 0;
  return answer.starts_with(kVersion) && absl::SimpleAtoi(answer.substr(kVersion.size(), 3), &code) ? code : 0;
}

std::string SipPeer::ReadToEnd() {
  while (true) {
    char bytes[8'192];
    const ssize_t count = recv(fd_.get(), bytes, sizeof(bytes), 0);
    if (count <= 0) return buffer_;
    buffer_.append(bytes, static_cast<size_t>(count));
  }
}

void SipSiteTest::SetUp() {
  ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
  ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
  ASSERT_OK_AND_ASSIGN(site_, ItldSite::Create(*database_));
  ASSERT_OK_AND_ASSIGN(itld_, site_->StartItld());
  ASSERT_OK_AND_ASSIGN(itld_client_, ItldClient::Connect(*site_, *itld_));
  ASSERT_OK(itld_client_->AddTftpServer());
  ASSERT_OK_AND_ASSIGN(const IdentityFiles admin, site_->identities().For("trustline:default/person/admin"));
  context_ = std::filesystem::path(admin.key).parent_path() / "context.toml";
  std::ofstream(context_) << ContextFileText("default",
                                             {{"itld", fmt::format("127.0.0.1:{}", itld_->grpc_port())},
                                              {"tvsd", fmt::format("127.0.0.1:{}", site_->tvsd().grpc_port())}});
  ASSERT_OK_AND_ASSIGN(
      provisiond_, ProvisiondProcess::Start(*database_, *site_,
                                            {.itld_port = itld_->grpc_port(), .tvsd_port = site_->tvsd().grpc_port()}));
  ASSERT_OK(provisiond_->WaitUntilReady());
}

void SipSiteTest::TearDown() {
  if (HasFatalFailure() || provisiond_ == nullptr) return;
  EXPECT_TRUE(itld_->Running());
  EXPECT_TRUE(provisiond_->Running());
  EXPECT_OK(provisiond_->Stop());
}

void SipSiteTest::AddDevices(int first, int last) {
  Run(
      fmt::format("INSERT INTO device (cluster_id, name, model, protocol, added_by) SELECT 1, "
                  "'SEP' || lpad(n::text, 12, '0'), 'CP-8845', 'SIP', 'a test' FROM generate_series({}, {}) AS n",
                  first, last));
}

int64_t SipSiteTest::Count(const std::string& sql) {
  const auto result = superuser_->Execute(sql.c_str());
  EXPECT_OK(result);
  return result.ok() ? result->Value<int64_t>().value_or(-1) : -1;
}

double SipSiteTest::Metric(const DaemonProcess& daemon, std::string_view name) {
  const auto response = HttpGet("127.0.0.1", daemon.metrics_port(), "/metrics", std::chrono::seconds(10));
  EXPECT_OK(response);
  if (!response.ok()) return -1;
  const std::string line = fmt::format("\n{} ", name);
  const size_t at = response->body.find(line);
  double value = -1;
  if (at != std::string::npos) {
    const size_t begin = at + line.size();
    EXPECT_TRUE(absl::SimpleAtod(response->body.substr(begin, response->body.find('\n', begin) - begin), &value));
  }
  return value;
}

std::string SipSiteTest::Do(std::vector<std::string> arguments) {
  const std::string command = fmt::format("{}", fmt::join(arguments, " "));
  arguments.insert(arguments.begin(), TRUSTLINE_BIN_DIR "/trustctl");
  const ProgramResult result = RunProgram(arguments, {"TRUSTLINE_CONTEXT=" + context_});
  EXPECT_EQ(result.exit_status, 0) << command << "\n" << result.out << result.err;
  return result.out;
}

boost::json::value SipSiteTest::DoJson(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--output", "json"});
  return boost::json::parse(Do(std::move(arguments)));
}

std::vector<boost::json::value> SipSiteTest::ReportOf(std::string_view device) {
  std::vector<boost::json::value> lines;
  const boost::json::value report = DoJson({"phones", "report"});
  for (const boost::json::value& line : report.as_array()) {
    if (line.at("phone").as_string() == device) lines.push_back(line);
  }
  return lines;
}

std::string SipSiteTest::StatusOf(std::string_view device) {
  const std::vector<boost::json::value> lines = ReportOf(device);
  if (lines.size() != 1) return "";
  std::string status(lines[0].at("status").as_string().c_str());
  if (lines[0].at("basis").is_string()) status += fmt::format(" {}", lines[0].at("basis").as_string().c_str());
  return status;
}

void SipSiteTest::MakeOnlyForwarder(const std::string& address) {
  Do({"forwarder", "add", address, "--udp"});
  Do({"forwarder", "remove", "127.0.0.0/8"});
  ASSERT_NO_FATAL_FAILURE(WaitUntilForwarder("127.0.0.200", false));
  ASSERT_NO_FATAL_FAILURE(WaitUntilForwarder(address, true));
}

void SipSiteTest::WaitUntilForwarder(const std::string& address, bool is_forwarder) {
  ASSERT_TRUE(WaitUntil([&] {
    return Tcp(address).Ask({.method = "REGISTER", .device = DeviceNumber(0)}) == (is_forwarder ? 200 : 403);
  }));
}

std::string SipSiteTest::CurrentHash() {
  const auto fetched = itld_client_->Fetch();
  EXPECT_OK(fetched);
  if (!fetched.ok()) return "";
  const auto sha1 = Sha1(AsBytes(fetched->file()));
  return HexPairs(AsText(sha1));
}

}  // namespace trustline
