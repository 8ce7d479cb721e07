// What the tests of this folder share: identities in files and a small service.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/identity_store.h"
#include "common/x509/openssl_exit.h"
#include "proto/node.grpc.pb.h"
#include "proto/verification.grpc.pb.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

// One party with its files in a folder of its own.
class TestIdentity {
 public:
  TestIdentity(const IdentityAuthority& authority, std::string_view uri, absl::Duration lifetime = kIdentityLifetime)
      : files_(IdentityFilesIn(folder_.path())) {
    Write(authority, uri, lifetime);
  }
  // A new key and certificate in place of the old ones.
  void Write(const IdentityAuthority& authority, std::string_view uri, absl::Duration lifetime = kIdentityLifetime) {
    const Identity identity = *Identity::Parse(uri);
    const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
    const Certificate certificate = *authority.IssueIdentity(key, identity, absl::Now(), lifetime);
    EXPECT_OK(WriteIdentity(files_, key, certificate, authority.certificate()));
  }
  const IdentityFiles& files() const { return files_; }

 private:
  TemporaryDirectory folder_;
  IdentityFiles files_;
};

// Answers GetNodeStatus with the caller's identity, as its certificate has it, in `node`.
class EchoService final : public v1::Verification::Service {
 public:
  grpc::Status GetNodeStatus(grpc::ServerContext* context, const v1::GetNodeStatusRequest* request,
                             v1::GetNodeStatusResponse* response) override;
};

// Before the tests begin; a test has no main of its own.
inline const bool kOpenSslIsKept = (KeepOpenSslUntilExit(), true);

// Calls GetNodeStatus of the server at 127.0.0.1:`port`; returns what EchoService says.
absl::StatusOr<std::string> CallEcho(uint16_t port, const IdentityFiles& files, std::string_view kind = "tvsd");
absl::StatusOr<std::string> CallEcho(const std::shared_ptr<grpc::Channel>& channel);

}  // namespace trustline
