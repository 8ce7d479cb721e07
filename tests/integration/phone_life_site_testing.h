// A real site with two clusters, and virtual phones of it.
#pragma once

#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/phone/phone_life_testing.h"
#include "cli/phone/virtual_phone.h"
#include "common/bytes/checksums.h"
#include "common/rpc/channel.h"
#include "tests/integration/trust_list_testing.h"

namespace trustline {

// The site of the suite; the devices of a test leave service at its end.
class PhoneLifeTest : public TrustListCommandsTest {
 protected:
  // A second cluster, "b": its phones ask the same node at another address.
  static void SetUpTestSuite() {
    TrustListCommandsTest::SetUpTestSuite();
    if (system_ == nullptr) return;
    Do({"cluster", "add", "b"});
    Do({"--cluster", "b", "trust", "add", "--listed", "--role", "TVS", system_->data() + "/tvsd/tvs.crt"});
    std::ofstream(system_->data() + "/tvsd.local.toml") << fmt::format(
        "[[listener]]\ncluster = \"b\"\naddress = \"{}\"\nport = {}\ncertificate = \"tvs.crt\"\nkey = \"tvs.key\"\n"
        "passphrase_file = \"passphrase\"\n",
        TvsOfB().host, TvsOfB().port);
    const std::string data = system_->data();
    const int port_offset = system_->Port(0);
    EXPECT_EQ(system_->Stop(), "ended with status 0");
    delete std::exchange(system_, nullptr);
    auto system = RunningSystem::Start(data, port_offset);
    ASSERT_OK(system);
    system_ = system->release();
    Do({"--cluster", "b", "itl", "server", "add", "tftpb", "--host", "tftpb.example"});
  }
  void TearDown() override {
    for (const std::string& device : devices_) Do({"device", "retire", device, "--reason", "the test is over"});
    TrustListCommandsTest::TearDown();
  }

  static Endpoint Tvs() { return {"127.0.0.1", system_->Port(2445)}; }
  static Endpoint TvsOfB() { return {"127.0.0.2", system_->Port(2445)}; }
  // Where nobody listens.
  static Endpoint Nowhere() { return {"127.0.0.1", 1}; }

  static std::unique_ptr<ItldListServer> ListsOf(const std::string& cluster, const std::string& tftp_server) {
    const std::string address = fmt::format("127.0.0.1:{}", system_->Port(9442));
    const auto channel = OpenChannel(address, IdentityFilesIn(system_->data() + "/admin"), "itld");
    EXPECT_OK(channel);
    return std::make_unique<ItldListServer>(
        *channel, ItldListServerOptions{.address = address, .cluster = cluster, .tftp_server = tftp_server});
  }

  // A device in service, at a site where a node counts as reached once a phone has asked it; and the phone that it is.
  VirtualPhone AddPhone(const std::string& device, const std::vector<Endpoint>& tvs) {
    Do({"device", "add", device, "--model", "8841", "--protocol", "SIP", "--site", "Berlin"});
    devices_.push_back(device);
    return Phone(device, tvs, *lists_);
  }
  // The same phone, which now gets its lists there.
  static VirtualPhone Phone(const std::string& device, const std::vector<Endpoint>& tvs, ListServer& lists,
                            std::optional<Certificate> file_signer = std::nullopt) {
    return VirtualPhone({.device = *DeviceName::Parse(device),
                         .folder = Path("phones/" + device),
                         .tvs_servers = tvs,
                         .file_signer = std::move(file_signer),
                         .report_to = Endpoint{"127.0.0.1", system_->Port(5060)}},
                        lists);
  }
  // A start whose report was stored.
  static PhoneStartResult Start(VirtualPhone& phone) {
    absl::StatusOr<PhoneStartResult> result = phone.Start();
    EXPECT_OK(result);
    if (!result.ok()) return {};
    EXPECT_OK(result->reported);
    return *std::move(result);
  }
  static std::string Checksum(std::string_view file) { return ToHex(Sha1(AsBytes(file))); }
  static std::string HeldFile(const VirtualPhone& phone) {
    const absl::StatusOr<HeldLists> held = phone.Held();
    EXPECT_OK(held);
    return held.ok() && held->itl ? *held->itl->list.bytes : "";
  }
  static std::string Held(const VirtualPhone& phone) { return Checksum(HeldFile(phone)); }

  // What `trustctl phones report` says of it: "Match".
  static std::string StatusOf(const std::string& device) {
    const boost::json::value report = DoJson({"phones", "report"});
    for (const boost::json::value& line : report.as_array()) {
      if (Text(line, "phone") == device) return Text(line, "status");
    }
    return "not in the report";
  }

  // The phone asks its TVS something, as phones do all day; it is known to reach that node then.
  static void AskAndBeSeen(const std::string& device) {
    const Certificate any = *Certificate::FromPem(ReadVector("appserver-ec.pem"));
    ASSERT_OK(TvsPhone(Tvs(), {.device_name = "CP-8841-" + device}).Verify(any.der()).status());
    WaitUntil(absl::Now() + absl::Seconds(60), [&] {
      return !DoJson({"tvs", "questions", "--device", device}).as_array().empty();
    });
  }

  // Another ITLRecovery key, and lists signed by it.
  static void ReplaceSigner(const std::string& reason) {
    Do({"itl", "recovery", "regenerate", "--yes", "--reason", reason});
    WaitForCandidate("waits-for-approval");
    ApproveCtlIfItWaits(reason);
    Publish(reason);
  }

  const std::unique_ptr<ItldListServer> lists_ = ListsOf("default", "node1");
  std::vector<std::string> devices_;
};

}  // namespace trustline
