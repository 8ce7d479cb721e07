// Virtual phones through their lives against a real site: what they take, what they refuse, and who rescues them.
#include "tests/integration/phone_life_site_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Served = ServedDecision::Served;

TEST_F(PhoneLifeTest, TakesTheFirstListAndThenEachThatItsSignerHasMade) {
  const std::string device = "SEP000000001001";
  VirtualPhone phone = AddPhone(device, {Tvs()});
  EXPECT_EQ(StatusOf(device), "Unknown");
  EXPECT_EQ(Start(phone).itl.decision.by, AcceptedBy::kFirstUse);
  EXPECT_EQ(StatusOf(device), "Match");
  EXPECT_EQ(Start(phone).itl.served, Served::kWhatItHolds);

  AddListed(NewListable("phone-life.example"), "APP-SERVER");
  EXPECT_EQ(StatusOf(device), "Mismatch");
  const PhoneStartResult second = Start(phone);
  EXPECT_EQ(second.itl.decision.by, AcceptedBy::kItl);
  EXPECT_THAT(second.itl.asked, IsEmpty());
  EXPECT_EQ(StatusOf(device), "Match");

  // A list of its own comes before that of all phones.
  Do({"itl", "able", "--device", device, "--sha512"});
  Do({"itl", "device", "set", device, "--digest", "sha512"});
  EXPECT_EQ(Start(phone).itl.decision.why, RefusedFor::kForm) << "this one reads SHA-1 only";
  EXPECT_EQ(StatusOf(device), "Mismatch");
  Do({"itl", "device", "remove", device});
  EXPECT_EQ(Start(phone).itl.served, Served::kWhatItHolds);
  EXPECT_EQ(StatusOf(device), "Match");
}

TEST_F(PhoneLifeTest, FollowsByTvsWhenItsSignerWasReplacedWhileItSlept) {
  const std::string sleeper_name = "SEP000000001002";
  const std::string cut_off_name = "SEP000000001003";
  VirtualPhone sleeper = AddPhone(sleeper_name, {Nowhere(), Tvs()});
  VirtualPhone cut_off = AddPhone(cut_off_name, {Nowhere()});
  ASSERT_TRUE(Start(sleeper).in_step());
  ASSERT_TRUE(Start(cut_off).in_step());
  const std::string old_list = Held(sleeper);
  ASSERT_NO_FATAL_FAILURE(AskAndBeSeen(sleeper_name));

  ReplaceSigner("the old key is old");
  const PhoneStartResult woken = Start(sleeper);
  EXPECT_EQ(woken.itl.decision, (PhoneDecision{.by = AcceptedBy::kTvs}));
  ASSERT_THAT(woken.itl.asked, SizeIs(2));
  EXPECT_FALSE(woken.itl.asked[0].answered);
  EXPECT_EQ(woken.itl.asked[1].outcome, "valid with roles SAST");
  EXPECT_NE(Held(sleeper), old_list);
  EXPECT_EQ(StatusOf(sleeper_name), "Match");

  // The one that reaches no TVS stays with what it has, until it is offered a signer that it knows.
  EXPECT_EQ(Start(cut_off).itl.decision, (PhoneDecision{.why = RefusedFor::kNoTvs}));
  EXPECT_EQ(Held(cut_off), old_list);
  EXPECT_EQ(StatusOf(cut_off_name), "Mismatch");
  Do({"itl", "reset", "--local-key", "--reason", "it knows the CallManager key"});
  EXPECT_EQ(Start(cut_off).itl.decision, (PhoneDecision{.by = AcceptedBy::kItl}));
  EXPECT_EQ(StatusOf(cut_off_name), "Match");
  // By now both know the new key. (With something new in it: what is signed again within a second is the same file.)
  AddListed(NewListable("between-resets.example"), "APP-SERVER");
  Do({"itl", "reset", "--recovery", "--reason", "back to ITLRecovery"});
  EXPECT_EQ(Start(cut_off).itl.decision, (PhoneDecision{.by = AcceptedBy::kItl}));
  EXPECT_EQ(Start(sleeper).itl.decision, (PhoneDecision{.by = AcceptedBy::kItl}));
  EXPECT_EQ(StatusOf(cut_off_name), "Match");
  EXPECT_EQ(StatusOf(sleeper_name), "Match");
}

TEST_F(PhoneLifeTest, IsRescuedByTheKeyOfLastResort) {
  const std::string with_file_name = "SEP000000001004";
  const std::string with_key_name = "SEP000000001005";
  VirtualPhone with_file = AddPhone(with_file_name, {Nowhere()});
  VirtualPhone with_key = AddPhone(with_key_name, {Nowhere()});
  ASSERT_TRUE(Start(with_file).in_step());
  ASSERT_TRUE(Start(with_key).in_step());
  ASSERT_NO_FATAL_FAILURE(AskAndBeSeen(with_file_name));
  const std::string old_key = ExportRecovery("phone-life.p12");
  ReplaceSigner("it may be known to others");
  EXPECT_EQ(Start(with_file).itl.decision, (PhoneDecision{.why = RefusedFor::kNoTvs}));
  EXPECT_EQ(Start(with_key).itl.decision, (PhoneDecision{.why = RefusedFor::kNoTvs}));

  // Signed once with the key in the file, whose SAST record then lets it follow to the new key.
  const ProgramResult rescue = system_->Trustctl({"itl", "reset", "--recovery-key", old_key, "--passphrase-file",
                                                  Path("passphrase"), "--reason", "phones from before the change"});
  EXPECT_EQ(rescue.exit_status, 0) << rescue.err;
  EXPECT_EQ(Start(with_file).itl.decision, (PhoneDecision{.by = AcceptedBy::kItl}));
  EXPECT_EQ(StatusOf(with_file_name), "Match");
  Do({"trust", "add", "--listed", "--role", "APP-SERVER", NewListable("after-rescue.example").file});
  Do({"itl", "generate"});
  Publish("on with the new key");
  EXPECT_EQ(Start(with_file).itl.decision, (PhoneDecision{.by = AcceptedBy::kItl}));
  EXPECT_EQ(StatusOf(with_file_name), "Match");

  // The other one slept meanwhile. The key before is ITLRecovery again.
  EXPECT_EQ(Start(with_key).itl.decision, (PhoneDecision{.why = RefusedFor::kNoTvs}));
  Do({"itl", "recovery", "restore", "--reason", "some phones know only that"});
  WaitForCandidate("waits-for-approval");
  ApproveCtlIfItWaits("some phones know only that");
  Publish("some phones know only that");
  EXPECT_EQ(Start(with_key).itl.decision, (PhoneDecision{.by = AcceptedBy::kItl}));
  EXPECT_EQ(StatusOf(with_key_name), "Match");
}

TEST_F(PhoneLifeTest, RefusesAForgedListAndSaysWhatItHolds) {
  const std::string device = "SEP000000001006";
  VirtualPhone phone = AddPhone(device, {Tvs()});
  ASSERT_TRUE(Start(phone).in_step());
  const std::string real = HeldFile(phone);
  ASSERT_OK_AND_ASSIGN(const TrustList list, DecodeTrustList(AsBytes(real)));
  ASSERT_OK_AND_ASSIGN(const Certificate signer, VerifyTrustList(list));

  // The same records by a forger who gives himself the signer's name and serial number, with and without his own
  // certificate in the signer's place.
  PrivateKey key = *PrivateKey::Generate(KeyKind::kRsa2048);
  const X509Ptr x509(X509_dup(signer.x509()));
  X509_set_pubkey(x509.get(), key.get());
  ASSERT_NE(X509_sign(x509.get(), key.get(), EVP_sha256()), 0);
  ASSERT_OK_AND_ASSIGN(Certificate forged, Certificate::FromX509(x509.get()));
  const Party forger{.key = std::move(key), .certificate = std::move(forged)};
  std::vector<ListedCertificate> records, with_his_own;
  for (const TrustListRecord& record : list.records) {
    records.push_back(Listed(*record.certificate, *record.role()));
    with_his_own.push_back(
        Listed(*record.certificate == signer ? forger.certificate : *record.certificate, *record.role()));
  }
  for (const std::vector<ListedCertificate>& forgery : {records, with_his_own}) {
    TestLists forgers_lists;
    forgers_lists.Serve(PhoneListKind::kItl, MakeTrustList(forgery, forger));
    VirtualPhone misled = Phone(device, {Tvs()}, forgers_lists);
    const PhoneStartResult result = Start(misled);
    EXPECT_EQ(result.itl.decision, (PhoneDecision{.why = RefusedFor::kTvsAnswer}));
    ASSERT_THAT(result.itl.asked, SizeIs(1));
    EXPECT_EQ(result.itl.asked[0].outcome, "valid with roles SAST") << "the name is that of the real signer";
    EXPECT_EQ(Held(misled), Checksum(real));
  }
  EXPECT_EQ(StatusOf(device), "Match");
}

TEST_F(PhoneLifeTest, MovesToAnotherClusterWhenItsOwnVouchesForThatOnesSigner) {
  const std::string device = "SEP000000001007";
  VirtualPhone phone = AddPhone(device, {Tvs()});
  ASSERT_TRUE(Start(phone).in_step());
  const std::string list_of_a = Held(phone);

  const std::unique_ptr<ItldListServer> lists_of_b = ListsOf("b", "tftpb");
  ASSERT_OK_AND_ASSIGN(const auto served, lists_of_b->Fetch(PhoneListKind::kItl, *DeviceName::Parse(device)));
  ASSERT_TRUE(served);
  ASSERT_OK_AND_ASSIGN(const TrustList list_of_b, DecodeTrustList(AsBytes(served->file)));
  ASSERT_OK_AND_ASSIGN(const Certificate recovery_of_b, VerifyTrustList(list_of_b));
  std::optional<Certificate> call_manager_of_b;
  for (const TrustListRecord& record : list_of_b.records) {
    if (record.role() == CertificateRole::kCcmTftp) call_manager_of_b = record.certificate;
  }
  ASSERT_TRUE(call_manager_of_b);

  // Told to use B, with the TVS of the configuration that it still runs on.
  VirtualPhone moved = Phone(device, {Tvs()}, *lists_of_b, call_manager_of_b);
  const PhoneStartResult refused = Start(moved);
  EXPECT_EQ(refused.itl.decision, (PhoneDecision{.why = RefusedFor::kTvsAnswer}));
  EXPECT_EQ(refused.file.decision, (PhoneDecision{.why = RefusedFor::kTvsAnswer}));
  EXPECT_EQ(Held(moved), list_of_a);
  EXPECT_EQ(StatusOf(device), "Match") << "it holds the list of A";

  Do({"trust", "add", "--role", "SAST", WriteFile("recovery-of-b.pem", recovery_of_b.ToPem())});
  Do({"trust", "add", "--role", "SAST", "--role", "CCM+TFTP",
      WriteFile("call-manager-of-b.pem", call_manager_of_b->ToPem())});
  const PhoneStartResult taken = Start(moved);
  EXPECT_EQ(taken.itl.decision, (PhoneDecision{.by = AcceptedBy::kTvs}));
  EXPECT_EQ(taken.file.decision, (PhoneDecision{.by = AcceptedBy::kItl}));
  EXPECT_EQ(Held(moved), Checksum(served->file));
  EXPECT_EQ(taken.held.itl->server, "tftpb");
  EXPECT_EQ(StatusOf(device), "Foreign");

  // From now on it lives in B: it follows a new signer by the TVS there, and another list without asking.
  Do({"--cluster", "b", "itl", "recovery", "regenerate", "--yes", "--reason", "a key that A never saw"});
  Do({"--cluster", "b", "itl", "publish", "--yes", "--reason", "a key that A never saw"});
  EXPECT_EQ(Start(moved).itl.decision, (PhoneDecision{.why = RefusedFor::kTvsAnswer})) << "it still asks A";
  VirtualPhone settled = Phone(device, {TvsOfB()}, *lists_of_b, call_manager_of_b);
  EXPECT_EQ(Start(settled).itl.decision, (PhoneDecision{.by = AcceptedBy::kTvs}));
  const std::string held = HeldFile(settled);
  Do({"--cluster", "b", "trust", "add", "--listed", "--role", "APP-SERVER", NewListable("listed-in-b.example").file});
  WaitUntil(absl::Now() + absl::Seconds(20), [&] {
    const auto again = lists_of_b->Fetch(PhoneListKind::kItl, *DeviceName::Parse(device));
    return again.ok() && *again && (*again)->file != held;
  });
  EXPECT_EQ(Start(settled).itl.decision, (PhoneDecision{.by = AcceptedBy::kItl}));
  // A is a stranger to it by now.
  VirtualPhone back = Phone(device, {TvsOfB()}, *lists_);
  EXPECT_EQ(Start(back).itl.decision, (PhoneDecision{.why = RefusedFor::kTvsAnswer}));
}

TEST_F(PhoneLifeTest, TheProgramStartsSeveralPhonesThatSleepInFolders) {
  const std::vector<std::string> devices = {"SEP00000000100F", "SEP000000001010", "SEP000000001011"};
  for (const std::string& device : devices) AddPhone(device, {});
  const auto live = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {
        "live",          "--state", Path("slept"), "--context", system_->data() + "/admin/context.toml",
        "--tftp-server", "node1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunBuilt("phonefleet", arguments);
  };
  const std::string report = fmt::format("127.0.0.1:{}", system_->Port(5060));
  const std::string tvs = fmt::format("127.0.0.1:{}", Tvs().port);

  const ProgramResult first = live({"--first", devices[0], "--count", "3", "--tvs", tvs, "--report", report});
  EXPECT_EQ(first.exit_status, 0) << first.out << first.err;
  for (const std::string& device : devices) {
    EXPECT_THAT(first.out, AllOf(HasSubstr(device + "  CTL  "), HasSubstr(device + "  ITL  accepted  "),
                                 HasSubstr(device + "  in step  holds CTL ")));
    EXPECT_EQ(StatusOf(device), "Match");
  }
  ASSERT_NO_FATAL_FAILURE(AskAndBeSeen(devices[0]));
  ReplaceSigner("phonefleet looks on");

  const ProgramResult cut_off = live({"--device", devices[1], "--tvs", "127.0.0.1:1", "--report", report});
  EXPECT_EQ(cut_off.exit_status, 1) << cut_off.err;
  EXPECT_THAT(cut_off.out, AllOf(HasSubstr("  ITL  refused  "), HasSubstr("no answer of TVS 127.0.0.1:1: "),
                                 HasSubstr(devices[1] + "  out of step  holds CTL ")));
  EXPECT_EQ(StatusOf(devices[1]), "Mismatch");

  const ProgramResult all = live({"--first", devices[0], "--count", "3", "--at-once", "2", "--tvs", "127.0.0.1:1",
                                  "--tvs", tvs, "--report", report});
  EXPECT_EQ(all.exit_status, 0) << all.out << all.err;
  EXPECT_THAT(all.out, HasSubstr(fmt::format("asked TVS {}: valid with roles SAST", tvs)));
  for (const std::string& device : devices) EXPECT_EQ(StatusOf(device), "Match");
  // The configuration's signer too, and nobody told.
  ASSERT_OK_AND_ASSIGN(const TrustList list,
                       DecodeTrustList(AsBytes(ReadTestFile(Path("slept/" + devices[0] + "/ITLFile.tlv")))));
  const std::string signer = WriteFile("file-signer.pem", list.records.at(1).certificate->ToPem());
  const ProgramResult unchanged = live({"--device", devices[0], "--file-signer", signer, "--no-report"});
  EXPECT_EQ(unchanged.exit_status, 0) << unchanged.out << unchanged.err;
  EXPECT_THAT(unchanged.out, AllOf(HasSubstr("  ITL  unchanged  "), HasSubstr("  configuration  accepted  signed by")));

  // No answer: of itld, of where it reports. And wrong usage.
  EXPECT_EQ(live({"--device", devices[0], "--no-report", "--itl-service", "127.0.0.1:1"}).exit_status, 2);
  const ProgramResult untold = live({"--device", devices[0], "--report", "127.0.0.1:1"});
  EXPECT_EQ(untold.exit_status, 2);
  EXPECT_THAT(untold.err, HasSubstr("no answer to the report"));
  EXPECT_EQ(live({"--device", devices[0]}).exit_status, 2);
  EXPECT_EQ(live({"--no-report"}).exit_status, 2);
  EXPECT_EQ(live({"--first", "CSFANNA", "--count", "2", "--no-report"}).exit_status, 2);
  EXPECT_EQ(live({"--first", "SEPFFFFFFFFFFFF", "--count", "2", "--no-report"}).exit_status, 2);
}

}  // namespace
}  // namespace trustline
