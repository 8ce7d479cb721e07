// Adoption with the built trustctl, itld and cad, from Debian's tftpd-hpa and nginx that serve the vectors' lists.
#include <sys/stat.h>

#include <boost/json/parse.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "cli/trustctl/context.h"
#include "cli/trustctl/list_servers_testing.h"
#include "common/bytes/bytes.h"
#include "common/bytes/checksums.h"
#include "common/x509/certificate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/cad_process.h"
#include "tests/support/run_program.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

std::string Vector(const std::string& name) { return TRUSTLINE_SOURCE_DIR "/tests/vectors/" + name; }

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

std::string Sha1Of(const std::string& content) { return ToHex(Sha1(AsBytes(content))); }

// "1B A1 C9 ", as alarms have it.
std::string Pairs(const std::string& hash) {
  std::string pairs;
  for (size_t i = 0; i < hash.size(); i += 2) pairs += hash.substr(i, 2) + " ";
  return pairs;
}

class AdoptionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
    ASSERT_OK_AND_ASSIGN(site_, CadSite::Create(*database_));
    ASSERT_OK_AND_ASSIGN(cad_, site_->StartCad());
    ASSERT_OK(cad_->WaitUntilReady());
    ASSERT_OK(site_->itld().WaitUntilReady());
    ASSERT_OK_AND_ASSIGN(const IdentityFiles admin, site_->IdentityFor("trustline:default/person/admin"));
    const std::filesystem::path folder = std::filesystem::path(admin.key).parent_path();
    context_ = folder / "context.toml";
    std::ofstream(context_) << ContextFileText("default",
                                               {{"itld", fmt::format("127.0.0.1:{}", site_->itld().grpc_port())},
                                                {"cad", fmt::format("127.0.0.1:{}", cad_->grpc_port())}});
    directory_.WriteFile("served/ITLFile.tlv", itl_);
    std::filesystem::create_directory(directory_.path() / "nginx");
  }
  void MakeOwnList(const std::string& current_sha1) {
    ASSERT_OK(superuser_->ExecuteScript(fmt::format(
        "INSERT INTO trust_list_policy (cluster_id, tftp_role, recovery_years, organization, organizational_unit) "
        "VALUES (1, 2, 20, 'Example', 'Voice');"
        "INSERT INTO tftp_server (cluster_id, name, host, added_by) VALUES (1, 'tftp1', 'tftp1.example', 'test');"
        "INSERT INTO trust_list (cluster_id, kind, tftp_server, generation, added_by) VALUES (1, 'ITL', 'tftp1', 1, "
        "'test');"
        "INSERT INTO trust_list_generation (cluster_id, list_id, generation, file, sha1, md5, sha256, content_sha256, "
        "signer_sha256, digest, signer_version, records, reason, published_by) SELECT 1, list_id, 1, '', '\\x{}', "
        "decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), "
        "decode(repeat('00', 32), 'hex'), 1, 0, 4, 'test', 'test' FROM trust_list",
        current_sha1)));
  }

  ProgramResult Trustctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TRUSTLINE_BIN_DIR "/trustctl");
    return RunProgram(arguments, {"TRUSTLINE_CONTEXT=" + context_});
  }
  boost::json::value Json(std::vector<std::string> arguments, int exit_status = 0) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = Trustctl(arguments);
    EXPECT_EQ(result.exit_status, exit_status) << result.out << result.err;
    return boost::json::parse(result.out);
  }
  // "Match", by phone.
  std::map<std::string, std::string> Report() {
    std::map<std::string, std::string> statuses;
    const boost::json::value report = Json({"phones", "report"});
    for (const boost::json::value& phone : report.as_array()) {
      std::string& status = statuses[phone.at("phone").as_string().c_str()];
      status = phone.at("status").as_string().c_str();
      if (phone.at("adopted_from").is_string()) {
        status += fmt::format(" from {}", phone.at("adopted_from").as_string().c_str());
      }
    }
    return statuses;
  }
  int64_t Count(const std::string& sql) {
    const auto result = superuser_->Execute(sql.c_str());
    EXPECT_OK(result);
    return result.ok() ? result->Value<int64_t>().value_or(-1) : -1;
  }

  const TemporaryDirectory directory_;
  const std::string itl_ = ReadFile(Vector("ITLFile-sha1.tlv"));
  const std::string ctl_ = ReadFile(Vector("ITLFile-sha512.tlv"));
  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> superuser_;
  std::unique_ptr<CadSite> site_;
  std::unique_ptr<DaemonProcess> cad_;
  std::string context_;
};

TEST_F(AdoptionTest, AClusterThatRunsIsSeenWithoutTouchingAPhone) {
  const std::string current(40, 'a');
  MakeOwnList(current);
  directory_.WriteFile("served/CTLFile.tlv", ctl_);
  const std::string phones = directory_.WriteFile(
      "phones.csv",
      "\xef\xbb\xbf"
      "Device Name,Description,Device Pool,Location,Phone Type,Phone Load Name,Owner User ID,Device "
      "Protocol,CSS\r\n"
      "SEP000000000001,\"Anna, \"\"5\"\"\",DP,Berlin,Cisco 8841,sip88xx.14,anna,SIP,x\r\n"
      "SEP000000000002,,DP,Berlin,Cisco 8841,,,SIP,x\r\n"
      "SEP000000000003,,DP,Berlin,Cisco 8841,,,SIP,x\r\n"
      "SEP000000000004,,DP,Hamburg,Cisco 7841,,,SIP,x\r\n"
      "SEP000000000005,,DP,Hamburg,Cisco 7841,,,SIP,x\r\n"
      "SEP000000000006,,DP,Hamburg,Cisco 7841,,,SIP,x\r\n");
  const std::string statuses = directory_.WriteFile("status.csv",
                                                    "Device Name;ITL Hash;TFTP Server;CTL Hash\r\n"
                                                    "SEP000000000001;" +
                                                        Pairs(current) +
                                                        ";TFTP1.example;Not Installed\r\n"
                                                        "SEP000000000002;" +
                                                        std::string(40, 'b') +
                                                        ";tftp1;\r\n"
                                                        "SEP000000000003;Not Installed;tftp1;\r\n"
                                                        "SEP000000000004;" +
                                                        Pairs(Sha1Of(itl_)) + ";cucm1.berlin;" + Sha1Of(ctl_) +
                                                        "\r\n"
                                                        "SEP000000000005;" +
                                                        Sha1Of(itl_) + ";tftp1;\r\n");
  const TftpServer tftpd(directory_.path() / "served");
  const std::vector<std::string> adopt = {"adopt",  "--tftp",   "127.0.0.1", "--port", std::to_string(tftpd.port()),
                                          "--name", "berlin",   "--phones",  phones,   "--itl-status",
                                          statuses, "--reason", "a test"};

  std::vector<std::string> dry_run = adopt;
  dry_run.emplace_back("--dry-run");
  const boost::json::value planned = Json(dry_run);
  EXPECT_THAT(planned.at("records").as_array(), SizeIs(11));
  EXPECT_EQ(Count("SELECT count(*) FROM adopted_list") + Count("SELECT count(*) FROM device"), 0);

  const boost::json::value adopted = Json(adopt);
  EXPECT_EQ(adopted.at("origin").as_string(), "berlin");
  EXPECT_EQ(adopted.at("devices_added").as_int64(), 6);
  EXPECT_EQ(adopted.at("statuses_taken_over").as_int64(), 5);
  EXPECT_EQ(adopted.at("bad_lines").as_int64(), 0);
  ASSERT_THAT(adopted.at("lists").as_array(), SizeIs(2));
  EXPECT_EQ(adopted.at("lists").at(0).at("sha1").as_string(), Sha1Of(itl_));
  EXPECT_TRUE(adopted.at("lists").at(0).at("verified").as_bool());
  EXPECT_TRUE(adopted.at("lists").at(1).at("new").as_bool());

  const std::map<std::string, std::string> expected = {{"SEP000000000001", "Match"},
                                                       {"SEP000000000002", "Mismatch"},
                                                       {"SEP000000000003", "Not Installed"},
                                                       {"SEP000000000004", "Foreign from berlin"},
                                                       {"SEP000000000005", "Mismatch from berlin"},
                                                       {"SEP000000000006", "Unknown"}};
  EXPECT_EQ(Report(), expected);
  EXPECT_EQ(Count("SELECT count(*) FROM device WHERE model = 'Cisco 8841' AND site = 'Berlin'"), 3);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry"), 0) << "a foreign cluster's certificates are not trusted";

  // The other door to the same files; nothing is new.
  ASSERT_OK_AND_ASSIGN(const auto nginx, NginxServer::Start(directory_.path() / "served", directory_.path() / "nginx"));
  std::vector<std::string> again = adopt;
  again[4] = std::to_string(nginx->port());
  again.emplace_back("--http");
  const boost::json::value repeated = Json(again);
  for (const boost::json::value& list : repeated.at("lists").as_array()) EXPECT_FALSE(list.at("new").as_bool());
  EXPECT_EQ(repeated.at("devices_unchanged").as_int64(), 6);
  EXPECT_EQ(Report(), expected);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_history"), 5);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'adoption.lists'"), 1);
  const boost::json::value lists = Json({"adopt", "list"});
  ASSERT_THAT(lists.as_array(), SizeIs(2));
  EXPECT_EQ(lists.at(0).at("phones").as_int64(), 2);
  EXPECT_EQ(lists.at(1).at("phones").as_int64(), 1);
  const ProgramResult shown = Trustctl({"adopt", "show", "berlin", "--ctl", "--tftp", "127.0.0.1"});
  std::string layout = ReadFile(Vector("ITLFile-sha512.show.txt"));
  for (size_t at = 0; (at = layout.find("ITL", at)) != std::string::npos;) layout.replace(at, 3, "CTL");
  EXPECT_EQ(shown.out, layout) << shown.err;
  const std::string out = directory_.path() / "adopted.tlv";
  EXPECT_EQ(Json({"adopt", "show", "--sha1", Sha1Of(itl_), "--out", out}).at("phones").as_int64(), 2);
  EXPECT_EQ(ReadFile(out), itl_);
}

TEST_F(AdoptionTest, OwnHistoryIsTrustedButWhatAnAdministratorRemovedIsNot) {
  const TftpServer tftpd(directory_.path() / "served");
  const std::vector<std::string> adopt = {"adopt",     "--own",  "--tftp",
                                          "127.0.0.1", "--port", std::to_string(tftpd.port())};
  const auto fingerprint = [](const std::string& vector) {
    return ToHex(Certificate::FromPem(ReadFile(Vector(vector)))->sha256());
  };
  ASSERT_EQ(Trustctl({"trust", "add", "--role", "TVS", "--ttl", "1h", Vector("tvs.pem")}).exit_status, 0);
  ASSERT_EQ(Trustctl({"trust", "add", "--role", "CAPF", Vector("capf.pem")}).exit_status, 0);
  ASSERT_EQ(Trustctl({"trust", "remove", fingerprint("capf.pem")}).exit_status, 0);

  // In the order of the list: ITLRecovery, CallManager twice, TVS, CAPF.
  const boost::json::value adopted = Json(adopt);
  std::vector<std::string> states;
  for (const boost::json::value& record : adopted.at("records").as_array()) {
    states.emplace_back(record.at("in_trust_store").as_string().c_str());
  }
  ASSERT_THAT(states, SizeIs(5));
  EXPECT_EQ(states[0], "added");
  EXPECT_EQ(states[1], "added");
  EXPECT_EQ(states[2], "added");
  EXPECT_EQ(states[3], "there already");
  EXPECT_THAT(states[4], AllOf(HasSubstr("left out: "), HasSubstr("person/admin removed it as CAPF")));
  EXPECT_EQ(adopted.at("certificates_trusted").as_int64(), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE removed_at IS NULL AND NOT listed"), 4);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE removed_at IS NULL AND listed"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE sha256 = '\\x" + fingerprint("callmanager.pem") + "'"), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM adopted_list WHERE own AND origin = '127.0.0.1'"), 1);
  const int64_t commit = Count("SELECT trust_commit FROM cluster WHERE name = 'default'");
  EXPECT_EQ(Json(adopt).at("certificates_trusted").as_int64(), 0);
  EXPECT_EQ(Count("SELECT trust_commit FROM cluster WHERE name = 'default'"), commit) << "repeating changes nothing";
}

TEST_F(AdoptionTest, WhatCannotBeUsedIsSaidAndTheRestIsTaken) {
  std::string text =
      "Device Name,ITL Hash\nSEP000000000001," + Sha1Of(itl_) + "\nSEP000000000002," + Sha1Of(itl_) + "\n";
  for (int i = 0; i < 30; ++i) text += fmt::format("SEP{:012X},none\n", 256 + i);
  const std::string statuses = directory_.WriteFile("status.csv", text);
  const std::string phones =
      directory_.WriteFile("phones.csv", "Device Name,Model\nSEP000000000001,8841\nbroken,8841\n");
  const ProgramResult result = Trustctl({"adopt", "--phones", phones, "--itl-status", statuses});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(phones + ":3: "), HasSubstr(statuses + ":4: ITL: 'none'"),
                                HasSubstr(statuses + ": and 10 more bad lines"),
                                HasSubstr(statuses + ":3: SEP000000000002: is not a device in service")));
  EXPECT_THAT(result.out, AllOf(HasSubstr("1 added"), HasSubstr("1 taken over"), HasSubstr("31 bad lines")));
  EXPECT_EQ(Report(), (std::map<std::string, std::string>{{"SEP000000000001", "Unknown"}})) << "it names no server";
  EXPECT_EQ(Count("SELECT count(*) FROM phone WHERE encode(itl_sha1, 'hex') = '" + Sha1Of(itl_) + "'"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim"), 0);
}

TEST_F(AdoptionTest, NothingIsKeptOfWhatCannotBeTrusted) {
  std::string changed = itl_;
  changed.replace(changed.find("ITLFile.tlv"), 3, "XTL");
  directory_.WriteFile("served/ITLFile.tlv", changed);
  ASSERT_OK_AND_ASSIGN(const auto nginx, NginxServer::Start(directory_.path() / "served", directory_.path() / "nginx"));
  const std::vector<std::string> adopt = {"adopt",     "--http", "--tftp",
                                          "127.0.0.1", "--port", std::to_string(nginx->port())};
  const ProgramResult refused = Trustctl(adopt);
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("ITLFile.tlv"), HasSubstr("signature"), HasSubstr("--unverified")));
  EXPECT_EQ(Count("SELECT count(*) FROM adopted_list"), 0);
  std::vector<std::string> unverified = adopt;
  unverified.emplace_back("--unverified");
  EXPECT_FALSE(Json(unverified).at("lists").at(0).at("verified").as_bool());
  EXPECT_EQ(Count("SELECT count(*) FROM adopted_list"), 1);
  unverified.emplace_back("--own");
  EXPECT_EQ(Trustctl(unverified).exit_status, 2);

  std::filesystem::remove(directory_.path() / "served/ITLFile.tlv");
  EXPECT_THAT(Trustctl(adopt).err, AllOf(HasSubstr("serves neither"), HasSubstr("without --http")));
}

}  // namespace
}  // namespace trustline
