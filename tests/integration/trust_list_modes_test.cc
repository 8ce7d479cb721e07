// trustctl itl blank and ctl mixed-mode on a real site.
#include <fstream>

#include "common/x509/pkcs12.h"
#include "tests/integration/trust_list_testing.h"

namespace trustline {
namespace {

// A PKCS#12 file with a key that signed no list.
std::string WriteForeignKey(const std::string& path) {
  const PrivateKey key = *PrivateKey::Generate(KeyKind::kRsa2048);
  const Certificate certificate = *BuildSelfSigned(TvsForm("foreign.example", absl::Now()), key);
  std::ofstream(path, std::ios::binary) << *WritePkcs12(certificate, key, SecretBytes("a passphrase for tests"),
                                                        "foreign");
  return path;
}

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(TrustListCommandsTest, BlankListsNameNoServerUntilTheyAreTakenBack) {
  const std::vector<std::string> whole = Records(Show());
  const ProgramResult asked = system_->Trustctl({"itl", "blank", "on", "--reason", "rollback"});
  EXPECT_EQ(asked.exit_status, 2);
  EXPECT_THAT(asked.err, HasSubstr("HTTPS services"));
  EXPECT_EQ(Records(Show()), whole);

  const ProgramResult on = system_->Trustctl({"itl", "blank", "on", "--yes", "--reason", "rollback"});
  EXPECT_EQ(on.exit_status, 0) << on.err;
  const boost::json::value blank = Show();
  EXPECT_TRUE(blank.at("verified").as_bool());
  ASSERT_EQ(blank.at("records").as_array().size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    const boost::json::value& record = blank.at("records").at(i);
    const std::string role = Text(record, "role");
    const bool names_server = role == "TVS" || role == "TFTP" || role == "CCM+TFTP" || role == "CCM";
    EXPECT_EQ(record.at("blank").as_bool(), names_server) << role;
    if (names_server) {
      EXPECT_TRUE(record.at("certificate_sha256").is_null());
      EXPECT_TRUE(record.at("subject").is_null());
      EXPECT_THAT(whole[i], StartsWith(role));
    } else {
      EXPECT_EQ(role + " " + Text(record, "subject"), whole[i]);
    }
  }
  EXPECT_THAT(Records(blank), AllOf(Contains("TVS blank"), Contains("CCM+TFTP blank")));
  // It is said until it is over, to whoever looks.
  EXPECT_THAT(system_->Trustctl({"itl", "list"}).err,
              AllOf(HasSubstr("the lists are blank since"), HasSubstr("trustline:default/person/admin")));
  EXPECT_TRUE(DoJson({"itl", "list"}).at("blank").as_bool());

  const ProgramResult off = system_->Trustctl({"itl", "blank", "off", "--reason", "all phones are back"});
  EXPECT_EQ(off.exit_status, 0) << off.err;
  EXPECT_EQ(Records(Show()), whole);
  EXPECT_EQ(system_->Trustctl({"itl", "list"}).err, "");
  EXPECT_EQ(Text(DoJson({"itl", "history", "--limit", "1"}).at(0), "reason"), "all phones are back");
}

TEST_F(TrustListCommandsTest, MixedModeHasACtlThatSaysLessWhenItIsOff) {
  EXPECT_THAT(Refused({"ctl", "show"}), HasSubstr("mixed-mode on"));
  const auto records_of_itl = [&](const std::string& role) {
    std::vector<std::string> records = Records(Show());
    std::erase_if(records, [&](const std::string& record) { return !record.starts_with(role + " "); });
    return records;
  };
  const std::string recovery = Records(Show())[0];
  const std::string call_manager = Records(Show())[1];
  const std::string capf = records_of_itl("CAPF").at(0);
  const int64_t itl_before = Generation();

  EXPECT_THAT(Do({"ctl", "mixed-mode", "on", "--reason", "secure phones"}),
              HasSubstr("CTLFile.tlv: generation 1 published"));
  const boost::json::value ctl = Show("ctl");
  EXPECT_TRUE(ctl.at("verified").as_bool());
  EXPECT_EQ(Text(ctl, "file_name"), "CTLFile.tlv");
  EXPECT_EQ(Text(ctl, "reason"), "secure phones");
  EXPECT_EQ(Records(ctl)[0], recovery);
  EXPECT_EQ(Records(ctl)[1], call_manager);
  EXPECT_THAT(Records(ctl), AllOf(Contains(capf), Not(Contains(StartsWith("TVS ")))));
  EXPECT_EQ(Generation(), itl_before);
  EXPECT_EQ(Do({"ctl", "mixed-mode", "update"}), "CTLFile.tlv: CTL hash not changed\n");

  // A certificate with two roles stands in the CTL in one of them: phones look for TVS in the ITL.
  const Listable both = NewListable("both-roles.example");
  Do({"trust", "add", "--listed", "--role", "TFTP", "--role", "TVS", both.file});
  Do({"ctl", "mixed-mode", "update"});
  WaitForGeneration(itl_before + 1);
  EXPECT_THAT(Records(Show("ctl")), AllOf(Contains("TFTP " + both.subject), Not(Contains("TVS " + both.subject))));
  EXPECT_THAT(Records(Show()), AllOf(Contains("TFTP " + both.subject), Contains("TVS " + both.subject)));
  EXPECT_EQ(Show("ctl").at("generation").as_int64(), 2);

  Do({"itl", "blank", "on", "--yes", "--reason", "rollback"});
  EXPECT_THAT(Records(Show("ctl")), AllOf(Contains("CCM+TFTP blank"), Contains("TFTP blank"), Contains(recovery)));
  Do({"itl", "blank", "off", "--reason", "all phones are back"});
  EXPECT_THAT(Do({"ctl", "mixed-mode", "off", "--reason", "end of the trial"}), HasSubstr("generation 5 published"));
  EXPECT_THAT(Records(Show("ctl")), ElementsAre(recovery, capf));
  EXPECT_THAT(Refused({"ctl", "mixed-mode", "off"}), HasSubstr("off already"));
  EXPECT_THAT(Do({"ctl", "history"}), AllOf(HasSubstr("secure phones"), HasSubstr("end of the trial")));

  // The key of last resort rescues whoever holds one of all these lists.
  const std::string recovery_file = ExportRecovery("both-kinds.p12");
  const ProgramResult drilled = Drill(recovery_file);
  EXPECT_EQ(drilled.exit_status, 0) << drilled.out << drilled.err;
  EXPECT_EQ(boost::json::parse(drilled.out).at("generations").as_int64(), Generations());
  EXPECT_EQ(Rescued(recovery_file), Generations());
  EXPECT_EQ(boost::json::parse(drilled.out).at("rescued_as_blank").as_int64(), 0);
  // One that no phone knows rescues those alone that hold a blank list, which take any.
  const std::string foreign_file = WriteForeignKey(Path("foreign.p12"));
  const boost::json::value foreign = boost::json::parse(Drill(foreign_file).out);
  EXPECT_GE(foreign.at("rescued_as_blank").as_int64(), 2);
  EXPECT_EQ(foreign.at("rescued"), foreign.at("rescued_as_blank"));
  std::vector<int64_t> not_rescued;
  for (const boost::json::value& missed : foreign.at("not_rescued").as_array()) {
    if (Text(missed, "kind") == "CTL") not_rescued.push_back(missed.at("generation").as_int64());
  }
  EXPECT_THAT(not_rescued, ElementsAre(5, 4, 2, 1));  // 3 is the blank one

  // Either key signs the CTL that is published, without changing what it lists besides.
  EXPECT_EQ(Do({"ctl", "reset", "--recovery", "--reason", "as it is"}), "CTLFile.tlv: CTL hash not changed\n");
  EXPECT_THAT(Do({"ctl", "reset", "--recovery-key", recovery_file, "--passphrase-file", Path("passphrase"), "--reason",
                  "by hand"}),
              StartsWith("CTLFile.tlv: "));
  EXPECT_TRUE(Show("ctl").at("verified").as_bool());
  EXPECT_THAT(Records(Show("ctl")), ElementsAre(recovery, capf));
  const ProgramResult unknown = system_->Trustctl({"ctl", "reset", "--recovery-key", foreign_file, "--passphrase-file",
                                                   Path("passphrase"), "--reason", "nobody knows it"});
  EXPECT_EQ(unknown.exit_status, 1) << unknown.out;
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("warning: CTL, generation "), HasSubstr("is no SAST of it")));
  EXPECT_THAT(Records(Show("ctl")), ElementsAre(recovery, capf));
}

}  // namespace
}  // namespace trustline
