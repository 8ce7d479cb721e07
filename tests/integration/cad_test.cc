// The real cad over the wire, with the real itld and PostgreSQL; other programs make the requests and judge the
// answers.
#include "common/rpc/proto_time.h"
#include "common/x509/crl.h"
#include "common/x509/pem.h"
#include "common/x509/x509_testing.h"
#include "tests/integration/cad_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kPhone[] = "SEP001122334455";

class CadDaemonTest : public CadTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    CadTest::SetUp();
    StartCad();
    ASSERT_OK_AND_ASSIGN(authority_id_, site_->MakeAuthority(*cad_, GetParam()));
  }

  std::string DerOf(const std::string& path) {
    const std::string pem = ReadTestFile(path);
    PemReader reader(pem);
    return *DecodePemBody((**reader.Next()).body);
  }
  std::string Pem(const std::string& der) { return Certificate::FromDer(AsBytes(der))->ToPem(); }

  // OpenSSL and GnuTLS on a certificate; with a CRL, whether it is revoked.
  void Judge(const v1::IssueResponse& issued) {
    const std::string ca = folder_.Write("ca.pem", Pem(issued.chain(0)));
    const std::string leaf = folder_.Write("leaf.pem", Pem(issued.der()));
    for (const char* purpose : {"sslclient", "sslserver"}) {
      const CommandResult openssl =
          RunCommand(fmt::format("openssl verify -x509_strict -purpose {} -CAfile {} {}", purpose, ca, leaf));
      EXPECT_EQ(openssl.exit_status, 0) << openssl.output;
    }
    const CommandResult gnutls =
        RunCommand(fmt::format("certtool --verify --load-ca-certificate {} --infile {}", ca, leaf));
    EXPECT_THAT(gnutls.output, HasSubstr("Verified")) << gnutls.output;
  }

  absl::StatusOr<v1::RevokeCertificateResponse> Revoke(const std::string& serial) {
    v1::RevokeCertificateRequest request;
    request.set_serial(serial);
    request.set_reason(v1::CERTIFICATE_REVOCATION_REASON_KEY_COMPROMISE);
    v1::RevokeCertificateResponse response;
    RETURN_IF_ERROR(Call(issuance_, &v1::Issuance::Stub::RevokeCertificate, request, response));
    return response;
  }
  v1::GetCrlResponse Crl() {
    v1::GetCrlRequest request;
    request.set_authority_id(authority_id_);
    v1::GetCrlResponse response;
    EXPECT_OK(Call(authorities_, &v1::Authorities::Stub::GetCrl, request, response));
    return response;
  }

  const ScratchFolder folder_;
  int32_t authority_id_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Authorities, CadDaemonTest, ::testing::Bool(),
                         [](const auto& instance) { return instance.param ? "Ec" : "Rsa"; });

TEST_P(CadDaemonTest, EnrolsRequestsThatOtherProgramsMade) {
  const struct {
    const char* device;
    std::string command;
  } requests[] = {
      {"SEP0000000000A1", fmt::format("openssl req -new -newkey rsa:2048 -nodes -keyout {} -subj /CN=SEP0000000000A1 "
                                      "-outform PEM -out {}",
                                      folder_.Path("k1"), folder_.Path("1"))},
      {"SEP0000000000A2",
       fmt::format("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -nodes -keyout {} "
                   "-subj /CN=SEP0000000000A2/O=Elsewhere -addext subjectAltName=DNS:x.example -out {}",
                   folder_.Path("k2"), folder_.Path("2"))},
      {"SEP0000000000A3",
       fmt::format("certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile {0} && printf 'cn = "
                   "\"SEP0000000000A3\"\\n' > {1} && certtool --generate-request --load-privkey {0} --template {1} "
                   "--outfile {2}",
                   folder_.Path("k3"), folder_.Path("t3"), folder_.Path("3"))},
  };
  int number = 0;
  for (const auto& [device, command] : requests) {
    const CommandResult made = RunCommand(command);
    ASSERT_EQ(made.exit_status, 0) << made.output;
    AddDevice(device);
    ASSERT_OK_AND_ASSIGN(const v1::IssueResponse issued, Enroll(device, DerOf(folder_.Path(std::to_string(++number)))));
    EXPECT_THAT(issued.certificate().subject(), HasSubstr(fmt::format("CN={}", device)));
    Judge(issued);
    ASSERT_OK(Confirm(issued.certificate().issuance_id()));
  }
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE state = 'confirmed'"), 3);
  EXPECT_THAT(AuditFindings(), IsEmpty());
}

TEST_P(CadDaemonTest, RevocationReachesTheCrlAndTheTrustStore) {
  AddDevice(kPhone);
  ASSERT_OK_AND_ASSIGN(const v1::IssueResponse issued, Enroll(kPhone, NewRequest(kPhone)));
  WaitForCount("SELECT count(*) FROM trust_crl", 1, absl::Seconds(5));
  const int64_t first_number = Crl().crl_number();
  ASSERT_OK_AND_ASSIGN(const v1::RevokeCertificateResponse revoked, Revoke(issued.certificate().serial()));
  EXPECT_TRUE(revoked.changed());
  // The CRL and the TVS agree within 5 s.
  WaitForCount("SELECT count(*) FROM trust_crl t JOIN ca_crl c USING (sha256) WHERE t.revoked_count = 1", 1,
               absl::Seconds(5));
  const v1::GetCrlResponse crl = Crl();
  EXPECT_GT(crl.crl_number(), first_number);
  EXPECT_EQ(crl.revoked(), 1);

  // Outside judges on the CRL.
  const std::string ca = folder_.Write("ca.pem", Pem(issued.chain(0)));
  const std::string leaf = folder_.Write("leaf.pem", Pem(issued.der()));
  const std::string der = folder_.Write("crl.der", crl.crl());
  const std::string pem = folder_.Path("crl.pem");
  ASSERT_EQ(RunCommand(fmt::format("openssl crl -inform DER -in {} -out {}", der, pem)).exit_status, 0);
  const CommandResult openssl =
      RunCommand(fmt::format("openssl verify -x509_strict -crl_check -CRLfile {} -CAfile {} {}", pem, ca, leaf));
  EXPECT_THAT(openssl.output, HasSubstr("certificate revoked"));
  const CommandResult gnutls =
      RunCommand(fmt::format("certtool --verify-crl --load-ca-certificate {} --infile {}", ca, pem));
  EXPECT_THAT(gnutls.output, HasSubstr("Verified")) << gnutls.output;

  ASSERT_OK_AND_ASSIGN(const v1::RevokeCertificateResponse again, Revoke(issued.certificate().serial()));
  EXPECT_FALSE(again.changed());
  EXPECT_THAT(Revoke("00112233445566778899"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("trustctl lsc list")));
  EXPECT_THAT(AuditFindings(), IsEmpty());
}

TEST_P(CadDaemonTest, RollsOver) {
  AddDevice(kPhone);
  ASSERT_OK_AND_ASSIGN(const v1::IssueResponse old, Enroll(kPhone, NewRequest(kPhone)));
  ASSERT_OK(Confirm(old.certificate().issuance_id()));
  ASSERT_OK_AND_ASSIGN(const int32_t next, site_->MakeAuthority(*cad_, !GetParam()));
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM ca_authority WHERE authority_id = {} AND state = 'tainted'",
                              authority_id_)),
            1);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE role = -1 AND anchor AND removed_at IS NULL"), 2);

  // Nothing is retired while a phone chains to it.
  v1::RetireAuthorityRequest retire;
  retire.set_authority_id(authority_id_);
  v1::RetireAuthorityResponse retired;
  EXPECT_THAT(Call(authorities_, &v1::Authorities::Stub::RetireAuthority, retire, retired),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(kPhone)));
  ASSERT_OK_AND_ASSIGN(const v1::IssueResponse renewed, Enroll(kPhone, NewRequest(kPhone), "", true));
  EXPECT_EQ(renewed.certificate().authority_id(), next);
  Judge(renewed);
  ASSERT_OK(Revoke(old.certificate().serial()));
  ASSERT_OK(Call(authorities_, &v1::Authorities::Stub::RetireAuthority, retire, retired));
  EXPECT_EQ(retired.authority().state(), v1::AUTHORITY_STATE_RETIRED);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE role = -1 AND anchor AND removed_at IS NULL"), 1);
  EXPECT_THAT(AuditFindings(), IsEmpty());
}

TEST_P(CadDaemonTest, AnEnterpriseRootInstead) {
  v1::RequestAuthorityRequest request;
  v1::RequestAuthorityResponse requested;
  ASSERT_OK(Call(authorities_, &v1::Authorities::Stub::RequestAuthority, request, requested));
  // OpenSSL is the enterprise's authority.
  folder_.Write("csr.der", requested.certificate_request());
  folder_.Write("extensions",
                "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
                "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n");
  const CommandResult made = RunCommand(fmt::format(
      "cd {} && openssl req -x509 -newkey rsa:2048 -nodes -keyout root.key -subj /CN=Enterprise/O=Example -days 3650 "
      "-addext keyUsage=critical,keyCertSign,cRLSign "
      "-out root.pem && openssl req -inform DER -in csr.der -out csr.pem && openssl x509 -req -in csr.pem -CA root.pem "
      "-CAkey root.key -CAcreateserial -days 1825 -extfile extensions -out sub.pem",
      folder_.Path("")));
  ASSERT_EQ(made.exit_status, 0) << made.output;
  const auto import = [&](const std::vector<std::string>& files) {
    v1::ImportAuthorityChainRequest chain;
    for (const std::string& file : files) chain.add_certificates(DerOf(folder_.Path(file)));
    v1::ImportAuthorityChainResponse response;
    return Call(authorities_, &v1::Authorities::Stub::ImportAuthorityChain, chain, response);
  };
  // A root that lets no authority stand below it.
  folder_.Write(
      "root0.conf",
      "[req]\ndistinguished_name=dn\nx509_extensions=v3\n[dn]\n[v3]\nbasicConstraints=critical,CA:TRUE,pathlen:0\n"
      "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n");
  const CommandResult narrow = RunCommand(fmt::format(
      "cd {} && openssl req -x509 -newkey rsa:2048 -nodes -keyout root0.key -subj /CN=Narrow -days 3650 -config "
      "root0.conf -out root0.pem && openssl x509 -req -in csr.pem -CA root0.pem -CAkey root0.key -CAcreateserial -days "
      "1825 -extfile extensions -out sub0.pem",
      folder_.Path("")));
  ASSERT_EQ(narrow.exit_status, 0) << narrow.output;
  EXPECT_THAT(import({"sub0.pem", "root0.pem"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("pathLenConstraint")));
  EXPECT_THAT(import({"sub.pem"}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("gap")));
  EXPECT_THAT(import({"root.pem"}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("trustctl ca csr")));
  ASSERT_OK(import({"root.pem", "sub.pem"}));
  v1::ActivateAuthorityRequest activate;
  activate.set_authority_id(requested.authority().authority_id());
  v1::ActivateAuthorityResponse activated;
  ASSERT_OK(Call(authorities_, &v1::Authorities::Stub::ActivateAuthority, activate, activated));
  AddDevice(kPhone);
  ASSERT_OK_AND_ASSIGN(const v1::IssueResponse issued, Enroll(kPhone, NewRequest(kPhone, KeyKind::kRsa2048)));
  ASSERT_EQ(issued.chain_size(), 2);
  const CommandResult openssl =
      RunCommand(fmt::format("openssl verify -x509_strict -CAfile {} -untrusted {} {}", folder_.Path("root.pem"),
                             folder_.Path("sub.pem"), folder_.Write("leaf.pem", Pem(issued.der()))));
  EXPECT_EQ(openssl.exit_status, 0) << openssl.output;
  EXPECT_THAT(AuditFindings(), IsEmpty());
}

// Each is one clear error that names the rule, an audited denial, and nothing written.
TEST_P(CadDaemonTest, BadRequests) {
  AddDevice(kPhone);
  AddDevice("SEP0000000000BB");
  const std::string good = NewRequest(kPhone);
  std::string broken = good;
  broken.back() = static_cast<char>(broken.back() ^ 1);
  const auto refused = [&](std::string_view device, std::string request, std::string_view rule) {
    EXPECT_THAT(Enroll(device, std::move(request)).status().message(), HasSubstr(std::string(rule)));
  };
  refused(kPhone, broken, "not signed by its own key");
  refused(kPhone, good + "x", "certificate request");
  refused(kPhone, std::string(1'000'000, '0'), "larger than the maximum");
  refused("SEP0000000000BB", good, "the request is for SEP001122334455");
  refused("SEP0000000000CC", NewRequest("SEP0000000000CC"), "trustctl device add");
  refused("PHONE1", NewRequest("PHONE1"), "not a device name");
  refused(kPhone, "", "not a certificate request");
  const CommandResult weak =
      RunCommand(fmt::format("openssl req -new -newkey rsa:1024 -nodes -keyout {} -subj /CN={} -outform DER -out {}",
                             folder_.Path("k"), kPhone, folder_.Path("weak")));
  ASSERT_EQ(weak.exit_status, 0) << weak.output;
  refused(kPhone, ReadTestFile(folder_.Path("weak")), "allow_rsa_1024");
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 0);
  WaitForCount("SELECT (count(*) > 0)::int::bigint FROM audit_event WHERE action = 'lsc.issue' AND outcome = 'denied'",
               1, absl::Seconds(10));

  // A subject that names nobody is replaced, and the answer says so.
  ASSERT_OK_AND_ASSIGN(const v1::IssueResponse issued, Enroll(kPhone, NewRequest("My phone")));
  ASSERT_EQ(issued.warnings_size(), 1);
  EXPECT_THAT(issued.warnings(0), HasSubstr("replaced by CN=SEP001122334455"));
}

TEST_P(CadDaemonTest, ARetiredDeviceLosesItsCertificate) {
  AddDevice(kPhone);
  ASSERT_OK(Enroll(kPhone, NewRequest(kPhone)));
  v1::RetireDeviceRequest request;
  request.set_name(kPhone);
  request.set_reason("stolen");
  v1::RetireDeviceResponse response;
  ASSERT_OK(Call(devices_, &v1::Devices::Stub::RetireDevice, request, response));
  EXPECT_EQ(response.revoked(), 1);
  EXPECT_THAT(Enroll(kPhone, NewRequest(kPhone)), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("stolen")));
  WaitForCount("SELECT revoked_count FROM trust_crl", 1, absl::Seconds(5));
}

TEST_P(CadDaemonTest, RemovesWhatEndedLongAgo) {
  AddDevice(kPhone);
  ASSERT_OK_AND_ASSIGN(const v1::IssueResponse issued, Enroll(kPhone, NewRequest(kPhone)));
  const auto purge = [&](int days, bool dry_run) -> absl::StatusOr<int64_t> {
    v1::PurgeCertificatesRequest request;
    *request.mutable_expired_before() = ToProtoTime(absl::Now() - days * absl::Hours(24));
    request.set_dry_run(dry_run);
    grpc::ClientContext context;
    const auto stream = issuance_->PurgeCertificates(&context, request);
    v1::PurgeCertificatesResponse last;
    for (v1::PurgeCertificatesResponse response; stream->Read(&response);) last = response;
    RETURN_IF_ERROR(ToAbsl(stream->Finish()));
    if (!last.finished()) return Internal("there was no result");
    return last.certificates();
  };
  EXPECT_THAT(purge(29, false), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("30 days")));
  EXPECT_THAT(purge(31, false), IsOkAndHolds(0));
  ASSERT_OK(superuser_->ExecuteScript("UPDATE issuance SET not_after = now() - interval '40 days'"));
  EXPECT_THAT(purge(31, true), IsOkAndHolds(1));
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 1);
  EXPECT_THAT(purge(31, false), IsOkAndHolds(1));
  EXPECT_EQ(Count("SELECT count(*) FROM issuance"), 0);
  v1::ShowCertificateRequest request;
  request.set_serial_prefix(issued.certificate().serial());
  v1::ShowCertificateResponse response;
  EXPECT_THAT(Call(issuance_, &v1::Issuance::Stub::ShowCertificate, request, response),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("were removed")));
  // It did not end when the audit log says that it does.
  is_damaged_ = true;
  EXPECT_THAT(AuditFindings(), ::testing::ElementsAre(HasSubstr("which is not on record")));
}

// Each is one line, and one denial in the audit log however often a supervisor tries; nothing else is written.
TEST_P(CadDaemonTest, ABadPassphraseOrAnOpenKeyFileStopsTheStart) {
  ASSERT_OK(cad_->Stop());
  const int64_t events = Count("SELECT count(*) FROM audit_event");
  const auto denials = [this](std::string_view reason) {
    return Count(
        fmt::format("SELECT count(*) FROM audit_event WHERE cluster_id = 1 AND outcome = 'denied' AND action = "
                    "'ca.open_keys' AND actor = 'trustline:default/cad/node1' AND subject = 'node1' AND "
                    "detail::json->>'reason' LIKE '%{}%'",
                    reason));
  };
  const auto change_mode = [this](const char* mode) {
    return RunCommand(fmt::format("chmod {} {}/*.key", mode, site_->keys_folder().string())).exit_status;
  };
  ASSERT_EQ(change_mode("644"), 0);
  for (int start = 0; start < 2; ++start) {
    EXPECT_THAT(site_->StartCad().status().message(), HasSubstr("chmod 600"));
    EXPECT_EQ(denials("chmod 600"), 1);
  }
  ASSERT_EQ(change_mode("600"), 0);
  EXPECT_THAT(site_->StartCad({.passphrase = "wrong\n"}).status().message(), HasSubstr("passphrase is wrong"));
  EXPECT_EQ(denials("passphrase is wrong"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), events + 2);
  EXPECT_OK(site_->StartCad());
  EXPECT_OK(site_->StartCad({.passphrase_is_credential = true}));
}

}  // namespace
}  // namespace trustline
