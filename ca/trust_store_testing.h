// What the tests share that need a trust store beside the database: an itld that a test plays.
#pragma once

#include <grpcpp/server_context.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ca/ca_testing.h"
#include "ca/trust_store_client.h"
#include "common/bytes/sha256.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {

// Keeps authorities and CRLs as itld does, as far as their being there goes. Tests look at it between calls only.
class FakeTrustStore final : public v1::TrustStore::Service {
 public:
  grpc::Status AddAuthority(grpc::ServerContext* context, const v1::AddAuthorityRequest* request,
                            v1::AddAuthorityResponse*) override {
    while (hangs && !context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (hangs) return grpc::Status::CANCELLED;
    {
      const std::lock_guard lock(mutex_);
      anchors.insert(ToHex(Sha256(AsBytes(request->certificate()))));
    }
    if (after_adding) after_adding(request->certificate());
    return grpc::Status::OK;
  }
  grpc::Status RemoveAuthority(grpc::ServerContext*, const v1::RemoveAuthorityRequest* request,
                               v1::RemoveAuthorityResponse*) override {
    const std::lock_guard lock(mutex_);
    if (!request->caution().plan()) anchors.erase(ToHex(AsBytes(request->sha256())));
    return grpc::Status::OK;
  }
  grpc::Status AddCrl(grpc::ServerContext*, const v1::AddCrlRequest* request, v1::AddCrlResponse*) override {
    const std::lock_guard lock(mutex_);
    crls.push_back(request->crl());
    return grpc::Status::OK;
  }

  std::set<std::string> anchors;  // SHA-256 in hexadecimal
  std::vector<std::string> crls;  // in the order in which they came
  std::function<void(const std::string& der)> after_adding;
  std::atomic<bool> hangs = false;

 private:
  std::mutex mutex_;
};

class CaTrustStoreTest : public CaDatabaseTest {
 protected:
  void SetUp() override {
    CaDatabaseTest::SetUp();
    ASSERT_OK_AND_ASSIGN(itld_, RpcServer::Start({.identity = itld_identity_.files()}, {&store_}, health_));
    ASSERT_OK_AND_ASSIGN(trust_store_, TrustStoreClient::Create(fmt::format("127.0.0.1:{}", itld_->port()),
                                                                cad_identity_.files(), absl::Seconds(3)));
  }
  void TearDown() override {
    if (itld_) itld_->Shutdown(absl::ZeroDuration());
  }

  bool IsAnchor(const Authority& authority) const {
    return store_.anchors.contains(ToHex(authority.certificate->sha256()));
  }

  FakeTrustStore store_;
  Health health_;
  const IdentityAuthority identity_authority_ = *IdentityAuthority::Create(absl::Now());
  const TestIdentity cad_identity_{identity_authority_, "trustline:default/cad/node1"};
  const TestIdentity itld_identity_{identity_authority_, "trustline:default/itld/node1"};
  std::unique_ptr<RpcServer> itld_;
  std::unique_ptr<TrustStoreClient> trust_store_;
};

}  // namespace trustline
