// trustctl listener ... against a tvsd whose answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/fake_plans_service.h"
#include "cli/trustctl/preflight_testing.h"
#include "cli/trustctl/trustctl_testing.h"
#include "common/x509/certificate.h"
#include "common/x509/pem.h"
#include "proto/listener.grpc.pb.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Answers what the test has put there, and keeps what it was asked.
class FakeListeners final : public v1::Listeners::Service {
 public:
  grpc::Status ListListeners(grpc::ServerContext*, const v1::ListListenersRequest*,
                             v1::ListListenersResponse* response) override {
    Fill(*response);
    return grpc::Status::OK;
  }
  grpc::Status RequestListenerCertificate(grpc::ServerContext*, const v1::RequestListenerCertificateRequest* request,
                                          v1::RequestListenerCertificateResponse* response) override {
    ++request_calls;
    requested = *request;
    Fill(*response);
    (request->self_signed() ? response->mutable_certificate() : response->mutable_certificate_request())
        ->assign("any bytes");
    return grpc::Status::OK;
  }
  grpc::Status ImportListenerCertificate(grpc::ServerContext*, const v1::ImportListenerCertificateRequest* request,
                                         v1::ImportListenerCertificateResponse* response) override {
    imported = *request;
    if (!import_status.ok()) return import_status;
    Fill(*response);
    for (const v1::ListenerPreFlight& one : preflights) *response->add_preflights() = one;
    response->add_warnings("phones will not connect\x1b[2J");
    return grpc::Status::OK;
  }
  grpc::Status RestoreListenerCertificate(grpc::ServerContext*, const v1::RestoreListenerCertificateRequest* request,
                                          v1::RestoreListenerCertificateResponse* response) override {
    restored = *request;
    Fill(*response);
    for (const v1::ListenerPreFlight& one : preflights) *response->add_preflights() = one;
    return grpc::Status::OK;
  }

  template <typename Response>
  void Fill(Response& response) const {
    for (const v1::ListenerInfo& listener : listeners) *response.add_listeners() = listener;
  }

  std::vector<v1::ListenerInfo> listeners;
  v1::RequestListenerCertificateRequest requested;
  int request_calls = 0;
  v1::ImportListenerCertificateRequest imported;
  grpc::Status import_status;
  std::vector<v1::ListenerPreFlight> preflights;
  v1::RestoreListenerCertificateRequest restored;
};

class ListenerCommandsTest : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    v1::ListenerInfo first;
    first.set_name("[::]:2445");
    first.set_cluster("default");
    first.set_role(v1::CERTIFICATE_ROLE_TVS);
    first.mutable_certificate()->set_sha256(std::string(32, '\x3f'));
    first.mutable_certificate()->set_subject("CN=tvs\x1b[2J");
    first.mutable_certificate()->set_public_key("RSA 2048");
    first.mutable_certificate()->mutable_not_after()->set_seconds(1'795'377'060);
    first.add_issuers("CN=Middle");
    first.add_issuers("CN=Root");
    v1::ListenerInfo second = first;
    second.set_name("192.0.2.20:2445");
    second.set_cluster("berlin");
    service_.listeners = {first, second};
    ASSERT_OK_AND_ASSIGN(tvsd_, StartServer("tvsd", {&service_}));
    WriteContext({{"tvsd", tvsd_.get()}});
  }

  FakeListeners service_;
  std::unique_ptr<RpcServer> tvsd_;
};

TEST_F(ListenerCommandsTest, ListsThem) {
  service_.listeners[0].set_requested_public_key("EC secp384r1");
  service_.listeners[1].mutable_previous()->set_sha256(std::string(32, '\x41'));
  const ProgramResult table = Run({"listener", "list"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("[::]:2445"), HasSubstr("berlin"), HasSubstr("EC secp384r1"),
                               HasSubstr("CN=tvs\\x1b[2J"), Not(HasSubstr("\x1b"))));
  const boost::json::value list = boost::json::parse(Run({"listener", "list", "--output", "json"}).out);
  EXPECT_EQ(list.at(0).at("role"), "TVS");
  EXPECT_EQ(list.at(0).at("issuers").as_array().size(), 2u);
  EXPECT_TRUE(list.at(0).at("previous_sha256").is_null());
  EXPECT_EQ(list.at(1).at("previous_sha256").as_string().size(), 64u);
  EXPECT_TRUE(list.at(1).at("requested_public_key").is_null());
  EXPECT_THAT(Run({"listener", "list", "--output", "csv"}).out, StartsWith("listener,cluster,role,sha256,subject,"));
  service_.listeners.clear();
  EXPECT_EQ(Run({"listener", "list"}).out, "(no listeners)\n");
}

TEST_F(ListenerCommandsTest, ARequestGoesToTheOutputOrAFile) {
  const std::string pem = EncodePem("CERTIFICATE REQUEST", "any bytes");
  const ProgramResult printed = Run({"listener", "csr", "--listener", "2445", "--key", "ec:secp384r1", "--subject",
                                     "CN=tvs,O=Example", "--dns-name", "a.example", "--dns-name", "b.example"});
  EXPECT_EQ(printed.exit_status, 0) << printed.err;
  EXPECT_EQ(printed.out, pem);
  EXPECT_THAT(printed.err, AllOf(HasSubstr("trustctl trust add --role TVS FILE"),
                                 HasSubstr("trustctl --cluster berlin trust add --role TVS FILE"),
                                 HasSubstr("trustctl listener import-cert --listener '2445' FILE")));
  EXPECT_EQ(service_.requested.listener(), "2445");
  EXPECT_EQ(service_.requested.key(), v1::CERTIFICATE_KEY_EC_P384);
  EXPECT_EQ(service_.requested.subject(), "CN=tvs,O=Example");
  EXPECT_THAT(service_.requested.dns_names(), ElementsAre("a.example", "b.example"));
  EXPECT_FALSE(service_.requested.self_signed());

  const std::string out = PathOf("tvs.csr");
  EXPECT_THAT(
      Run({"listener", "csr", "--out", out}).out,
      AllOf(StartsWith("a new key for [::]:2445, 192.0.2.20:2445 waits"), HasSubstr("its request is in " + out)));
  EXPECT_EQ(ReadFile(out), pem);
  EXPECT_EQ(service_.requested.key(), v1::CERTIFICATE_KEY_UNSPECIFIED);
  EXPECT_EQ(service_.requested.listener(), "");
  EXPECT_THAT(Run({"listener", "csr", "--out", out}).err, HasSubstr("exists already"));
  // The key that waits was not given up for nothing.
  EXPECT_EQ(service_.request_calls, 2);
  const boost::json::value json = boost::json::parse(Run({"listener", "csr", "--output", "json"}).out);
  EXPECT_EQ(json.at("listeners").as_array().size(), 2u);
  EXPECT_EQ(json.at("pem").as_string(), pem);
}

TEST_F(ListenerCommandsTest, RenewSaysTheNextSteps) {
  const std::string out = PathOf("new.pem");
  const ProgramResult renewed = Run({"listener", "renew", "--key", "rsa:3072", "--out", out});
  EXPECT_EQ(renewed.exit_status, 0) << renewed.err;
  EXPECT_THAT(renewed.out, AllOf(HasSubstr("trustctl trust add --role TVS " + out),
                                 EndsWith("trustctl listener import-cert " + out + "\n")));
  EXPECT_EQ(ReadFile(out), EncodePem("CERTIFICATE", "any bytes"));
  EXPECT_TRUE(service_.requested.self_signed());
  EXPECT_EQ(service_.requested.key(), v1::CERTIFICATE_KEY_RSA_3072);
  EXPECT_EQ(Run({"listener", "renew"}).out, EncodePem("CERTIFICATE", "any bytes"));
}

TEST_F(ListenerCommandsTest, ImportSendsEveryCertificateAndWarns) {
  const ProgramResult imported =
      Run({"listener", "import-cert", "--listener", "[::]:2445", Vector("tvs.pem"), Vector("capf.pem")});
  EXPECT_EQ(imported.exit_status, 0) << imported.err;
  EXPECT_EQ(imported.out,
            "[::]:2445, 192.0.2.20:2445 presents 3f3f3f3f3f3f3f3f CN=tvs\\x1b[2J, good until 2026-11-22T19:51:00Z\n");
  EXPECT_EQ(imported.err, "trustctl: warning: phones will not connect\\x1b[2J\n");
  EXPECT_EQ(service_.imported.listener(), "[::]:2445");
  ASSERT_EQ(service_.imported.certificates_size(), 2);
  const Certificate second = *Certificate::FromPem(ReadFile(Vector("capf.pem")));
  EXPECT_EQ(service_.imported.certificates(1), AsText(second.der()));

  service_.import_status = {grpc::StatusCode::FAILED_PRECONDITION, "it is not trusted yet"};
  const ProgramResult refused = Run({"listener", "import-cert", Vector("tvs.pem")});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, HasSubstr("it is not trusted yet"));
  EXPECT_THAT(Run({"listener", "import-cert", PathOf("missing.pem")}).err, HasSubstr("missing.pem"));
}

TEST_F(ListenerCommandsTest, RestoreNamesTheListener) {
  const ProgramResult restored = Run({"listener", "restore", "--listener", "2445", "--output", "json"});
  EXPECT_EQ(restored.exit_status, 0) << restored.err;
  EXPECT_EQ(service_.restored.listener(), "2445");
  EXPECT_EQ(boost::json::parse(restored.out).at("subject"), "CN=tvs\x1b[2J");
}

TEST_F(ListenerCommandsTest, APlanTellsWhatPhonesOfEachClusterLose) {
  service_.preflights.resize(2);
  service_.preflights[0].set_cluster("default");
  *service_.preflights[0].mutable_preflight() = SafePreFlight();
  service_.preflights[1].set_cluster("berlin");
  *service_.preflights[1].mutable_preflight() = LockingPreFlight();
  const ProgramResult imported = Run({"listener", "import-cert", "--plan", Vector("tvs.pem")});
  EXPECT_EQ(imported.exit_status, 3) << imported.err;
  EXPECT_TRUE(service_.imported.caution().plan());
  EXPECT_THAT(imported.out, AllOf(HasSubstr("berlin"), HasSubstr("SEP000000000001"), HasSubstr("default"),
                                  Not(HasSubstr("presents"))));
  service_.preflights.pop_back();
  EXPECT_EQ(Run({"listener", "restore", "--plan"}).exit_status, 0);
  EXPECT_TRUE(service_.restored.caution().plan());
  // An older service makes the change at once.
  service_.preflights.clear();
  EXPECT_THAT(Run({"listener", "restore", "--plan"}).err, HasSubstr("older"));

  service_.preflights.resize(1);
  *service_.preflights[0].mutable_preflight() = SafePreFlight();
  service_.preflights[0].mutable_preflight()->set_made(true);
  const ProgramResult made = Run({"listener", "restore", "--accept-unproven", "2"});
  EXPECT_EQ(made.exit_status, 0) << made.err;
  EXPECT_EQ(service_.restored.caution().accept_unproven(), 2);
  EXPECT_THAT(made.out, AllOf(HasSubstr("presents"), HasSubstr("9,969 safe (31 by TVS)")));
  EXPECT_NE(Run({"listener", "restore", "--override"}).exit_status, 0) << "without a reason";
  EXPECT_EQ(Run({"listener", "restore", "--override", "--reason", "it was stolen", "--yes"}).exit_status, 0);
  EXPECT_EQ(service_.restored.caution().override_reason(), "it was stolen");
}

// With a capfd beside the tvsd.
class SeveralDaemonsTest : public ListenerCommandsTest {
 protected:
  void SetUp() override {
    ListenerCommandsTest::SetUp();
    v1::ListenerInfo listener = service_.listeners[0];
    listener.set_name("[::]:3804");
    listener.set_role(v1::CERTIFICATE_ROLE_CAPF);
    listener.mutable_certificate()->set_subject("CN=capf");
    capf_service_.listeners = {listener};
    ASSERT_OK_AND_ASSIGN(capfd_, StartServer("capfd", {&capf_service_}));
    WriteContext({{"tvsd", tvsd_.get()}, {"capfd", capfd_.get()}});
  }

  FakeListeners capf_service_;
  std::unique_ptr<RpcServer> capfd_;
};

TEST_F(SeveralDaemonsTest, AllListenersAreListed) {
  const ProgramResult table = Run({"listener", "list"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("[::]:2445"), HasSubstr("192.0.2.20:2445"), HasSubstr("[::]:3804")));
  const boost::json::value list = boost::json::parse(Run({"listener", "list", "--output", "json"}).out);
  ASSERT_EQ(list.as_array().size(), 3u);
  EXPECT_EQ(list.at(0).at("service"), "tvsd");
  EXPECT_EQ(list.at(2).at("service"), "capfd");
  EXPECT_EQ(list.at(2).at("role"), "CAPF");

  WriteContext({{"capfd", capfd_.get()}});
  EXPECT_EQ(boost::json::parse(Run({"listener", "list", "--output", "json"}).out).as_array().size(), 1u);
  WriteContext({});
  EXPECT_THAT(Run({"listener", "list"}).err, HasSubstr("has no address of tvsd"));
}

TEST_F(SeveralDaemonsTest, EachCommandGoesToTheDaemonThatHasTheListener) {
  const ProgramResult renewed = Run({"listener", "renew", "--listener", "3804", "--out", PathOf("new.pem")});
  EXPECT_EQ(renewed.exit_status, 0) << renewed.err;
  EXPECT_EQ(capf_service_.requested.listener(), "3804");
  EXPECT_THAT(renewed.out, AllOf(HasSubstr("trustctl trust add --role CAPF "),
                                 HasSubstr("trustctl listener import-cert --listener '3804' ")));
  EXPECT_EQ(Run({"listener", "csr", "--listener", "[::]:3804"}).exit_status, 0);
  EXPECT_EQ(capf_service_.request_calls, 2);
  EXPECT_EQ(Run({"listener", "import-cert", "--listener", "3804", Vector("capf.pem")}).exit_status, 0);
  EXPECT_EQ(capf_service_.imported.certificates_size(), 1);
  EXPECT_EQ(Run({"listener", "restore", "--listener", "2445"}).exit_status, 0);
  EXPECT_EQ(service_.restored.listener(), "2445");
  EXPECT_EQ(capf_service_.restored.listener(), "");
  EXPECT_EQ(service_.request_calls, 0);
}

TEST_F(SeveralDaemonsTest, UnknownAndAmbiguousListenersAreTold) {
  const ProgramResult unknown = Run({"listener", "restore", "--listener", "2446"});
  EXPECT_EQ(unknown.exit_status, 1);
  EXPECT_EQ(unknown.err,
            "trustctl: there is no listener '2446', but there are: [::]:2445 (tvsd), 192.0.2.20:2445 (tvsd), "
            "[::]:3804 (capfd)\n");
  const ProgramResult unnamed = Run({"listener", "renew"});
  EXPECT_EQ(unnamed.exit_status, 1);
  EXPECT_THAT(unnamed.err, StartsWith("trustctl: say which listener, with --listener: [::]:2445 (tvsd), "));
  EXPECT_EQ(service_.request_calls + capf_service_.request_calls, 0);

  capf_service_.listeners[0].set_name("192.0.2.30:2445%eth0");
  const ProgramResult ambiguous = Run({"listener", "restore", "--listener", "2445"});
  EXPECT_EQ(ambiguous.exit_status, 1);
  EXPECT_THAT(ambiguous.err, AllOf(StartsWith("trustctl: '2445' is a listener of both tvsd and capfd"),
                                   HasSubstr("192.0.2.30:2445%eth0 (capfd)")));
  EXPECT_EQ(Run({"listener", "restore", "--listener", "192.0.2.30:2445%eth0"}).exit_status, 0);
  EXPECT_EQ(capf_service_.restored.listener(), "192.0.2.30:2445%eth0");

  // The only one that has any needs no name.
  service_.listeners.clear();
  EXPECT_EQ(Run({"listener", "renew"}).exit_status, 0);
  EXPECT_EQ(capf_service_.request_calls, 1);
}

TEST_F(SeveralDaemonsTest, ADaemonThatIsAwayStopsWhatNeedsIt) {
  capfd_->Shutdown();
  const ProgramResult list = Run({"listener", "list"});
  EXPECT_EQ(list.exit_status, 1);
  EXPECT_THAT(list.out, HasSubstr("[::]:2445"));
  EXPECT_THAT(list.err, StartsWith("trustctl: capfd at 127.0.0.1:"));
  EXPECT_EQ(Run({"listener", "restore", "--listener", "2445"}).exit_status, 0);
  EXPECT_EQ(service_.restored.listener(), "2445");
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"listener", "restore", "--listener", "3804"}, {"listener", "renew"}}) {
    const ProgramResult result = Run(command);
    EXPECT_EQ(result.exit_status, 1);
    EXPECT_THAT(result.err, StartsWith("trustctl: capfd at 127.0.0.1:"));
  }
  EXPECT_EQ(service_.request_calls, 0);
}

TEST_F(ListenerCommandsTest, ARolloverWarnsOfACertificateWhoseKeyNoListenerHas) {
  FakePlans plans;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<RpcServer> itld, StartServer("itld", {&plans}));
  WriteContext({{"tvsd", tvsd_.get()}, {"itld", itld.get()}});
  const Certificate certificate = *Certificate::FromPem(ReadFile(Vector("tvs.pem")));
  const auto made = [&](const std::string& signer) {
    ProgramResult result =
        Run({"plan", "rollover", "--signer", signer, "--certificate", Vector("tvs.pem"), "--reason", "r"});
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_EQ(plans.made.certificate(), AsText(certificate.der()));
    return result.err;
  };
  EXPECT_THAT(made("tvs"), AllOf(HasSubstr("no key that waits for its certificate fits"), HasSubstr("[::]:2445 (tvsd)"),
                                 Not(HasSubstr("192.0.2.20")), HasSubstr("trustctl listener renew")));
  EXPECT_EQ(made("capf"), "") << "no listener of a CAPF is here";
  // The key of another cluster's listener is none of this one's.
  service_.listeners[1].set_requested_key_sha256(std::string(AsText(certificate.public_key_sha256())));
  EXPECT_THAT(made("tvs"), HasSubstr("no key that waits"));
  service_.listeners[0].set_requested_key_sha256(std::string(AsText(certificate.public_key_sha256())));
  EXPECT_EQ(made("tvs"), "");
  service_.listeners[0].clear_requested_key_sha256();
  service_.listeners[0].mutable_certificate()->set_sha256(std::string(AsText(certificate.sha256())));
  EXPECT_EQ(made("tvs"), "") << "it is presented already";
}

}  // namespace
}  // namespace trustline
