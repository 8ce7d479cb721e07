#include "cli/phone/tvs_phone.h"

#include <fstream>
#include <sstream>

#include "cli/phone/scripted_tvs.h"
#include "tests/support/status_matchers.h"
#include "tests/support/wire_vector.h"

namespace trustline {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint32_t kSessionOfVerifyVectors = 1;

Certificate ReadVectorCertificate(const std::string& name) {
  std::ifstream file(TRUSTLINE_SOURCE_DIR "/tests/vectors/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return *Certificate::FromPem(text.str());
}

// Answers the recorded request with the recorded answer, and closes on anything else.
ScriptedTvs::Script Recorded(const WireExchange& exchange) {
  return [exchange](const std::string& request) {
    return request == exchange.from_phone ? exchange.from_server : std::string();
  };
}

TEST(TvsPhoneTest, VerifiesAsTheRecordedPhoneDid) {
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-callmanager.hex"));
  const ScriptedTvs tvs(Recorded(exchange));
  TvsPhone phone(tvs.endpoint(), {.session_id = kSessionOfVerifyVectors});
  ASSERT_OK_AND_ASSIGN(const TvsAnswer answer, phone.Verify(ReadVectorCertificate("callmanager.pem").der()));
  EXPECT_TRUE(answer.valid);
  EXPECT_THAT(answer.roles, ElementsAre(CertificateRole::kSast, CertificateRole::kCcmTftp));
  EXPECT_EQ(answer.ttl_seconds, 3600u);
  EXPECT_EQ(answer.server_certificate, GetTestIdentity().certificate_der);
  EXPECT_EQ(answer.tls_version, TlsVersion::kTls13);
  EXPECT_GT(answer.elapsed.count(), 0);
}

TEST(TvsPhoneTest, AnInvalidVerdictHasNothingElse) {
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-capf.hex"));
  const ScriptedTvs tvs(Recorded(exchange));
  TvsPhone phone(tvs.endpoint(), {.session_id = kSessionOfVerifyVectors});
  ASSERT_OK_AND_ASSIGN(const TvsAnswer answer, phone.Verify(ReadVectorCertificate("capf.pem").der()));
  EXPECT_FALSE(answer.valid);
  EXPECT_TRUE(answer.roles.empty());
}

TEST(TvsPhoneTest, QueriesByNamesAndSerialNumber) {
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-query-callmanager.hex"));
  const ScriptedTvs tvs(Recorded(exchange));
  TvsPhone phone(tvs.endpoint(), {});
  const Certificate certificate = ReadVectorCertificate("callmanager.pem");
  EXPECT_EQ(PhoneNameText(certificate.subject()), "CN=cucm-pub.example;O=Example;OU=Voice");
  ASSERT_OK_AND_ASSIGN(const TvsAnswer answer, phone.Query(PhoneNameText(certificate.subject()),
                                                           PhoneNameText(certificate.issuer()), certificate.serial()));
  EXPECT_TRUE(answer.valid);
  EXPECT_EQ(answer.certificate, AsText(certificate.der()));
}

TEST(TvsPhoneTest, RefusesTheCertificateOfAnotherSigner) {
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-query-callmanager.hex"));
  const ScriptedTvs tvs([&](const std::string&) { return exchange.from_server; });
  TvsPhone phone(tvs.endpoint(), {});
  const std::string serial = "\x01\x02";
  EXPECT_THAT(phone.Query("CN=a", "CN=cucm-pub.example;O=Example;OU=Voice", AsBytes(serial)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("another issuer or serial")));
  EXPECT_THAT(phone.Query("CN=a", "CN=other", ReadVectorCertificate("callmanager.pem").serial()),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST(TvsPhoneTest, SendsOneByteAtATimeWhenTold) {
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-query-unknown.hex"));
  const ScriptedTvs tvs(Recorded(exchange));
  TvsPhone phone(tvs.endpoint(), {.one_byte_at_a_time = true});
  const std::string serial = "\x01";
  ASSERT_OK_AND_ASSIGN(const TvsAnswer answer, phone.Query("CN=nobody", "CN=nobody", AsBytes(serial)));
  EXPECT_FALSE(answer.valid);
  EXPECT_THAT(tvs.requests(), ElementsAre(exchange.from_phone));
  EXPECT_THAT(tvs.pieces(), SizeIs(exchange.from_phone.size()));
  EXPECT_THAT(tvs.pieces(), Each(1u));
}

TEST(TvsPhoneTest, ResumesTheSessionOfTheQuestionBefore) {
  const ScriptedTvs tvs([](const std::string&) { return EncodeTvsVerifyResponse(1001, {}); });
  for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
    TvsPhone phone(tvs.endpoint(), {.resume_sessions = true, .tls = {.min_version = version, .max_version = version}});
    ASSERT_OK_AND_ASSIGN(const TvsAnswer first, phone.Verify(AsBytes("x")));
    ASSERT_OK_AND_ASSIGN(const TvsAnswer second, phone.Verify(AsBytes("x")));
    EXPECT_FALSE(first.resumed);
    EXPECT_TRUE(second.resumed);
    EXPECT_EQ(second.tls_version, version);
  }
}

TEST(TvsPhoneTest, AClosedConnectionIsNoAnswer) {
  const ScriptedTvs tvs([](const std::string&) { return std::string(); });
  TvsPhone phone(tvs.endpoint(), {});
  EXPECT_THAT(phone.Verify(AsBytes("x")), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("gave no answer")));
}

TEST(TvsPhoneTest, RefusesAnswersThatAPhoneWouldNotUnderstand) {
  const std::vector<std::string> answers = {
      EncodeTvsVerifyResponse(1002, {}),  // another session id
      *EncodeTvsQueryResponse(1001, {}),  // to another question
      std::string("HTTP/1.1 400 Bad Request"),
      std::string("\x57\x01\x02\x00\x00\x00\x03\xe9\x00\x01\x07", 11),  // half an element
  };
  for (const std::string& bytes : answers) {
    const ScriptedTvs tvs([&](const std::string&) { return bytes; });
    TvsPhone phone(tvs.endpoint(), {});
    EXPECT_THAT(phone.Verify(AsBytes("x")), StatusIs(absl::StatusCode::kDataLoss)) << ToHex(AsBytes(bytes));
  }
}

TEST(TvsPhoneTest, AcceptsThePinnedCertificateOnly) {
  const ScriptedTvs tvs([](const std::string&) { return EncodeTvsVerifyResponse(1001, {}); });
  TvsPhoneOptions options;
  options.tls.expected_certificate = Sha256(AsBytes(GetTestIdentity().certificate_der));
  EXPECT_OK(TvsPhone(tvs.endpoint(), options).Verify(AsBytes("x")));
  options.tls.expected_certificate = Sha256(AsBytes("another"));
  EXPECT_THAT(TvsPhone(tvs.endpoint(), options).Verify(AsBytes("x")), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST(EndpointTest, ReadsHostsWithAndWithoutPort) {
  const auto text = [](std::string_view endpoint) -> std::string {
    const absl::StatusOr<Endpoint> parsed = ParseEndpoint(endpoint, kTvsPort);
    return parsed.ok() ? parsed->host + " " + std::to_string(parsed->port) : "refused";
  };
  EXPECT_EQ(text("tvs.example"), "tvs.example 2445");
  EXPECT_EQ(text("192.0.2.1:12445"), "192.0.2.1 12445");
  EXPECT_EQ(text("2001:db8::1"), "2001:db8::1 2445");
  EXPECT_EQ(text("[2001:db8::1]"), "2001:db8::1 2445");
  EXPECT_EQ(text("[2001:db8::1]:1"), "2001:db8::1 1");
  for (const std::string_view bad : {"", ":2445", "host:", "host:0", "host:65536", "host:2445x", "[::1", "[::1]2445"}) {
    EXPECT_EQ(text(bad), "refused") << bad;
  }
}

}  // namespace
}  // namespace trustline
