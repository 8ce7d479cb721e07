// What the tests of reports over SIP share: a site with the real provisiond, itld, tvsd and PostgreSQL, a SIP peer that
// a test scripts, and trustctl as an administrator.
#pragma once

#include <sys/socket.h>

#include <boost/json/value.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/posix/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/itld_testing.h"
#include "tests/support/provisiond_process.h"
#include "tests/support/run_program.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

// A SIP request with everything that RFC 3261 wants, and what a test wants of its own.
struct SipTestRequest {
  std::string method = "REFER";
  std::string device = "SEP000000000001";
  std::string transport = "TCP";  // as Via has it
  std::string content_type = "application/x-cisco-alarm+xml";
  std::string body;
  std::vector<std::string> more;  // header lines

  std::string Text() const;
};

// The alarm DeviceTLInfo as a phone writes it; `itl` is what stands in ITL_Signature.
std::string TrustListAlarmBody(std::string_view device, std::string_view itl, std::string_view server = "tftp1");
SipTestRequest AlarmOf(std::string_view device, std::string_view itl, std::string_view server = "tftp1");
// `expires` 0 ends the registration.
SipTestRequest RegistrationOf(std::string_view device, int expires);
// "SEP" and the number.
std::string DeviceNumber(int number);
// "1B A1 C9 ", as phones write a hash.
std::string HexPairs(std::string_view bytes);

// A connection, or a UDP socket, to a port of 127.0.0.1. What does not come within 30 s does not come.
class SipPeer {
 public:
  // `type`: SOCK_STREAM or SOCK_DGRAM; from that address of 127.0.0.0/8.
  SipPeer(int type, uint16_t port, std::string_view source = "127.0.0.1");

  bool Send(std::string_view bytes);
  // The next answer's status code; 0 when the peer closes or nothing comes.
  int ReadCode();
  int Ask(const SipTestRequest& request) { return Send(request.Text()) ? ReadCode() : 0; }
  // Until the peer has closed; what it had sent before.
  std::string ReadToEnd();

 private:
  std::string buffer_;
  bool is_stream_;
  UniqueFd fd_;
};

class SipSiteTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Numbers `first` to `last`, in service.
  void AddDevices(int first, int last);
  void Run(const std::string& sql) { ASSERT_OK(superuser_->ExecuteScript(sql)); }
  // The first column of the first row.
  int64_t Count(const std::string& sql);
  template <typename Condition>
  static bool WaitUntil(Condition happened) {
    for (const absl::Time end = absl::Now() + absl::Seconds(30); absl::Now() < end;) {
      if (happened()) return true;
      absl::SleepFor(absl::Milliseconds(10));
    }
    return false;
  }
  // A daemon's metric with its labels: `name{a="b"}`. -1: there is none.
  static double Metric(const DaemonProcess& daemon, std::string_view name);

  // trustctl must end with status 0.
  std::string Do(std::vector<std::string> arguments);
  boost::json::value DoJson(std::vector<std::string> arguments);
  // Lines of `phones report`, of one device.
  std::vector<boost::json::value> ReportOf(std::string_view device);
  // "Match evidence"; of a claim "Match claim". Empty when the report has no single line.
  std::string StatusOf(std::string_view device);

  SipPeer Tcp(std::string_view source = "127.0.0.1") const { return {SOCK_STREAM, provisiond_->tcp_port(), source}; }
  SipPeer Udp(std::string_view source = "127.0.0.1") const { return {SOCK_DGRAM, provisiond_->udp_port(), source}; }
  // Of loopback only this address remains a forwarder; provisiond has heard of it.
  void MakeOnlyForwarder(const std::string& address);
  // Until provisiond takes, or refuses, that address's registrations: only forwarders may send them.
  void WaitUntilForwarder(const std::string& address, bool is_forwarder);
  // The SHA-1 of the current ITL, as phones write it.
  std::string CurrentHash();

  const TemporaryDirectory directory_;
  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> superuser_;
  std::unique_ptr<ItldSite> site_;
  std::unique_ptr<DaemonProcess> itld_;
  std::optional<ItldClient> itld_client_;
  std::unique_ptr<ProvisiondProcess> provisiond_;
  std::string context_;
};

}  // namespace trustline
