#include "common/rpc/identity_renewal.h"

#include <atomic>

#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "tests/support/fake_clock.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kUri = "trustline:default/tvsd/node1";

class IdentityRenewalTest : public testing::Test {
 protected:
  IdentitySigner Signer() {
    return [this](const CertificateRequest& request) {
      ++asked_;
      return authority_.IssueIdentity(request, *Identity::Parse(kUri), clock_.Now());
    };
  }
  std::unique_ptr<IdentityRenewal> Renewal(IdentitySigner signer) {
    return std::make_unique<IdentityRenewal>(
        IdentityRenewalOptions{
            .files = own_.files(), .first_retry = absl::Milliseconds(1), .longest_wait = absl::Milliseconds(5)},
        std::move(signer), clock_, log_, metrics_);
  }
  Certificate Current() { return LoadIdentity(own_.files())->certificate; }

  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  TestIdentity own_{authority_, kUri};
  FakeClock clock_{absl::Now()};
  Log log_{{.sink = [](std::string_view) {}}};
  Metrics metrics_{"test"};
  std::atomic<int> asked_{0};
};

TEST_F(IdentityRenewalTest, RenewsAtTwoThirdsOfTheLife) {
  const Certificate first = Current();
  clock_.Advance(absl::Hours(24 * 58));
  std::unique_ptr<IdentityRenewal> renewal = Renewal(Signer());
  renewal->Start();
  // The metric is set by the thread's first look, before which nothing was due.
  while (metrics_.Serialize().find("trustline_identity_expiry_seconds 0\n") != std::string::npos) {
    std::this_thread::yield();
  }
  EXPECT_EQ(asked_, 0);
  clock_.Advance(absl::Hours(24 * 4));
  while (metrics_.Serialize().find("trustline_identity_renewals_total{outcome=\"done\"} 1\n") == std::string::npos) {
    std::this_thread::yield();
  }
  renewal->Stop();
  EXPECT_EQ(asked_, 1);
  const Certificate second = Current();
  EXPECT_GT(second.not_after(), first.not_after() + absl::Hours(24 * 60));
  EXPECT_NE(second.public_key_sha256(), first.public_key_sha256());
}

TEST_F(IdentityRenewalTest, TriesAgainAndCountsFailures) {
  clock_.Advance(absl::Hours(24 * 80));
  std::unique_ptr<IdentityRenewal> renewal =
      Renewal([this, sign = Signer()](const CertificateRequest& request) -> absl::StatusOr<Certificate> {
        if (asked_ < 2) {
          ++asked_;
          return Unavailable("not now");
        }
        return sign(request);
      });
  renewal->Start();
  while (metrics_.Serialize().find("trustline_identity_renewals_total{outcome=\"done\"} 1\n") == std::string::npos) {
    std::this_thread::yield();
  }
  renewal->Stop();
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("trustline_identity_renewals_total{outcome=\"failed\"} 2\n"));
}

TEST_F(IdentityRenewalTest, KeepsWhatWorksWhenTheAnswerIsWrong) {
  const Certificate first = Current();
  const IdentityAuthority other = *IdentityAuthority::Create(absl::Now());
  std::unique_ptr<IdentityRenewal> renewal = Renewal([&other](const CertificateRequest& request) {
    return other.IssueIdentity(request, *Identity::Parse(kUri), absl::Now());
  });
  EXPECT_THAT(renewal->RenewNow(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not issued by")));
  renewal = Renewal([this](const CertificateRequest&) {
    return authority_.IssueIdentity(*PrivateKey::Generate(KeyKind::kEcP256), *Identity::Parse(kUri), absl::Now());
  });
  EXPECT_THAT(renewal->RenewNow(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not for the key")));
  renewal = Renewal([this](const CertificateRequest& request) {
    return authority_.IssueIdentity(request, *Identity::Parse(kUri), clock_.Now(), -absl::Hours(1));
  });
  EXPECT_THAT(renewal->RenewNow(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
  EXPECT_EQ(Current(), first);
}

// Signs for whoever calls, as the service Node does.
class SigningService final : public v1::Node::Service {
 public:
  explicit SigningService(const IdentityAuthority& authority) : authority_(authority) {}
  grpc::Status RenewIdentity(grpc::ServerContext* /*context*/, const v1::RenewIdentityRequest* request,
                             v1::RenewIdentityResponse* response) override {
    absl::StatusOr<CertificateRequest> parsed = CertificateRequest::FromDer(AsBytes(request->certificate_request()));
    if (!parsed.ok()) return ToGrpc(parsed.status());
    absl::StatusOr<Certificate> certificate = authority_.IssueIdentity(*parsed, *Identity::Parse(kUri), absl::Now());
    if (!certificate.ok()) return ToGrpc(certificate.status());
    response->set_certificate(std::string(AsText(certificate->der())));
    return grpc::Status::OK;
  }

 private:
  const IdentityAuthority& authority_;
};

TEST_F(IdentityRenewalTest, ThroughTheService) {
  SigningService service(authority_);
  Health health;
  TestIdentity server_identity(authority_, "trustline:default/itld/node1");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<RpcServer> server,
                       RpcServer::Start({.identity = server_identity.files()}, {&service}, health));
  const std::string address = fmt::format("127.0.0.1:{}", server->port());
  const Certificate first = Current();
  EXPECT_OK(Renewal(RenewThroughService(address, own_.files()))->RenewNow());
  EXPECT_NE(Current(), first);
  server->Shutdown(absl::ZeroDuration());
  EXPECT_THAT(Renewal(RenewThroughService(address, own_.files()))->RenewNow(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("does not answer")));
}

}  // namespace
}  // namespace trustline
