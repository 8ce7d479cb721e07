// trustctl device, lsc and ca on a real site; OpenSSL and GnuTLS make the requests and judge the answers.
#include <filesystem>
#include <set>

#include "absl/strings/ascii.h"
#include "common/bytes/bytes.h"
#include "common/net/http_client.h"
#include "tests/integration/ca_commands_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST_F(CaCommandsTest, DevicesAreAddedListedShownAndChanged) {
  EXPECT_EQ(Do({"device", "add", "sep0000000010a1", "--model", "8841", "--protocol", "SIP", "--site", "Berlin 10",
                "--owner", "anna"}),
            "added SEP0000000010A1\n");
  EXPECT_EQ(Do({"device", "add", "ATA0000000010A2", "--model", "ATA 191", "--site", "Berlin 10"}),
            "added ATA0000000010A2\n");
  EXPECT_EQ(Do({"device", "add", "csfanna10", "--model", "8841", "--site", "Bonn 10"}), "added CSFANNA10\n");
  EXPECT_THAT(Refused({"device", "add", "SEP0000000010A1"}), HasSubstr("is there already, in service"));
  EXPECT_THAT(Misused({"device", "add", "PHONE1"}), HasSubstr("\"PHONE1\" is not a device name"));

  const auto names = [](const std::vector<std::string>& filter) {
    std::vector<std::string> arguments = {"device", "list"};
    arguments.insert(arguments.end(), filter.begin(), filter.end());
    return Texts(DoJson(arguments), "name");
  };
  EXPECT_THAT(names({"--site", "Berlin 10"}), ElementsAre("ATA0000000010A2", "SEP0000000010A1"));
  EXPECT_THAT(names({"--name", "sep0000000010"}), ElementsAre("SEP0000000010A1"));
  EXPECT_THAT(names({"--name", "CSFANNA", "--model", "8841"}), ElementsAre("CSFANNA10"));
  EXPECT_THAT(names({"--site", "Bonn 10", "--state", "retired"}), SizeIs(0));
  EXPECT_THAT(Misused({"device", "list", "--state", "gone"}), HasSubstr("in-service, replaced, retired"));
  EXPECT_THAT(Do({"device", "list", "--name", "SEP0000000010", "--output", "csv"}),
              StartsWith("name,model,protocol,load,site,owner,state,description,state_reason,replaced_by,added_by,"
                         "added_at,changed_at\r\nSEP0000000010A1,8841,SIP,,Berlin 10,anna,in-service,,,,"
                         "trustline:default/person/admin,"));
  EXPECT_THAT(Do({"device", "list", "--site", "Bonn 10"}), AllOf(StartsWith("NAME"), HasSubstr("CSFANNA10")));
  EXPECT_EQ(Do({"device", "list", "--site", "Nowhere 10"}), "(no devices)\n");

  const std::vector<std::string> set = {"device", "set", "sep0000000010a1", "--site", "Köln 10", "--owner", ""};
  EXPECT_EQ(Do(set), "changed SEP0000000010A1\n");
  EXPECT_EQ(Do(set), "SEP0000000010A1: nothing changed\n");
  EXPECT_THAT(Misused({"device", "set", "SEP0000000010A1"}), HasSubstr("nothing to change"));
  EXPECT_THAT(Refused({"device", "set", "SEP0000000010FF", "--site", "x"}),
              HasSubstr("there is no device SEP0000000010FF in the cluster default"));
  const boost::json::value shown = DoJson({"device", "show", "SEP0000000010A1"});
  EXPECT_EQ(Text(shown, "model"), "8841");
  EXPECT_EQ(Text(shown, "site"), "Köln 10");
  EXPECT_EQ(Text(shown, "owner"), "");
  EXPECT_TRUE(shown.at("certificates").as_array().empty());
}

TEST_F(CaCommandsTest, APhoneExportIsImportedWholeOrWithoutItsBadLines) {
  const std::string phones = WriteFile("phones.csv",
                                       "Device Name,Device Type,Device Protocol,Active Load,Location,Owner User ID,"
                                       "Extra\nSEP0000000011A1,Cisco 8841,SIP,sip88xx.14,Berlin,anna,x\n"
                                       "sep0000000011a2,Cisco 7962,SCCP,scp,\"Hamburg, Hafen\",bert,y\n"
                                       "ATA0000000011A3,ATA 191,SIP,,Berlin,,z\n");
  const ProgramResult imported = system_->Trustctl({"device", "import", phones});
  EXPECT_EQ(imported.exit_status, 0);
  EXPECT_EQ(imported.out, "3 devices imported: 3 added, 0 changed, 0 unchanged\n");
  EXPECT_EQ(imported.err, "trustctl: note: 1 column passed over: Extra\n");
  EXPECT_EQ(DoJson({"device", "import", phones}).at("unchanged").as_int64(), 3);
  EXPECT_EQ(Text(DoJson({"device", "show", "SEP0000000011A2"}), "site"), "Hamburg, Hafen");

  const std::string bad = WriteFile("bad.csv",
                                    "Name;Model\nSEP0000000011B1;8841\nSEPXYZ;8841\nSEP0000000011B1;8841\n"
                                    "SEP0000000011B2;8851;more\n");
  const ProgramResult refused = system_->Trustctl({"device", "import", bad});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr(bad + ":3: \"SEPXYZ\" is not a device name"),
                                 HasSubstr(bad + ":4: SEP0000000011B1 stands in line 2 already\n"),
                                 HasSubstr(bad + ":5: 3 fields, but the first line names 2 columns\n"),
                                 HasSubstr("3 bad lines, nothing was imported")));
  EXPECT_EQ(Do({"device", "list", "--name", "SEP0000000011B"}), "(no devices)\n");
  EXPECT_EQ(Do({"device", "import", bad, "--skip-bad"}),
            "1 device imported: 1 added, 0 changed, 0 unchanged; 3 bad lines passed over\n");
  Do({"device", "show", "SEP0000000011B1"});

  EXPECT_THAT(Refused({"device", "import", WriteFile("columns.csv", "Nombre;Model\nSEP0000000011C1;8841\n")}),
              HasSubstr("no column is called"));
  EXPECT_THAT(Refused({"device", "import", Path("nowhere.csv")}), HasSubstr("nowhere.csv: No such file"));
}

TEST_F(CaCommandsTest, ListsGoOnOverTheirPages) {
  std::string phones = "Name,Site\n";
  for (int i = 0; i < 1200; ++i) phones += fmt::format("SEP00000012{:04X},Pages\n", i);
  EXPECT_EQ(Do({"device", "import", WriteFile("many.csv", phones)}),
            "1200 devices imported: 1200 added, 0 changed, 0 unchanged\n");
  const std::vector<std::string> devices = Texts(DoJson({"device", "list", "--site", "Pages"}), "name");
  EXPECT_EQ(std::set<std::string>(devices.begin(), devices.end()).size(), 1200u);
  EXPECT_TRUE(std::ranges::is_sorted(devices));

  // As many requests that were given up, in each of the list's orders.
  AddWithCertificate("SEP0000000012A1");
  ASSERT_OK_AND_ASSIGN(Connection superuser, Superuser());
  ASSERT_OK(superuser
                .Execute("INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, "
                         "public_key, public_key_sha256, public_key_info, not_before, not_after, crl_url, "
                         "to_be_signed, requested_by, abandoned_at) SELECT cluster_id, authority_id, 'SEP00000013' || "
                         "upper(lpad(to_hex(n), 4, '0')), '', 'abandoned', "
                         "decode('aaaa' || lpad(to_hex(n), 28, '0'), 'hex'), subject, public_key, public_key_sha256, "
                         "public_key_info, not_before, not_after, crl_url, to_be_signed, requested_by, now() "
                         "FROM issuance, generate_series(1, 1100) n "
                         "WHERE device = 'SEP0000000012A1'")
                .status());
  const std::vector<std::vector<std::string>> filters = {{"--serial", "aaaa"},
                                                         {"--device", "SEP00000013"},
                                                         {"--subject", "CN=SEP0000000012A1"},
                                                         {"--expires-after", "1d"}};
  for (const std::vector<std::string>& filter : filters) {
    std::vector<std::string> arguments = {"lsc", "list", "--state", "abandoned"};
    arguments.insert(arguments.end(), filter.begin(), filter.end());
    const std::vector<std::string> serials = Texts(DoJson(arguments), "serial");
    EXPECT_THAT(serials, SizeIs(1100)) << filter[0];
    EXPECT_EQ(std::set<std::string>(serials.begin(), serials.end()).size(), 1100u) << filter[0];
    arguments.insert(arguments.end(), {std::string("--limit"), std::string("600")});
    EXPECT_EQ(DoJson(arguments).as_array().size(), 600u) << filter[0];
  }
  ASSERT_OK(superuser.Execute("DELETE FROM issuance WHERE device LIKE 'SEP00000013%'").status());
}

TEST_F(CaCommandsTest, DevicesAreReplacedRetiredAndRemoved) {
  const std::string replaced = AddWithCertificate("SEP0000000014A1");
  Do({"device", "set", "SEP0000000014A1", "--site", "Kiel 14"});
  EXPECT_EQ(Do({"device", "replace", "SEP0000000014A1", "sep0000000014a2"}),
            "SEP0000000014A2 takes the place of SEP0000000014A1; 1 certificate of SEP0000000014A1 revoked\n");
  const boost::json::value old = DoJson({"device", "show", "SEP0000000014A1"});
  EXPECT_EQ(Text(old, "state"), "replaced");
  EXPECT_EQ(Text(old, "replaced_by"), "SEP0000000014A2");
  EXPECT_THAT(Texts(old.at("certificates"), "certificate_state"), ElementsAre("revoked"));
  EXPECT_EQ(Text(DoJson({"device", "show", "SEP0000000014A2"}), "site"), "Kiel 14");
  EXPECT_THAT(Texts(DoJson({"device", "list", "--state", "replaced"}), "name"), Contains("SEP0000000014A1"));
  EXPECT_THAT(Refused({"device", "replace", "SEP0000000014A2", "SEP0000000014A2"}), HasSubstr("cannot replace itself"));

  const std::string retired = AddWithCertificate("SEP0000000014A3");
  EXPECT_THAT(Refused({"device", "remove", "SEP0000000014A3"}), HasSubstr("has certificates that are still good (1)"));
  EXPECT_THAT(Misused({"device", "retire", "SEP0000000014A3"}), HasSubstr("--reason is required"));
  EXPECT_EQ(Do({"device", "retire", "SEP0000000014A3", "--reason", "stolen, ticket 4711"}),
            "retired SEP0000000014A3; 1 certificate revoked\n");
  const absl::Time deadline = absl::Now() + absl::Seconds(5);
  WaitUntil(deadline, [&] { return Verdict(replaced) == "revoked" && Verdict(retired) == "revoked"; });
  EXPECT_THAT(Refused({"device", "retire", "SEP0000000014A3", "--reason", "again"}),
              AllOf(HasSubstr("is out of service"), HasSubstr("stolen, ticket 4711")));
  EXPECT_THAT(Refused({"device", "retire", "SEP0000000014FF", "--reason", "x"}), HasSubstr("there is no device"));

  EXPECT_EQ(Do({"device", "remove", "SEP0000000014A3"}),
            "removed SEP0000000014A3; the certificates that it was issued stay on record\n");
  EXPECT_THAT(Refused({"device", "show", "SEP0000000014A3"}), HasSubstr("there is no device SEP0000000014A3"));
  EXPECT_THAT(Refused({"device", "remove", "SEP0000000014A3"}), HasSubstr("there is no device SEP0000000014A3"));
  EXPECT_THAT(Texts(DoJson({"lsc", "list", "--device", "SEP0000000014A3"}), "state"), ElementsAre("revoked"));
}

TEST_F(CaCommandsTest, TheSameRequestGetsTheSameCertificate) {
  AddDevice("SEP0000000015A1");
  const std::string request = MakeRequest("15a1", "/CN=SEP0000000015A1", "rsa:2048");
  const std::string out = Path("15a1.pem");
  EXPECT_THAT(Do({"lsc", "enroll", "sep0000000015a1", "--csr", request, "--out", out}),
              AllOf(StartsWith("issued "), HasSubstr(" of SEP0000000015A1, good until 20"),
                    HasSubstr("certificate and chain written to " + out)));
  const std::string pem = ReadTestFile(out);
  const std::string authority = WriteFile("15.ca.pem", Do({"ca", "show", "--pem"}));
  for (const char* purpose : {"sslclient", "sslserver"}) {
    Shell(fmt::format("openssl verify -x509_strict -purpose {} -CAfile {} {}", purpose, authority, out));
  }
  Shell(fmt::format("certtool --verify --load-ca-certificate {} --infile {}", authority, out));

  Shell(fmt::format("openssl req -in {} -outform DER -out {}", request, Path("15a1.der")));
  const ProgramResult again = system_->Trustctl({"lsc", "enroll", "SEP0000000015A1", "--csr", Path("15a1.der")});
  EXPECT_EQ(again.exit_status, 0);
  EXPECT_EQ(again.out, pem);
  EXPECT_THAT(again.err, StartsWith("issued before: "));
  EXPECT_THAT(Refused({"lsc", "enroll", "SEP0000000015A1", "--csr", request, "--out", out}),
              HasSubstr("exists already"));
  Do({"lsc", "enroll", "SEP0000000015A1", "--csr", request, "--out", out, "--force"});
  EXPECT_EQ(ReadTestFile(out), pem);

  // Another key, when it is said to be meant; what the request asks for besides is not copied.
  const std::string other = MakeRequest("15a1.other", "/CN=SEP0000000015A1/O=Elsewhere",
                                        "ec -pkeyopt ec_paramgen_curve:secp384r1", "-addext subjectAltName=DNS:x.test");
  EXPECT_THAT(Refused({"lsc", "enroll", "SEP0000000015A1", "--csr", other}),
              HasSubstr("has a certificate for another key"));
  const std::vector<std::string> renew = {"lsc",    "enroll", "SEP0000000015A1", "--csr",    other, "--renew",
                                          "--days", "30",     "--request-id",    "ticket-15"};
  const boost::json::value renewed = DoJson(renew);
  EXPECT_FALSE(renewed.at("existed").as_bool());
  EXPECT_EQ(renewed.at("warnings").as_array().size(), 1u);
  EXPECT_EQ(Text(renewed, "subject"), Text(DoJson({"lsc", "show", "SEP0000000015A1"}), "subject"));
  EXPECT_THAT(Text(renewed, "subject"), Not(HasSubstr("Elsewhere")));
  const boost::json::value repeated = DoJson(renew);
  EXPECT_TRUE(repeated.at("existed").as_bool());
  EXPECT_EQ(Text(repeated, "pem"), Text(renewed, "pem"));
  EXPECT_EQ(DoJson({"lsc", "list", "--device", "SEP0000000015A1"}).as_array().size(), 2u);

  // Whom the subject does not name.
  AddDevice("SEP0000000015A2");
  const ProgramResult replaced = system_->Trustctl(
      {"lsc", "enroll", "SEP0000000015A2", "--csr", MakeRequest("15a2", "/CN=My phone"), "--out", Path("15a2.pem")});
  EXPECT_EQ(replaced.exit_status, 0) << replaced.err;
  EXPECT_EQ(replaced.err,
            "trustctl: warning: the subject asked for (CN=My phone) does not name the device: it was replaced by "
            "CN=SEP0000000015A2\n");
  for (const char* days : {"0", "1826"}) {
    EXPECT_THAT(Misused({"lsc", "enroll", "SEP0000000015A2", "--csr", request, "--days", days}), HasSubstr("1825"));
  }
}

TEST_F(CaCommandsTest, CertificatesAreListedShownAndExported) {
  AddDevice("SEP0000000016A1");
  const std::string first = Path("16a1.pem");
  Do({"lsc", "enroll", "SEP0000000016A1", "--csr", MakeRequest("16a1", "/CN=SEP0000000016A1"), "--days", "30", "--out",
      first});
  AddWithCertificate("SEP0000000016A2");
  AddWithCertificate("SEP0000000016A3");
  const std::string serials[] = {SerialOf("SEP0000000016A1"), SerialOf("SEP0000000016A2"), SerialOf("SEP0000000016A3")};
  Do({"lsc", "revoke", serials[2], "--reason", "superseded"});

  const auto listed = [](const std::vector<std::string>& filter) {
    std::vector<std::string> arguments = {"lsc", "list", "--device", "sep0000000016"};
    arguments.insert(arguments.end(), filter.begin(), filter.end());
    return Texts(DoJson(arguments), "serial");
  };
  EXPECT_THAT(listed({}), ElementsAre(serials[0], serials[1], serials[2]));
  EXPECT_THAT(listed({"--limit", "2"}), ElementsAre(serials[0], serials[1]));
  EXPECT_THAT(listed({"--subject", "CN=SEP0000000016A2"}), ElementsAre(serials[1]));
  EXPECT_THAT(listed({"--serial", serials[1].substr(0, 8)}), ElementsAre(serials[1]));
  EXPECT_THAT(listed({"--expires-before", "60d"}), ElementsAre(serials[0]));
  EXPECT_THAT(listed({"--expires-after", "60d"}), ElementsAre(serials[1], serials[2]));
  EXPECT_THAT(listed({"--state", "revoked"}), ElementsAre(serials[2]));
  EXPECT_THAT(listed({"--authority", "4711"}), SizeIs(0));
  const boost::json::value shown = DoJson({"lsc", "show", serials[0].substr(0, 12)});
  EXPECT_EQ(Text(shown, "device"), "SEP0000000016A1");
  EXPECT_EQ(Text(shown, "state"), "delivered");
  EXPECT_THAT(Do({"lsc", "confirm", serials[0]}), HasSubstr("SEP0000000016A1 is in use"));
  EXPECT_EQ(Text(DoJson({"lsc", "show", serials[0]}), "state"), "confirmed");
  EXPECT_THAT(Refused({"lsc", "confirm", serials[2]}), HasSubstr("revoked"));
  EXPECT_THAT(listed({"--key", Text(shown, "public_key_sha256").substr(0, 12)}), ElementsAre(serials[0]));
  EXPECT_THAT(listed({"--authority", std::to_string(shown.at("authority_id").as_int64())}), SizeIs(3));
  EXPECT_THAT(Do({"lsc", "list", "--device", "SEP0000000016"}), StartsWith("DEVICE"));
  EXPECT_THAT(Do({"lsc", "list", "--device", "SEP0000000016", "--output", "csv"}),
              AllOf(StartsWith("issuance_id,device,serial,subject,issuer,"), HasSubstr("," + serials[0] + ",")));
  EXPECT_EQ(Do({"lsc", "list", "--device", "SEP0000000016FF"}), "(no certificates)\n");

  EXPECT_THAT(ReadTestFile(first), StartsWith(Do({"lsc", "show", "sep0000000016a1", "--pem"})));
  EXPECT_THAT(Refused({"lsc", "show", "SEP0000000016FF"}), HasSubstr("SEP0000000016FF"));
  EXPECT_THAT(Misused({"lsc", "show", "12"}), HasSubstr("at least 4 hexadecimal digits"));

  const std::string out = Path("16.pem");
  const std::vector<std::string> good = {"lsc", "export", "--device", "sep0000000016", "--state", "delivered"};
  const std::string exported = Do(good);
  EXPECT_EQ(exported, Do({"lsc", "show", serials[1], "--pem"}));
  std::vector<std::string> to_file = good;
  to_file.insert(to_file.end(), {std::string("--out"), out});
  EXPECT_EQ(system_->Trustctl(to_file).err, "1 certificate written to " + out + "\n");
  EXPECT_EQ(ReadTestFile(out), exported);
  EXPECT_THAT(Refused(to_file), HasSubstr("exists already"));
  const ProgramResult none =
      system_->Trustctl({"lsc", "export", "--device", "SEP0000000016FF", "--out", Path("none.pem")});
  EXPECT_EQ(none.exit_status, 1);
  EXPECT_EQ(none.err, "no certificate fits: " + Path("none.pem") + " was not written\n");
  EXPECT_FALSE(std::filesystem::exists(Path("none.pem")));
  EXPECT_THAT(Misused({"lsc", "export", "--output", "json"}), HasSubstr("lsc export writes PEM only"));
}

// What is revoked reaches the phones' TVS and the CRL within 5 s.
TEST_F(CaCommandsTest, ARevocationReachesTheTvsAndTheCrl) {
  const std::string file = AddWithCertificate("SEP0000000017A1");
  const std::string kept = AddWithCertificate("SEP0000000017A2");
  WaitUntil(absl::Now() + absl::Seconds(5), [&] { return Verdict(file) == "valid" && Verdict(kept) == "valid"; });
  const boost::json::value authority = DoJson({"ca", "show"});
  const std::string url = Text(authority, "crl_url");
  const std::string crl_path = url.substr(url.find("/crl/"));
  const std::string serial = SerialOf("SEP0000000017A1");
  ASSERT_OK_AND_ASSIGN(const std::string serial_bytes, FromHex(serial));
  const int64_t number = DoJson({"ca", "crl"}).at("crl_number").as_int64();

  const std::vector<std::string> before = Issued();
  EXPECT_THAT(Refused({"lsc", "revoke", "1122334455667788"}),
              HasSubstr("no certificate of cluster default has the serial number 1122334455667788"));
  EXPECT_THAT(Misused({"lsc", "revoke", serial, "--reason", "boredom"}), HasSubstr("keyCompromise"));
  EXPECT_THAT(Misused({"lsc", "revoke", "xyz"}), HasSubstr("'xyz' is not a serial number"));
  EXPECT_EQ(Issued(), before);

  EXPECT_THAT(Do({"lsc", "revoke", serial, "--reason", "keycompromise"}),
              StartsWith("revoked " + serial + " of SEP0000000017A1 (keyCompromise); CRL and TVS follow"));
  const absl::Time deadline = absl::Now() + absl::Seconds(5);
  WaitUntil(deadline, [&] { return Verdict(file) == "revoked"; });
  WaitUntil(deadline, [&] {
    const auto served = HttpGet("127.0.0.1", system_->Port(9480), crl_path, std::chrono::seconds(5));
    EXPECT_OK(served);
    return served.ok() && served->status == 200 && served->body.find(serial_bytes) != std::string::npos;
  });
  EXPECT_EQ(Verdict(kept), "valid");
  EXPECT_THAT(Do({"lsc", "revoke", serial, "--reason", "superseded"}),
              AllOf(StartsWith(serial + " of SEP0000000017A1 is revoked since "),
                    HasSubstr(" (keyCompromise), nothing changed\n")));
  const boost::json::value shown = DoJson({"lsc", "show", serial});
  EXPECT_EQ(Text(shown, "state"), "revoked");
  EXPECT_EQ(Text(shown, "revocation_reason"), "keyCompromise");
  EXPECT_GT(shown.at("first_crl_number").as_int64(), number);

  // Outside judges on what `ca crl` prints.
  const std::string ca = WriteFile("17.ca.pem", Do({"ca", "show", "--pem"}));
  const std::string crl = WriteFile("17.crl.pem", Do({"ca", "crl"}));
  EXPECT_THAT(Shell(fmt::format("openssl crl -in {} -CAfile {} -noout -text", crl, ca)),
              AllOf(HasSubstr("verify OK"), HasSubstr("Serial Number: " + absl::AsciiStrToUpper(serial)),
                    HasSubstr("Key Compromise")));
  const std::string verify = fmt::format("openssl verify -x509_strict -crl_check -CAfile {} -CRLfile {} ", ca, crl);
  EXPECT_THAT(RunCommand(verify + file).output, HasSubstr("certificate revoked"));
  EXPECT_THAT(Shell(verify + kept), HasSubstr("OK"));
  EXPECT_THAT(Shell(fmt::format("certtool --verify-crl --load-ca-certificate {} --infile {}", ca, crl)),
              HasSubstr("Verified"));
  EXPECT_THAT(Do({"ca", "crl", "--der", "--out", Path("17.crl")}), HasSubstr("written to " + Path("17.crl")));
  EXPECT_EQ(Shell(fmt::format("openssl crl -inform DER -in {}", Path("17.crl"))), ReadTestFile(crl));
  EXPECT_THAT(Misused({"ca", "crl", "--der", "--output", "json"}), HasSubstr("--out"));
}

TEST_F(CaCommandsTest, KeysThatOthersHaveGetNoCertificate) {
  AddDevice("SEP0000000018A1");
  const std::string request = MakeRequest("18a1", "/CN=SEP0000000018A1");
  const std::string hash = Shell(fmt::format(
      "openssl req -in {} -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64", request));
  const std::string keys = WriteFile("keys.txt", "# leaked\n" + hash + "\n");
  EXPECT_THAT(Misused({"ca", "block-keys", keys}), HasSubstr("--source is required"));
  EXPECT_THAT(Refused({"ca", "block-keys", WriteFile("no-keys.txt", "abc\n"), "--source", "x"}),
              HasSubstr("no-keys.txt:1: 'abc' is not the SHA-256 of a key"));
  EXPECT_THAT(Do({"ca", "block-keys", keys, "--source", "advisory 18"}), StartsWith("1 of 1 keys are newly blocked; "));
  EXPECT_EQ(DoJson({"ca", "block-keys", keys, "--source", "advisory 18"}).at("added").as_int64(), 0);

  const std::vector<std::string> before = Issued();
  EXPECT_THAT(Refused({"lsc", "enroll", "SEP0000000018A1", "--csr", request}),
              HasSubstr("the key is blocked, because others may have its private key (source: advisory 18)"));
  EXPECT_EQ(Issued(), before);
  ExpectDenied("lsc.issue", "SEP0000000018A1", "the key is blocked");
}

TEST_F(CaCommandsTest, TheAuditFindsWhatWasChangedByHand) {
  AddWithCertificate("SEP0000000019A1");
  const std::string serial = SerialOf("SEP0000000019A1");
  EXPECT_THAT(Do({"ca", "audit"}), HasSubstr("Clean                 yes"));
  ASSERT_OK_AND_ASSIGN(Connection superuser, Superuser());
  const auto change = [&](const char* assignment) {
    const std::string sql = fmt::format("UPDATE issuance SET {} WHERE device = 'SEP0000000019A1'", assignment);
    const auto result = superuser.Execute(sql.c_str());
    ASSERT_OK(result);
    EXPECT_EQ(result->affected(), 1);
  };

  change("not_after = not_after + interval '1 day'");
  const ProgramResult found = system_->Trustctl({"ca", "audit", "--since", "1h", "--output", "json"});
  EXPECT_EQ(found.exit_status, 1);
  EXPECT_EQ(found.err, "");
  const boost::json::value report = boost::json::parse(found.out);
  EXPECT_FALSE(report.at("clean").as_bool());
  EXPECT_THAT(Texts(report.at("findings"), "finding"),
              ElementsAre(StartsWith("certificate " + serial + " of SEP0000000019A1: ")));
  change("not_after = not_after - interval '1 day'");
  Do({"ca", "audit"});

  change("public_key_sha256 = sha256('another key')");
  EXPECT_THAT(system_->Trustctl({"ca", "audit"}).out, AllOf(HasSubstr("Clean                 no"), HasSubstr(serial)));
  change("public_key_sha256 = sha256(public_key_info)");
  EXPECT_GT(DoJson({"ca", "audit", "--since", "1h"}).at("certificates_checked").as_int64(), 0);
  EXPECT_THAT(Misused({"ca", "audit", "--since", "yesterday"}), HasSubstr("is not a time"));
}

}  // namespace
}  // namespace trustline
