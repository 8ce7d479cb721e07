// The real provisiond with the real itld, tvsd and PostgreSQL: what phones say over SIP, and what is stored of it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/bytes/checksums.h"
#include "common/net/tls_client.h"
#include "common/posix/unique_fd.h"
#include "proto/phone_trust.grpc.pb.h"
#include "tests/integration/itld_testing.h"
#include "tests/support/provisiond_process.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kDevices[] = "SEP00112233445";  // and a digit

std::string Alarm(const std::string& device, const std::string& itl_signature, std::string_view transport) {
  const std::string body = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<x-cisco-alarm>\n<Alarm Name=\"DeviceTLInfo\">\n<ParameterList>\n"
      "<String name=\"DeviceName\">{}</String>\n<String name=\"IPv4Address\">192.0.2.104</String>\n"
      "<String name=\"IPv6Address\"></String>\n<String name=\"CTL_Signature\">Not Installed</String>\n"
      "<String name=\"CTL_TFTP_Server\">N/A</String>\n<String name=\"ITL_Signature\">{}</String>\n"
      "<String name=\"ITL_TFTP_Server\">tftp1</String>\n<String name=\"StatusCode\">3</String>\n"
      "</ParameterList>\n</Alarm>\n</x-cisco-alarm>\n",
      device, itl_signature);
  return fmt::format(
      "REFER sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/{0} 192.0.2.104:5060;branch=z9hG4bK{1}\r\n"
      "From: <sip:{1}@192.0.2.1>;tag=1\r\nTo: <sip:{1}@192.0.2.1>\r\nCall-ID: {1}@192.0.2.104\r\nCSeq: 1000 REFER\r\n"
      "Contact: <sip:{1}@192.0.2.104:5060>;+u.sip!devicename.ccm.cisco.com=\"{1}\"\r\n"
      "User-Agent: Cisco-CP8845/12.8.1\r\nRequire: norefersub\r\nRefer-To: cid:1@192.0.2.104\r\n"
      "Content-Type: application/x-cisco-alarm+xml\r\nContent-Length: {2}\r\n\r\n{3}",
      transport, device, body.size(), body);
}

// Of a socket of 127.0.0.1 that is connected, what comes after `message` was sent; empty when nothing does.
std::string Exchange(int type, uint16_t port, const std::string& message) {
  const UniqueFd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const timeval patience = {.tv_sec = 30, .tv_usec = 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(send(fd.get(), message.data(), message.size(), 0), static_cast<ssize_t>(message.size()));
  char answer[8'192];
  const ssize_t count = recv(fd.get(), answer, sizeof(answer), 0);
  return count > 0 ? std::string(answer, static_cast<size_t>(count)) : "";
}

class ProvisiondTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
    ASSERT_OK_AND_ASSIGN(site_, ItldSite::Create(*database_));
    ASSERT_NO_FATAL_FAILURE(StartItld());
    ASSERT_OK(itld_client_->AddTftpServer());
    for (int i = 0; i < 4; ++i) {
      Run(
          fmt::format("INSERT INTO device (cluster_id, name, model, protocol, added_by)"
                      " VALUES (1, '{}{}', 'CP-8845', 'SIP', 'a test')",
                      kDevices, i));
    }
    ASSERT_OK_AND_ASSIGN(provisiond_, ProvisiondProcess::Start(
                                          *database_, *site_,
                                          {.itld_port = itld_->grpc_port(), .tvsd_port = site_->tvsd().grpc_port()}));
    ASSERT_OK(provisiond_->WaitUntilReady());
  }

  // On the port that it had before.
  void StartItld() {
    ItldOptions options;
    if (itld_port_ != 0) options.grpc_port = itld_port_;
    ASSERT_OK_AND_ASSIGN(itld_, site_->StartItld(options));
    itld_port_ = itld_->grpc_port();
    ASSERT_OK_AND_ASSIGN(itld_client_, ItldClient::Connect(*site_, *itld_));
  }
  void Run(const std::string& sql) { ASSERT_OK(superuser_->ExecuteScript(sql)); }
  int64_t Count(const std::string& sql) {
    const auto result = superuser_->Execute(sql.c_str());
    EXPECT_OK(result);
    return result.ok() ? result->Value<int64_t>().value_or(-1) : -1;
  }
  template <typename Condition>
  static bool WaitUntil(Condition happened) {
    for (const absl::Time end = absl::Now() + absl::Seconds(20); absl::Now() < end;) {
      if (happened()) return true;
      absl::SleepFor(absl::Milliseconds(10));
    }
    return false;
  }
  int64_t Reported(int device) {
    return Count(
        fmt::format("SELECT count(*) FROM phone WHERE device = '{}{}' AND reported_at IS NOT NULL", kDevices, device));
  }
  // As phones write a hash.
  std::string CurrentHash() {
    const auto fetched = itld_client_->Fetch();
    EXPECT_OK(fetched);
    std::string text;
    for (const uint8_t byte : Sha1(AsBytes(fetched->file()))) text += fmt::format("{:02X} ", byte);
    return text;
  }
  // By device, without claims.
  std::map<std::string, v1::Phone> Phones() {
    const std::unique_ptr<v1::PhoneTrust::Stub> stub = v1::PhoneTrust::NewStub(*site_->Channel(*itld_));
    v1::ListPhonesRequest request;
    request.set_cluster("default");
    grpc::ClientContext context;
    v1::ListPhonesResponse response;
    EXPECT_OK(ToAbsl(stub->ListPhones(&context, request, &response)));
    std::map<std::string, v1::Phone> phones;
    for (const v1::Phone& phone : response.phones()) {
      if (phone.claimed_from().empty()) phones[phone.device()] = phone;
    }
    return phones;
  }
  std::string OverTls(const std::string& message, const TlsClientOptions& options = {}) {
    absl::StatusOr<TlsClient> client = TlsClient::Connect("127.0.0.1", provisiond_->tls_port(), options);
    EXPECT_OK(client);
    if (!client.ok()) return "";
    EXPECT_OK(client->Write(AsBytes(message)));
    return client->ReadSome().value_or("");
  }
  // Nobody's word but that of a named forwarder is evidence then.
  void RemoveForwarders() {
    Run("DELETE FROM forwarder; NOTIFY forwarder_change");
    // It has heard of it when what comes from here is a claim.
    ASSERT_TRUE(WaitUntil([this] {
      const std::string unknown = fmt::format("{}9", kDevices);
      Exchange(SOCK_STREAM, provisiond_->tcp_port(), Alarm(unknown, "Not Installed", "TCP"));
      return Count(fmt::format("SELECT count(*) FROM phone_claim WHERE device = '{}' AND source = '127.0.0.1'",
                               unknown)) == 1;
    }));
  }

  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> superuser_;
  std::unique_ptr<ItldSite> site_;
  uint16_t itld_port_ = 0;
  std::unique_ptr<DaemonProcess> itld_;
  std::optional<ItldClient> itld_client_;
  std::unique_ptr<ProvisiondProcess> provisiond_;
};

TEST_F(ProvisiondTest, AlarmsOverEveryTransportAreStoredBeforeTheyAreAnswered) {
  const std::string hash = CurrentHash();
  const std::string name = kDevices;
  EXPECT_THAT(Exchange(SOCK_DGRAM, provisiond_->udp_port(), Alarm(name + "0", hash, "UDP")),
              StartsWith("SIP/2.0 202 "));
  EXPECT_EQ(Reported(0), 1);
  EXPECT_THAT(Exchange(SOCK_STREAM, provisiond_->tcp_port(), Alarm(name + "1", "Not Installed", "TCP")),
              StartsWith("SIP/2.0 202 "));
  EXPECT_EQ(Reported(1), 1);
  EXPECT_THAT(OverTls(Alarm(name + "2", "00 " + hash.substr(3), "TLS")), StartsWith("SIP/2.0 202 "));
  EXPECT_EQ(Reported(2), 1);
  const std::map<std::string, v1::Phone> phones = Phones();
  EXPECT_EQ(phones.at(name + "0").itl().status(), v1::PHONE_STATUS_MATCH);
  EXPECT_EQ(phones.at(name + "1").itl().status(), v1::PHONE_STATUS_NOT_INSTALLED);
  EXPECT_EQ(phones.at(name + "2").itl().status(), v1::PHONE_STATUS_MISMATCH);
  EXPECT_EQ(phones.at(name + "3").itl().status(), v1::PHONE_STATUS_UNKNOWN);
  EXPECT_EQ(phones.at(name + "0").via(), "forwarder 127.0.0.0/8");
  EXPECT_OK(provisiond_->Stop());
}

TEST_F(ProvisiondTest, TheWordOfAnybodyIsAClaimAndThatOfANamedCertificateIsNot) {
  ASSERT_NO_FATAL_FAILURE(RemoveForwarders());
  EXPECT_EQ(Reported(0), 0);
  const std::string name = kDevices;
  const PrivateKey key = *PrivateKey::Generate(KeyKind::kRsa2048);
  const Certificate certificate = *BuildSelfSigned(TvsForm("kamailio.example", absl::Now()), key);
  const TlsClientOptions with_certificate = {.certificate_chain = {certificate}, .private_key = key.get()};
  const std::string common_name(certificate.subject().common_name());
  Run(
      fmt::format("INSERT INTO forwarder (cluster_id, name, is_network, requests, added_by)"
                  " VALUES (1, '{}', false, ARRAY['REFER'], 'a test'); NOTIFY forwarder_change",
                  common_name));
  // Named, but not trusted.
  EXPECT_THAT(OverTls(Alarm(name + "1", "Not Installed", "TLS"), with_certificate), StartsWith("SIP/2.0 202 "));
  EXPECT_EQ(Reported(1), 0);
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM phone_claim WHERE device = '{}1'", name)), 1);

  ASSERT_OK(itld_client_->AddListed(certificate));
  EXPECT_TRUE(WaitUntil([&] {
    OverTls(Alarm(name + "2", "Not Installed", "TLS"), with_certificate);
    return Reported(2) == 1;
  }));
  EXPECT_EQ(Phones().at(name + "2").via(), "forwarder " + common_name);
}

TEST_F(ProvisiondTest, WhatItldDidNotStoreInTimeIsStoredWhenItIsBack) {
  const std::string name = kDevices;
  itld_->Kill();
  itld_.reset();
  EXPECT_THAT(Exchange(SOCK_STREAM, provisiond_->tcp_port(), Alarm(name + "0", "Not Installed", "TCP")),
              AllOf(StartsWith("SIP/2.0 503 "), HasSubstr("\r\nRetry-After: ")));
  EXPECT_FALSE(provisiond_->WaitUntilReady(std::chrono::milliseconds(100)).ok());
  ASSERT_NO_FATAL_FAILURE(StartItld());
  EXPECT_TRUE(WaitUntil([&] { return Reported(0) == 1; }));
  EXPECT_OK(provisiond_->WaitUntilReady());
  EXPECT_THAT(Exchange(SOCK_STREAM, provisiond_->tcp_port(), Alarm(name + "1", "Not Installed", "TCP")),
              StartsWith("SIP/2.0 202 "));
}

}  // namespace
}  // namespace trustline
