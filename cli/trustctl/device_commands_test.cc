// trustctl device ... against a cad whose answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/cad_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class DeviceCommandsTest : public CadFixture {
 protected:
  // A CSV file with so many devices.
  std::string WriteExport(int count, const std::string& more = "") {
    std::string text = "Device Name,Model\n";
    for (int i = 0; i < count; ++i) {
      const std::string digits = std::to_string(i);
      text += "SEP" + std::string(12 - digits.size(), '0') + digits + ",8841\n";
    }
    return directory_.WriteFile("phones.csv", text + more);
  }
};

TEST_F(DeviceCommandsTest, AddAndSetSendWhatWasGiven) {
  const ProgramResult added = Run({"device", "add", "sep00112233aabb", "--model", "8841", "--description", "Empfang"});
  EXPECT_EQ(added.exit_status, 0) << added.err;
  EXPECT_EQ(added.out, "added SEP00112233AABB\n");
  EXPECT_EQ(devices_.added.cluster(), "default");
  EXPECT_EQ(devices_.added.data().model(), "8841");
  EXPECT_EQ(devices_.added.data().description(), "Empfang");
  EXPECT_EQ(devices_.added.data().owner(), "");

  const ProgramResult set =
      Run({"device", "set", "SEP00112233AABB", "--site", "Berlin", "--owner", "", "--output", "json"});
  EXPECT_EQ(set.exit_status, 0) << set.err;
  EXPECT_EQ(boost::json::parse(set.out).at("changed"), true);
  EXPECT_EQ(devices_.set.site(), "Berlin");
  EXPECT_TRUE(devices_.set.has_owner());
  EXPECT_EQ(devices_.set.owner(), "");
  EXPECT_FALSE(devices_.set.has_model());
  EXPECT_EQ(Run({"device", "set", "SEP00112233AABB", "--owner", "a"}).out, "SEP00112233AABB: nothing changed\n");
}

TEST_F(DeviceCommandsTest, ListFollowsThePages) {
  const ProgramResult table =
      Run({"device", "list", "--name", "sep0011", "--model", "8841", "--site", "Berlin", "--state", "in-service"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("SEP001122334452"), HasSubstr("page 2\\x1b[2J\n"), HasSubstr("replaced")));
  EXPECT_EQ(devices_.listed.name_prefix(), "SEP0011");
  EXPECT_EQ(devices_.listed.model(), "8841");
  EXPECT_EQ(devices_.listed.site(), "Berlin");
  EXPECT_EQ(devices_.listed.state(), v1::DEVICE_STATE_IN_SERVICE);
  const ProgramResult json = Run({"device", "list", "--output", "json"});
  const boost::json::value list = boost::json::parse(json.out);
  ASSERT_EQ(list.as_array().size(), 3u);
  EXPECT_EQ(list.at(2).at("name"), "SEP001122334452");
  EXPECT_EQ(devices_.listed.state(), v1::DEVICE_STATE_UNSPECIFIED);
  EXPECT_THAT(Run({"device", "list", "--output", "csv"}).out, StartsWith("name,model,protocol,load,site,owner,state"));
}

TEST_F(DeviceCommandsTest, ShowHasTheCertificatesOfExactlyThatDevice) {
  issuance_.largest_page = 1;
  for (const auto& [device, serial] : std::vector<std::pair<std::string, std::string>>{
           {"CSFANNA", "0a01"}, {"CSFANNA2", "0a02"}, {"CSFANNA", "0a03"}}) {
    v1::ShowCertificateResponse& known = issuance_.certificates.emplace_back();
    known.mutable_certificate()->set_device(device);
    known.mutable_certificate()->set_serial(serial);
    known.mutable_certificate()->set_state(v1::CERTIFICATE_STATE_CONFIRMED);
  }
  const ProgramResult shown = Run({"device", "show", "csfanna", "--output", "json"});
  EXPECT_EQ(shown.exit_status, 0) << shown.err;
  const boost::json::value record = boost::json::parse(shown.out);
  EXPECT_EQ(record.at("name"), "CSFANNA");
  EXPECT_EQ(record.at("state"), "in-service");
  ASSERT_EQ(record.at("certificates").as_array().size(), 2u);
  EXPECT_EQ(record.at("certificates").at(1).at("serial"), "0a03");
  EXPECT_EQ(record.at("certificates").at(1).at("certificate_state"), "confirmed");
  EXPECT_EQ(issuance_.listed.device_prefix(), "CSFANNA");
  EXPECT_THAT(Run({"device", "show", "CSFANNA"}).out, AllOf(HasSubstr("0a01"), Not(HasSubstr("0a02"))));
}

TEST_F(DeviceCommandsTest, ReplaceRetireAndRemoveSayWhatWasRevoked) {
  EXPECT_EQ(Run({"device", "replace", "SEP001122334455", "SEP66778899AABB"}).out,
            "SEP66778899AABB takes the place of SEP001122334455; 2 certificates of SEP001122334455 revoked\n");
  EXPECT_EQ(Run({"device", "retire", "SEP001122334455", "--reason", "stolen"}).out,
            "retired SEP001122334455; 1 certificate revoked\n");
  const ProgramResult json = Run({"device", "retire", "SEP001122334455", "--reason", "stolen", "--output", "json"});
  EXPECT_EQ(boost::json::parse(json.out).at("state_reason"), "stolen");
  EXPECT_EQ(boost::json::parse(json.out).at("revoked"), 1);
  EXPECT_THAT(Run({"device", "remove", "SEP001122334455"}).out, StartsWith("removed SEP001122334455"));
  EXPECT_EQ(devices_.removed, "SEP001122334455");
}

TEST_F(DeviceCommandsTest, ImportSendsBatchesAndTellsTheTotals) {
  devices_.left_alone = "retired since 2026-11-25: stolen\x1b[2J";
  const std::string path = WriteExport(2500);
  const ProgramResult table = Run({"device", "import", path});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  ASSERT_EQ(devices_.batches.size(), 3u);
  EXPECT_EQ(devices_.batches[0].cluster(), "default");
  EXPECT_EQ(devices_.batches[0].rows_size(), 1000);
  EXPECT_EQ(devices_.batches[2].rows_size(), 500);
  EXPECT_EQ(devices_.batches[2].rows(499).name(), "SEP000000002499");
  EXPECT_EQ(devices_.batches[2].rows(499).data().model(), "8841");
  EXPECT_THAT(table.out, StartsWith("2500 devices imported: 2497 added, 0 changed, 3 unchanged, 3 left alone\n"));
  EXPECT_THAT(table.out, HasSubstr("SEP000000001000  retired since 2026-11-25: stolen\\x1b[2J\n"));
  EXPECT_EQ(table.err, "");

  const boost::json::value json = boost::json::parse(Run({"device", "import", path, "--output", "json"}).out);
  EXPECT_EQ(json.at("added"), 2497);
  EXPECT_EQ(json.at("unchanged"), 3);
  EXPECT_EQ(json.at("bad_lines"), 0);
  EXPECT_EQ(json.at("left_alone").as_array().size(), 3u);
}

TEST_F(DeviceCommandsTest, ABadLineStopsTheImportUnlessItIsSkipped) {
  const std::string path = WriteExport(2, "SEP1,8841\nSEP00000000000A,8841,x\x1b[2J\nSEP000000000001,8861\n");
  const ProgramResult refused = Run({"device", "import", path});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(
      refused.err,
      AllOf(HasSubstr(path + ":4: \"SEP1\" is not a device name"), HasSubstr(path + ":5: 3 fields"),
            HasSubstr(path + ":6: SEP000000000001 stands in line 3 already\n"),
            EndsWith(": 3 bad lines, nothing was imported: correct the file, or import the other 2 devices with "
                     "--skip-bad\n")));
  EXPECT_TRUE(devices_.batches.empty());

  const ProgramResult skipped = Run({"device", "import", "--skip-bad", path});
  EXPECT_EQ(skipped.exit_status, 0) << skipped.err;
  EXPECT_THAT(skipped.err, HasSubstr(path + ":5: "));
  EXPECT_EQ(skipped.out, "2 devices imported: 1 added, 0 changed, 1 unchanged; 3 bad lines passed over\n");
  ASSERT_EQ(devices_.batches.size(), 1u);
  EXPECT_EQ(devices_.batches[0].rows(1).data().model(), "8841");
}

TEST_F(DeviceCommandsTest, ImportNotesTheColumnsItPassesOver) {
  const std::string path =
      directory_.WriteFile("phones.csv", "Name,Line\x1b[2J,Ring\nSEP001122334455,1,loud\nSEP001122334456,1,loud\n");
  const ProgramResult result = Run({"device", "import", path});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.err, "trustctl: note: 2 columns passed over: Line\\x1b[2J, Ring\n");
  const ProgramResult nameless = Run({"device", "import", directory_.WriteFile("nameless.csv", "Phone,Ring\na,b\n")});
  EXPECT_EQ(nameless.exit_status, 1);
  EXPECT_THAT(nameless.err, AllOf(HasSubstr("nameless.csv: no column"), HasSubstr("the columns are: Phone, Ring")));
  EXPECT_EQ(Run({"device", "import", PathOf("missing.csv")}).exit_status, 1);
  const ProgramResult nobody = Run({"device", "import", directory_.WriteFile("nobody.csv", "Name\n")});
  EXPECT_EQ(nobody.exit_status, 1);
  EXPECT_THAT(nobody.err, EndsWith("nobody.csv: there is no device to import\n"));
}

TEST_F(DeviceCommandsTest, AnInterruptedImportSaysHowToCompleteIt) {
  const std::string path = WriteExport(2500);
  devices_.stall_at = 1;
  RunningProgram program({kProgram, "device", "import", path}, {"TRUSTLINE_CONTEXT=" + context_});
  devices_.WaitUntilStalled();
  ASSERT_EQ(kill(program.pid(), SIGINT), 0);
  const ProgramResult result = program.Wait();
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, EndsWith("trustctl: interrupted: 1000 of 2500 devices are imported and stay so; the same "
                                   "command again completes the import\n"));
}

TEST_F(DeviceCommandsTest, AFailedBatchSaysHowFarItCame) {
  devices_.fail_at = 2;
  const ProgramResult result = Run({"device", "import", WriteExport(2500)});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, EndsWith("2000 of 2500 devices are imported and stay so, the same command again goes on; "
                                   "then: the database is away\\x1b[2J\n"));
}

}  // namespace
}  // namespace trustline
