// The built program with cad's services beside it.
#pragma once

#include <memory>

#include "cli/trustctl/fake_authority_services.h"
#include "cli/trustctl/trustctl_testing.h"
#include "common/x509/certificate.h"

namespace trustline {

class CadFixture : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(cad_, StartServer("cad", {&devices_, &issuance_, &authorities_}));
    WriteContext({{"cad", cad_.get()}});
  }

  static Certificate VectorCertificate(const std::string& name) {
    return *Certificate::FromPem(ReadFile(Vector(name)));
  }
  static std::string DerOf(const Certificate& certificate) { return std::string(AsText(certificate.der())); }

  FakeDevices devices_;
  FakeIssuance issuance_;
  FakeAuthorities authorities_;
  std::unique_ptr<RpcServer> cad_;
};

}  // namespace trustline
