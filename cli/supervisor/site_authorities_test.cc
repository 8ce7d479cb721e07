// What phones know a site by, made with the services that do it played by this test.
#include <grpcpp/server_context.h>

#include <filesystem>
#include <vector>

#include "absl/time/clock.h"
#include "cli/supervisor/identities.h"
#include "cli/supervisor/listener_certificate.h"
#include "cli/supervisor/lsc_authority.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/server_names.h"
#include "common/rpc/credentials.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "common/status/status.h"
#include "common/x509/private_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/authority.grpc.pb.h"
#include "proto/phone_trust.grpc.pb.h"
#include "proto/trust_store.grpc.pb.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Keeps authorities as cad does, as far as their states go.
class FakeAuthorities final : public v1::Authorities::Service {
 public:
  grpc::Status ListAuthorities(grpc::ServerContext*, const v1::ListAuthoritiesRequest* request,
                               v1::ListAuthoritiesResponse* response) override {
    EXPECT_EQ(request->cluster(), "default");
    for (size_t i = 0; i < states.size(); ++i) *response->add_authorities() = Info(static_cast<int32_t>(i + 1));
    return list_status;
  }
  grpc::Status PrepareAuthority(grpc::ServerContext*, const v1::PrepareAuthorityRequest* request,
                                v1::PrepareAuthorityResponse* response) override {
    EXPECT_EQ(request->cluster(), "default");
    states.push_back(v1::AUTHORITY_STATE_PREPARED);
    *response->mutable_authority() = Info(static_cast<int32_t>(states.size()));
    return grpc::Status::OK;
  }
  grpc::Status ActivateAuthority(grpc::ServerContext*, const v1::ActivateAuthorityRequest* request,
                                 v1::ActivateAuthorityResponse* response) override {
    EXPECT_EQ(request->cluster(), "default");
    if (!activate_status.ok()) return activate_status;
    states.at(static_cast<size_t>(request->authority_id()) - 1) = v1::AUTHORITY_STATE_ACTIVE;
    *response->mutable_authority() = Info(request->authority_id());
    return grpc::Status::OK;
  }

  std::vector<v1::AuthorityState> states;
  grpc::Status list_status;
  grpc::Status activate_status;

 private:
  v1::AuthorityInfo Info(int32_t id) const {
    v1::AuthorityInfo info;
    info.set_authority_id(id);
    info.set_state(states.at(static_cast<size_t>(id) - 1));
    return info;
  }
};

// Takes in what it is told to trust.
class FakeTrustStore final : public v1::TrustStore::Service {
 public:
  grpc::Status Add(grpc::ServerContext*, grpc::ServerReaderWriter<v1::AddResponse, v1::AddRequest>* stream) override {
    if (!status.ok()) return status;
    for (v1::AddRequest request; stream->Read(&request);) {
      if (request.has_options()) options = request.options();
      for (const auto& certificate : request.batch().certificates()) added.push_back(certificate.der());
    }
    v1::AddResponse response;
    response.mutable_progress()->set_certificates(1);
    stream->Write(response);
    response.mutable_result()->set_commit(1);
    stream->Write(response);
    return grpc::Status::OK;
  }

  v1::AddRequest::Options options;
  std::vector<std::string> added;
  grpc::Status status;
};

// Keeps the names of one TFTP server.
class FakePhoneTrust final : public v1::PhoneTrust::Service {
 public:
  grpc::Status ListServerNames(grpc::ServerContext*, const v1::ListServerNamesRequest* request,
                               v1::ListServerNamesResponse* response) override {
    EXPECT_EQ(request->cluster(), "default");
    if (!status.ok()) return status;
    response->add_servers()->set_tftp_server("another");
    if (!has_server) return grpc::Status::OK;
    auto& server = *response->add_servers();
    server.set_tftp_server("node1");
    for (const std::string& name : names) server.add_names(name);
    return grpc::Status::OK;
  }
  grpc::Status ChangeServerNames(grpc::ServerContext*, const v1::ChangeServerNamesRequest* request,
                                 v1::ChangeServerNamesResponse*) override {
    EXPECT_EQ(request->cluster(), "default");
    EXPECT_EQ(request->tftp_server(), "node1");
    names.assign(request->add().begin(), request->add().end());
    return grpc::Status::OK;
  }

  bool has_server = true;
  std::vector<std::string> names;
  grpc::Status status;
};

class SiteAuthoritiesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(RequireTls13());
    ASSERT_OK_AND_ASSIGN(cad_server_, RpcServer::Start({.identity = cad_.files()}, {&authorities_}, health_));
    ASSERT_OK_AND_ASSIGN(itld_server_,
                         RpcServer::Start({.identity = itld_.files()}, {&trust_store_, &phone_trust_}, health_));
  }

  absl::Status EnsureAuthority() {
    said_.clear();
    return EnsureLscAuthority(fmt::format("127.0.0.1:{}", cad_server_->port()), admin_.files(),
                              [this](std::string_view line) { said_.emplace_back(line); });
  }
  absl::Status EnsureCapf() {
    said_.clear();
    return EnsureCapfDirectory(
        paths_, {}, {.node = "node1", .host = "a.example", .organization = "Example", .organizational_unit = "Voice"},
        fmt::format("127.0.0.1:{}", itld_server_->port()), admin_.files(), absl::Now(),
        [this](std::string_view line) { said_.emplace_back(line); });
  }
  absl::Status EnsureNames() {
    return EnsureServerNames("node1", {"a.example", "127.0.0.1"}, fmt::format("127.0.0.1:{}", itld_server_->port()),
                             admin_.files());
  }
  Certificate Capf() const { return *Certificate::FromPem(*ReadSmallFile(paths_.capfd() + "/capf.crt")); }

  IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  TestIdentity admin_{authority_, "trustline:default/person/admin"};
  TestIdentity cad_{authority_, "trustline:default/cad/node1"};
  TestIdentity itld_{authority_, "trustline:default/itld/node1"};
  Health health_;
  FakeAuthorities authorities_;
  FakeTrustStore trust_store_;
  FakePhoneTrust phone_trust_;
  std::unique_ptr<RpcServer> cad_server_, itld_server_;
  TemporaryDirectory directory_;
  DataPaths paths_{directory_.path()};
  std::vector<std::string> said_;
};

TEST_F(SiteAuthoritiesTest, ANewSiteGetsOneAuthority) {
  ASSERT_OK(EnsureAuthority());
  EXPECT_THAT(authorities_.states, ElementsAre(v1::AUTHORITY_STATE_ACTIVE));
  EXPECT_THAT(said_, ElementsAre("making the LSC authority"));
  ASSERT_OK(EnsureAuthority());
  EXPECT_THAT(authorities_.states, SizeIs(1));
  EXPECT_THAT(said_, IsEmpty());
}

TEST_F(SiteAuthoritiesTest, AStartThatWasEndedBeforeActivationIsTakenUp) {
  authorities_.activate_status = {grpc::StatusCode::UNAVAILABLE, "gone"};
  EXPECT_THAT(EnsureAuthority(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(authorities_.states, ElementsAre(v1::AUTHORITY_STATE_PREPARED));
  authorities_.activate_status = grpc::Status::OK;
  ASSERT_OK(EnsureAuthority());
  EXPECT_THAT(authorities_.states, ElementsAre(v1::AUTHORITY_STATE_ACTIVE));
}

TEST_F(SiteAuthoritiesTest, WhatAnAdministratorDidIsLeftAlone) {
  const std::vector<v1::AuthorityState> decided[] = {
      {v1::AUTHORITY_STATE_REQUESTED},
      {v1::AUTHORITY_STATE_RETIRED},
      {v1::AUTHORITY_STATE_TAINTED},
      {v1::AUTHORITY_STATE_ACTIVE, v1::AUTHORITY_STATE_PREPARED},
      {v1::AUTHORITY_STATE_TAINTED, v1::AUTHORITY_STATE_PREPARED},
      {v1::AUTHORITY_STATE_RETIRED, v1::AUTHORITY_STATE_PREPARED},
  };
  for (const auto& states : decided) {
    authorities_.states = states;
    ASSERT_OK(EnsureAuthority());
    EXPECT_EQ(authorities_.states, states);
    EXPECT_THAT(said_, IsEmpty());
  }
}

TEST_F(SiteAuthoritiesTest, AnAdministratorWithoutTheRoleIsToldSo) {
  authorities_.list_status = {grpc::StatusCode::PERMISSION_DENIED, "admin needs the role viewer"};
  EXPECT_THAT(EnsureAuthority(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("needs the role viewer")));
  EXPECT_THAT(authorities_.states, IsEmpty());
}

TEST_F(SiteAuthoritiesTest, TheCapfCertificateIsMadeAndTrustedOnce) {
  ASSERT_OK(EnsureCapf());
  EXPECT_THAT(said_, ElementsAre("making the CAPF certificate"));
  const Certificate capf = Capf();
  EXPECT_THAT(capf.subject().ToText(), ::testing::MatchesRegex("CN=CAPF-[0-9a-f]{8},O=Example,OU=Voice"));
  EXPECT_THAT(trust_store_.added, ElementsAre(std::string(AsText(capf.der()))));
  EXPECT_EQ(trust_store_.options.cluster(), "default");
  EXPECT_THAT(trust_store_.options.roles(), ElementsAre(v1::CERTIFICATE_ROLE_CAPF));
  EXPECT_FALSE(trust_store_.options.anchor());
  EXPECT_OK(CheckPrivateFiles(paths_.capfd(), {"capf.key", "passphrase"}, {}));
  ASSERT_OK_AND_ASSIGN(const PrivateKey key,
                       PrivateKey::ReadKeyFile(paths_.capfd() + "/capf.key", PassphraseFileIn(paths_.capfd())));
  EXPECT_TRUE(key.MatchesCertificate(capf));

  // What an administrator removed meanwhile is not added again.
  ASSERT_OK(EnsureCapf());
  EXPECT_THAT(trust_store_.added, SizeIs(1));
  EXPECT_THAT(said_, IsEmpty());
}

TEST_F(SiteAuthoritiesTest, AStartThatWasEndedGoesOnWithTheSameCapfCertificate) {
  // It ended before the trust store had it.
  trust_store_.status = {grpc::StatusCode::UNAVAILABLE, "gone"};
  EXPECT_THAT(EnsureCapf(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(FileExists(paths_.capfd()));
  ASSERT_OK_AND_ASSIGN(const std::string left, ReadSmallFile(paths_.capfd() + ".new/capf.crt"));
  trust_store_.status = grpc::Status::OK;
  ASSERT_OK(EnsureCapf());
  EXPECT_EQ(Capf().ToPem(), left);

  // It ended between the trust store and the new name: the same one again, which changes nothing there.
  ASSERT_OK(RenameDurably(paths_.capfd(), paths_.capfd() + ".new"));
  ASSERT_OK(EnsureCapf());
  EXPECT_EQ(Capf().ToPem(), left);
  EXPECT_THAT(trust_store_.added, ElementsAre(trust_store_.added[0], trust_store_.added[0]));
}

TEST_F(SiteAuthoritiesTest, HalfACapfCertificateIsMadeAnew) {
  ASSERT_OK(EnsureCapf());
  const std::string unfinished = paths_.capfd() + ".new";
  for (const char* missing : {"capf.key", "capf.crt", "passphrase"}) {
    const std::string before = Capf().ToPem();
    ASSERT_OK(RenameDurably(paths_.capfd(), unfinished));
    ASSERT_OK(RemoveTree(unfinished + "/" + missing));
    ASSERT_OK(EnsureCapf());
    EXPECT_NE(Capf().ToPem(), before) << missing;
    EXPECT_OK(PrivateKey::ReadKeyFile(paths_.capfd() + "/capf.key", PassphraseFileIn(paths_.capfd())));
    EXPECT_FALSE(FileExists(unfinished));
  }
}

// Phones ask TVS for it; it stands in no list.
TEST_F(SiteAuthoritiesTest, TheCertificateOfProvisiondIsTrustedAndNotListed) {
  const auto ensure = [&] {
    return EnsureProvisiondDirectory(
        paths_, {}, {.node = "node1", .host = "a.example", .organization = "Example", .organizational_unit = "Voice"},
        fmt::format("127.0.0.1:{}", itld_server_->port()), admin_.files(), absl::Now(),
        [this](std::string_view line) { said_.emplace_back(line); });
  };
  trust_store_.status = {grpc::StatusCode::UNAVAILABLE, "gone"};
  EXPECT_THAT(ensure(), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_OK_AND_ASSIGN(const std::string left, ReadSmallFile(paths_.provisiond() + ".new/provisiond.crt"));
  trust_store_.status = grpc::Status::OK;
  ASSERT_OK(ensure());
  ASSERT_OK(ensure());
  EXPECT_THAT(said_, ElementsAre("making the certificate of provisiond", "making the certificate of provisiond"));
  EXPECT_THAT(ReadSmallFile(paths_.provisiond() + "/provisiond.crt"), IsOkAndHolds(left));
  ASSERT_OK_AND_ASSIGN(const Certificate certificate, Certificate::FromPem(left));
  EXPECT_EQ(certificate.subject().ToText(), "CN=a.example,O=Example,OU=Voice");
  EXPECT_THAT(trust_store_.added, ElementsAre(std::string(AsText(certificate.der()))));
  EXPECT_THAT(trust_store_.options.roles(), ElementsAre(v1::CERTIFICATE_ROLE_APP_SERVER));
  EXPECT_FALSE(trust_store_.options.listed());
  EXPECT_OK(CheckPrivateFiles(paths_.provisiond(), {"provisiond.key", "passphrase"}, {}));
}

TEST_F(SiteAuthoritiesTest, TheTftpServerGetsTheNamesOfTheMachineUnlessItHasSome) {
  ASSERT_OK(EnsureNames());
  EXPECT_THAT(phone_trust_.names, ElementsAre("a.example", "127.0.0.1"));
  phone_trust_.names = {"decided.example"};
  ASSERT_OK(EnsureNames());
  EXPECT_THAT(phone_trust_.names, ElementsAre("decided.example"));
  phone_trust_.names = {};
  phone_trust_.has_server = false;
  ASSERT_OK(EnsureNames());
  EXPECT_THAT(phone_trust_.names, IsEmpty());
  phone_trust_.status = {grpc::StatusCode::UNAVAILABLE, "gone"};
  EXPECT_THAT(EnsureNames(), StatusIs(absl::StatusCode::kUnavailable));
  phone_trust_.status = {grpc::StatusCode::UNIMPLEMENTED, ""};
  EXPECT_OK(EnsureNames()) << "an itld without reports";
}

TEST(MachineNamesTest, AreTheMachinesOwn) {
  const std::vector<std::string> names = MachineNames("Host-Of-A.Test");
  EXPECT_EQ(names.front(), "host-of-a.test");
  for (const char* own : {"localhost", "127.0.0.1", "::1"}) EXPECT_THAT(names, ::testing::Contains(own));
  for (const std::string& name : names) {
    EXPECT_FALSE(name.starts_with("fe80:") || name.starts_with("169.254.")) << name;
  }
}

}  // namespace
}  // namespace trustline
