// The real capfd over real TLS, with the real cad, itld and PostgreSQL: phones enrol.
#include <thread>

#include "capf/authentication_string.h"
#include "cli/phone/captured_session.h"
#include "common/x509/x509_testing.h"
#include "tests/integration/capfd_testing.h"
#include "tests/support/wire_vector.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr char kPhone[] = "SEP001122334455";
constexpr int kSuccess = static_cast<int>(CapfReason::kSuccess);
constexpr int kNoAction = static_cast<int>(CapfReason::kNoAction);
constexpr int kRefused = static_cast<int>(CapfReason::kInvalidElement);
constexpr int kUnknown = static_cast<int>(CapfReason::kUnknownDevice);

class CapfdDaemonTest : public CapfdTest {
 protected:
  // OpenSSL and GnuTLS on what a phone has got.
  void Judge(const std::string& der) {
    v1::ShowAuthorityRequest request;
    v1::ShowAuthorityResponse response;
    ASSERT_OK(Call(authorities_, &v1::Authorities::Stub::ShowAuthority, request, response));
    const std::string ca = folder_.Write("ca.pem", Certificate::FromDer(AsBytes(response.certificate()))->ToPem());
    const std::string lsc = folder_.Write("lsc.pem", Certificate::FromDer(AsBytes(der))->ToPem());
    const CommandResult openssl = RunCommand(fmt::format("openssl verify -x509_strict -CAfile {} {}", ca, lsc));
    EXPECT_EQ(openssl.exit_status, 0) << openssl.output;
    const CommandResult gnutls =
        RunCommand(fmt::format("certtool --verify --load-ca-certificate {} --infile {}", ca, lsc));
    EXPECT_THAT(gnutls.output, HasSubstr("Verified")) << gnutls.output;
  }
  // A phone with an acknowledged LSC.
  std::unique_ptr<CapfPhone> Enrolled(std::string_view device) {
    auto phone = std::make_unique<CapfPhone>(Server(), PhoneOptions(device, ScheduleByString(device)));
    EXPECT_EQ(EndOf(phone->Enrol()), kSuccess);
    return phone;
  }
  static PhoneCertificate LscOf(const CapfPhone& phone) {
    return {.certificate = *Certificate::FromDer(AsBytes(phone.lsc())), .key = phone.lsc_key()};
  }
  // The root of a manufacturer, and the certificates that it puts into phones.
  class Manufacturer {
   public:
    explicit Manufacturer(std::string_view name) : root_(MakeSelfSigned(Now(AuthorityForm(name)))) {}
    std::string root_der() const { return std::string(AsText(root_.certificate.der())); }
    PhoneCertificate MicOf(std::string_view device, absl::Duration left = absl::Hours(24)) const {
      CertificateTemplate form = Now(LeafForm(fmt::format("CP-8841-{}", device)));
      form.not_after = absl::Now() + left;
      auto key = std::make_shared<const PrivateKey>(*PrivateKey::Generate(KeyKind::kRsa2048));
      return {.certificate = *BuildIssued(form, key->get(), root_.certificate, root_.key),
              .key = key,
              .type = CapfCertificateType::kMic};
    }

   private:
    static CertificateTemplate Now(CertificateTemplate form) {
      form.not_before = absl::Now() - absl::Hours(48);
      form.not_after = absl::Now() + absl::Hours(24 * 365);
      return form;
    }
    const Party root_;
  };
  void TrustManufacturer(const std::string& root_der) {
    v1::AddClientAuthorityRequest request;
    request.set_purpose(v1::CLIENT_AUTHORITY_PURPOSE_MANUFACTURING);
    request.set_certificate(root_der);
    v1::AddClientAuthorityResponse response;
    ASSERT_OK(Call(authorities_, &v1::Authorities::Stub::AddClientAuthority, request, response));
  }
  void SetPolicy(const v1::SetEnrolmentPolicyRequest& policy) {
    v1::SetEnrolmentPolicyResponse changed;
    ASSERT_OK(Call(enrolment_, &v1::Enrolment::Stub::SetEnrolmentPolicy, policy, changed));
  }

  const ScratchFolder folder_;
};

TEST_F(CapfdDaemonTest, APhoneEnrolsByItsStringOnce) {
  const std::string password = ScheduleByString(kPhone);
  ASSERT_EQ(password.size(), 8);
  CapfPhone phone(Server(), PhoneOptions(kPhone, password));
  EXPECT_EQ(EndOf(CapfPhone(Server(), PhoneOptions(kPhone, "0000")).Enrol()), kRefused);
  EXPECT_EQ(EndOf(phone.Enrol()), kSuccess);
  Judge(phone.lsc());
  const v1::ShowEnrolmentResponse shown = Show(kPhone);
  EXPECT_EQ(shown.lsc().status(), v1::LscInfo::STATUS_INSTALLED);
  ASSERT_EQ(shown.operations_size(), 1);
  EXPECT_EQ(shown.operations(0).state(), v1::OPERATION_STATE_SUCCESS);
  // The same string again.
  EXPECT_EQ(EndOf(CapfPhone(Server(), PhoneOptions(kPhone, password)).Enrol()), kRefused);
  EXPECT_EQ(EndOf(CapfPhone(Server(), PhoneOptions("SEP0000000000FF", password)).Enrol()), kUnknown);
  EXPECT_THAT(capfd_->LogText(), ::testing::Not(HasSubstr(password)));
}

TEST_F(CapfdDaemonTest, EveryKeyInSingleBytesAndWithoutAString) {
  const struct {
    const char* device;
    v1::KeySpecification::Order order;
    v1::KeySpecification::Curve curve;
    const char* kind;
  } keys[] = {
      {"SEP0000000000A1", v1::KeySpecification::ORDER_RSA, v1::KeySpecification::CURVE_UNSPECIFIED, "RSA 2048"},
      {"SEP0000000000A2", v1::KeySpecification::ORDER_EC, v1::KeySpecification::CURVE_SECP256R1, "EC secp256r1"},
      {"SEP0000000000A3", v1::KeySpecification::ORDER_EC, v1::KeySpecification::CURVE_SECP384R1, "EC secp384r1"},
      {"SEP0000000000A4", v1::KeySpecification::ORDER_EC, v1::KeySpecification::CURVE_SECP521R1, "EC secp521r1"},
      {"SEP0000000000A5", v1::KeySpecification::ORDER_EC_PREFERRED, v1::KeySpecification::CURVE_SECP256R1,
       "EC secp256r1"},
  };
  for (const auto& [device, order, curve, kind] : keys) {
    SCOPED_TRACE(kind);
    auto options = Order(v1::CERTIFICATE_OPERATION_INSTALL, v1::ENROLMENT_AUTHENTICATION_NULL);
    options.mutable_key()->set_order(order);
    options.mutable_key()->set_curve(curve);
    ASSERT_OK(Schedule(options, device));
    CapfPhoneOptions phone_options = PhoneOptions(device);
    phone_options.one_byte_at_a_time = true;
    phone_options.progress_messages = 2;
    CapfPhone phone(Server(), phone_options);
    EXPECT_EQ(EndOf(phone.Enrol()), kSuccess);
    Judge(phone.lsc());
    EXPECT_EQ(Certificate::FromDer(AsBytes(phone.lsc()))->public_key_kind(), kind);
  }
}

TEST_F(CapfdDaemonTest, AnRsaKeyIsTheBackupOfAnEcKey) {
  auto options = Order(v1::CERTIFICATE_OPERATION_INSTALL, v1::ENROLMENT_AUTHENTICATION_NULL);
  options.mutable_key()->set_order(v1::KeySpecification::ORDER_EC_PREFERRED);
  ASSERT_OK(Schedule(options, kPhone));
  CapfPhoneOptions phone_options = PhoneOptions(kPhone);
  phone_options.fails_at_ec_keys = true;
  CapfPhone phone(Server(), phone_options);
  EXPECT_EQ(EndOf(phone.Enrol()), kSuccess);
  EXPECT_EQ(Certificate::FromDer(AsBytes(phone.lsc()))->public_key_kind(), "RSA 2048");

  // A phone that cannot make any key has failed for good.
  ASSERT_OK(Schedule(options, "SEP0000000000A1"));
  CapfPhoneOptions failing = PhoneOptions("SEP0000000000A1");
  failing.fails = CapfCommand::kKeyGenerateRequest;
  EXPECT_OK(CapfPhone(Server(), failing).Enrol());
  EXPECT_EQ(Show("SEP0000000000A1").operations(0).state(), v1::OPERATION_STATE_FAILED);
}

TEST_F(CapfdDaemonTest, AnExistingCertificateProvesItsPhoneAndNoOther) {
  const std::unique_ptr<CapfPhone> phone = Enrolled(kPhone);
  const std::unique_ptr<CapfPhone> other = Enrolled("SEP0000000000A1");
  const auto install = Order(v1::CERTIFICATE_OPERATION_INSTALL, v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC);
  ASSERT_OK(Schedule(install, kPhone));
  CapfPhoneOptions options = PhoneOptions(kPhone);
  // Without a proof, with another phone's, and with a certificate that nobody issued.
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kRefused);
  options.proof = LscOf(*other);
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kRefused);
  // Its own.
  options.proof = LscOf(*phone);
  CapfPhone renewing(Server(), options);
  EXPECT_EQ(EndOf(renewing.Enrol()), kSuccess);
  EXPECT_NE(renewing.lsc(), phone->lsc());
  Judge(renewing.lsc());
  // By a proof that could have been recorded, too, unless the policy forbids that.
  ASSERT_OK(Schedule(install, kPhone));
  options.proof = LscOf(renewing);
  options.sends_sudi_data = false;
  v1::SetEnrolmentPolicyRequest policy;
  policy.set_require_sudi(true);
  SetPolicy(policy);
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kRefused);
  policy.set_require_sudi(false);
  SetPolicy(policy);
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kSuccess);
}

TEST_F(CapfdDaemonTest, AManufacturersCertificateProvesItsPhone) {
  const Manufacturer maker("Maker");
  const Manufacturer stranger("Stranger");
  TrustManufacturer(maker.root_der());
  const auto install = Order(v1::CERTIFICATE_OPERATION_INSTALL, v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_MIC);
  ASSERT_OK(Schedule(install, kPhone));
  CapfPhoneOptions options = PhoneOptions(kPhone);
  options.proof = stranger.MicOf(kPhone);
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kRefused);
  options.proof = maker.MicOf("SEP0000000000A1");
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kRefused);
  options.proof = maker.MicOf(kPhone, -absl::Hours(1));
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kRefused);
  v1::SetEnrolmentPolicyRequest policy;
  policy.set_allow_expired_mic(true);
  SetPolicy(policy);
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kSuccess);

  // Nothing is scheduled any more. After a factory reset the phone has its MIC alone.
  options.proof = maker.MicOf(kPhone);
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kNoAction);
  policy.set_re_enrol_by_mic(true);
  SetPolicy(policy);
  CapfPhone reset(Server(), options);
  EXPECT_EQ(EndOf(reset.Enrol()), kSuccess);
  Judge(reset.lsc());
  EXPECT_EQ(Show(kPhone).operations_size(), 2);
  // What the policy does not reach.
  options.device_name = "SEP0000000000A2";
  options.proof = maker.MicOf("SEP0000000000A2");
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kUnknown);
}

TEST_F(CapfdDaemonTest, ACertificateIsFetchedAndDeleted) {
  const std::unique_ptr<CapfPhone> phone = Enrolled(kPhone);
  const std::string lsc = phone->lsc();
  ASSERT_OK(Schedule(Order(v1::CERTIFICATE_OPERATION_FETCH, v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC), kPhone));
  CapfPhoneOptions options = PhoneOptions(kPhone);
  options.proof = LscOf(*phone);
  options.certificates = {{.type = CapfCertificateType::kLsc, .der = lsc}};
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kNoAction);
  const v1::ShowEnrolmentResponse fetched = Show(kPhone);
  ASSERT_EQ(fetched.fetched_size(), 1);
  EXPECT_EQ(fetched.fetched(0).type(), "LSC");
  EXPECT_EQ(fetched.fetched(0).der(), lsc);

  ASSERT_OK(Schedule(Order(v1::CERTIFICATE_OPERATION_DELETE, v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC), kPhone));
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kSuccess);
  WaitForCount("SELECT count(*) FROM issuance WHERE state = 'revoked'", 1, absl::Seconds(10));
  EXPECT_EQ(InForce(kPhone), 0);
  EXPECT_EQ(Show(kPhone).lsc().status(), v1::LscInfo::STATUS_REVOKED);
  // A revoked certificate proves nothing, and there is nothing left to fetch or to delete.
  ASSERT_OK(Schedule(Order(v1::CERTIFICATE_OPERATION_INSTALL, v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC), kPhone));
  EXPECT_EQ(EndOf(CapfPhone(Server(), options).Enrol()), kRefused);
  for (const auto operation : {v1::CERTIFICATE_OPERATION_FETCH, v1::CERTIFICATE_OPERATION_DELETE}) {
    EXPECT_THAT(Schedule(Order(operation, v1::ENROLMENT_AUTHENTICATION_NULL), kPhone),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no certificate")));
  }
}

TEST_F(CapfdDaemonTest, OfAHundredThatUseOneStringAtOnceOneWins) {
  const std::string password = ScheduleByString(kPhone);
  std::vector<absl::StatusOr<CapfPhoneResult>> results(100);
  std::vector<std::thread> phones;
  for (auto& result : results) {
    phones.emplace_back([&] {
      CapfPhoneOptions options = PhoneOptions(kPhone, password);
      options.tls.timeout = std::chrono::seconds(60);
      result = CapfPhone(Server(), options).Enrol();
    });
  }
  for (std::thread& phone : phones) phone.join();
  int installed = 0;
  for (const auto& result : results) {
    ASSERT_OK(result);
    installed += result->operation == CapfPhoneOperation::kInstall ? 1 : 0;
  }
  EXPECT_EQ(installed, 1);
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 1);
}

TEST_F(CapfdDaemonTest, WrongStringsLockAPhoneAtItsAddress) {
  const std::string password = ScheduleByString(kPhone);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(EndOf(CapfPhone(Server(), PhoneOptions(kPhone, fmt::format("99{:04}", i))).Enrol()), kRefused);
  }
  EXPECT_EQ(EndOf(CapfPhone(Server(), PhoneOptions(kPhone, password)).Enrol()), kRefused);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'capf.authenticate' AND outcome = 'denied' AND "
                  "subject = 'SEP001122334455'"),
            6);
  ASSERT_EQ(Show(kPhone).locks_size(), 1);
  v1::UnlockDeviceRequest request;
  request.set_device(kPhone);
  v1::UnlockDeviceResponse response;
  ASSERT_OK(Call(enrolment_, &v1::Enrolment::Stub::UnlockDevice, request, response));
  EXPECT_EQ(response.locks(), 1);
  EXPECT_EQ(EndOf(CapfPhone(Server(), PhoneOptions(kPhone, password)).Enrol()), kSuccess);
}

TEST_F(CapfdDaemonTest, ABrokenSessionLeavesItsOperationPending) {
  const std::string password = ScheduleByString(kPhone);
  // The last of them is the request to store the certificate.
  for (int message = 1; message <= 5; ++message) {
    SCOPED_TRACE(message);
    CapfPhoneOptions options = PhoneOptions(kPhone, password);
    options.goes_on = StopsAfter(message);
    absl::StatusOr<CapfPhoneResult> result = CapfPhone(Server(), options).Enrol();
    // The one before may still be on its way out.
    while (result.ok() && result->retry_seconds) {
      absl::SleepFor(absl::Milliseconds(100));
      result = CapfPhone(Server(), options).Enrol();
    }
    EXPECT_OK(result);
    WaitForCount("SELECT count(*) FROM capf_operation WHERE state = 'pending'", 1, absl::Seconds(10));
  }
  CapfPhone phone(Server(), PhoneOptions(kPhone, password));
  EXPECT_EQ(EndOf(EnrolUntilTold(phone)), kSuccess);
  EXPECT_EQ(InForce(kPhone), 1);
}

TEST_F(CapfdDaemonTest, WithoutCadAPhoneIsToldNothingAndTriesAgain) {
  const std::string password = ScheduleByString(kPhone);
  const uint16_t port = cad_->grpc_port();
  cad_->Kill();
  CapfPhone phone(Server(), PhoneOptions(kPhone, password));
  EXPECT_THAT(phone.Enrol(), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_OK(capfd_->WaitUntilReady());
  StartCad({.grpc_port = port});
  EXPECT_EQ(EndOf(EnrolUntilTold(phone)), kSuccess);
}

// The recorded sessions, against a CAPF with the recorded certificate.
class CapfdReplayTest : public CapfdDaemonTest, public ::testing::WithParamInterface<bool> {
 protected:
  std::string CapfPem() const override { return ReadTestFile(TRUSTLINE_SOURCE_DIR "/tests/vectors/capf.pem"); }

  void Replay(const std::string& name, std::shared_ptr<const PrivateKey> key = nullptr) {
    SCOPED_TRACE(name);
    const std::string text = ReadTestFile(TRUSTLINE_SOURCE_DIR "/tests/vectors/wire/" + name + ".hex");
    ASSERT_OK_AND_ASSIGN(const std::vector<CapturedMessage> messages, ParseCapturedSession(text));
    EXPECT_OK(ReplayCapfSession(Server(), PhoneOptions("").tls, messages, GetParam(), std::move(key)));
  }
  // The recorded string in place of the one that was made.
  void SetString(std::string_view device, std::string_view password) {
    const std::string folder = capf_site_->NodeFolder().string();
    ASSERT_OK_AND_ASSIGN(const auto strings,
                         AuthenticationStrings::Open(folder + "/authentication-strings.key", folder + "/passphrase"));
    const KeptString kept = strings->Keep(SecretBytes(password));
    ASSERT_OK(superuser_->ExecuteScript(
        fmt::format("UPDATE capf_operation SET string_salt = '\\x{}', string_hmac = '\\x{}' WHERE device = '{}' AND "
                    "state = 'pending'",
                    ToHex(AsBytes(kept.salt)), ToHex(AsBytes(kept.hmac)), device)));
  }
};

INSTANTIATE_TEST_SUITE_P(Bytes, CapfdReplayTest, ::testing::Bool(),
                         [](const auto& instance) { return instance.param ? "OneAtATime" : "Together"; });

TEST_P(CapfdReplayTest, TheRecordedSessions) {
  Replay("capf-unknown-device");
  AddDevice(kPhone);
  Replay("capf-none");
  ScheduleByString(kPhone);
  SetString(kPhone, "13579");
  Replay("capf-wrong-password");
  Replay("capf-install-rsa");
  auto ec = Order(v1::CERTIFICATE_OPERATION_INSTALL, v1::ENROLMENT_AUTHENTICATION_NULL);
  ec.mutable_key()->set_order(v1::KeySpecification::ORDER_EC);
  ec.mutable_key()->set_curve(v1::KeySpecification::CURVE_SECP384R1);
  ASSERT_OK(Schedule(ec, "SEP0011223344EC"));
  Replay("capf-install-ec");
  ASSERT_OK(Schedule(Order(v1::CERTIFICATE_OPERATION_DELETE, v1::ENROLMENT_AUTHENTICATION_STRING), kPhone));
  SetString(kPhone, "13579");
  Replay("capf-delete");
}

// The recorded proof is by a certificate of the recorded authority, which is taken in as one that proves phones.
TEST_P(CapfdReplayTest, TheRecordedProofByAnExistingCertificate) {
  Enrolled(kPhone);
  TrustManufacturer(std::string(AsText(capf_site_->capf_certificate().der())));
  // The recording is of 2026; its certificate holds for a year.
  v1::SetEnrolmentPolicyRequest policy;
  policy.set_allow_expired_mic(true);
  SetPolicy(policy);
  ASSERT_OK(Schedule(Order(v1::CERTIFICATE_OPERATION_FETCH, v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC), kPhone));
  ASSERT_OK_AND_ASSIGN(PrivateKey key,
                       PrivateKey::ReadKeyFile(folder_.Write(
                           "lsc.key", ReadTestFile(TRUSTLINE_SOURCE_DIR "/tests/vectors/capf-issued-lsc.pem"), 0600)));
  Replay("capf-fetch-existing-certificate", std::make_shared<const PrivateKey>(std::move(key)));
  ASSERT_EQ(Show(kPhone).fetched_size(), 1);
}

}  // namespace
}  // namespace trustline
