// Reports over TLS: whose certificate makes a report evidence, and of which phone.
#include "common/net/tls_client.h"
#include "tests/integration/sip_site.h"

namespace trustline {
namespace {

struct Holder {
  Certificate certificate;
  PrivateKey key;
};

Holder SelfSigned(const CertificateTemplate& form) {
  PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
  Certificate certificate = *BuildSelfSigned(form, key);
  return {std::move(certificate), std::move(key)};
}

DistinguishedName Named(std::string_view common_name) {
  return *DistinguishedName::FromAttributes({{"CN", common_name}});
}

class SipCertificatesTest : public SipSiteTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(SipSiteTest::SetUp());
    AddDevices(1, 4);
    // Whoever comes without a certificate that counts comes from nobody.
    ASSERT_NO_FATAL_FAILURE(MakeOnlyForwarder("127.0.0.5"));
    const std::string file = directory_.WriteFile("authority.pem", authority_.certificate.ToPem());
    Do({"trust", "add", "--anchor", file});
    WaitUntilValid(LscOf(DeviceNumber(1)));
  }
  // As an authority for phones certifies a device.
  Holder LscOf(std::string_view common_name) const { return Issue(authority_, common_name); }
  static Holder Issue(const Holder& authority, std::string_view common_name) {
    PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
    Certificate certificate = *BuildIssued({.subject = Named(common_name),
                                            .not_before = absl::Now() - absl::Hours(1),
                                            .not_after = absl::Now() + absl::Hours(24),
                                            .key_usage = {"digitalSignature"},
                                            .extended_key_usage = {"serverAuth", "clientAuth"}},
                                           key.get(), authority.certificate, authority.key);
    return {std::move(certificate), std::move(key)};
  }
  static CertificateTemplate AuthorityForm(std::string_view common_name) {
    return {.subject = Named(common_name),
            .not_before = absl::Now() - absl::Hours(1),
            .not_after = absl::Now() + absl::Hours(24 * 365),
            .is_ca = true,
            .key_usage = {"keyCertSign", "cRLSign"}};
  }
  // TVS follows the trust store within a moment.
  void WaitUntilValid(const Holder& holder) {
    const std::string file = directory_.WriteFile("asked.pem", holder.certificate.ToPem());
    ASSERT_TRUE(WaitUntil([&] {
      return RunProgram({TRUSTLINE_BIN_DIR "/trustctl", "verify", file}, {"TRUSTLINE_CONTEXT=" + context_})
                 .exit_status == 0;
    }));
  }
  std::string AskOverTls(const SipTestRequest& request, const Holder* holder) const {
    TlsClientOptions options;
    if (holder != nullptr) {
      options.certificate_chain = {holder->certificate};
      options.private_key = holder->key.get();
    }
    absl::StatusOr<TlsClient> client = TlsClient::Connect("127.0.0.1", provisiond_->tls_port(), options);
    EXPECT_OK(client);
    if (!client.ok()) return "";
    SipTestRequest sent = request;
    sent.transport = "TLS";
    EXPECT_OK(client->Write(AsBytes(sent.Text())));
    return client->ReadSome().value_or("").substr(0, 11);
  }

  const Holder authority_ = SelfSigned(AuthorityForm("LSC authority"));
};

constexpr char kAccepted[] = "SIP/2.0 202";
constexpr char kForbidden[] = "SIP/2.0 403";

TEST_F(SipCertificatesTest, ADeviceSpeaksForItselfAndForNoOther) {
  const Holder lsc = LscOf(DeviceNumber(1));
  EXPECT_EQ(AskOverTls(AlarmOf(DeviceNumber(1), CurrentHash()), &lsc), kAccepted);
  EXPECT_EQ(StatusOf(DeviceNumber(1)), "Match evidence");
  EXPECT_EQ(AskOverTls(AlarmOf(DeviceNumber(2), CurrentHash()), &lsc), kAccepted);
  const std::vector<boost::json::value> lines = ReportOf(DeviceNumber(2));
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(lines[0].at("status").as_string(), "Unknown");
  EXPECT_EQ(lines[1].at("basis").as_string(), "claim");
  // Its word still counts where nobody's claims are kept, and only of itself.
  Do({"forwarder", "claims", "refuse"});
  ASSERT_TRUE(WaitUntil([&] { return Tcp().Ask(AlarmOf(DeviceNumber(3), "Not Installed")) == 403; }));
  EXPECT_EQ(AskOverTls(AlarmOf(DeviceNumber(1), "Not Installed"), &lsc), kAccepted);
  EXPECT_EQ(StatusOf(DeviceNumber(1)), "Not Installed evidence");
  EXPECT_EQ(AskOverTls(AlarmOf(DeviceNumber(2), "Not Installed"), &lsc), kForbidden);
  EXPECT_EQ(AskOverTls(AlarmOf(DeviceNumber(1), CurrentHash()), nullptr), kForbidden);
  // provisiond is no registrar.
  EXPECT_EQ(AskOverTls(RegistrationOf(DeviceNumber(1), 0), &lsc), kForbidden);
}

TEST_F(SipCertificatesTest, CertificatesThatNobodyVouchesForAreClaims) {
  const Holder own = SelfSigned({.subject = Named(DeviceNumber(1)),
                                 .not_before = absl::Now() - absl::Hours(1),
                                 .not_after = absl::Now() + absl::Hours(24),
                                 .key_usage = {"digitalSignature"}});
  const Holder other_authority = SelfSigned(AuthorityForm("LSC authority"));
  const Holder other = Issue(other_authority, DeviceNumber(1));
  for (const Holder* const holder : {&own, &other}) {
    EXPECT_EQ(AskOverTls(AlarmOf(DeviceNumber(1), CurrentHash()), holder), kAccepted);
  }
  EXPECT_EQ(Count("SELECT count(*) FROM phone WHERE reported_at IS NOT NULL"), 0);
  EXPECT_EQ(Count("SELECT reports FROM phone_claim"), 2);
}

TEST_F(SipCertificatesTest, AForwarderIsNamedByACertificateWithARole) {
  const std::string name = "kamailio.example.com";
  Do({"forwarder", "add", name, "--requests", "REFER"});
  const Holder forwarder = SelfSigned(TvsForm(name, absl::Now()));
  const std::string common_name(forwarder.certificate.subject().common_name());
  Do({"forwarder", "add", common_name, "--requests", "REFER"});
  const std::string file = directory_.WriteFile("forwarder.pem", forwarder.certificate.ToPem());
  // Before it is trusted.
  EXPECT_EQ(AskOverTls(AlarmOf(DeviceNumber(1), CurrentHash()), &forwarder), kAccepted);
  EXPECT_EQ(Count("SELECT count(*) FROM phone WHERE reported_at IS NOT NULL"), 0);
  Do({"trust", "add", "--role", "APP-SERVER", file});
  ASSERT_TRUE(WaitUntil([&] {
    AskOverTls(AlarmOf(DeviceNumber(2), CurrentHash()), &forwarder);
    return Count("SELECT count(*) FROM phone WHERE reported_at IS NOT NULL") == 1;
  }));
  EXPECT_EQ(ReportOf(DeviceNumber(2)).at(0).at("via").as_string(), "forwarder " + common_name);
  EXPECT_EQ(AskOverTls(RegistrationOf(DeviceNumber(2), 0), &forwarder), kForbidden);

  // A phone's certificate with that name makes no forwarder.
  const Holder phone = LscOf(name);
  EXPECT_EQ(AskOverTls(AlarmOf(DeviceNumber(3), CurrentHash()), &phone), kAccepted);
  EXPECT_EQ(ReportOf(DeviceNumber(3)).at(0).at("status").as_string(), "Unknown");
}

}  // namespace
}  // namespace trustline
