// A site whose trust lists are administered with the built trustctl, as an administrator does.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/private_key.h"
#include "tests/integration/ca_commands_testing.h"
#include "tests/support/tvs_form.h"

namespace trustline {

// One site for all tests of a suite, in any order; each uses certificates of its own and leaves nothing that waits.
class TrustListCommandsTest : public CaCommandsTest {
 protected:
  static void SetUpTestSuite() {
    CaCommandsTest::SetUpTestSuite();
    if (system_ == nullptr) return;
    // At once: the first list is there when the system says that it is ready.
    first_show_ = system_->Trustctl({"itl", "show"});
    WriteFile("passphrase", "a passphrase for tests\n");
    chmod(Path("passphrase").c_str(), 0600);
  }
  void TearDown() override { EXPECT_EQ(Text(List(), "candidate", "none"), "none") << "something is left that waits"; }

  struct Listable {
    std::string file;         // PEM
    std::string fingerprint;  // SHA-256
    std::string subject;
  };
  // A certificate as phones accept it; all have the same key.
  static Listable NewListable(const std::string& host) {
    static const PrivateKey* const key = new PrivateKey(*PrivateKey::Generate(KeyKind::kRsa2048));
    const Certificate certificate = *BuildSelfSigned(TvsForm(host, absl::Now()), *key);
    std::filesystem::create_directories(std::filesystem::path(Path(host + ".pem")).parent_path());
    return {WriteFile(host + ".pem", certificate.ToPem()), ToHex(certificate.sha256()), certificate.subject().ToText()};
  }

  using CaCommandsTest::Text;
  static std::string Text(const boost::json::value& record, const char* key, const std::string& if_null) {
    return record.at(key).is_null() ? if_null : Text(record, key);
  }
  // What `trustctl itl list` says of the list of node1.
  static boost::json::value List() {
    const boost::json::value lists = DoJson({"itl", "list", "--tftp-server", "node1"}).at("lists");
    EXPECT_EQ(lists.as_array().size(), 1u);
    return lists.at(0);
  }
  static int64_t Generation() { return List().at("generation").as_int64(); }
  // How many lists of both kinds were ever published, of all servers and devices.
  static int64_t Generations() {
    int64_t generations = 0;
    for (const char* const group : {"itl", "ctl"}) {
      generations += std::ssize(DoJson({group, "history", "--limit", "0"}).as_array());
    }
    return generations;
  }
  static boost::json::value Show(const std::string& kind = "itl", const std::string& server = "node1") {
    if (kind == "ctl") return DoJson({"ctl", "show"});
    return DoJson({"itl", "show", "--tftp-server", server});
  }
  // "SAST CN=...", "TVS blank": the records in their order.
  static std::vector<std::string> Records(const boost::json::value& shown) {
    std::vector<std::string> records;
    for (const boost::json::value& record : shown.at("records").as_array()) {
      records.push_back(Text(record, "role") + " " + Text(record, "subject", "blank"));
    }
    return records;
  }
  static bool HasRecord(const boost::json::value& shown, const std::string& record) {
    const std::vector<std::string> records = Records(shown);
    return std::ranges::find(records, record) != records.end();
  }
  // Of `trustctl itl publish`, `blank` and so on with --output json: "published", "waits".
  static std::string Outcome(const ProgramResult& result) {
    return Text(boost::json::parse(result.out).at("lists").at(0), "outcome");
  }

  // Until that generation is current. The test fails after 20 s.
  static void WaitForGeneration(int64_t number) {
    WaitUntil(absl::Now() + absl::Seconds(20), [&] { return Generation() >= number; });
    EXPECT_EQ(Generation(), number);
  }
  // Until what the list would say waits in that state: "waits-for-approval", "waits-for-nodes", "refused".
  static boost::json::value WaitForCandidate(const std::string& state) {
    boost::json::value list;
    WaitUntil(absl::Now() + absl::Seconds(20), [&] {
      list = List();
      return Text(list, "candidate", "none") == state;
    });
    return list;
  }
  // Until itld has compared its lists with all that the trust store says.
  static void WaitUntilConsidered() {
    auto superuser = Superuser();
    ASSERT_OK(superuser);
    WaitUntil(absl::Now() + absl::Seconds(20), [&] {
      const auto left = superuser->Execute(
          "SELECT count(*) FROM trust_list_policy p JOIN cluster c USING (cluster_id) WHERE p.considered_commit <> "
          "c.trust_commit");
      return left.ok() && left->Value<int64_t>().value_or(1) == 0;
    });
  }
  // Lists what is new and waits until phones get it.
  static void AddListed(const Listable& certificate, const std::string& role) {
    const int64_t before = Generation();
    Do({"trust", "add", "--listed", "--role", role, certificate.file});
    WaitForGeneration(before + 1);
  }
  // As an administrator who has looked at it.
  static void Publish(const std::string& reason) { Do({"itl", "publish", "--yes", "--reason", reason}); }
  // A CTL goes out together with the ITL when the signer changes: it is approved before. How many will be published.
  static int64_t ApproveCtlIfItWaits(const std::string& reason) {
    const boost::json::value lists = DoJson({"ctl", "list"}).at("lists");
    const bool waits = std::ranges::any_of(
        lists.as_array(), [](const boost::json::value& list) { return !list.at("candidate").is_null(); });
    if (!waits) return 0;
    const ProgramResult approved = system_->Trustctl({"ctl", "publish", "--yes", "--reason", reason});
    EXPECT_EQ(approved.exit_status, 1);
    EXPECT_THAT(approved.out, ::testing::HasSubstr("it is approved, and follows together with the ITL of"));
    return 1;
  }

  static std::string ExportRecovery(const std::string& name) {
    Do({"itl", "recovery", "export", "--out", Path(name), "--passphrase-file", Path("passphrase"), "--force"});
    return Path(name);
  }
  static ProgramResult Drill(const std::string& file) {
    return system_->Trustctl(
        {"itl", "recovery", "drill", file, "--passphrase-file", Path("passphrase"), "--output", "json"});
  }
  // Generations of which phones would be rescued with the key in the file.
  static int64_t Rescued(const std::string& file) {
    return boost::json::parse(Drill(file).out).at("rescued").as_int64();
  }

  inline static ProgramResult first_show_;
};

}  // namespace trustline
