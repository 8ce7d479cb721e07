// What cad refuses through trustctl: one line that names the rule, a denial in the audit log, and nothing written.
#include <filesystem>

#include "common/bytes/bytes.h"
#include "common/x509/pem.h"
#include "tests/integration/ca_commands_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kLabel[] = "CERTIFICATE REQUEST";

std::string DerOf(const std::string& pem_file) {
  const std::string text = ReadTestFile(pem_file);
  PemReader reader(text);
  return *DecodePemBody((**reader.Next()).body);
}

TEST_F(CaCommandsTest, ABadRequestIsRefusedAndAudited) {
  int devices = 0;
  const auto new_device = [&devices] { return fmt::format("SEP0000000030{:02X}", ++devices); };
  const auto expect_refused = [](const std::string& device, const std::string& file, const std::string& rule) {
    const std::vector<std::string> before = Issued();
    EXPECT_THAT(Refused({"lsc", "enroll", device, "--csr", file, "--renew", "--out", Path("never.pem")}),
                AllOf(StartsWith("trustctl: " + file + ": "), HasSubstr(rule), Not(HasSubstr("EVP"))));
    EXPECT_FALSE(std::filesystem::exists(Path("never.pem")));
    EXPECT_EQ(Issued(), before) << rule;
    ExpectDenied("lsc.issue", device, rule);
  };

  // What was changed after it was signed, or has something after it; as it is and in PEM.
  struct Change {
    const char* name;
    std::string (*change)(const std::string& der);
    const char* rule;
  };
  const Change changes[] = {
      {"signature",
       [](const std::string& good) {
         std::string der = good;
         der.back() = static_cast<char>(der.back() ^ 1);
         return der;
       },
       "was not signed by its own key, or was damaged"},
      {"subject",
       [](const std::string& good) {
         std::string der = good;
         char& last_digit = der[der.find("SEP") + 14];
         last_digit = static_cast<char>(last_digit ^ 1);
         return der;
       },
       "was not signed by its own key, or was damaged"},
      {"trailing", [](const std::string& der) { return der + "x"; }, "left over"},
      {"twice", [](const std::string& der) { return der + der; }, "left over"},
      {"short", [](const std::string& der) { return der.substr(0, der.size() / 2); }, "not a certificate request"},
      {"large", [](const std::string&) { return std::string(1'000'000, '0'); },
       "1000000 bytes is larger than the maximum of 16384"},
      {"certificate", [](const std::string&) { return DerOf(TRUSTLINE_SOURCE_DIR "/tests/vectors/capf.pem"); },
       "not a certificate request"},
  };
  for (const auto& [name, change, rule] : changes) {
    for (const bool as_pem : {false, true}) {
      const std::string device = new_device();
      AddDevice(device);
      const std::string good = DerOf(MakeRequest(device, "/CN=" + device));
      const std::string bad = change(good);
      expect_refused(
          device,
          WriteFile(fmt::format("30.{}.{}", name, as_pem ? "pem" : "der"), as_pem ? EncodePem(kLabel, bad) : bad),
          rule);
    }
  }

  // Keys that get no certificate.
  const std::string exponent = Path("30.exponent.key");
  Shell("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3 -out " + exponent);
  const struct {
    const char* key;
    const char* rule;
  } keys[] = {
      {"rsa:1024", "the key is RSA of 1024 bits: 2048 to 4096 are certified"},
      {"rsa:4224", "the key is RSA of 4224 bits: 2048 to 4096 are certified"},
      {"ec -pkeyopt ec_paramgen_curve:secp256k1", "the key is EC secp256k1: the curves secp256r1,"},
      {"ed25519", "the key is of kind ED25519: RSA and EC keys are certified"},
  };
  for (const auto& [key, rule] : keys) {
    const std::string device = new_device();
    AddDevice(device);
    expect_refused(device, MakeRequest(device, "/CN=" + device, key), rule);
  }
  const std::string with_exponent_3 = new_device();
  AddDevice(with_exponent_3);
  Shell(fmt::format("openssl req -new -key {} -subj /CN={} -out {}", exponent, with_exponent_3, Path("30.exponent")));
  expect_refused(with_exponent_3, Path("30.exponent"), "the key's public exponent is not 65537");

  // What belongs to another device.
  const std::string other = new_device();
  AddWithCertificate(other);
  const std::string with_its_key = new_device();
  AddDevice(with_its_key);
  Shell(
      fmt::format("openssl req -new -key {} -subj /CN={} -out {}", Path(other + ".key"), with_its_key, Path("30.key")));
  expect_refused(with_its_key, Path("30.key"), "the key is that of " + other + " already");
  const std::string with_its_name = new_device();
  AddDevice(with_its_name);
  expect_refused(with_its_name, MakeRequest("30.name", "/CN=" + other),
                 fmt::format("the request is for {}, not for {}", other, with_its_name));
}

TEST_F(CaCommandsTest, NothingIsIssuedForADeviceThatIsNotInService) {
  for (const char* device : {"SEP0000000031A1", "SEP0000000031A2", "SEP0000000031A3"}) AddWithCertificate(device);
  Do({"device", "retire", "SEP0000000031A1", "--reason", "stolen, ticket 31"});
  Do({"device", "replace", "SEP0000000031A2", "SEP0000000031B2"});
  Do({"device", "retire", "SEP0000000031A3", "--reason", "sold"});
  Do({"device", "remove", "SEP0000000031A3"});
  const struct {
    const char* device;
    const char* rule;
  } cases[] = {
      {"SEP0000000031A1", "SEP0000000031A1 is retired (stolen, ticket 31): nothing is issued for it any more"},
      {"SEP0000000031A2", "SEP0000000031A2 was replaced by SEP0000000031B2"},
      {"SEP0000000031A3", "there is no device SEP0000000031A3 in this cluster: add it with `trustctl device add"},
      {"SEP0000000031FF", "there is no device SEP0000000031FF in this cluster: add it with `trustctl device add"},
  };
  const std::vector<std::string> before = Issued();
  for (const auto& [device, rule] : cases) {
    const std::string request = MakeRequest(std::string(device) + ".new", std::string("/CN=") + device);
    EXPECT_THAT(Refused({"lsc", "enroll", device, "--csr", request, "--out", Path("never.pem")}), HasSubstr(rule));
    EXPECT_FALSE(std::filesystem::exists(Path("never.pem")));
    ExpectDenied("lsc.issue", device, rule);
  }
  EXPECT_EQ(Issued(), before);
  EXPECT_THAT(Misused({"lsc", "enroll", "PHONE1", "--csr", Path("SEP0000000031A1.csr")}),
              HasSubstr("\"PHONE1\" is not a device name"));
}

TEST_F(CaCommandsTest, AFileWithoutARequestIsNotSent) {
  const std::string phone = AddWithCertificate("SEP0000000032A1");
  const std::string request = Path("SEP0000000032A1.csr");
  const std::vector<std::string> before = Issued();
  const auto refused = [](const std::string& file) {
    return Refused({"lsc", "enroll", "SEP0000000032A1", "--csr", file, "--renew"});
  };
  EXPECT_THAT(refused(phone), HasSubstr("there is no certificate signing request in it, only \"CERTIFICATE\""));
  EXPECT_THAT(refused(WriteFile("32.two", ReadTestFile(request) + ReadTestFile(request))), HasSubstr("several"));
  EXPECT_THAT(refused(WriteFile("32.empty", "")), HasSubstr("the file is empty"));
  EXPECT_THAT(refused(Path("32.nowhere")), HasSubstr("No such file or directory"));
  EXPECT_EQ(Issued(), before);
}

TEST_F(CaCommandsTest, AChainThatDoesNotFitIsRefusedAndAudited) {
  const std::string request = Path("33.csr");
  Do({"ca", "csr", "--subject", "CN=Phones 33,O=Example", "--out", request});
  const std::string root = MakeRoot("33.root", "/CN=Enterprise 33/O=Example");
  // Another key under the same name.
  const std::string impostor = MakeRoot("33.impostor", "/CN=Enterprise 33/O=Example");
  const std::string answer = Answer("33.answer", request, "33.root");
  const std::string leaf = Answer("33.leaf", request, "33.root", "basicConstraints=CA:FALSE\n");
  const std::string nameless = Answer("33.nameless", request, "33.root",
                                      "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
                                      "subjectKeyIdentifier=none\n");
  const std::string active = WriteFile("33.active", Do({"ca", "show", "--pem"}));
  const struct {
    std::vector<std::string> files;
    const char* rule;
  } cases[] = {
      {{answer}, "the chain has a gap: the certificate of CN=Enterprise 33,O=Example"},
      {{root}, "none of the certificates has the key of an authority that was requested here"},
      {{answer, impostor}, "the chain has a gap"},
      {{answer, root, impostor}, "does not belong to the chain: leave it out"},
      {{leaf, root}, "CN=Phones 33,O=Example may not issue certificates and CRLs"},
      {{nameless, root}, "CN=Phones 33,O=Example has no subjectKeyIdentifier"},
      {{active}, "has its certificate already"},
  };
  for (const auto& [files, rule] : cases) {
    const std::vector<std::string> states = Texts(DoJson({"ca", "list"}), "state");
    const std::string trusted = Do({"trust", "list", "--output", "csv"});
    std::vector<std::string> arguments = {"ca", "import-chain"};
    arguments.insert(arguments.end(), files.begin(), files.end());
    EXPECT_THAT(Refused(arguments), HasSubstr(rule));
    EXPECT_EQ(Texts(DoJson({"ca", "list"}), "state"), states) << rule;
    EXPECT_EQ(Do({"trust", "list", "--output", "csv"}), trusted) << rule;
    ExpectDenied("ca.import", "default", rule);
  }
  EXPECT_THAT(Refused({"ca", "import-chain", request}), HasSubstr("there is no certificate in it"));

  // The one that fits is still taken.
  EXPECT_THAT(Do({"ca", "import-chain", answer, root}), HasSubstr("is prepared and in the trust store"));
}

TEST_F(CaCommandsTest, ARefusedRevocationOrChangeOfAnAuthorityOrDeviceIsAudited) {
  const std::string active = IdOf(DoJson({"ca", "show"}));
  const struct {
    std::vector<std::string> command;
    std::string action;
    std::string subject;
    std::string rule;
  } cases[] = {
      {{"ca", "rollover", "retire", active}, "ca.retire", "authority " + active, "is the one that issues"},
      {{"ca", "rollover", "taint", active}, "ca.taint", "authority " + active, "nothing"},
      {{"ca", "rollover", "activate", "4711"}, "ca.activate", "authority 4711", "there is no authority 4711"},
      {{"lsc", "revoke", "0123456789abcdef"}, "lsc.revoke", "0123456789abcdef", "0123456789abcdef"},
      {{"lsc", "revoke", "--authority", "4711", "--superseded"},
       "lsc.revoke",
       "authority 4711",
       "there is no authority 4711"},
      {{"lsc", "purge", "--expired-before", "2099-01-01"}, "lsc.purge", "default", "nothing was removed"},
      {{"device", "retire", "SEP00000000FFFF", "--reason", "x"},
       "device.retire",
       "SEP00000000FFFF",
       "there is no device SEP00000000FFFF"},
      {{"device", "remove", "SEP00000000FFFF"},
       "device.remove",
       "SEP00000000FFFF",
       "there is no device SEP00000000FFFF"},
  };
  for (const auto& [command, action, subject, rule] : cases) {
    EXPECT_THAT(Refused(command), HasSubstr(rule));
    ExpectDenied(action, subject, rule);
  }
}

}  // namespace
}  // namespace trustline
