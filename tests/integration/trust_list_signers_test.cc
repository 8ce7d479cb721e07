// Who signs the lists of a real site: trustctl itl reset, and recovery with its drill.
#include "tests/integration/trust_list_testing.h"

namespace trustline {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// "SAST CN=...": the record whose key signed the current list.
std::string Signer(const boost::json::value& shown) {
  for (const boost::json::value& record : shown.at("records").as_array()) {
    if (record.at("is_signer").as_bool()) return record.at("subject").as_string().c_str();
  }
  return "";
}

TEST_F(TrustListCommandsTest, PhonesAreRescuedWithTheKeyThatTheyKnow) {
  const int64_t before = Generation();
  const std::string file = ExportRecovery("present.p12");
  struct stat status {};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  Shell(fmt::format("openssl pkcs12 -in {} -passin file:{} -nodes -noout", file, Path("passphrase")));
  const int64_t rescued_before = Rescued(file);
  EXPECT_GE(rescued_before, 1);
  const std::string recovery = Signer(Show());
  const std::vector<std::string> records = Records(Show());
  EXPECT_THAT(recovery, StartsWith("CN=ITLRECOVERY-"));

  EXPECT_THAT(Do({"itl", "reset", "--local-key", "--reason", "they know this one"}),
              HasSubstr(fmt::format("generation {} published", before + 1)));
  EXPECT_EQ("SAST " + Signer(Show()), records[2]);
  EXPECT_EQ(Records(Show()), records);
  EXPECT_TRUE(List().at("local_signer").as_bool());
  // A phone that holds the list before accepts it without a TVS.
  for (const int64_t number : {before, before + 1}) {
    Do({"itl", "export", "--tftp-server", "node1", "--generation", std::to_string(number), "--out",
        Path(fmt::format("reset{}.tlv", number - before))});
  }
  Do({"itl", "verify", Path("reset1.tlv"), "--held", Path("reset0.tlv")});

  // The key in the file signs here, without any change of who signs from then on.
  EXPECT_THAT(
      Do({"itl", "reset", "--recovery-key", file, "--passphrase-file", Path("passphrase"), "--reason", "by hand"}),
      HasSubstr(fmt::format("generation {} published", before + 2)));
  EXPECT_EQ(Signer(Show()), recovery);
  EXPECT_EQ(Records(Show()), records);
  EXPECT_EQ(Text(DoJson({"itl", "history", "--limit", "1"}).at(0), "reason"), "by hand");

  // So that the next list is signed by it too. The present one is already.
  EXPECT_THAT(Do({"itl", "reset", "--recovery", "--reason", "as before"}), HasSubstr("ITL hash not changed"));
  EXPECT_EQ(Generation(), before + 2);
  EXPECT_EQ(Signer(Show()), recovery);
  EXPECT_FALSE(List().at("local_signer").as_bool());
  EXPECT_EQ(Rescued(file), rescued_before + 2);
  chmod(WriteFile("wrong", "not the passphrase\n").c_str(), 0600);
  EXPECT_THAT(Refused({"itl", "recovery", "drill", file, "--passphrase-file", Path("wrong")}), HasSubstr(file));
}

TEST_F(TrustListCommandsTest, ANewRecoveryKeyWaitsAndTheDrillSaysWhomItDoesNotRescue) {
  const std::string old_file = ExportRecovery("old.p12");
  const std::string old_recovery = Signer(Show());
  const int64_t before = Generation();

  // 1. The new key signs nothing yet.
  const ProgramResult regenerated =
      system_->Trustctl({"itl", "recovery", "regenerate", "--yes", "--reason", "it may be known to others"});
  EXPECT_EQ(regenerated.exit_status, 0) << regenerated.err;
  EXPECT_THAT(regenerated.err, HasSubstr("WARNING: another ITLRecovery key"));
  const boost::json::value waiting = WaitForCandidate("waits-for-approval");
  EXPECT_THAT(Text(waiting, "candidate_reason"), HasSubstr("signer"));
  EXPECT_EQ(Generation(), before);
  EXPECT_EQ(Signer(Show()), old_recovery);
  const ProgramResult still = Drill(old_file);
  EXPECT_EQ(still.exit_status, 0) << still.out;
  EXPECT_TRUE(boost::json::parse(still.out).at("all_rescued").as_bool());
  EXPECT_EQ(Rescued(old_file), Generations());

  // 2. It rescues nobody but those that hold a blank list, which take any: each other generation is named.
  const std::string new_file = ExportRecovery("new.p12");
  const ProgramResult none = Drill(new_file);
  EXPECT_EQ(none.exit_status, 1);
  const boost::json::value drilled = boost::json::parse(none.out);
  const int64_t blank = drilled.at("rescued_as_blank").as_int64();
  EXPECT_EQ(drilled.at("rescued").as_int64(), blank);
  EXPECT_EQ(std::ssize(drilled.at("not_rescued").as_array()), Generations() - blank);
  std::vector<int64_t> of_node1;
  for (const boost::json::value& missed : drilled.at("not_rescued").as_array()) {
    if (Text(missed, "tftp_server", "") != "node1" || !missed.at("device").is_null()) continue;
    of_node1.push_back(missed.at("generation").as_int64());
  }
  for (int64_t number = 1; number <= before; ++number) {
    const boost::json::value held =
        DoJson({"itl", "show", "--tftp-server", "node1", "--generation", std::to_string(number)});
    EXPECT_EQ(std::ranges::count(of_node1, number), HasRecord(held, "TVS blank") ? 0 : 1) << number;
  }
  EXPECT_THAT(system_->Trustctl({"itl", "recovery", "drill", new_file, "--passphrase-file", Path("passphrase")}).out,
              HasSubstr(fmt::format("NOT rescued: ITL of node1, generation {} (", before)));

  // 3. Published, it rescues those that hold what it has signed; the old key the others.
  const int64_t ctls = ApproveCtlIfItWaits("the old one is not safe");
  Publish("the old one is not safe");
  EXPECT_EQ(Generation(), before + 1);
  EXPECT_NE(Signer(Show()), old_recovery);
  EXPECT_THAT(Signer(Show()), StartsWith("CN=ITLRECOVERY-"));
  EXPECT_THAT(Records(Show()), Not(Contains("SAST " + old_recovery)));
  EXPECT_EQ(Rescued(new_file), blank + 1 + ctls);
  const ProgramResult old_drill = Drill(old_file);
  EXPECT_EQ(old_drill.exit_status, 1);
  const boost::json::value drilled_again = boost::json::parse(old_drill.out);
  const boost::json::array& missed_by_old = drilled_again.at("not_rescued").as_array();
  EXPECT_EQ(std::ssize(missed_by_old), 1 + ctls);
  EXPECT_TRUE(std::ranges::any_of(missed_by_old, [&](const boost::json::value& missed) {
    return Text(missed, "kind") == "ITL" && missed.at("generation").as_int64() == before + 1;
  })) << old_drill.out;

  // 4. The current content once more by the old key: for phones from before. Then back.
  const ProgramResult rescue = system_->Trustctl({"itl", "reset", "--recovery-key", old_file, "--passphrase-file",
                                                  Path("passphrase"), "--reason", "phones from before the change"});
  EXPECT_EQ(rescue.exit_status, 0) << rescue.err;
  EXPECT_THAT(rescue.err, HasSubstr("is no SAST of it"));
  EXPECT_EQ(Signer(Show()), old_recovery);
  EXPECT_EQ(Generation(), before + 2);
  Do({"itl", "export", "--tftp-server", "node1", "--generation", std::to_string(before), "--out", Path("held.tlv")});
  Do({"itl", "export", "--tftp-server", "node1", "--out", Path("rescue.tlv")});
  Do({"itl", "verify", Path("rescue.tlv"), "--held", Path("held.tlv")});
  Do({"itl", "generate"});
  Publish("back to the new key");
  EXPECT_NE(Signer(Show()), old_recovery);

  // 5. The old one is ITLRecovery again.
  const ProgramResult imported = system_->Trustctl({"itl", "recovery", "import", old_file, "--passphrase-file",
                                                    Path("passphrase"), "--reason", "it was safe after all", "--yes"});
  EXPECT_EQ(imported.exit_status, 0) << imported.err;
  ApproveCtlIfItWaits("it was safe after all");
  Publish("it was safe after all");
  EXPECT_EQ(Signer(Show()), old_recovery);
  EXPECT_THAT(Do({"audit", "list", "--action", "itl.recovery.export", "--output", "json"}), HasSubstr("ITLRECOVERY-"));
}

}  // namespace
}  // namespace trustline
