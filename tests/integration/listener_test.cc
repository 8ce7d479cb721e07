// The certificate of the real tvsd's listener: renewed, issued by an outside authority that openssl plays, refused, and
// taken back, while phones ask.
#include <grpcpp/client_context.h>

#include <sstream>

#include "absl/time/clock.h"
#include "cli/phone/tvs_phone.h"
#include "common/net/http_client.h"
#include "common/net/tls_client.h"
#include "common/rpc/channel.h"
#include "common/x509/certificate_request.h"
#include "common/x509/pem.h"
#include "proto/listener.grpc.pb.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tvsd_process.h"
#include "tests/support/wire_vector.h"
#include "tvs/trust_store_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kTvsRole = 21;
constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr std::string_view kServerExtensions =
    "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth\n"
    "subjectAltName=DNS:tvs.example\n";

std::string DerOf(const Certificate& certificate) { return std::string(AsText(certificate.der())); }

// An enterprise's root and an authority below it, which openssl makes.
class OutsideAuthority {
 public:
  OutsideAuthority() {
    Run(
        fmt::format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout {} -subj "
                    "'/O=Enterprise/CN=Enterprise Root' -days 30 -out {}",
                    folder_.Path("root.key"), folder_.Path("root.pem")));
    Run(
        fmt::format("openssl req -new -newkey rsa:2048 -nodes -keyout {} -subj '/O=Enterprise/CN=Enterprise Servers' "
                    "-out {}",
                    folder_.Path("middle.key"), folder_.Path("middle.csr")));
    Sign("root", "middle", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n");
  }

  // The answer to a request in DER.
  Certificate Issue(const std::string& request) const {
    folder_.Write("leaf.csr", EncodePem("CERTIFICATE REQUEST", request));
    Sign("middle", "leaf", kServerExtensions);
    return *Certificate::FromPem(ReadTestFile(folder_.Path("leaf.pem")));
  }
  Certificate root() const { return *Certificate::FromPem(ReadTestFile(root_file())); }
  Certificate middle() const { return *Certificate::FromPem(ReadTestFile(folder_.Path("middle.pem"))); }
  std::string root_file() const { return folder_.Path("root.pem"); }

 private:
  static void Run(const std::string& command) {
    const CommandResult result = RunCommand(command);
    EXPECT_EQ(result.exit_status, 0) << command << ": " << result.output;
  }
  void Sign(const std::string& issuer, const std::string& name, std::string_view extensions) const {
    Run(fmt::format("openssl x509 -req -in {} -CA {} -CAkey {} -CAcreateserial -days 20 -extfile {} -out {}",
                    folder_.Path(name + ".csr"), folder_.Path(issuer + ".pem"), folder_.Path(issuer + ".key"),
                    folder_.Write(name + ".ext", extensions), folder_.Path(name + ".pem")));
  }

  const ScratchFolder folder_;
};

class ListenerCertificateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    store_ = std::make_unique<TestTrustStore>(*database_);
    ASSERT_OK(store_->Put({.certificate = known_, .role = 7}));
    ASSERT_OK_AND_ASSIGN(site_, TvsdSite::Create(database_->Conninfo("trustline_tvsd")));
    ASSERT_OK(Trust(site_->tvs_certificate()));
    ASSERT_OK(store_->RunByHand(
        "INSERT INTO access_grant (cluster_id, person, role, granted_by)"
        " SELECT cluster_id, role, role, 'test' FROM cluster, unnest(ARRAY['administrator', 'viewer']) role"));
    StartTvsd();
  }

  void StartTvsd(const std::string& tables = "") {
    // Cleanly, so that its audit rows are there.
    if (tvsd_ != nullptr) {
      ASSERT_OK(tvsd_->Stop());
    }
    ASSERT_OK_AND_ASSIGN(tvsd_,
                         TvsdProcess::Start(*site_, {.listener = "exchange_deadline = \"1m\"\n", .tables = tables}));
    ASSERT_OK(tvsd_->WaitUntilReady());
    ASSERT_OK_AND_ASSIGN(administrator_, StubOf("administrator"));
  }
  absl::StatusOr<std::unique_ptr<v1::Listeners::Stub>> StubOf(const std::string& person) const {
    ASSIGN_OR_RETURN(const IdentityFiles identity, site_->IdentityFor("trustline:default/person/" + person));
    ASSIGN_OR_RETURN(const auto channel,
                     OpenChannel(fmt::format("127.0.0.1:{}", tvsd_->grpc_port()), identity, "tvsd"));
    return v1::Listeners::NewStub(channel);
  }
  absl::Status Trust(const Certificate& certificate) {
    return store_->Put({.certificate = certificate, .role = kTvsRole});
  }

  // One call: Call(*administrator_, &v1::Listeners::Stub::ListListeners, request, response).
  template <typename Request, typename Response>
  static absl::Status Call(v1::Listeners::Stub& stub,
                           grpc::Status (v1::Listeners::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                           const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    return ToAbsl((stub.*method)(&context, request, &response));
  }
  absl::StatusOr<v1::RequestListenerCertificateResponse> Requested(
      const v1::RequestListenerCertificateRequest& request = {}) {
    v1::RequestListenerCertificateResponse response;
    RETURN_IF_ERROR(Call(*administrator_, &v1::Listeners::Stub::RequestListenerCertificate, request, response));
    return response;
  }
  // A self-signed successor of the present certificate.
  absl::StatusOr<Certificate> Renew(v1::CertificateKey key = v1::CERTIFICATE_KEY_UNSPECIFIED) {
    v1::RequestListenerCertificateRequest request;
    request.set_self_signed(true);
    request.set_key(key);
    ASSIGN_OR_RETURN(const v1::RequestListenerCertificateResponse response, Requested(request));
    return Certificate::FromDer(AsBytes(response.certificate()));
  }
  absl::StatusOr<v1::ImportListenerCertificateResponse> Import(const std::vector<Certificate>& certificates,
                                                               const std::string& listener = "") {
    v1::ImportListenerCertificateRequest request;
    request.set_listener(listener);
    for (const Certificate& certificate : certificates) request.add_certificates(DerOf(certificate));
    v1::ImportListenerCertificateResponse response;
    RETURN_IF_ERROR(Call(*administrator_, &v1::Listeners::Stub::ImportListenerCertificate, request, response));
    return response;
  }
  absl::Status Restore() {
    v1::RestoreListenerCertificateResponse response;
    return Call(*administrator_, &v1::Listeners::Stub::RestoreListenerCertificate,
                v1::RestoreListenerCertificateRequest(), response);
  }
  v1::ListenerInfo Listed() {
    v1::ListListenersResponse response;
    EXPECT_OK(Call(*administrator_, &v1::Listeners::Stub::ListListeners, v1::ListListenersRequest(), response));
    return response.listeners().empty() ? v1::ListenerInfo() : response.listeners(0);
  }

  // What a phone that connects now is shown.
  std::string Presented(uint16_t port = 0) const {
    const auto client = TlsClient::Connect("127.0.0.1", port == 0 ? tvsd_->tvs_port() : port);
    EXPECT_OK(client);
    return client.ok() ? client->peer_certificate_der() : "";
  }
  void ExpectAnAnswer(TlsClient& client) const {
    ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-capf.hex"));
    ASSERT_OK_AND_ASSIGN(const std::string answer, ExchangeTvsMessage(client, exchange.from_phone, false));
    EXPECT_EQ(answer.size(), exchange.from_server.size());
  }
  void ExpectPhonesAreAnswered() const {
    ASSERT_OK_AND_ASSIGN(const TvsAnswer answer, TvsPhone({"127.0.0.1", tvsd_->tvs_port()}, {}).Verify(known_.der()));
    EXPECT_TRUE(answer.valid);
  }
  // Until so many audit rows of the action and outcome are there: they are inserted by a thread of their own.
  void AwaitAudit(const std::string& action, const std::string& outcome, int64_t wanted) const {
    ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (true) {
      ASSERT_OK_AND_ASSIGN(const Result rows,
                           connection.Execute("SELECT count(*) FROM audit_event WHERE action = $1 AND outcome = $2"
                                              " AND actor = 'trustline:default/person/administrator'",
                                              Parameters().Text(action).Text(outcome)));
      ASSERT_OK_AND_ASSIGN(const int64_t count, rows.Value<int64_t>());
      if (count == wanted) return;
      ASSERT_LT(absl::Now(), deadline) << action << " " << outcome << ": " << count;
    }
  }

  const Certificate known_ = *Certificate::FromPem(ReadVector("appserver-ec.pem"));
  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<TestTrustStore> store_;
  std::unique_ptr<TvsdSite> site_;
  std::unique_ptr<TvsdProcess> tvsd_;
  std::unique_ptr<v1::Listeners::Stub> administrator_;
};

TEST_F(ListenerCertificateTest, AnOutsideAuthoritysCertificateIsPresentedWithoutARestart) {
  const OutsideAuthority outside;
  const Certificate first = site_->tvs_certificate();
  ASSERT_OK_AND_ASSIGN(const v1::RequestListenerCertificateResponse requested, Requested());
  EXPECT_EQ(requested.certificate(), "");
  ASSERT_OK_AND_ASSIGN(const CertificateRequest request,
                       CertificateRequest::FromDer(AsBytes(requested.certificate_request())));
  EXPECT_EQ(request.subject(), first.subject());
  EXPECT_EQ(request.dns_names(), first.dns_names());
  EXPECT_EQ(Listed().requested_public_key(), "RSA 2048");
  EXPECT_EQ(Listed().requested_key_sha256(),
            AsText(outside.Issue(requested.certificate_request()).public_key_sha256()));

  const Certificate second = outside.Issue(requested.certificate_request());
  EXPECT_THAT(Import({second, outside.middle(), outside.root()}),
              StatusIs(kRefused, AllOf(HasSubstr("not trusted with role TVS"), HasSubstr("trustctl trust add"))));
  EXPECT_EQ(Presented(), DerOf(first));
  ASSERT_OK_AND_ASSIGN(TlsClient early, TlsClient::Connect("127.0.0.1", tvsd_->tvs_port()));
  ExpectAnAnswer(early);

  ASSERT_OK(Trust(second));
  ASSERT_OK_AND_ASSIGN(const v1::ImportListenerCertificateResponse imported,
                       Import({outside.root(), second, outside.middle()}));
  EXPECT_THAT(imported.warnings(0), HasSubstr("phones whose trust list does not have"));
  ASSERT_EQ(imported.listeners_size(), 1);
  EXPECT_THAT(imported.listeners(0).issuers(),
              ElementsAre("O=Enterprise,CN=Enterprise Servers", "O=Enterprise,CN=Enterprise Root"));
  EXPECT_EQ(imported.listeners(0).previous().sha256(), AsText(first.sha256()));
  EXPECT_EQ(imported.listeners(0).requested_public_key(), "");
  EXPECT_EQ(imported.listeners(0).requested_key_sha256(), "");
  EXPECT_EQ(Presented(), DerOf(second));
  ExpectAnAnswer(early);
  ExpectPhonesAreAnswered();
  // Who knows the root only is sent what leads to it.
  const CommandResult client = RunCommand(fmt::format("openssl s_client -connect 127.0.0.1:{} -CAfile {} </dev/null",
                                                      tvsd_->tvs_port(), outside.root_file()));
  EXPECT_THAT(client.output, HasSubstr("Verify return code: 0 (ok)"));
  const auto metrics = HttpGet("127.0.0.1", tvsd_->metrics_port(), "/metrics", std::chrono::seconds(5));
  ASSERT_OK(metrics);
  EXPECT_THAT(metrics->body, HasSubstr("trustline_listener_certificate_not_after_seconds{cluster=\"default\""));

  StartTvsd();
  EXPECT_EQ(Presented(), DerOf(second));
  EXPECT_EQ(Listed().previous().sha256(), AsText(first.sha256()));
  ASSERT_OK(Restore());
  EXPECT_EQ(Presented(), DerOf(first));
  ExpectPhonesAreAnswered();
  StartTvsd();
  EXPECT_EQ(Presented(), DerOf(first));
  EXPECT_EQ(Listed().previous().sha256(), AsText(second.sha256()));
  AwaitAudit("listener.request", "done", 1);
  AwaitAudit("listener.import", "done", 1);
  AwaitAudit("listener.import", "denied", 1);
  AwaitAudit("listener.restore", "done", 1);
  EXPECT_OK(tvsd_->Stop());
}

TEST_F(ListenerCertificateTest, WhatDoesNotFitIsRefusedAndTheOldOneStays) {
  const std::string first = DerOf(site_->tvs_certificate());
  const absl::Time now = absl::Now();
  const auto valid_now = [now](CertificateTemplate form) {
    form.not_before = now - absl::Hours(1);
    form.not_after = now + absl::Hours(24);
    return form;
  };
  const Party root = MakeSelfSigned(valid_now(AuthorityForm("Root")));
  const Party middle = MakeIssued(valid_now(AuthorityForm("Middle")), root);
  const Party stranger = MakeSelfSigned(valid_now(AuthorityForm("Stranger")));
  CertificateTemplate form = valid_now(LeafForm("tvs.example"));
  form.extended_key_usage = {"serverAuth"};
  const std::vector<Certificate> of_another_key = {MakeIssued(form, root).certificate, root.certificate};

  EXPECT_THAT(Import(of_another_key), StatusIs(kNotFound, HasSubstr("trustctl listener csr")));
  EXPECT_THAT(Restore(), StatusIs(kNotFound, HasSubstr("has not been replaced yet")));
  ASSERT_OK_AND_ASSIGN(const v1::RequestListenerCertificateResponse requested, Requested());
  ASSERT_OK_AND_ASSIGN(const CertificateRequest request,
                       CertificateRequest::FromDer(AsBytes(requested.certificate_request())));
  const auto issue = [&](const CertificateTemplate& leaf, const Party& issuer) {
    return *BuildIssued(leaf, request.public_key(), issuer.certificate, issuer.key);
  };
  const auto refused = [&](const std::vector<Certificate>& certificates, const std::string& words) {
    EXPECT_THAT(Import(certificates), StatusIs(kRefused, HasSubstr(words))) << words;
    EXPECT_EQ(Presented(), first) << words;
  };

  refused(of_another_key, "for the key that waits");
  const Certificate good = issue(form, middle);
  refused({good, root.certificate}, "has a gap");
  refused({good, middle.certificate}, "up to the self-signed root");
  refused({good, middle.certificate, root.certificate, stranger.certificate}, "leave it out");
  CertificateTemplate bad = form;
  bad.not_before = now - absl::Hours(2);
  bad.not_after = now - absl::Hours(1);
  refused({issue(bad, root), root.certificate}, "not now");
  bad = form;
  bad.not_before = now + absl::Hours(1);
  refused({issue(bad, root), root.certificate}, "not now");
  bad = form;
  bad.extended_key_usage = {"clientAuth"};
  refused({issue(bad, root), root.certificate}, "serverAuth");
  bad = form;
  bad.key_usage = {"keyEncipherment"};
  refused({issue(bad, root), root.certificate}, "digitalSignature");
  EXPECT_THAT(Import({}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Import({good}, "192.0.2.1:2445"), StatusIs(kNotFound, HasSubstr("but there are: 127.0.0.1:0")));
  // Trusted, but not in the role of a TVS; then removed.
  const std::vector<Certificate> whole = {good, middle.certificate, root.certificate};
  ASSERT_OK(store_->Put({.certificate = good, .role = 7}));
  refused(whole, "not trusted with role TVS");
  ASSERT_OK(store_->Put({.certificate = good, .role = kTvsRole, .removed = true}));
  refused(whole, "not trusted with role TVS");

  // The key waits still.
  ASSERT_OK(Trust(good));
  ASSERT_OK(Import(whole));
  EXPECT_EQ(Presented(), DerOf(good));
  // A certificate that is not trusted any more does not come back.
  ASSERT_OK(store_->Put({.certificate = site_->tvs_certificate(), .role = kTvsRole, .removed = true}));
  EXPECT_THAT(Restore(), StatusIs(kRefused, AllOf(HasSubstr("the cluster default does not trust"),
                                                  HasSubstr("trustctl listener renew"))));
  EXPECT_EQ(Presented(), DerOf(good));
}

TEST_F(ListenerCertificateTest, ARenewalKeepsTheNamesAndMayChangeTheKindOfKey) {
  const Certificate first = site_->tvs_certificate();
  ASSERT_OK_AND_ASSIGN(const Certificate second, Renew(v1::CERTIFICATE_KEY_EC_P384));
  EXPECT_EQ(second.subject(), first.subject());
  EXPECT_EQ(second.dns_names(), first.dns_names());
  EXPECT_EQ(second.public_key_kind(), "EC secp384r1");
  EXPECT_GT(second.not_after(), absl::Now() + absl::Hours(24 * 365 * 4));
  EXPECT_THAT(Import({second}), StatusIs(kRefused, HasSubstr("trust add")));
  EXPECT_EQ(Presented(), DerOf(first));

  // Nobody waits for the node to have read that it is trusted now.
  ASSERT_OK(Trust(second));
  ASSERT_OK_AND_ASSIGN(const v1::ImportListenerCertificateResponse imported, Import({second}));
  EXPECT_THAT(imported.listeners(0).issuers(), IsEmpty());
  EXPECT_EQ(Presented(), DerOf(second));
  ExpectPhonesAreAnswered();
  ASSERT_OK(tvsd_->WaitUntilReady());

  // Of the present kind unless told otherwise; a second request gives up the first key.
  ASSERT_OK_AND_ASSIGN(const Certificate given_up, Renew());
  EXPECT_EQ(given_up.public_key_kind(), "EC secp384r1");
  ASSERT_OK_AND_ASSIGN(const Certificate third, Renew(v1::CERTIFICATE_KEY_RSA_2048));
  ASSERT_OK(Trust(third));
  EXPECT_THAT(Import({given_up}), StatusIs(kRefused, HasSubstr("only the newest request")));
  ASSERT_OK(Import({third}));
  EXPECT_EQ(Presented(), DerOf(third));

  // It has no names but the present one's.
  v1::RequestListenerCertificateRequest renamed;
  renamed.set_self_signed(true);
  renamed.set_subject("CN=another");
  EXPECT_THAT(Requested(renamed), StatusIs(absl::StatusCode::kInvalidArgument));
  renamed.set_self_signed(false);
  renamed.add_dns_names("another.example");
  ASSERT_OK_AND_ASSIGN(const v1::RequestListenerCertificateResponse requested, Requested(renamed));
  ASSERT_OK_AND_ASSIGN(const CertificateRequest request,
                       CertificateRequest::FromDer(AsBytes(requested.certificate_request())));
  EXPECT_EQ(request.subject().ToText(), "CN=another");
  EXPECT_THAT(request.dns_names(), ElementsAre("another.example"));
}

TEST_F(ListenerCertificateTest, OnlyAdministratorsChangeWhatViewersSee) {
  ASSERT_OK_AND_ASSIGN(const auto viewer, StubOf("viewer"));
  v1::ListListenersResponse listed;
  ASSERT_OK(Call(*viewer, &v1::Listeners::Stub::ListListeners, v1::ListListenersRequest(), listed));
  ASSERT_EQ(listed.listeners_size(), 1);
  EXPECT_EQ(listed.listeners(0).name(), "127.0.0.1:0");
  EXPECT_EQ(listed.listeners(0).role(), v1::CERTIFICATE_ROLE_TVS);
  EXPECT_EQ(listed.listeners(0).certificate().sha256(), AsText(site_->tvs_certificate().sha256()));
  EXPECT_FALSE(listed.listeners(0).has_previous());
  v1::RequestListenerCertificateResponse response;
  EXPECT_THAT(Call(*viewer, &v1::Listeners::Stub::RequestListenerCertificate, v1::RequestListenerCertificateRequest(),
                   response),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

// They have one certificate, so it changes for both.
TEST_F(ListenerCertificateTest, ListenersWithTheSameFilesChangeTogether) {
  StartTvsd(
      "[[listener]]\naddress = \"127.0.0.1\"\nport = 0\ncertificate = \"tvs.crt\"\nkey = \"tvs.key\"\n"
      "passphrase_file = \"passphrase\"\nallow_tls10 = true\n");
  std::vector<uint16_t> ports;
  std::istringstream lines(tvsd_->LogText());
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view kPort = "\"port\":";
    if (line.find("\"TVS_LISTENING\"") == std::string::npos) continue;
    ports.push_back(static_cast<uint16_t>(std::stoi(line.substr(line.find(kPort) + kPort.size()))));
  }
  ASSERT_EQ(ports.size(), 2u);
  ASSERT_OK_AND_ASSIGN(const Certificate second, Renew());
  ASSERT_OK(Trust(second));
  ASSERT_OK_AND_ASSIGN(const v1::ImportListenerCertificateResponse imported, Import({second}));
  EXPECT_EQ(imported.listeners_size(), 2);
  for (const uint16_t port : ports) EXPECT_EQ(Presented(port), DerOf(second));
  // What each allows stays.
  const TlsClientOptions old = {.min_version = TlsVersion::kTls10, .max_version = TlsVersion::kTls10};
  EXPECT_FALSE(TlsClient::Connect("127.0.0.1", ports[0], old).ok());
  EXPECT_OK(TlsClient::Connect("127.0.0.1", ports[1], old));
}

}  // namespace
}  // namespace trustline
