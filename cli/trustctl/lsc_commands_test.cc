// trustctl lsc ... against a cad whose answers the test decides.
#include <boost/json/parse.hpp>

#include "absl/strings/ascii.h"
#include "cli/trustctl/cad_testing.h"
#include "common/x509/certificate_request.h"
#include "common/x509/pem.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int64_t kNotAfter = 1'795'377'060;  // 2026-11-22T19:51:00Z

class LscCommandsTest : public CadFixture {
 protected:
  void SetUp() override {
    CadFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
    ASSERT_OK_AND_ASSIGN(const CertificateRequest request,
                         CertificateRequest::Build(key, "trustline:default/phone/sep"));
    request_ = std::string(AsText(request.der()));
    request_path_ = directory_.WriteFile("phone.csr", EncodePem("CERTIFICATE REQUEST", request_));

    v1::IssuedCertificate& certificate = *issuance_.issued.mutable_certificate();
    certificate.set_issuance_id(7);
    certificate.set_device("SEP001122334455");
    certificate.set_serial("5b7a90c1");
    certificate.set_sha256(std::string(32, '\x01'));
    certificate.set_state(v1::CERTIFICATE_STATE_SIGNED);
    certificate.mutable_not_after()->set_seconds(kNotAfter);
    issuance_.issued.set_der(DerOf(VectorCertificate("device-lsc.pem")));
    issuance_.issued.add_chain(DerOf(VectorCertificate("capf.pem")));
  }

  std::string IssuedPem() {
    return EncodePem("CERTIFICATE", issuance_.issued.der()) + EncodePem("CERTIFICATE", issuance_.issued.chain(0));
  }

  ProgramResult Enroll(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"lsc", "enroll", "sep001122334455", "--csr", request_path_});
    return Run(std::move(more));
  }

  // A certificate that cad knows; without DER when it was never signed.
  v1::ShowCertificateResponse& Know(const std::string& serial, const std::string& vector) {
    v1::ShowCertificateResponse& known = issuance_.certificates.emplace_back();
    v1::IssuedCertificate& certificate = *known.mutable_certificate();
    certificate.set_issuance_id(static_cast<int64_t>(issuance_.certificates.size()));
    certificate.set_device("SEP0011223344" + absl::AsciiStrToUpper(serial.substr(serial.size() - 2)));
    certificate.set_serial(serial);
    certificate.set_subject("CN=SEP\x1b[2J");
    certificate.set_state(vector.empty() ? v1::CERTIFICATE_STATE_ABANDONED : v1::CERTIFICATE_STATE_CONFIRMED);
    certificate.set_public_key_sha256(std::string(32, '\xab'));
    certificate.mutable_not_after()->set_seconds(kNotAfter);
    if (!vector.empty()) {
      certificate.set_sha256(std::string(32, '\x01'));
      known.set_der(DerOf(VectorCertificate(vector)));
      known.add_chain(DerOf(VectorCertificate("capf.pem")));
    }
    return known;
  }

  std::string request_;
  std::string request_path_;
};

TEST_F(LscCommandsTest, EnrollPrintsTheChainAndRecordsThatItDid) {
  issuance_.issued.add_warnings("the key is used by another device\x1b[2J");
  const ProgramResult result = Enroll();
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, IssuedPem());
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("warning: the key is used by another device\\x1b[2J\n"),
                    EndsWith("issued 5b7a90c1 of SEP001122334455, good until 2026-11-22T19:51:00Z; once the "
                             "device uses it: trustctl lsc confirm 5b7a90c1\n")));
  EXPECT_EQ(issuance_.issue.cluster(), "default");
  EXPECT_EQ(issuance_.issue.device(), "SEP001122334455");
  EXPECT_EQ(issuance_.issue.certificate_request(), request_);
  EXPECT_FALSE(issuance_.issue.has_lifetime());
  EXPECT_FALSE(issuance_.issue.renew());
  EXPECT_EQ(issuance_.delivered.issuance_id(), 7);
  EXPECT_EQ(issuance_.delivered.state(), v1::CERTIFICATE_STATE_DELIVERED);
}

TEST_F(LscCommandsTest, ConfirmTellsWhatItReplaced) {
  v1::ShowCertificateResponse& known = issuance_.certificates.emplace_back();
  *known.mutable_certificate() = issuance_.issued.certificate();
  issuance_.superseded = 1;
  const ProgramResult result = Run({"lsc", "confirm", "5b7a90c1"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out,
              StartsWith("5b7a90c1 of SEP001122334455 is in use; 1 certificate that it replaced revoked\n"));
  EXPECT_EQ(issuance_.delivered.issuance_id(), 7);
  EXPECT_EQ(issuance_.delivered.state(), v1::CERTIFICATE_STATE_CONFIRMED);
  EXPECT_THAT(Run({"lsc", "confirm", "5b7a"}).err, HasSubstr("give it whole"));
}

TEST_F(LscCommandsTest, EnrollWritesAFileAndSendsWhatWasGiven) {
  const std::string out = PathOf("phone.pem");
  const ProgramResult result = Enroll({"--out", out, "--renew", "--days", "365", "--request-id", "ticket-4711"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(ReadFile(out), IssuedPem());
  EXPECT_EQ(result.out,
            "issued 5b7a90c1 of SEP001122334455, good until 2026-11-22T19:51:00Z; certificate and chain "
            "written to " +
                out + "; once the device uses it: trustctl lsc confirm 5b7a90c1\n");
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(issuance_.issue.lifetime().seconds(), 365 * 24 * 3600);
  EXPECT_TRUE(issuance_.issue.renew());
  EXPECT_EQ(issuance_.issue.request_id(), "ticket-4711");

  const ProgramResult there = Enroll({"--out", out});
  EXPECT_EQ(there.exit_status, 1);
  EXPECT_THAT(there.err, AllOf(HasSubstr(out), HasSubstr("exists already")));
  EXPECT_EQ(issuance_.issue_calls, 1);
  issuance_.issued.set_existed(true);
  EXPECT_THAT(Enroll({"--out", out, "--force"}).out, StartsWith("issued before: 5b7a90c1 of SEP001122334455"));
}

TEST_F(LscCommandsTest, EnrollAsJsonHasTheRecord) {
  const ProgramResult result = Enroll({"--output", "json"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  const boost::json::value record = boost::json::parse(result.out);
  EXPECT_EQ(record.at("serial"), "5b7a90c1");
  EXPECT_EQ(record.at("existed"), false);
  EXPECT_EQ(record.at("pem").as_string(), IssuedPem());
  EXPECT_EQ(issuance_.delivered.issuance_id(), 7);
  const std::string out = PathOf("phone.pem");
  const boost::json::value with_file = boost::json::parse(Enroll({"--output", "json", "--out", out}).out);
  EXPECT_EQ(with_file.at("state"), "delivered");
  EXPECT_EQ(ReadFile(out), IssuedPem());
}

TEST_F(LscCommandsTest, ADeliveryThatIsNotRecordedIsAWarning) {
  issuance_.delivery_status = {grpc::StatusCode::UNAVAILABLE, "the database is away"};
  const ProgramResult result = Enroll({"--renew"});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.out, IssuedPem());
  EXPECT_THAT(result.err, AllOf(HasSubstr("warning: cad has not recorded that 5b7a90c1 of SEP001122334455"),
                                HasSubstr("the database is away"), HasSubstr("the same command without --renew")));
}

TEST_F(LscCommandsTest, RequestsAreReadFromPemWithEitherLabelAndDer) {
  for (const std::string& content : {request_, EncodePem("NEW CERTIFICATE REQUEST", request_),
                                     "a note\n" + EncodePem("CERTIFICATE REQUEST", request_)}) {
    issuance_.issue.Clear();
    request_path_ = directory_.WriteFile("other.csr", content);
    const ProgramResult result = Enroll();
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_EQ(issuance_.issue.certificate_request(), request_);
  }
}

TEST_F(LscCommandsTest, WhatHoldsNoRequestIsNotSent) {
  const std::string pem = EncodePem("CERTIFICATE REQUEST", request_);
  for (const auto& [content, reason] :
       std::vector<std::pair<std::string, std::string>>{{ReadFile(Vector("capf.pem")), "only \"CERTIFICATE\""},
                                                        {pem + pem, "several"},
                                                        {std::string(16 * 1024 * 1024 + 1, '\x30'), "larger than"},
                                                        {"", "empty"}}) {
    request_path_ = directory_.WriteFile("bad.csr", content);
    const ProgramResult result = Enroll({"--out", PathOf("never.pem")});
    EXPECT_EQ(result.exit_status, 1) << reason;
    EXPECT_THAT(result.err, AllOf(HasSubstr("bad.csr"), HasSubstr(reason)));
    EXPECT_FALSE(std::filesystem::exists(PathOf("never.pem")));
  }
  EXPECT_EQ(issuance_.issue_calls, 0);
}

// So that its refusal is audited.
TEST_F(LscCommandsTest, CadJudgesTheRequestAndItsRefusalNamesTheFile) {
  std::string tampered = request_;
  tampered.back() = static_cast<char>(tampered.back() ^ 1);
  issuance_.issue_status = {grpc::StatusCode::INVALID_ARGUMENT, "the key is RSA of 1024 bits\x1b[2J"};
  for (const std::string& bytes : {tampered, request_ + "x", std::string(1'000'000, '0')}) {
    for (const std::string& content : {bytes, EncodePem("CERTIFICATE REQUEST", bytes)}) {
      request_path_ = directory_.WriteFile("bad.csr", content);
      const ProgramResult result = Enroll({"--out", PathOf("never.pem")});
      EXPECT_EQ(result.exit_status, 1);
      EXPECT_EQ(result.out, "");
      EXPECT_EQ(result.err, "trustctl: " + request_path_ + ": the key is RSA of 1024 bits\\x1b[2J\n");
      EXPECT_EQ(issuance_.issue.certificate_request(), bytes);
      EXPECT_FALSE(std::filesystem::exists(PathOf("never.pem")));
    }
  }
  issuance_.issue_status = {grpc::StatusCode::NOT_FOUND, "there is no device SEP001122334455"};
  EXPECT_EQ(Enroll().err, "trustctl: there is no device SEP001122334455\n");
}

TEST_F(LscCommandsTest, ListSendsTheFilterAndFollowsThePages) {
  issuance_.largest_page = 2;
  for (const std::string serial : {"0a01", "0a02", "0a03", "0a04", "0a05"}) Know(serial, "device-lsc.pem");
  const ProgramResult table = Run({"lsc", "list", "--device", "sep0011", "--subject", "CN=SEP", "--serial", "0A",
                                   "--key", "AB:AB", "--authority", "2", "--expires-before", "2026-12-01T00:00:00Z",
                                   "--expires-after", "2026-11-22T00:00:00Z", "--state", "confirmed", "--good"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out,
              AllOf(StartsWith("DEVICE"), HasSubstr("0a01"), HasSubstr("0a05"), HasSubstr("CN=SEP\\x1b[2J")));
  EXPECT_EQ(issuance_.list_calls, 3);
  EXPECT_EQ(issuance_.listed.cluster(), "default");
  EXPECT_EQ(issuance_.listed.device_prefix(), "SEP0011");
  EXPECT_EQ(issuance_.listed.subject_prefix(), "CN=SEP");
  EXPECT_EQ(issuance_.listed.serial_prefix(), "0a");
  EXPECT_EQ(issuance_.listed.public_key_prefix(), "abab");
  EXPECT_EQ(issuance_.listed.authority_id(), 2);
  EXPECT_EQ(issuance_.listed.expires_before().seconds(), 1'796'083'200);
  EXPECT_EQ(issuance_.listed.expires_after().seconds(), 1'795'305'600);
  EXPECT_EQ(issuance_.listed.state(), v1::CERTIFICATE_STATE_CONFIRMED);
  EXPECT_TRUE(issuance_.listed.good());

  const boost::json::value three = boost::json::parse(Run({"lsc", "list", "--limit", "3", "--output", "json"}).out);
  ASSERT_EQ(three.as_array().size(), 3u);
  EXPECT_FALSE(issuance_.listed.good());
  EXPECT_EQ(three.at(2).at("serial"), "0a03");
  EXPECT_EQ(three.at(2).at("state"), "confirmed");
}

TEST_F(LscCommandsTest, ListTakesExpiryAsSoLongFromNow) {
  const int64_t before = absl::ToUnixSeconds(absl::Now());
  EXPECT_EQ(Run({"lsc", "list", "--expires-before", "30d"}).exit_status, 0);
  const int64_t after = absl::ToUnixSeconds(absl::Now());
  EXPECT_GE(issuance_.listed.expires_before().seconds(), before + 30 * 86'400);
  EXPECT_LE(issuance_.listed.expires_before().seconds(), after + 30 * 86'400);
  EXPECT_FALSE(issuance_.listed.has_expires_after());
}

TEST_F(LscCommandsTest, ShowBySerialOrDevice) {
  Know("5b7a90c1", "device-lsc.pem");
  Know("77aa77aa", "");
  const ProgramResult shown = Run({"lsc", "show", "5B7A", "--output", "json"});
  EXPECT_EQ(shown.exit_status, 0) << shown.err;
  EXPECT_EQ(issuance_.shown.serial_prefix(), "5b7a");
  const boost::json::value record = boost::json::parse(shown.out);
  EXPECT_EQ(record.at("serial"), "5b7a90c1");
  ASSERT_EQ(record.at("chain").as_array().size(), 1u);
  EXPECT_EQ(Run({"lsc", "show", "sep0011223344c1", "--pem"}).out,
            EncodePem("CERTIFICATE", issuance_.certificates[0].der()));
  EXPECT_EQ(issuance_.shown.device(), "SEP0011223344C1");
  const ProgramResult unsigned_one = Run({"lsc", "show", "77aa", "--pem"});
  EXPECT_EQ(unsigned_one.exit_status, 1);
  EXPECT_THAT(unsigned_one.err, HasSubstr("has no certificate: its state is abandoned"));
  EXPECT_EQ(Run({"lsc", "show", "ffff"}).exit_status, 1);
}

TEST_F(LscCommandsTest, RevokeNamesTheReasonAsTheRfcDoes) {
  EXPECT_THAT(Run({"lsc", "revoke", "5B:7A:90:C1", "--reason", "keycompromise"}).out,
              StartsWith("revoked 5b7a90c1 of SEP001122334455 (keyCompromise); CRL and TVS follow within seconds\n"));
  EXPECT_EQ(issuance_.revoked.serial(), "5b7a90c1");
  EXPECT_EQ(issuance_.revoked.reason(), v1::CERTIFICATE_REVOCATION_REASON_KEY_COMPROMISE);
  issuance_.revoked_already = true;
  EXPECT_THAT(
      Run({"lsc", "revoke", "5b7a90c1"}).out,
      StartsWith("5b7a90c1 of SEP001122334455 is revoked since 2026-11-22T19:51:00Z (unspecified), nothing changed\n"));
  EXPECT_EQ(issuance_.revoked.reason(), v1::CERTIFICATE_REVOCATION_REASON_NO_REASON);
  const boost::json::value json = boost::json::parse(Run({"lsc", "revoke", "5b7a90c1", "--output", "json"}).out);
  EXPECT_EQ(json.at("changed"), false);
}

TEST_F(LscCommandsTest, RevokesInBulkWhatIsSuperseded) {
  const ProgramResult done = Run({"lsc", "revoke", "--authority", "3", "--superseded"});
  EXPECT_EQ(done.exit_status, 0) << done.err;
  EXPECT_EQ(issuance_.superseded_of.cluster(), "default");
  EXPECT_EQ(issuance_.superseded_of.authority_id(), 3);
  EXPECT_THAT(done.out, StartsWith("revoked 1500 certificates of authority 3 as superseded, of 2000 that were good"));
  const boost::json::value json =
      boost::json::parse(Run({"lsc", "revoke", "--authority", "3", "--superseded", "--output", "json"}).out);
  EXPECT_EQ(json.at("revoked"), 1500);
  EXPECT_EQ(json.at("certificates_checked"), 2000);

  issuance_.superseded_status = {grpc::StatusCode::UNAVAILABLE, "the database is away"};
  const ProgramResult failed = Run({"lsc", "revoke", "--authority", "3", "--superseded"});
  EXPECT_EQ(failed.exit_status, 1);
  EXPECT_THAT(failed.err, AllOf(HasSubstr("at least 800 certificates revoked, and stay so"), HasSubstr("goes on"),
                                HasSubstr("the database is away")));
  issuance_.superseded_status = grpc::Status::OK;
  issuance_.superseded_ends_early = true;
  EXPECT_THAT(Run({"lsc", "revoke", "--authority", "3", "--superseded"}).err, HasSubstr("without a result"));
  EXPECT_EQ(issuance_.revoked.serial(), "");
}

TEST_F(LscCommandsTest, ExportWritesEveryCertificateThatThereIs) {
  issuance_.largest_page = 1;
  Know("0a01", "device-lsc.pem");
  Know("0a02", "");
  Know("0a03", "capf-issued-lsc.pem");
  const std::string both = EncodePem("CERTIFICATE", issuance_.certificates[0].der()) +
                           EncodePem("CERTIFICATE", issuance_.certificates[2].der());
  const ProgramResult printed = Run({"lsc", "export", "--state", "confirmed"});
  EXPECT_EQ(printed.exit_status, 0) << printed.err;
  EXPECT_EQ(printed.out, both);
  EXPECT_EQ(issuance_.listed.state(), v1::CERTIFICATE_STATE_CONFIRMED);

  const std::string out = PathOf("phones.pem");
  const ProgramResult written = Run({"lsc", "export", "--out", out});
  EXPECT_EQ(written.exit_status, 0) << written.err;
  EXPECT_EQ(written.out, "");
  EXPECT_EQ(written.err, "2 certificates written to " + out + "\n");
  EXPECT_EQ(ReadFile(out), both);
  EXPECT_THAT(Run({"lsc", "export", "--out", out}).err, HasSubstr("exists already"));
}

TEST_F(LscCommandsTest, AnExportThatFailsOrIsEmptyWritesNoFile) {
  const std::string out = PathOf("phones.pem");
  const ProgramResult none = Run({"lsc", "export", "--out", out});
  EXPECT_EQ(none.exit_status, 1);
  EXPECT_EQ(none.err, "no certificate fits: " + out + " was not written\n");
  Know("0a01", "device-lsc.pem");
  Know("0a02", "device-lsc.pem").set_der("nonsense");
  const ProgramResult failed = Run({"lsc", "export", "--out", out});
  EXPECT_EQ(failed.exit_status, 1);
  EXPECT_THAT(failed.err, HasSubstr("not a certificate"));
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(LscCommandsTest, PurgeSaysWhatItRemoved) {
  const ProgramResult result = Run({"lsc", "purge", "--expired-before", "2025-01-01T00:00Z"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "removed 12000 certificates and 1 abandoned request from before 2025-01-01T00:00:00Z\n");
  EXPECT_EQ(issuance_.purged.cluster(), "default");
  EXPECT_EQ(issuance_.purged.expired_before().seconds(), 1'735'689'600);
  EXPECT_FALSE(issuance_.purged.dry_run());

  const ProgramResult counted = Run({"lsc", "purge", "--expired-before", "400d", "--dry-run"});
  EXPECT_EQ(counted.exit_status, 0) << counted.err;
  EXPECT_THAT(counted.out, EndsWith("would be removed; nothing was\n"));
  EXPECT_TRUE(issuance_.purged.dry_run());
  EXPECT_LE(issuance_.purged.expired_before().seconds(), absl::ToUnixSeconds(absl::Now()) - 400 * 86'400);

  const boost::json::value json =
      boost::json::parse(Run({"lsc", "purge", "--expired-before", "400d", "--output", "json"}).out);
  EXPECT_EQ(json.at("certificates"), 12'000);
  EXPECT_EQ(json.at("requests"), 1);
  EXPECT_EQ(json.at("dry_run"), false);
}

TEST_F(LscCommandsTest, APurgeThatEndsEarlySaysHowFarItCame) {
  issuance_.purge_status = {grpc::StatusCode::UNAVAILABLE, "the database is away\x1b[2J"};
  const ProgramResult failed = Run({"lsc", "purge", "--expired-before", "400d"});
  EXPECT_EQ(failed.exit_status, 1);
  EXPECT_THAT(failed.err,
              AllOf(HasSubstr("at least 10000 certificates and 0 abandoned requests are removed"),
                    HasSubstr("the same command again goes on"), HasSubstr("the database is away\\x1b[2J")));
  issuance_.purge_status = {grpc::StatusCode::FAILED_PRECONDITION, "nothing was removed: it is too young"};
  const ProgramResult counted = Run({"lsc", "purge", "--expired-before", "1d", "--dry-run"});
  EXPECT_EQ(counted.exit_status, 1);
  EXPECT_THAT(counted.err, AllOf(HasSubstr("it is too young"), Not(HasSubstr("goes on"))));
  issuance_.purge_status = grpc::Status::OK;
  issuance_.purge_ends_early = true;
  const ProgramResult early = Run({"lsc", "purge", "--expired-before", "400d"});
  EXPECT_EQ(early.exit_status, 1);
  EXPECT_THAT(early.err, HasSubstr("without a result"));
}

}  // namespace
}  // namespace trustline
