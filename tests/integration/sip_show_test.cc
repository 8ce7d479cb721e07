// A site under `trustline up`: an alarm sent by a SIP tool says which list a phone holds.
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <boost/json/parse.hpp>
#include <fstream>
#include <sstream>

#include "common/bytes/checksums.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/running_system.h"
#include "tests/integration/sip_site.h"
#include "tests/integration/sipp.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

constexpr char kDevice[] = "SEP001122334455";

class SipShowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Run by root, the daemons are users of their own.
    chmod(directory_.path().c_str(), 0755);
    ASSERT_OK_AND_ASSIGN(system_, RunningSystem::Start(directory_.path() / "data", FreePortOffset()));
  }
  std::string Do(const std::vector<std::string>& arguments) {
    const ProgramResult result = system_->Trustctl(arguments);
    EXPECT_EQ(result.exit_status, 0) << fmt::format("{}\n", fmt::join(arguments, " ")) << result.out << result.err;
    return result.out;
  }
  boost::json::value DoJson(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--output", "json"});
    return boost::json::parse(Do(arguments));
  }
  std::string Status() {
    const boost::json::value report = DoJson({"phones", "report"});
    EXPECT_EQ(report.as_array().size(), 1);
    return report.as_array().at(0).at("status").as_string().c_str();
  }
  void Send(const std::string& scenario, const std::string& hashes) {
    ASSERT_OK_AND_ASSIGN(const SippCounts counts, RunSipp({.scenario = scenario,
                                                           .transport = "u1",
                                                           .port = system_->Port(5060),
                                                           .calls = fmt::format("{};{}\n", kDevice, hashes)}));
    EXPECT_EQ(counts.successful, 1);
  }

  const TemporaryDirectory directory_;
  std::unique_ptr<RunningSystem> system_;
};

TEST_F(SipShowTest, AnAlarmSaysWhichListAPhoneHolds) {
  Do({"device", "add", kDevice, "--model", "8841", "--protocol", "SIP"});
  // The scenario's name of the server.
  const boost::json::value servers = DoJson({"itl", "server", "list"});
  const std::string server(servers.as_array().at(0).at("server").as_string().c_str());
  Do({"itl", "server", "name", "add", server, "tftp1"});
  const std::string file = directory_.path() / "ITLFile.tlv";
  Do({"itl", "export", "--out", file});
  std::ifstream stream(file, std::ios::binary);
  std::stringstream content;
  content << stream.rdbuf();
  const auto sha1 = Sha1(AsBytes(content.view()));
  const std::string current = HexPairs(AsText(sha1));

  EXPECT_EQ(Status(), "Unknown");
  ASSERT_NO_FATAL_FAILURE(Send("alarm.xml", current));
  EXPECT_EQ(Status(), "Match");
  ASSERT_NO_FATAL_FAILURE(Send("alarm.xml", "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D "));
  EXPECT_EQ(Status(), "Mismatch");
  ASSERT_NO_FATAL_FAILURE(Send("alarm.xml", "Not Installed"));
  EXPECT_EQ(Status(), "Not Installed");
  // Reports, registers, reports, unregisters.
  ASSERT_NO_FATAL_FAILURE(Send("life.xml", "Not Installed;" + current));
  EXPECT_EQ(Status(), "Unknown");

  std::vector<std::string> events;
  const boost::json::value history = DoJson({"phones", "history", kDevice});
  for (const boost::json::value& line : history.as_array()) {
    events.emplace_back(line.at("event").as_string().c_str());
  }
  EXPECT_EQ(events.front(), "unregistered");
  EXPECT_THAT(events, ::testing::Contains("registered"));
  EXPECT_EQ(std::ranges::count(events, "reported"), 4) << "what says nothing new is not kept again";
  const boost::json::value shown = DoJson({"phones", "show", kDevice});
  EXPECT_EQ(shown.at("ledger").as_array().size(), 4) << "three ITLs, and the CTL";
  EXPECT_EQ(system_->Stop(), "ended with status 0");
}

}  // namespace
}  // namespace trustline
