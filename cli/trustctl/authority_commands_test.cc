// trustctl ca ... against a cad whose answers the test decides.
#include <boost/json/parse.hpp>

#include "absl/strings/escaping.h"
#include "cli/trustctl/cad_testing.h"
#include "common/x509/pem.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// An empty CRL with the number 1 (this update 2026-11-22T00:00:00Z, next update 2026-11-23T00:00:00Z). Its signature is
// nonsense, which nobody looks at here.
std::string SomeCrl() {
  const auto tlv = [](char tag, const std::string& content) {
    return std::string(1, tag) + static_cast<char>(content.size()) + content;
  };
  const std::string algorithm =
      tlv('\x30', tlv('\x06', std::string("\x2a\x86\x48\xce\x3d\x04\x03\x02", 8)));  // ecdsa-with-SHA256
  const std::string name = tlv('\x30', tlv('\x31', tlv('\x30', tlv('\x06', "\x55\x04\x03") + tlv('\x0c', "Phones"))));
  const std::string crl_number =
      tlv('\x30', tlv('\x06', "\x55\x1d\x14") + tlv('\x04', tlv('\x02', std::string("\x01", 1))));
  const std::string list =
      tlv('\x30', tlv('\x02', std::string("\x01", 1)) + algorithm + name + tlv('\x17', "261122000000Z") +
                      tlv('\x17', "261123000000Z") + tlv('\xa0', tlv('\x30', crl_number)));
  return tlv('\x30', list + algorithm + tlv('\x03', std::string("\0\x30\0", 3)));
}

class AuthorityCommandsTest : public CadFixture {
 protected:
  void SetUp() override {
    CadFixture::SetUp();
    authorities_.authority.set_authority_id(2);
    authorities_.authority.set_state(v1::AUTHORITY_STATE_PREPARED);
    authorities_.authority.set_subject("CN=Phones\x1b[2J");
    authorities_.authority.set_issued(12);
    authorities_.authority.set_dependents(3);
    authorities_.certificate_request = "any request";
  }
};

TEST_F(AuthorityCommandsTest, ListAndShow) {
  const ProgramResult table = Run({"ca", "list"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("prepared"), HasSubstr("CN=Phones\\x1b[2J"), Not(HasSubstr("\x1b"))));
  const boost::json::value list = boost::json::parse(Run({"ca", "list", "--output", "json"}).out);
  EXPECT_EQ(list.at(0).at("authority_id"), 2);
  EXPECT_FALSE(list.at(0).as_object().contains("dependents"));

  authorities_.show.set_certificate(DerOf(VectorCertificate("capf.pem")));
  authorities_.show.add_chain(DerOf(VectorCertificate("callmanager.pem")));
  const ProgramResult shown = Run({"ca", "show", "2", "--output", "json"});
  EXPECT_EQ(shown.exit_status, 0) << shown.err;
  EXPECT_EQ(authorities_.shown.authority_id(), 2);
  const boost::json::value record = boost::json::parse(shown.out);
  EXPECT_EQ(record.at("chain").as_array().size(), 1u);
  EXPECT_EQ(record.at("issued"), 12);
  EXPECT_EQ(record.at("dependents"), 3);
  EXPECT_EQ(Run({"ca", "show", "--pem"}).out, EncodePem("CERTIFICATE", authorities_.show.certificate()) +
                                                  EncodePem("CERTIFICATE", authorities_.show.chain(0)));
  EXPECT_EQ(authorities_.shown.authority_id(), 0);
  authorities_.show.clear_certificate();
  const ProgramResult requested = Run({"ca", "show", "--pem"});
  EXPECT_EQ(requested.exit_status, 1);
  EXPECT_THAT(requested.err, HasSubstr("trustctl ca import-chain"));
}

TEST_F(AuthorityCommandsTest, ARequestGoesToTheOutputOrAFile) {
  const std::string pem = EncodePem("CERTIFICATE REQUEST", "any request");
  const ProgramResult printed = Run({"ca", "csr", "--key", "ec:secp384r1", "--subject", "CN=Phones,O=Example"});
  EXPECT_EQ(printed.exit_status, 0) << printed.err;
  EXPECT_EQ(printed.out, pem);
  EXPECT_THAT(printed.err, HasSubstr("trustctl ca import-chain FILE..."));
  EXPECT_EQ(authorities_.requested.key(), v1::CERTIFICATE_KEY_EC_P384);
  EXPECT_EQ(authorities_.requested.subject(), "CN=Phones,O=Example");

  const std::string out = PathOf("phones.csr");
  EXPECT_THAT(Run({"ca", "csr", "--out", out}).out, HasSubstr("its request is in " + out));
  EXPECT_EQ(ReadFile(out), pem);
  EXPECT_EQ(authorities_.requested.key(), v1::CERTIFICATE_KEY_UNSPECIFIED);
  EXPECT_THAT(Run({"ca", "csr", "--out", out}).err, HasSubstr("exists already"));
  EXPECT_EQ(authorities_.request_calls, 2);
  const boost::json::value json = boost::json::parse(Run({"ca", "csr", "--output", "json"}).out);
  EXPECT_EQ(json.at("authority_id"), 2);
  EXPECT_EQ(json.at("pem").as_string(), pem);
}

TEST_F(AuthorityCommandsTest, ImportChainSendsEveryCertificate) {
  const ProgramResult result = Run({"ca", "import-chain", Vector("capf.pem"), Vector("callmanager.pem")});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, EndsWith("trustctl ca rollover activate 2\n"));
  ASSERT_EQ(authorities_.imported.certificates_size(), 2);
  EXPECT_EQ(authorities_.imported.certificates(1), DerOf(VectorCertificate("callmanager.pem")));
  EXPECT_THAT(Run({"ca", "import-chain", PathOf("missing.pem")}).err, HasSubstr("missing.pem"));
}

TEST_F(AuthorityCommandsTest, RolloverStepByStep) {
  const ProgramResult prepared =
      Run({"ca", "rollover", "prepare", "--key", "rsa:4096", "--subject", "CN=Phones", "--days", "730"});
  EXPECT_EQ(prepared.exit_status, 0) << prepared.err;
  EXPECT_THAT(prepared.out, StartsWith("authority 2 (CN=Phones\\x1b[2J) is prepared"));
  EXPECT_EQ(authorities_.prepared.key(), v1::CERTIFICATE_KEY_RSA_4096);
  EXPECT_EQ(authorities_.prepared.subject(), "CN=Phones");
  EXPECT_EQ(authorities_.prepared.lifetime().seconds(), 730 * 86'400);

  EXPECT_EQ(Run({"ca", "rollover", "activate", "3"}).out, "authority 3 (CN=Phones\\x1b[2J) issues from now on\n");
  authorities_.tainted = 1;
  EXPECT_THAT(Run({"ca", "rollover", "activate", "3"}).out, EndsWith("trustctl lsc list --authority 1 --good\n"));
  EXPECT_THAT(Run({"ca", "rollover", "taint", "3"}).out,
              AllOf(StartsWith("authority 3 (CN=Phones\\x1b[2J) issues no more"),
                    EndsWith("trustctl lsc list --authority 3 --good\n")));
  EXPECT_FALSE(authorities_.tainting.force());
  EXPECT_EQ(Run({"ca", "rollover", "taint", "3", "--force"}).exit_status, 0);
  EXPECT_TRUE(authorities_.tainting.force());
  const ProgramResult retired = Run({"ca", "rollover", "retire", "3"});
  EXPECT_EQ(retired.exit_status, 1);
  EXPECT_THAT(retired.err, HasSubstr("3 devices in service depend on it"));
  authorities_.authority.set_state(v1::AUTHORITY_STATE_REQUESTED);
  authorities_.authority.clear_issued();
  EXPECT_THAT(Run({"ca", "rollover", "retire", "3"}).out, HasSubstr("is discarded: it had no certificate"));
  const boost::json::value discarded =
      boost::json::parse(Run({"ca", "rollover", "retire", "3", "--output", "json"}).out);
  EXPECT_EQ(discarded.at("discarded"), true);
  EXPECT_TRUE(discarded.at("issued").is_null());
}

TEST_F(AuthorityCommandsTest, CrlInPemDerAndAsARecord) {
  authorities_.crl.set_crl(SomeCrl());
  authorities_.crl.set_crl_number(5);
  authorities_.crl.mutable_next_update()->set_seconds(1'795'392'000);
  authorities_.crl.set_revoked(2);
  const ProgramResult printed = Run({"ca", "crl"});
  EXPECT_EQ(printed.exit_status, 0) << printed.err;
  EXPECT_EQ(printed.out, EncodePem("X509 CRL", SomeCrl()));
  EXPECT_EQ(authorities_.crl_of, 0);
  EXPECT_EQ(Run({"ca", "crl", "2", "--der"}).out, SomeCrl());
  EXPECT_EQ(authorities_.crl_of, 2);
  const std::string out = PathOf("phones.crl");
  EXPECT_EQ(Run({"ca", "crl", "--der", "--out", out}).out,
            "CRL 5 of CN=Phones written to " + out + ": 2 revoked, next update 2026-11-23T00:00:00Z\n");
  EXPECT_EQ(ReadFile(out), SomeCrl());
  const boost::json::value json = boost::json::parse(Run({"ca", "crl", "--output", "json"}).out);
  EXPECT_EQ(json.at("crl_number"), 5);
  EXPECT_EQ(json.at("next_update"), "2026-11-23T00:00:00.000Z");
  EXPECT_EQ(Run({"ca", "crl", "--der", "--output", "json"}).exit_status, 2);
  authorities_.crl.set_crl("nonsense");
  EXPECT_THAT(Run({"ca", "crl"}).err, HasSubstr("not a CRL"));
}

TEST_F(AuthorityCommandsTest, AuditEndsWithOneOnAnyFinding) {
  const ProgramResult clean = Run({"ca", "audit", "--since", "2026-11-22T00:00:00Z"});
  EXPECT_EQ(clean.exit_status, 0) << clean.err;
  EXPECT_EQ(issuance_.audited.since().seconds(), 1'795'305'600);
  issuance_.findings = {"5b7a90c1 was altered\x1b[2J"};
  const ProgramResult findings = Run({"ca", "audit"});
  EXPECT_EQ(findings.exit_status, 1);
  EXPECT_FALSE(issuance_.audited.has_since());
  EXPECT_THAT(findings.out, HasSubstr("5b7a90c1 was altered\\x1b[2J\n"));
  const boost::json::value json = boost::json::parse(Run({"ca", "audit", "--output", "json"}).out);
  EXPECT_EQ(json.at("clean"), false);
  EXPECT_EQ(json.at("certificates_checked"), 2);
  issuance_.findings.clear();
  issuance_.findings_left_out = 1;
  EXPECT_EQ(Run({"ca", "audit"}).exit_status, 1);
  issuance_.findings_left_out = 0;
  issuance_.audit_ends_early = true;
  const ProgramResult early = Run({"ca", "audit"});
  EXPECT_EQ(early.exit_status, 1);
  EXPECT_THAT(early.err, HasSubstr("without a result"));
}

TEST_F(AuthorityCommandsTest, ClientAuthorities) {
  const ProgramResult added = Run(
      {"ca", "client-authority", "add", "--purpose", "manufacturing", Vector("capf.pem"), Vector("callmanager.pem")});
  EXPECT_EQ(added.exit_status, 0) << added.err;
  EXPECT_THAT(added.out, StartsWith("added 1 certificate for manufacturing; 1 certificate there already\n"));
  ASSERT_EQ(authorities_.clients.size(), 2u);
  EXPECT_EQ(authorities_.clients[0].purpose(), v1::CLIENT_AUTHORITY_PURPOSE_MANUFACTURING);
  EXPECT_EQ(authorities_.clients[1].certificate(), DerOf(VectorCertificate("callmanager.pem")));

  authorities_.clients.clear();
  authorities_.refused_client = DerOf(VectorCertificate("callmanager.pem"));
  const ProgramResult refused = Run(
      {"ca", "client-authority", "add", "--purpose", "small-business", Vector("capf.pem"), Vector("callmanager.pem")});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("1 certificate added before, then "), HasSubstr("callmanager.pem"),
                                 HasSubstr("it is no authority")));

  EXPECT_THAT(Run({"ca", "client-authority", "list", "--output", "csv"}).out, HasSubstr("small-business,"));
  EXPECT_THAT(Run({"ca", "client-authority", "remove", "--purpose", "manufacturing", "8BE1:F04D"}).out,
              AllOf(StartsWith("removed "), HasSubstr("CN=client\\x1b[2J for manufacturing\n")));
  EXPECT_EQ(authorities_.removed_client.fingerprint_prefix(), "8be1f04d");
}

TEST_F(AuthorityCommandsTest, BlockKeysSendsBatches) {
  std::string text = "# weak keys\r\n\n";
  for (int i = 0; i < 10'001; ++i) {
    std::string hash(32, '\xab');
    hash[0] = static_cast<char>(i);
    hash[1] = static_cast<char>(i >> 8);
    text += absl::BytesToHexString(hash) + "  # one\r\n";
  }
  const ProgramResult result =
      Run({"ca", "block-keys", directory_.WriteFile("keys.txt", text), "--source", "advisory"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "10001 of 10001 keys are newly blocked; 1000000 are blocked in all\n");
  ASSERT_EQ(authorities_.blocked.size(), 2u);
  EXPECT_EQ(authorities_.blocked[0].public_key_sha256_size(), 10'000);
  EXPECT_EQ(authorities_.blocked[1].public_key_sha256_size(), 1);
  EXPECT_EQ(authorities_.blocked[1].source(), "advisory");
  EXPECT_EQ(authorities_.blocked[1].public_key_sha256(0).size(), 32u);

  EXPECT_EQ(Run({"ca", "block-keys", Vector("tvs.pem"), "--source", "leaked"}).out,
            "1 of 1 keys are newly blocked; 1000000 are blocked in all\n");
  ASSERT_EQ(authorities_.blocked.size(), 3u);
  EXPECT_EQ(authorities_.blocked[2].public_key_sha256(0), AsText(VectorCertificate("tvs.pem").public_key_sha256()));

  const std::string bad = directory_.WriteFile("bad.txt", text + "abcd\n");
  const ProgramResult refused = Run({"ca", "block-keys", bad, "--source", "advisory"});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr(bad + ":10004: 'abcd'"), HasSubstr("nothing was sent")));
  EXPECT_EQ(authorities_.blocked.size(), 3u);
}

}  // namespace
}  // namespace trustline
