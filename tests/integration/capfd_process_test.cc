// The real capfd as a daemon: what keeps it from starting, when it is ready, and the certificate of its listener.
#include "tests/support/capfd_process.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "common/net/http_client.h"
#include "common/net/tls_client.h"
#include "common/rpc/channel.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/listener.grpc.pb.h"
#include "tests/support/run_program.h"
#include "tests/support/status_matchers.h"
#include "tvs/trust_store_testing.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kCapfRole = 4;
constexpr int kTvsRole = 21;
constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

class CapfdProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    store_ = std::make_unique<TestTrustStore>(*database_);
    ASSERT_OK_AND_ASSIGN(site_, CadSite::Create(*database_));
    ASSERT_OK_AND_ASSIGN(capf_, CapfdSite::Create(*database_, *site_));
  }

  void Start(const CapfdOptions& options = {}) {
    capfd_.reset();
    ASSERT_OK_AND_ASSIGN(capfd_, CapfdProcess::Start(*capf_, options));
  }
  // The words of one that does not start: a line.
  std::string Refusal(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {TRUSTLINE_BIN_DIR "/capfd", "--config", capf_->NodeFolder() / "capfd.toml"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = RunProgram(arguments);
    EXPECT_EQ(result.exit_status, 1) << result.out << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    return result.err;
  }
  std::string Metrics() const {
    const auto response = HttpGet("127.0.0.1", capfd_->metrics_port(), "/metrics", std::chrono::seconds(5));
    EXPECT_OK(response);
    return response.ok() ? response->body : "";
  }

  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<TestTrustStore> store_;
  std::unique_ptr<CadSite> site_;
  std::unique_ptr<CapfdSite> capf_;
  std::unique_ptr<CapfdProcess> capfd_;
};

TEST_F(CapfdProcessTest, IsReadyWithoutCadAndSaysThatItIsAway) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_OK(capfd_->WaitUntilReady());
  ASSERT_OK(capfd_->WaitForLog("CAPF_CAD_AWAY"));
  const std::string listener = "{cluster=\"default\",listener=\"127.0.0.1:0\"";
  EXPECT_THAT(Metrics(), AllOf(HasSubstr("\ntrustline_capf_cad_connected 0\n"),
                               HasSubstr("\ntrustline_capf_sessions_total" + listener + "} 0\n"),
                               HasSubstr("\ntrustline_capf_outcomes_total" + listener + ",outcome=\"installed\"} 0\n"),
                               HasSubstr("\ntrustline_tls_accepted_total" + listener + "} 0\n"),
                               HasSubstr("\ntrustline_capf_work_waiting 0\n")));
  EXPECT_OK(capfd_->Stop());
}

TEST_F(CapfdProcessTest, AKeyThatItDoesNotOpenEndsItWithOneLine) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_OK(capfd_->Stop());
  const fs::path strings = capf_->NodeFolder() / "authentication-strings.key";
  const std::string whole = ReadTestFile(strings);
  EXPECT_EQ(fs::status(strings).permissions(), fs::perms::owner_read | fs::perms::owner_write);

  std::string changed = whole;
  // Another digit: 'A' in the place of 'a' would be the same key.
  changed[changed.size() / 2] = changed[changed.size() / 2] == '0' ? '1' : '0';
  std::ofstream(strings) << changed;
  EXPECT_THAT(Refusal(), HasSubstr(strings));
  EXPECT_THAT(Refusal({"--check-config"}), HasSubstr(strings));
  std::ofstream(strings) << whole;
  fs::permissions(strings, fs::perms::group_read, fs::perm_options::add);
  EXPECT_THAT(Refusal(), HasSubstr("chmod 600 " + strings.string()));
  fs::permissions(strings, fs::perms::group_read, fs::perm_options::remove);

  std::ofstream(capf_->NodeFolder() / "passphrase") << "another\n";
  EXPECT_THAT(Refusal(), HasSubstr(capf_->NodeFolder() / "capf.key"));
}

// It may be looked at as another user, to whom the key must not belong.
TEST_F(CapfdProcessTest, ALookAtTheConfigurationMakesNoKey) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_OK(capfd_->Stop());
  const fs::path strings = capf_->NodeFolder() / "authentication-strings.key";
  const std::string made = ReadTestFile(strings);
  const fs::path aside = capf_->NodeFolder() / "aside.key";
  fs::rename(strings, aside);
  const ProgramResult good =
      RunProgram({TRUSTLINE_BIN_DIR "/capfd", "--config", capf_->NodeFolder() / "capfd.toml", "--check-config"});
  EXPECT_EQ(good.exit_status, 0) << good.err;
  EXPECT_FALSE(fs::exists(strings));
  // What is there stays as it is.
  fs::rename(aside, strings);
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_EQ(ReadTestFile(strings), made);
}

TEST_F(CapfdProcessTest, ASecondOneNeedsTheKeyOfTheFirst) {
  Start();
  const auto start_second = [&] { return CapfdProcess::Start(*capf_, {.node = "node2"}); };
  EXPECT_THAT(start_second().status().message(),
              AllOf(HasSubstr(capf_->NodeFolder("node2").string()), HasSubstr("trustline:default/capfd/node1"),
                    HasSubstr("copy that capfd's file")));
  fs::copy_file(capf_->NodeFolder() / "authentication-strings.key",
                capf_->NodeFolder("node2") / "authentication-strings.key", fs::copy_options::overwrite_existing);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<CapfdProcess> second, start_second());
  EXPECT_OK(second->WaitUntilReady());
}

// A key that was lost with its node: what the refusal names lets the new one take its place.
TEST_F(CapfdProcessTest, ALostKeyIsReplacedByNamingIt) {
  Start();
  ASSERT_OK(capfd_->Stop());
  ASSERT_TRUE(fs::remove(capf_->NodeFolder() / "authentication-strings.key"));
  const std::string refusal(CapfdProcess::Start(*capf_).status().message());
  const size_t begin = refusal.find("replace_string_key = \"");
  ASSERT_NE(begin, std::string::npos) << refusal;
  const std::string setting = refusal.substr(begin, refusal.find('"', refusal.find('"', begin) + 1) + 1 - begin);
  Start({.capf = setting + "\n"});
  ASSERT_OK(capfd_->WaitUntilReady());
  Start();
  EXPECT_OK(capfd_->WaitUntilReady());
}

TEST_F(CapfdProcessTest, AListenersClusterMustExist) {
  ASSERT_NO_FATAL_FAILURE(Start(
      {.tables = "[[listener]]\ncluster = \"berlin\"\naddress = \"127.0.0.1\"\nport = 0\ncertificate = \"capf.crt\"\n"
                 "key = \"capf.key\"\npassphrase_file = \"passphrase\"\n"}));
  const auto ready = HttpGet("127.0.0.1", capfd_->metrics_port(), "/health/ready", std::chrono::seconds(5));
  ASSERT_OK(ready);
  EXPECT_EQ(ready->status, 503);
  ASSERT_OK(store_->RunByHand("INSERT INTO cluster (name) VALUES ('berlin')"));
  EXPECT_OK(capfd_->WaitUntilReady());
}

class CapfdListenerTest : public CapfdProcessTest {
 protected:
  void SetUp() override {
    CapfdProcessTest::SetUp();
    StartAndConnect();
  }
  void StartAndConnect() {
    ASSERT_NO_FATAL_FAILURE(Start());
    ASSERT_OK(capfd_->WaitUntilReady());
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<grpc::Channel> channel, capfd_->Channel());
    listeners_ = v1::Listeners::NewStub(channel);
  }

  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::Listeners::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    return ToAbsl((listeners_.get()->*method)(&context, request, &response));
  }
  absl::StatusOr<Certificate> Renew() {
    v1::RequestListenerCertificateRequest request;
    request.set_self_signed(true);
    v1::RequestListenerCertificateResponse response;
    RETURN_IF_ERROR(Call(&v1::Listeners::Stub::RequestListenerCertificate, request, response));
    return Certificate::FromDer(AsBytes(response.certificate()));
  }
  absl::Status Import(const Certificate& certificate) {
    v1::ImportListenerCertificateRequest request;
    request.add_certificates(std::string(AsText(certificate.der())));
    v1::ImportListenerCertificateResponse response;
    return Call(&v1::Listeners::Stub::ImportListenerCertificate, request, response);
  }
  absl::Status Restore() {
    v1::RestoreListenerCertificateResponse response;
    return Call(&v1::Listeners::Stub::RestoreListenerCertificate, v1::RestoreListenerCertificateRequest(), response);
  }
  // What a phone that connects now is shown.
  std::string Presented() const {
    const auto client = TlsClient::Connect("127.0.0.1", capfd_->capf_port());
    EXPECT_OK(client);
    return client.ok() ? client->peer_certificate_der() : "";
  }
  static std::string DerOf(const Certificate& certificate) { return std::string(AsText(certificate.der())); }

  // What capfd says in the database that its listener presents, once it says `expected`.
  std::string SaidToPresent(const Certificate& expected) {
    auto connection = database_->Connect();
    EXPECT_OK(connection);
    std::string said;
    for (const absl::Time deadline = absl::Now() + absl::Seconds(30); connection.ok() && absl::Now() < deadline;) {
      const auto row =
          connection->Execute("SELECT coalesce(string_agg(encode(sha256, 'hex'), ' '), '') FROM capf_presented");
      EXPECT_OK(row);
      if (!row.ok()) break;
      said = row->Value<std::string>().value_or("");
      if (said == ToHex(expected.sha256())) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return said;
  }

  std::unique_ptr<v1::Listeners::Stub> listeners_;
};

TEST_F(CapfdListenerTest, ItsCertificateIsRenewedWhileItServes) {
  const Certificate first = capf_->capf_certificate();
  EXPECT_EQ(Presented(), DerOf(first));
  EXPECT_EQ(SaidToPresent(first), ToHex(first.sha256()));
  v1::ListListenersResponse listed;
  ASSERT_OK(Call(&v1::Listeners::Stub::ListListeners, v1::ListListenersRequest(), listed));
  ASSERT_EQ(listed.listeners_size(), 1);
  EXPECT_EQ(listed.listeners(0).role(), v1::CERTIFICATE_ROLE_CAPF);

  ASSERT_OK_AND_ASSIGN(const Certificate second, Renew());
  EXPECT_EQ(second.subject(), first.subject());
  EXPECT_EQ(second.public_key_kind(), "RSA 2048");
  EXPECT_THAT(Import(second), StatusIs(kRefused, AllOf(HasSubstr("not trusted with role CAPF"),
                                                       HasSubstr("trustctl trust add --role CAPF FILE"))));
  // Another role is no good, and neither is what was removed.
  ASSERT_OK(store_->Put({.certificate = second, .role = kTvsRole}));
  EXPECT_THAT(Import(second), StatusIs(kRefused, HasSubstr("not trusted with role CAPF")));
  ASSERT_OK(store_->Put({.certificate = second, .role = kCapfRole, .removed = true}));
  EXPECT_THAT(Import(second), StatusIs(kRefused, HasSubstr("not trusted with role CAPF")));
  EXPECT_EQ(Presented(), DerOf(first));

  ASSERT_OK(store_->Put({.certificate = second, .role = kCapfRole}));
  EXPECT_OK(Import(second));
  EXPECT_EQ(Presented(), DerOf(second));
  EXPECT_EQ(SaidToPresent(second), ToHex(second.sha256()));
  // Until its end, cleanly: what it did stands in the audit log.
  ASSERT_OK(capfd_->Stop());
  ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
  ASSERT_OK_AND_ASSIGN(const Result done,
                       connection.Execute("SELECT count(*) FROM audit_event WHERE action = 'listener.import' AND "
                                          "outcome = 'done' AND actor = 'trustline:default/person/admin'"));
  EXPECT_THAT(done.Value<int64_t>(), IsOkAndHolds(1));

  StartAndConnect();
  EXPECT_EQ(Presented(), DerOf(second));
  EXPECT_THAT(Restore(), StatusIs(kRefused, HasSubstr("the cluster default does not trust")));
  ASSERT_OK(store_->Put({.certificate = first, .role = kCapfRole}));
  EXPECT_OK(Restore());
  EXPECT_EQ(Presented(), DerOf(first));
}

TEST_F(CapfdListenerTest, WithoutTheDatabaseNothingIsChanged) {
  ASSERT_OK_AND_ASSIGN(const Certificate second, Renew());
  ASSERT_OK(store_->Put({.certificate = second, .role = kCapfRole}));
  ASSERT_OK(database_->Stop());
  EXPECT_THAT(Import(second), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("database")));
  EXPECT_EQ(Presented(), DerOf(capf_->capf_certificate()));
  ASSERT_OK(database_->Restart());
}

}  // namespace
}  // namespace trustline
