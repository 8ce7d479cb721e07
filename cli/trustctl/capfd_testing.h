// The built program with capfd's service beside it.
#pragma once

#include <memory>

#include "cli/trustctl/fake_enrolment_service.h"
#include "cli/trustctl/trustctl_testing.h"

namespace trustline {

class CapfdFixture : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(capfd_, StartServer("capfd", {&enrolment_}));
    WriteContext({{"capfd", capfd_.get()}});
  }

  FakeEnrolment enrolment_;
  std::unique_ptr<RpcServer> capfd_;
};

}  // namespace trustline
