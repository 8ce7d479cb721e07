// The real tvsd against hostile and old peers, and through the death of its database.
#include <sys/stat.h>

#include <cstdlib>
#include <random>

#include "cli/phone/tvs_phone.h"
#include "common/bytes/writer.h"
#include "common/net/http_client.h"
#include "common/net/listener_test_support.h"
#include "common/net/tls_client.h"
#include "common/rpc/channel.h"
#include "proto/verification.grpc.pb.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tvsd_process.h"
#include "tests/support/wire_vector.h"
#include "tvs/message.h"
#include "tvs/trust_store_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Gt;
using ::testing::HasSubstr;

class TvsdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    store_ = std::make_unique<TestTrustStore>(*database_);
    ASSERT_OK(store_->Put({.certificate = trusted_, .role = 7}));
    ASSERT_OK_AND_ASSIGN(site_, TvsdSite::Create(database_->Conninfo("trustline_tvsd")));
  }

  void StartTvsd(const std::string& listener = "") {
    ASSERT_OK_AND_ASSIGN(tvsd_, TvsdProcess::Start(*site_, {.listener = listener}));
    ASSERT_OK(tvsd_->WaitUntilReady());
  }

  TvsPhone Phone(TvsPhoneOptions options = {}) const {
    return TvsPhone({"127.0.0.1", tvsd_->tvs_port()}, std::move(options));
  }
  absl::StatusOr<bool> IsValid(const Certificate& certificate) {
    ASSIGN_OR_RETURN(const TvsAnswer answer, Phone().Verify(certificate.der()));
    return answer.valid;
  }

  // The sum of a metric over its labels.
  double Metric(const std::string& name) const {
    const auto response = HttpGet("127.0.0.1", tvsd_->metrics_port(), "/metrics", std::chrono::seconds(5));
    if (!response.ok()) return -1;
    double sum = 0;
    std::istringstream lines(response->body);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(name + "{") || line.starts_with(name + " ")) sum += std::stod(line.substr(line.rfind(' ')));
    }
    return sum;
  }
  void AwaitMetric(const std::string& name, double least) const {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (Metric(name) < least) ASSERT_LT(absl::Now(), deadline) << name << " is " << Metric(name);
  }

  const Certificate trusted_ = *Certificate::FromPem(ReadVector("appserver-ec.pem"));
  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<TestTrustStore> store_;
  std::unique_ptr<TvsdSite> site_;
  std::unique_ptr<TvsdProcess> tvsd_;
};

// What a peer may send once TLS stands. Each gets no answer or an invalid verdict.
std::vector<std::string> BadMessages(const std::string& good) {
  std::vector<std::string> messages;
  for (size_t length = 1; length < good.size(); length += 97) messages.push_back(good.substr(0, length));  // stalls
  const auto with_body = [](std::string_view body, uint16_t length) {
    return ByteWriter().U8(87).U8(1).U8(1).U8(0).U32(1).U16(length).Bytes(AsBytes(body)).Take();
  };
  messages.push_back(std::string("\x55") + good.substr(1));              // protocol id
  messages.push_back(std::string("\x57\x02") + good.substr(2));          // version
  messages.push_back(std::string("\x57\x01\x07") + good.substr(3));      // command
  messages.push_back(with_body(std::string("\x63\x00\x01\x00", 4), 4));  // unknown tag
  messages.push_back(with_body(std::string(65'535, '\0'), 65'535));      // 64 kB
  messages.push_back(
      with_body(std::string("\x02\xff\xff", 3) + std::string(60'000, '0'), 60'003));  // 64 kB certificate
  messages.push_back(with_body(std::string("\x02\x00\x04", 3) + "abcd", 7));          // no DER
  messages.push_back(with_body(std::string("\x02\x00\x04", 3) + "abcd" + "x", 8));    // trailing byte
  messages.push_back(with_body(std::string("\x01\x00\x04\x01\x41\x00\x42\x02\x00\x01\x30", 11), 11));  // NUL in a name
  std::mt19937 random(20261122);
  for (int i = 0; i < 60; ++i) {
    std::string noise(random() % 300 + 1, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    messages.push_back(noise);
    std::string damaged = good;
    char& byte = damaged[random() % damaged.size()];
    byte = static_cast<char>(byte ^ static_cast<char>(random() % 255 + 1));
    messages.push_back(damaged);
  }
  return messages;
}

TEST_F(TvsdTest, BadInputIsCountedAndLoggedAndDisturbsNobody) {
  StartTvsd("handshake_deadline = \"400ms\"\nexchange_deadline = \"400ms\"\n");
  const pid_t pid = tvsd_->pid();
  std::vector<RawClient> silent;
  // Stalls before and inside the handshake, and what is no handshake.
  for (const std::string& beginning : {std::string(), std::string("\x16"), std::string("\x16\x03\x01\x02\x00\x01", 6),
                                       std::string("GET / HTTP/1.0\r\n\r\n"), std::string(20'000, 'x')}) {
    RawClient client = RawClient::Connect(tvsd_->tvs_port());
    client.Send(beginning);
    silent.push_back(std::move(client));
    EXPECT_THAT(IsValid(trusted_), IsOkAndHolds(true));
  }
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-capf.hex"));
  std::vector<TlsClient> stalled;
  for (const std::string& message : BadMessages(exchange.from_phone)) {
    ASSERT_OK_AND_ASSIGN(TlsClient client, TlsClient::Connect("127.0.0.1", tvsd_->tvs_port()));
    (void)client.Write(AsBytes(message));  // may be cut short: a header that is wrong closes the connection
    stalled.push_back(std::move(client));
  }
  EXPECT_THAT(IsValid(trusted_), IsOkAndHolds(true));
  for (TlsClient& client : stalled) {
    const auto answer = client.ReadSome();
    // Closed, or (damage inside the certificate) a well-formed invalid verdict.
    if (answer.ok() && !answer->empty()) {
      ASSERT_EQ(answer->size(), 14u);
      EXPECT_EQ(ToHex(AsBytes(answer->substr(10))), "07000101");
    }
  }
  EXPECT_THAT(IsValid(trusted_), IsOkAndHolds(true));
  AwaitMetric("trustline_tls_handshake_deadlines_total", 3);
  AwaitMetric("trustline_tls_exchange_deadlines_total", 5);
  AwaitMetric("trustline_tls_handshakes_failed_total", 2);
  AwaitMetric("trustline_tvs_malformed_total", 20);
  AwaitMetric("trustline_tls_open_connections", 0);
  EXPECT_TRUE(tvsd_->Running());
  EXPECT_EQ(tvsd_->pid(), pid);
  EXPECT_OK(tvsd_->WaitForLog("TVS_MALFORMED_REQUEST"));
  EXPECT_OK(tvsd_->WaitForLog("handshake_deadline"));
  EXPECT_OK(tvsd_->Stop());
}

TEST_F(TvsdTest, Tls10IsSpokenOnlyOnAListenerThatAnAdministratorOpened) {
  const TlsClientOptions old = {.min_version = TlsVersion::kTls10, .max_version = TlsVersion::kTls10};
  StartTvsd();
  EXPECT_FALSE(TlsClient::Connect("127.0.0.1", tvsd_->tvs_port(), old).ok());
  StartTvsd("allow_tls10 = true\n");
  ASSERT_OK_AND_ASSIGN(const TvsAnswer answer, Phone({.tls = old}).Verify(trusted_.der()));
  EXPECT_TRUE(answer.valid);
  EXPECT_EQ(answer.tls_version, TlsVersion::kTls10);
  // The oldest know RSA key transport only.
  TlsClientOptions key_transport = old;
  key_transport.ciphers = "AES128-SHA:@SECLEVEL=0";
  ASSERT_OK(Phone({.tls = key_transport}).Verify(trusted_.der()));
}

TEST_F(TvsdTest, AFleetThatAsksAgainResumesItsSessions) {
  StartTvsd();
  for (const bool tickets : {true, false}) {
    for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
      if (!tickets && version == TlsVersion::kTls13) continue;
      TvsPhone phone = Phone(
          {.resume_sessions = true, .tls = {.min_version = version, .max_version = version, .use_tickets = tickets}});
      ASSERT_OK_AND_ASSIGN(const TvsAnswer first, phone.Verify(trusted_.der()));
      EXPECT_FALSE(first.resumed);
      ASSERT_OK_AND_ASSIGN(const TvsAnswer second, phone.Verify(trusted_.der()));
      EXPECT_TRUE(second.resumed) << tickets << static_cast<int>(version);
    }
  }
  EXPECT_EQ(Metric("trustline_tls_handshakes_resumed_total"), 3);
}

TEST_F(TvsdTest, AnUnknownKeyOfTheConfigurationIsNamedWithItsLine) {
  EXPECT_THAT(TvsdProcess::Start(*site_, {.listener = "allow_tls1 = true\n"}).status().ToString(),
              AllOf(HasSubstr("allow_tls1"), HasSubstr("allow_tls10"), HasSubstr("tvsd.toml:")));
}

TEST_F(TvsdTest, APassphraseMayBeACredentialOfSystemd) {
  EXPECT_THAT(TvsdProcess::Start(*site_, {.listener = "passphrase_credential = \"tvs-key\"\n"}).status().ToString(),
              HasSubstr("stands beside passphrase_file"));
  const TemporaryDirectory credentials;
  const std::string file = credentials.WriteFile("tvs-key", "a passphrase for tests");
  ASSERT_EQ(chmod(file.c_str(), 0440), 0);
  setenv("CREDENTIALS_DIRECTORY", credentials.path().c_str(), 1);
  EXPECT_OK(TvsdProcess::Start(*site_, {.tables = "[[listener]]\naddress = \"127.0.0.1\"\nport = 0\n"
                                                  "certificate = \"tvs.crt\"\nkey = \"tvs.key\"\n"
                                                  "passphrase_credential = \"tvs-key\"\n"}));
  unsetenv("CREDENTIALS_DIRECTORY");
}

// A stream of questions is worth as many answers as the node can give.
TEST_F(TvsdTest, ABatchGoesOnBehindACertificateThatCannotBeJudged) {
  StartTvsd();
  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
  ASSERT_OK(
      connection.ExecuteScript("INSERT INTO access_grant (cluster_id, person, role, granted_by)"
                               " SELECT cluster_id, 'viewer', 'viewer', 'test' FROM cluster"));
  ASSERT_OK_AND_ASSIGN(const IdentityFiles identity, site_->IdentityFor("trustline:default/person/viewer"));
  ASSERT_OK_AND_ASSIGN(const auto channel,
                       OpenChannel(fmt::format("127.0.0.1:{}", tvsd_->grpc_port()), identity, "tvsd"));
  const auto stub = v1::Verification::NewStub(channel);
  const Certificate unknown = *Certificate::FromPem(ReadVector("capf.pem"));
  const auto ask = [&] {
    grpc::ClientContext context;
    const auto stream = stub->VerifyBatch(&context);
    std::vector<v1::VerifyResponse> answers;
    for (const Certificate& certificate : {trusted_, unknown, trusted_}) {
      v1::VerifyRequest request;
      request.set_certificate(std::string(AsText(certificate.der())));
      request.set_number(answers.size() + 5);
      v1::VerifyResponse response;
      if (!stream->Write(request) || !stream->Read(&response)) break;
      EXPECT_EQ(response.number(), answers.size() + 5);
      answers.push_back(response);
    }
    stream->WritesDone();
    const grpc::Status status = stream->Finish();
    EXPECT_TRUE(status.ok() || answers.size() < 3) << status.error_message();
    return answers;
  };
  // The grants take a moment to arrive.
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  std::vector<v1::VerifyResponse> answers;
  while ((answers = ask()).size() < 3) ASSERT_LT(absl::Now(), deadline);
  EXPECT_EQ(answers[1].verdict(), v1::VERDICT_INVALID);
  EXPECT_EQ(answers[1].reason(), v1::INVALID_REASON_UNKNOWN);

  ASSERT_OK(database_->Kill());
  answers = ask();
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0].verdict(), v1::VERDICT_VALID);
  EXPECT_EQ(answers[1].verdict(), v1::VERDICT_UNSPECIFIED);
  EXPECT_EQ(answers[1].reason(), v1::INVALID_REASON_NO_VERDICT);
  EXPECT_THAT(answers[1].explanation(), HasSubstr("cannot ask the database"));
  EXPECT_EQ(answers[2].verdict(), v1::VERDICT_VALID);
}

// The largest promise of the store's outage: no wrong answer, and nothing to restart by hand.
TEST_F(TvsdTest, TheDatabaseMayDieAndComeBackUnderQuestions) {
  const Certificate removed = *Certificate::FromPem(ReadVector("tvs.pem"));
  const Certificate unknown = *Certificate::FromPem(ReadVector("capf.pem"));
  ASSERT_OK(store_->Put({.certificate = removed, .role = 21, .removed = true}));
  StartTvsd();
  std::atomic<bool> stop = false;
  std::atomic<int> valid = 0;
  std::atomic<int> invalid = 0;
  std::atomic<int> silent = 0;
  std::thread asking([&] {
    while (!stop) {
      EXPECT_THAT(IsValid(trusted_), IsOkAndHolds(true));
      EXPECT_THAT(IsValid(removed), IsOkAndHolds(false));
      const auto answer = IsValid(unknown);
      ++valid;
      if (answer.ok()) {
        EXPECT_FALSE(*answer);
        ++invalid;
      } else {
        EXPECT_THAT(answer, StatusIs(absl::StatusCode::kUnavailable));
        ++silent;
      }
    }
  });
  const auto await_more = [](const std::atomic<int>& count, int more) {
    const int wanted = count + more;
    while (count < wanted) std::this_thread::yield();
  };
  for (int round = 0; round < 3; ++round) {
    await_more(invalid, 20);
    EXPECT_OK(database_->Kill());
    await_more(silent, 20);
    await_more(valid, 20);
    EXPECT_OK(database_->Restart());
  }
  await_more(invalid, 20);
  stop = true;
  asking.join();
  // What was changed meanwhile is seen too.
  ASSERT_OK(store_->Put({.certificate = unknown, .role = 4}));
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  for (;;) {
    const auto answer = IsValid(unknown);
    if (answer.ok() && *answer) break;
    ASSERT_LT(absl::Now(), deadline);
  }
  EXPECT_OK(tvsd_->WaitUntilReady());
  EXPECT_TRUE(tvsd_->Running());
  EXPECT_THAT(Metric("trustline_tvs_silent_away_total"), Gt(0));
}

}  // namespace
}  // namespace trustline
