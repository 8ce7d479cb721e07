// The built program with itld's service of phones beside it, and phones to be answered.
#pragma once

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "cli/trustctl/fake_phone_trust_service.h"
#include "cli/trustctl/trust_records.h"
#include "cli/trustctl/trustctl_testing.h"

namespace trustline {

class PhonesFixture : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(itld_, StartServer("itld", {&service_}));
    WriteContext({{"itld", itld_.get()}});
  }

  // Holds generation 3 of tftp1, published 12 days ago, where 4 is current.
  static v1::Phone Mismatching(const std::string& device = "SEP001122334455") {
    v1::Phone phone;
    phone.set_device(device);
    v1::HeldList& itl = *phone.mutable_itl();
    itl.set_status(v1::PHONE_STATUS_MISMATCH);
    itl.set_generation(3);
    *itl.mutable_published_at() = TimeToProto(absl::Now() - absl::Hours(12 * 24 + 1));
    itl.set_sha1(std::string(20, '\x1b'));
    itl.set_expected_generation(4);
    itl.set_server("tftp1");
    itl.set_reported_server("TFTP1.example");
    phone.set_model("8841");
    phone.set_site("Berlin");
    phone.set_address("192.0.2.104");
    phone.set_user_agent("Cisco-CP8841/14.2.1");
    phone.mutable_reported_at()->set_seconds(1'795'377'060);  // 2026-11-22T19:51:00Z
    phone.set_registered(true);
    phone.set_via("forwarder 192.0.2.1");
    phone.set_known(true);
    return phone;
  }

  // Somebody's word for a device that is not there, about a server that is not ours.
  static v1::Phone Claimed(const std::string& device = "SEPAAAAAAAAAAAA") {
    v1::Phone phone;
    phone.set_device(device);
    phone.mutable_itl()->set_status(v1::PHONE_STATUS_FOREIGN);
    phone.mutable_itl()->set_sha1(std::string("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a", 10) +
                                  std::string(10, '\xff'));
    phone.mutable_itl()->set_reported_server("elsewhere.example\x1b[2J");
    phone.mutable_reported_at()->set_seconds(1'795'377'060);
    phone.set_claimed_from("192.0.2.7");
    phone.set_claim_reason("192.0.2.7 is no forwarder");
    return phone;
  }

  FakePhoneTrust service_;
  std::unique_ptr<RpcServer> itld_;
};

}  // namespace trustline
