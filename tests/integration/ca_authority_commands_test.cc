// trustctl ca on a real site: rollover, an enterprise's root, and the authorities that made the phones.
#include "common/x509/certificate.h"
#include "tests/integration/ca_commands_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(CaCommandsTest, TheActiveAuthorityIsShown) {
  const boost::json::value shown = DoJson({"ca", "show"});
  EXPECT_EQ(Text(shown, "state"), "active");
  EXPECT_TRUE(shown.at("key_is_here").as_bool());
  const std::string file = WriteFile("20.pem", Do({"ca", "show", "--pem"}));
  EXPECT_THAT(Shell("openssl x509 -in " + file + " -noout -ext basicConstraints,keyUsage"),
              AllOf(HasSubstr("CA:TRUE, pathlen:0"), HasSubstr("Certificate Sign, CRL Sign")));
  EXPECT_EQ(Do({"ca", "show", IdOf(shown), "--pem"}), ReadTestFile(file));
  EXPECT_THAT(Do({"ca", "list"}), AllOf(StartsWith("ID"), HasSubstr(Text(shown, "subject"))));
  EXPECT_THAT(Do({"ca", "list", "--output", "csv"}),
              AllOf(StartsWith("authority_id,state,subject,public_key,not_after,crl_number,"),
                    HasSubstr(Text(shown, "sha256"))));
  EXPECT_THAT(Refused({"ca", "show", "4711"}), HasSubstr("there is no authority 4711 in this cluster"));
  EXPECT_THAT(Misused({"ca", "show", "first"}), HasSubstr("'first'"));
}

TEST_F(CaCommandsTest, AuthoritiesRollOver) {
  const auto state = [](const std::string& id) { return Text(DoJson({"ca", "show", id}), "state"); };
  EXPECT_THAT(Misused({"ca", "rollover", "prepare", "--days", "3"}), HasSubstr("365 to 10950"));
  EXPECT_THAT(Misused({"ca", "rollover", "prepare", "--key", "rsa:1024"}), HasSubstr("rsa:2048"));
  EXPECT_THAT(Refused({"ca", "rollover", "activate", "4711"}), HasSubstr("there is no authority 4711"));

  const std::string first = IdOf(DoJson({"ca", "rollover", "prepare", "--key", "ec:secp384r1", "--subject",
                                         "CN=Rollover 21 first,O=Example", "--days", "3650"}));
  EXPECT_EQ(state(first), "prepared");
  EXPECT_THAT(Do({"trust", "list"}), HasSubstr("CN=Rollover 21 first,O=Example"));
  const std::string before = IdOf(DoJson({"ca", "show"}));
  EXPECT_THAT(Do({"ca", "rollover", "activate", first}),
              AllOf(HasSubstr("issues from now on"), HasSubstr("authority " + before + " is tainted")));
  EXPECT_EQ(state(first), "active");
  EXPECT_EQ(state(before), "tainted");
  EXPECT_THAT(Refused({"ca", "rollover", "activate", first}), HasSubstr("a prepared or tainted one can be activated"));
  EXPECT_THAT(Refused({"ca", "rollover", "retire", first}), HasSubstr("is the one that issues"));

  const std::string phone = AddWithCertificate("SEP0000000021A1");
  const std::string serial = SerialOf("SEP0000000021A1");
  EXPECT_EQ(IdOf(DoJson({"lsc", "show", serial})), first);
  const std::string second =
      IdOf(DoJson({"ca", "rollover", "prepare", "--subject", "CN=Rollover 21 second,O=Example"}));
  Do({"ca", "rollover", "activate", second});
  EXPECT_THAT(Do({"ca", "rollover", "taint", first}), HasSubstr("issues no more"));

  // Not while a phone chains to it, also one that was renewed.
  const std::string needed =
      "is still needed: good certificates of devices in service that chain to it: 1 "
      "(SEP0000000021A1); renew these devices";
  EXPECT_THAT(Refused({"ca", "rollover", "retire", first}), HasSubstr("authority " + first + " " + needed));
  const std::string renewed = Path("21.renewed.pem");
  Do({"lsc", "enroll", "SEP0000000021A1", "--csr", Path("SEP0000000021A1.csr"), "--renew", "--out", renewed});
  EXPECT_EQ(IdOf(DoJson({"lsc", "show", "SEP0000000021A1"})), second);
  EXPECT_THAT(Refused({"ca", "rollover", "retire", first}), HasSubstr(needed));
  EXPECT_EQ(state(first), "tainted");
  Do({"lsc", "revoke", serial, "--reason", "superseded"});
  EXPECT_THAT(Do({"ca", "rollover", "retire", first}), HasSubstr("is retired and out of the trust store"));
  EXPECT_EQ(state(first), "retired");
  EXPECT_THAT(Do({"trust", "list"}), Not(HasSubstr("CN=Rollover 21 first")));
  WaitUntil(absl::Now() + absl::Seconds(5), [&] { return Verdict(phone) != "valid" && Verdict(renewed) == "valid"; });
  EXPECT_THAT(Refused({"ca", "rollover", "activate", first}), HasSubstr("is retired"));

  // One that never issued.
  const std::string third = IdOf(DoJson({"ca", "rollover", "prepare"}));
  Do({"ca", "rollover", "taint", third});
  Do({"ca", "rollover", "retire", third});
  EXPECT_EQ(state(third), "retired");
  EXPECT_EQ(IdOf(DoJson({"ca", "show"})), second);
}

TEST_F(CaCommandsTest, AnEnterprisesRootInstead) {
  const std::string request = Path("22.csr");
  EXPECT_THAT(Do({"ca", "csr", "--subject", "CN=Phones 22,O=Example", "--out", request}),
              AllOf(HasSubstr("(CN=Phones 22,O=Example) waits for its certificate"), HasSubstr(request)));
  EXPECT_THAT(Refused({"ca", "csr", "--out", request}), HasSubstr("exists already"));
  EXPECT_THAT(Refused({"ca", "csr", "--subject", "O=Example"}), HasSubstr("has no CN"));
  EXPECT_THAT(Shell("openssl req -in " + request + " -noout -verify -subject"), HasSubstr("CN = Phones 22"));
  const ProgramResult printed = system_->Trustctl({"ca", "csr", "--key", "ec:secp384r1"});
  EXPECT_EQ(printed.exit_status, 0);
  EXPECT_THAT(printed.out, EndsWith("-----END CERTIFICATE REQUEST-----\n"));
  EXPECT_THAT(printed.err, HasSubstr("waits for its certificate"));

  const std::string root = MakeRoot("22.root", "/CN=Enterprise 22/O=Example");
  const std::string answer = Answer("22.answer", request, "22.root");
  const std::string id = IdOf(DoJson({"ca", "import-chain", root, answer}));
  Do({"ca", "rollover", "activate", id});
  const boost::json::value shown = DoJson({"ca", "show"});
  EXPECT_EQ(IdOf(shown), id);
  EXPECT_EQ(Text(shown, "issuer"), "CN=Enterprise 22,O=Example");
  EXPECT_THAT(Texts(shown.at("chain"), "chain_subject"), ElementsAre("CN=Enterprise 22,O=Example"));

  const std::string phone = AddWithCertificate("SEP0000000022A1");
  Shell(fmt::format("openssl verify -x509_strict -CAfile {} -untrusted {} {}", root, answer, phone));
  EXPECT_EQ(ReadTestFile(phone), Do({"lsc", "show", "SEP0000000022A1", "--pem"}) + Do({"ca", "show", "--pem"}));
  WaitUntil(absl::Now() + absl::Seconds(5), [&] { return Verdict(phone) == "valid"; });
  EXPECT_THAT(Refused({"ca", "import-chain", root, answer}), HasSubstr("has its certificate already"));
}

TEST_F(CaCommandsTest, AuthoritiesOfManufacturersAreNamedForAPurpose) {
  const std::string root = MakeRoot("23.root", "/CN=Manufacturer 23/O=Example");
  ASSERT_OK_AND_ASSIGN(const Certificate certificate, Certificate::FromPem(ReadTestFile(root)));
  const std::string fingerprint = ToHex(certificate.sha256());
  const std::vector<std::string> add = {"ca", "client-authority", "add", "--purpose", "manufacturing", root};
  EXPECT_THAT(Do(add), StartsWith("added 1 certificate for manufacturing\n"));
  EXPECT_THAT(Do(add), StartsWith("added 0 certificates for manufacturing; 1 certificate there already\n"));
  EXPECT_EQ(DoJson({"ca", "client-authority", "add", "--purpose", "small-business", root}).at("added").as_int64(), 1);
  EXPECT_THAT(Misused({"ca", "client-authority", "add", root}), HasSubstr("--purpose is required"));
  const std::string phone = AddWithCertificate("SEP0000000023A1");
  EXPECT_THAT(Refused({"ca", "client-authority", "add", "--purpose", "manufacturing", phone}),
              HasSubstr("CN=SEP0000000023A1"));

  const auto purposes = [&fingerprint] {
    std::vector<std::string> found;
    const boost::json::value all = DoJson({"ca", "client-authority", "list"});
    for (const boost::json::value& authority : all.as_array()) {
      if (Text(authority, "sha256") == fingerprint) found.push_back(Text(authority, "purpose"));
    }
    return found;
  };
  EXPECT_THAT(purposes(), ElementsAre("manufacturing", "small-business"));
  EXPECT_THAT(Do({"ca", "client-authority", "list"}), HasSubstr("CN=Manufacturer 23,O=Example"));
  const std::vector<std::string> remove = {"ca",        "client-authority", "remove",
                                           "--purpose", "manufacturing",    fingerprint.substr(0, 16)};
  EXPECT_THAT(Do(remove), StartsWith("removed " + fingerprint.substr(0, 16)));
  EXPECT_THAT(purposes(), ElementsAre("small-business"));
  EXPECT_THAT(Refused(remove), HasSubstr("no manufacturing authority begins with"));
  EXPECT_THAT(Misused({"ca", "client-authority", "remove", "--purpose", "manufacturing", "abc"}),
              HasSubstr("4 to 64 hexadecimal digits"));
}

}  // namespace
}  // namespace trustline
