// What the tests share that run the built program against services whose answers they decide, over real mutual TLS.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/trustctl/context.h"
#include "common/rpc/credentials.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/identity_store.h"
#include "common/rpc/server.h"
#include "common/x509/private_key.h"
#include "tests/support/run_program.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

inline const std::string kProgram = TRUSTLINE_BIN_DIR "/trustctl";

inline std::string Vector(const std::string& name) { return TRUSTLINE_SOURCE_DIR "/tests/vectors/" + name; }

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline ProgramResult Trustctl(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
  arguments.insert(arguments.begin(), kProgram);
  return RunProgram(arguments, std::move(environment));
}

class TrustctlFixture : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_OK(RequireTls13()); }

  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(IdentityAuthority authority, IdentityAuthority::Create(absl::Now()));
    authority_.emplace(std::move(authority));
    ASSERT_OK(WriteIdentityOf({"default", "person", "admin"}, "admin").status());
  }

  absl::StatusOr<IdentityFiles> WriteIdentityOf(const Identity& identity, const std::string& folder) {
    ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
    ASSIGN_OR_RETURN(const Certificate certificate, authority_->IssueIdentity(key, identity, absl::Now()));
    directory_.WriteFile(folder + "/placeholder", "");
    const std::string path = directory_.path().string() + "/" + folder + "/";
    IdentityFiles files{path + "identity.crt", path + "identity.key", path + "authority.crt"};
    RETURN_IF_ERROR(WriteIdentity(files, key, certificate, authority_->certificate()));
    return files;
  }

  absl::StatusOr<std::unique_ptr<RpcServer>> StartServer(const std::string& kind,
                                                         const std::vector<grpc::Service*>& services) {
    ASSIGN_OR_RETURN(const IdentityFiles files, WriteIdentityOf({"default", kind, "node1"}, kind));
    return RpcServer::Start({.identity = files}, services, health_);
  }

  // The context of the person admin, to whom the services are by these names.
  void WriteContext(const std::map<std::string, const RpcServer*>& servers) {
    std::map<std::string, std::string> addresses;
    for (const auto& [name, server] : servers) addresses[name] = "127.0.0.1:" + std::to_string(server->port());
    context_ = directory_.WriteFile("admin/context.toml", ContextFileText("default", addresses));
  }

  ProgramResult Run(std::vector<std::string> arguments) {
    return Trustctl(std::move(arguments), {"TRUSTLINE_CONTEXT=" + context_});
  }

  std::string PathOf(const std::string& name) const { return directory_.path().string() + "/" + name; }

  const TemporaryDirectory directory_;
  Health health_;
  std::optional<IdentityAuthority> authority_;
  std::string context_;
};

}  // namespace trustline
