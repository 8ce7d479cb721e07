// trustctl itl and ctl generate, publish, server, settings, able, device, blank, mixed-mode against an itld whose
// answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/itl_testing.h"
#include "cli/trustctl/terminal_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ItlChangeCommandsTest : public TrustListsFixture {
 protected:
  TerminalResult RunAt(std::vector<std::string> arguments,
                       const std::vector<std::pair<std::string, std::string>>& answers) {
    arguments.insert(arguments.begin(), kProgram);
    return RunAtTerminal(arguments, {"TRUSTLINE_CONTEXT=" + context_}, answers);
  }

  void LetOneWait() {
    lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
    lists_.candidate.emplace();
    lists_.candidate->set_state(v1::CANDIDATE_STATE_WAITS_FOR_APPROVAL);
    lists_.candidate->set_reason("the TVS of branch1 is new");
    lists_.candidate->add_changes("added: TVS CN=branch1");
    lists_.candidate->set_content_sha256(std::string(32, 'c'));
  }
};

TEST_F(ItlChangeCommandsTest, GenerateSaysWhatBecameOfEachList) {
  AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED);
  AddOutcome(v1::PublishResponse::OUTCOME_UNCHANGED);
  AddOutcome(v1::PublishResponse::OUTCOME_WAITS, "a signer is new: trustctl itl publish\x1b[2J")
      .mutable_list()
      ->mutable_candidate()
      ->add_changes("signer: a -> b");
  lists_.outcome.add_notices("the database is slow");
  const ProgramResult table = Run({"itl", "generate", "--tftp-server", "tftp1"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(table.out,
            "ITLFile.tlv of tftp1: generation 2 published\n"
            "ITLFile.tlv of tftp1: ITL hash not changed\n"
            "ITLFile.tlv of tftp1: waits: a signer is new: trustctl itl publish\\x1b[2J\n"
            "  signer: a -> b\n");
  EXPECT_EQ(table.err, "notice: the database is slow\n");
  EXPECT_EQ(lists_.generated.kind(), v1::TRUST_LIST_KIND_ITL);
  EXPECT_EQ(lists_.generated.tftp_server(), "tftp1");

  AddOutcome(v1::PublishResponse::OUTCOME_REFUSED, "66000 bytes are too many");
  const ProgramResult refused = Run({"itl", "generate", "--output", "json"});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_EQ(refused.err, "");
  const boost::json::value json = boost::json::parse(refused.out);
  EXPECT_EQ(json.at("lists").at(0).at("outcome"), "published");
  EXPECT_EQ(json.at("lists").at(0).at("generation"), 2);
  EXPECT_EQ(json.at("lists").at(2).at("changes").at(0), "signer: a -> b");
  EXPECT_EQ(json.at("lists").at(3).at("outcome_reason"), "66000 bytes are too many");
  EXPECT_EQ(json.at("notices").at(0), "the database is slow");

  // What an earlier candidate would change is not said of a list that stays, and what was changed is.
  lists_.outcome.Clear();
  v1::Candidate& earlier =
      *AddOutcome(v1::PublishResponse::OUTCOME_UNCHANGED, "a signer is new").mutable_list()->mutable_candidate();
  earlier.add_changes("signer: a -> b");
  AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED).add_changes("added: TVS CN=branch1");
  EXPECT_EQ(Run({"itl", "reset", "--recovery", "--reason", "r"}).out,
            "ITLFile.tlv of tftp1: ITL hash not changed\n"
            "ITLFile.tlv of tftp1: generation 2 published\n"
            "  added: TVS CN=branch1\n");
  const boost::json::value kept =
      boost::json::parse(Run({"itl", "reset", "--recovery", "--reason", "r", "--output", "json"}).out).at("lists");
  EXPECT_TRUE(kept.at(0).at("changes").as_array().empty());
  EXPECT_TRUE(kept.at(0).at("outcome_reason").is_null());
  EXPECT_EQ(kept.at(1).at("changes").at(0), "added: TVS CN=branch1");

  lists_.outcome.Clear();
  EXPECT_EQ(Run({"ctl", "generate"}).out, "(no lists)\n");
  EXPECT_EQ(lists_.generated.kind(), v1::TRUST_LIST_KIND_CTL);
  lists_.status = {grpc::StatusCode::PERMISSION_DENIED, "you are no operator"};
  EXPECT_EQ(Run({"itl", "generate"}).exit_status, 1);
}

TEST_F(ItlChangeCommandsTest, PublishShowsWhatWaitsAndAsks) {
  EXPECT_EQ(Run({"itl", "publish"}).out, "nothing waits to be published\n");
  LetOneWait();
  AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED);
  const TerminalResult yes = RunAt(
      {"itl", "publish", "--reason", "it is ours", "--without-node", "a", "--without-node", "b"}, {{"[y/N] ", "y\n"}});
  EXPECT_EQ(yes.exit_status, 0) << yes.screen;
  EXPECT_THAT(yes.screen,
              AllOf(HasSubstr("ITLFile.tlv of tftp1: the TVS of branch1 is new"), HasSubstr("  added: TVS CN=branch1"),
                    HasSubstr("Publish this list?"), HasSubstr("generation 2 published")));
  EXPECT_EQ(lists_.publish.reason(), "it is ours");
  EXPECT_THAT(lists_.publish.without_nodes(), ElementsAre("a", "b"));
  EXPECT_EQ(lists_.publish.kind(), v1::TRUST_LIST_KIND_ITL);
  // What was shown is what is approved.
  EXPECT_THAT(lists_.publish.contents(), ElementsAre(std::string(32, 'c')));

  lists_.publish.Clear();
  const TerminalResult no = RunAt({"itl", "publish"}, {{"[y/N] ", "\n"}});
  EXPECT_EQ(no.exit_status, 1);
  EXPECT_THAT(no.screen, HasSubstr("not confirmed: nothing was changed"));
  const TerminalResult interrupted = RunAt({"itl", "publish"}, {{"[y/N] ", "\x03"}});
  EXPECT_EQ(interrupted.exit_status, 1) << interrupted.screen;
  EXPECT_THAT(interrupted.screen, HasSubstr("interrupted"));
  const ProgramResult nobody = Run({"itl", "publish"});
  EXPECT_EQ(nobody.exit_status, 2);
  EXPECT_THAT(nobody.err, AllOf(HasSubstr("added: TVS CN=branch1"), HasSubstr("give --yes")));
  EXPECT_EQ(lists_.publish.cluster(), "");
}

TEST_F(ItlChangeCommandsTest, PublishIsNoSuccessWhileSomethingWaits) {
  LetOneWait();
  AddOutcome(v1::PublishResponse::OUTCOME_WAITS, "branch1 does not know the signer yet");
  const ProgramResult waits = Run({"itl", "publish", "--yes", "--tftp-server", "tftp1"});
  EXPECT_EQ(waits.exit_status, 1);
  EXPECT_EQ(waits.out, "ITLFile.tlv of tftp1: waits: branch1 does not know the signer yet\n");
  EXPECT_EQ(lists_.publish.tftp_server(), "tftp1");
  EXPECT_EQ(lists_.publish.cluster(), "default");
}

TEST_F(ItlChangeCommandsTest, Servers) {
  AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED);
  const ProgramResult added =
      Run({"itl", "server", "add", "tftp1", "--host", "tftp1.example", "--role", "tftp", "--recovery-years", "15",
           "--organization", "Example", "--organizational-unit", "Voice"});
  EXPECT_EQ(added.exit_status, 0) << added.err;
  EXPECT_EQ(added.out, "tftp1 is added\nITLFile.tlv of tftp1: generation 2 published\n");
  const v1::AddTftpServerRequest& request = lists_.server_added;
  EXPECT_EQ(request.name(), "tftp1");
  EXPECT_EQ(request.host(), "tftp1.example");
  EXPECT_EQ(request.tftp_role(), v1::CERTIFICATE_ROLE_TFTP);
  EXPECT_EQ(request.recovery_years(), 15);
  EXPECT_EQ(request.organization(), "Example");
  EXPECT_EQ(request.organizational_unit(), "Voice");
  EXPECT_EQ(boost::json::parse(Run({"itl", "server", "add", "tftp1", "--output", "json"}).out).at("added"), true);
  EXPECT_EQ(lists_.server_added.tftp_role(), v1::CERTIFICATE_ROLE_UNSPECIFIED);

  EXPECT_EQ(Run({"itl", "server", "list"}).out, "(no TFTP servers)\n");
  lists_.overview.add_tftp_servers()->set_name("tftp1");
  lists_.overview.mutable_tftp_servers(0)->set_host("tftp1.example");
  EXPECT_THAT(Run({"itl", "server", "list"}).out, HasSubstr("tftp1.example"));
  const ProgramResult removed = Run({"itl", "server", "remove", "tftp1", "--reason", "closed"});
  EXPECT_EQ(removed.exit_status, 0) << removed.err;
  EXPECT_THAT(removed.out, StartsWith("removed tftp1"));
  EXPECT_EQ(lists_.server_removed.name(), "tftp1");
  EXPECT_EQ(lists_.server_removed.reason(), "closed");
  lists_.status = {grpc::StatusCode::NOT_FOUND, "there is no TFTP server tftp1\x1b[2J"};
  EXPECT_EQ(Run({"itl", "server", "remove", "tftp1", "--reason", "closed"}).err,
            "trustctl: there is no TFTP server tftp1\\x1b[2J\n");
}

TEST_F(ItlChangeCommandsTest, Settings) {
  EXPECT_EQ(Run({"itl", "settings", "show"}).exit_status, 1);
  lists_.overview.mutable_policy()->set_recovery_years(20);
  lists_.overview.mutable_policy()->set_vendor_names(true);
  lists_.overview.mutable_policy()->set_digest(v1::LIST_DIGEST_SHA512);
  const boost::json::value json = boost::json::parse(Run({"itl", "settings", "show", "--output", "json"}).out);
  EXPECT_EQ(json.at("recovery_years"), 20);
  EXPECT_EQ(json.at("names"), "vendor");
  EXPECT_EQ(json.at("digest"), "sha512");
  const ProgramResult set = Run({"itl", "settings", "set", "--tftp-role", "ccm+tftp", "--recovery-years", "5",
                                 "--digest", "sha1", "--signer-version", "1.1", "--names", "comma"});
  EXPECT_EQ(set.exit_status, 0) << set.err;
  const v1::ChangeTrustListPolicyRequest& request = lists_.policy_changed;
  EXPECT_EQ(request.tftp_role(), v1::CERTIFICATE_ROLE_CCM_TFTP);
  EXPECT_EQ(request.recovery_years(), 5);
  EXPECT_EQ(request.digest(), v1::LIST_DIGEST_SHA1);
  EXPECT_EQ(request.signer_version(), v1::SIGNER_VERSION_1_1);
  EXPECT_TRUE(request.has_vendor_names());
  EXPECT_FALSE(request.vendor_names());
  EXPECT_EQ(Run({"itl", "settings", "set", "--digest", "sha512"}).exit_status, 0);
  EXPECT_FALSE(lists_.policy_changed.has_vendor_names());
}

TEST_F(ItlChangeCommandsTest, AbleAndListsOfDevices) {
  const ProgramResult able = Run({"itl", "able", "--model", "8845", "--sha512"});
  EXPECT_EQ(able.exit_status, 0) << able.err;
  EXPECT_EQ(able.out,
            "recorded: model 8845 reads SHA-512 and signer version 1.0 only; of 100 phones in service, 40 are not "
            "recorded as able to read SHA-512, 41 not signer version 1.1\n");
  EXPECT_EQ(lists_.reading.model(), "8845");
  EXPECT_TRUE(lists_.reading.sha512());
  EXPECT_FALSE(lists_.reading.version_1_1());
  const boost::json::value json = boost::json::parse(
      Run({"itl", "able", "--device", "sep001122334455", "--signer-version-1.1", "--output", "json"}).out);
  EXPECT_EQ(json.at("not_able_sha512"), 40);
  EXPECT_EQ(lists_.reading.device(), "SEP001122334455");
  EXPECT_TRUE(lists_.reading.version_1_1());

  AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED);
  const ProgramResult set = Run({"itl", "device", "set", "sep001122334455", "--digest", "sha512", "--signer-version",
                                 "1.1", "--tftp-server", "tftp1"});
  EXPECT_EQ(set.exit_status, 0) << set.err;
  EXPECT_THAT(set.out, AllOf(StartsWith("SEP001122334455 has a list of its own\n"), HasSubstr("generation 2")));
  EXPECT_EQ(lists_.device_list.device(), "SEP001122334455");
  EXPECT_EQ(lists_.device_list.digest(), v1::LIST_DIGEST_SHA512);
  EXPECT_EQ(lists_.device_list.signer_version(), v1::SIGNER_VERSION_1_1);
  EXPECT_EQ(lists_.device_list.tftp_server(), "tftp1");
  EXPECT_FALSE(lists_.device_list.remove());
  lists_.outcome.Clear();
  lists_.outcome.add_notices("the database is slow");
  const ProgramResult removed = Run({"itl", "device", "remove", "SEP001122334455"});
  EXPECT_EQ(removed.exit_status, 0);
  EXPECT_EQ(removed.out, "SEP001122334455 has no list of its own any more: it takes the list of all phones again\n");
  EXPECT_EQ(removed.err, "notice: the database is slow\n");
  EXPECT_TRUE(lists_.device_list.remove());
}

TEST_F(ItlChangeCommandsTest, BlankSaysWhatStopsWorkingAndAsks) {
  AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED);
  const ProgramResult nobody = Run({"itl", "blank", "on", "--reason", "rollback"});
  EXPECT_EQ(nobody.exit_status, 2);
  EXPECT_THAT(nobody.err, AllOf(HasSubstr("HTTPS services"), HasSubstr("TVS"), HasSubstr("--yes")));
  EXPECT_EQ(lists_.blank.cluster(), "");
  const TerminalResult asked = RunAt({"itl", "blank", "on", "--reason", "rollback"}, {{"[y/N] ", "yes\n"}});
  EXPECT_EQ(asked.exit_status, 0) << asked.screen;
  EXPECT_THAT(asked.screen, AllOf(HasSubstr("HTTPS services"), HasSubstr("generation 2 published")));
  EXPECT_TRUE(lists_.blank.on());
  EXPECT_EQ(lists_.blank.reason(), "rollback");
  const ProgramResult off = Run({"itl", "blank", "off", "--reason", "done", "--without-node", "branch1"});
  EXPECT_EQ(off.exit_status, 0) << off.err;
  EXPECT_FALSE(lists_.blank.on());
  EXPECT_THAT(lists_.blank.without_nodes(), ElementsAre("branch1"));
  EXPECT_EQ(
      boost::json::parse(Run({"itl", "blank", "on", "--reason", "r", "--yes", "--output", "json"}).out).at("blank"),
      true);
}

TEST_F(ItlChangeCommandsTest, MixedMode) {
  AddOutcome(v1::PublishResponse::OUTCOME_WAITS, "phones must be encrypted first");
  EXPECT_THAT(Run({"ctl", "mixed-mode", "on", "--reason", "secure"}).out, HasSubstr("waits: phones must be"));
  EXPECT_TRUE(lists_.mixed_mode.on());
  EXPECT_EQ(lists_.mixed_mode.reason(), "secure");
  EXPECT_EQ(Run({"ctl", "mixed-mode", "off"}).exit_status, 0);
  EXPECT_FALSE(lists_.mixed_mode.on());
  EXPECT_EQ(Run({"ctl", "mixed-mode", "update"}).exit_status, 0);
  EXPECT_EQ(lists_.generated.kind(), v1::TRUST_LIST_KIND_CTL);
}

TEST(ItlUsageTest, WrongUsageIsStatusTwo) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"itl"},
           {"ctl", "server"},
           {"itl", "show", "a.tlv", "--generation", "1"},
           {"itl", "show", "--generation", "0"},
           {"itl", "show", "--hash", "abcd"},
           {"itl", "show", "--hash", std::string(40, 'a'), "--generation", "1"},
           {"itl", "show", "--hash", std::string(40, 'a'), "--tftp-server", "a"},
           {"ctl", "show", "--tftp-server", "a"},
           {"itl", "decode"},
           {"itl", "diff", "1"},
           {"itl", "server", "add"},
           {"itl", "server", "add", "a", "--recovery-years", "7"},
           {"itl", "server", "add", "a", "--role", "CAPF"},
           {"itl", "server", "remove", "a"},
           {"itl", "server", "remove", "a", "--reason", ""},
           {"itl", "settings", "set"},
           {"itl", "settings", "set", "--digest", "sha256"},
           {"itl", "settings", "set", "--signer-version", "1.2"},
           {"itl", "able"},
           {"itl", "able", "--device", "SEP001122334455", "--model", "8845"},
           {"itl", "device", "set", "SEP1"},
           {"itl", "reset", "--reason", "a"},
           {"itl", "reset", "--local-key"},
           {"itl", "reset", "--local-key", "--recovery", "--reason", "a"},
           {"itl", "reset", "--local-key", "--passphrase-file", "a", "--reason", "a"},
           {"ctl", "reset", "--reason", "a"},
           {"ctl", "reset", "--local-key", "--reason", "a"},
           {"ctl", "reset", "--recovery", "--tftp-server", "a", "--reason", "a"},
           {"itl", "recovery", "export"},
           {"itl", "recovery", "import", "a.p12"},
           {"itl", "recovery", "regenerate"},
           {"itl", "blank", "on"},
           {"itl", "mixed-mode", "on"},
       }) {
    const ProgramResult result = Trustctl(arguments);
    EXPECT_EQ(result.exit_status, 2) << testing::PrintToString(arguments) << result.err;
    EXPECT_THAT(result.err, AllOf(StartsWith("trustctl: "), HasSubstr("--help")));
    EXPECT_EQ(result.out, "");
  }
}

}  // namespace
}  // namespace trustline
