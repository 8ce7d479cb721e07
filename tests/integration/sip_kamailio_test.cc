// Debian's Kamailio with docs/forwarding/kamailio.cfg between phones and provisiond: phones' alarms are its word.
#include <netinet/in.h>

#include <fstream>

#include "cli/supervisor/child_process.h"
#include "tests/integration/sip_site.h"

namespace trustline {
namespace {

constexpr char kConfiguration[] = TRUSTLINE_SOURCE_DIR "/docs/forwarding/kamailio.cfg";
constexpr char kKamailio[] = "127.0.0.1";

class SipKamailioTest : public SipSiteTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(SipSiteTest::SetUp());
    AddDevices(1, 4);
    // It is the only one whose word counts, and over TCP.
    Do({"forwarder", "add", kKamailio});
    Do({"forwarder", "remove", "127.0.0.0/8"});
    ASSERT_NO_FATAL_FAILURE(WaitUntilForwarder("127.0.0.200", false));
    StartKamailio();
  }
  void StartKamailio() {
    constexpr int kAttempts = 5;  // somebody else may take the port meanwhile
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      ASSERT_OK_AND_ASSIGN(port_, FreePort());
      const std::string folder = directory_.path();
      ASSERT_OK_AND_ASSIGN(
          ChildProcess process,
          ChildProcess::Start(
              {.program = "/usr/sbin/kamailio",
               .arguments =
                   {"-DD", "-E",
                    "-f",  kConfiguration,
                    "-m",  "32",
                    "-M",  "4",
                    "-Y",  folder,
                    "-w",  folder,
                    "-A",  fmt::format("LISTEN_UDP=udp:127.0.0.1:{}", port_),
                    "-A",  fmt::format("LISTEN_TCP=tcp:127.0.0.1:{}", port_),
                    "-A",  "PHONES=127.0.0.16/28",
                    "-A",  fmt::format("TRUSTLINE=\"sip:127.0.0.1:{};transport=tcp\"", provisiond_->tcp_port())},
               .death_signal = SIGKILL}));
      kamailio_.emplace(std::move(process));
      if (WaitUntil([this] { return kamailio_->TryWait() || Answers(); }) && !kamailio_->TryWait()) return;
      const std::string output = kamailio_->ReadOutput();
      ASSERT_NE(output.find("Address already in use"), std::string::npos) << output;
    }
    FAIL() << "Kamailio finds no free port";
  }
  static absl::StatusOr<uint16_t> FreePort() {
    const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(fd.get(), generic, size) != 0 || getsockname(fd.get(), generic, &size) != 0) {
      return Unavailable("no port of 127.0.0.1 is free");
    }
    return ntohs(address.sin_port);
  }
  bool Answers() const {
    try {
      return SipPeer(SOCK_STREAM, port_, kPhone).Ask({.method = "OPTIONS"}) == 200;
    } catch (const std::runtime_error&) {
      return false;
    }
  }
  int AskKamailio(SipTestRequest request, bool is_udp, const std::string& source = kPhone) const {
    request.transport = is_udp ? "UDP" : "TCP";
    return SipPeer(is_udp ? SOCK_DGRAM : SOCK_STREAM, port_, source).Ask(request);
  }

  static constexpr char kPhone[] = "127.0.0.20";
  uint16_t port_ = 0;
  std::optional<ChildProcess> kamailio_;
};

TEST_F(SipKamailioTest, AlarmsThatItRelaysAreEvidence) {
  const std::string current = CurrentHash();
  EXPECT_EQ(AskKamailio(AlarmOf(DeviceNumber(1), current), false), 202);
  EXPECT_EQ(AskKamailio(AlarmOf(DeviceNumber(2), "Not Installed"), true), 202);
  EXPECT_EQ(AskKamailio(AlarmOf(DeviceNumber(3), "00 " + current.substr(3)), true), 202);
  EXPECT_EQ(StatusOf(DeviceNumber(1)), "Match evidence");
  EXPECT_EQ(StatusOf(DeviceNumber(2)), "Not Installed evidence");
  EXPECT_EQ(StatusOf(DeviceNumber(3)), "Mismatch evidence");
  const boost::json::value line = ReportOf(DeviceNumber(1)).at(0);
  EXPECT_EQ(line.at("via").as_string(), std::string("forwarder ") + kKamailio);
  EXPECT_EQ(line.at("user_agent").as_string(), "Cisco-CP8845/12.8.1");

  // Not from elsewhere: it would be its word too.
  EXPECT_EQ(AskKamailio(AlarmOf(DeviceNumber(4), current), false, "127.0.0.66"), 403);
  // What provisiond refuses, the phone hears.
  SipTestRequest broken = AlarmOf(DeviceNumber(4), current);
  broken.body = "<";
  EXPECT_EQ(AskKamailio(broken, false), 400);
  EXPECT_EQ(StatusOf(DeviceNumber(4)), "Unknown");
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim"), 0);
}

TEST_F(SipKamailioTest, RegistrationsAreCopied) {
  EXPECT_EQ(AskKamailio(AlarmOf(DeviceNumber(1), CurrentHash()), false), 202);
  EXPECT_EQ(AskKamailio(RegistrationOf(DeviceNumber(1), 3600), true), 200);
  EXPECT_TRUE(WaitUntil([this] { return Count("SELECT count(*) FROM phone WHERE registered") == 1; }));
  EXPECT_EQ(StatusOf(DeviceNumber(1)), "Match evidence");
  EXPECT_EQ(AskKamailio(RegistrationOf(DeviceNumber(1), 0), true), 200);
  EXPECT_TRUE(WaitUntil([this] { return Count("SELECT count(*) FROM phone WHERE NOT registered") == 1; }));
  EXPECT_EQ(StatusOf(DeviceNumber(1)), "Unknown");
}

TEST_F(SipKamailioTest, AnAlarmThatIsNotStoredIsNotAccepted) {
  // provisiond says so, or says nothing.
  const uint16_t itld_port = itld_->grpc_port();
  const std::string current = CurrentHash();
  itld_->Kill();
  EXPECT_EQ(AskKamailio(AlarmOf(DeviceNumber(1), current), false), 503);
  ASSERT_OK(provisiond_->Stop());
  EXPECT_EQ(AskKamailio(AlarmOf(DeviceNumber(1), current), false), 503);
  // Phones register all the same.
  EXPECT_EQ(AskKamailio(RegistrationOf(DeviceNumber(1), 3600), true), 200);
  ASSERT_OK_AND_ASSIGN(itld_, site_->StartItld({.grpc_port = itld_port}));
  ASSERT_OK_AND_ASSIGN(
      provisiond_,
      ProvisiondProcess::Start(*database_, *site_, {.itld_port = itld_port, .tvsd_port = site_->tvsd().grpc_port()}));
}

}  // namespace
}  // namespace trustline
