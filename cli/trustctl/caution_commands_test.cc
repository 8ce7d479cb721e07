// --plan, --accept-unproven and --override of every command that changes trust, against services whose answers the test
// decides.
#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <functional>

#include "cli/trustctl/fake_authority_services.h"
#include "cli/trustctl/fake_services.h"
#include "cli/trustctl/itl_testing.h"
#include "cli/trustctl/preflight_testing.h"
#include "cli/trustctl/terminal_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using Words = std::vector<std::string>;

Words With(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

class CautionTest : public TrustListsFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(itld_, StartServer("itld", {&lists_, &store_, &nodes_}));
    ASSERT_OK_AND_ASSIGN(cad_, StartServer("cad", {&authorities_}));
    WriteContext({{"itld", itld_.get()}, {"cad", cad_.get()}});
    store_.removed_certificate.emplace().set_subject("CN=tvs");
    authorities_.authority.set_state(v1::AUTHORITY_STATE_RETIRED);
    lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
    lists_.AddCtl(1, ReadVectorFile("ITLFile-sha1.tlv"));
    lists_.candidate.emplace().set_content_sha256(std::string(32, 'c'));
    SetRecovery("itlrecovery.pem");
    AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED);
  }

  void Answer(const v1::PreFlight& preflight) {
    store_.preflight = nodes_.preflight = authorities_.preflight = lists_.preflight = preflight;
    *lists_.outcome.mutable_preflight() = preflight;
  }

  TerminalResult RunAt(Words arguments, const std::vector<std::pair<std::string, std::string>>& answers) {
    arguments.insert(arguments.begin(), kProgram);
    return RunAtTerminal(arguments, {"TRUSTLINE_CONTEXT=" + context_}, answers);
  }

  struct Command {
    Words words;  // with a reason where there must be one
    std::function<v1::Caution()> caution;
  };

  // All that change trust.
  std::vector<Command> Commands() {
    const std::string key = WriteKeyFile("callmanager.pem");
    const std::string passphrase = WritePassphraseFile();
    const auto signed_caution = [this] { return lists_.published_signed.back().caution(); };
    const auto replaced = [this] { return lists_.replaced.caution(); };
    const auto reset = [this] { return lists_.reset.caution(); };
    const auto publish = [this] { return lists_.publish.caution(); };
    const auto device = [this] { return lists_.device_list.caution(); };
    const auto blank = [this] { return lists_.blank.caution(); };
    const auto mixed = [this] { return lists_.mixed_mode.caution(); };
    return {
        {{"trust", "set", "3f2a", "--ttl", "1h"}, [this] { return store_.asked_to_set.caution(); }},
        {{"trust", "remove", "3f2a"}, [this] { return store_.asked_to_remove.caution(); }},
        {{"trust", "crl", "add", Vector("itlrecovery.pem")}, [this] { return store_.crl_added.caution(); }},
        {{"node", "remove", "branch1"}, [this] { return nodes_.removed.caution(); }},
        {{"ca", "rollover", "retire", "1"}, [this] { return authorities_.retired.caution(); }},
        {{"itl", "settings", "set", "--digest", "sha512"}, [this] { return lists_.policy_changed.caution(); }},
        {{"itl", "server", "remove", "tftp1", "--reason", "r"}, [this] { return lists_.server_removed.caution(); }},
        {{"itl", "publish", "--yes"}, publish},
        {{"ctl", "publish", "--yes", "--reason", "r"}, publish},
        {{"itl", "device", "set", "SEP001122334455", "--digest", "sha512"}, device},
        {{"itl", "device", "remove", "SEP001122334455"}, device},
        {{"itl", "blank", "on", "--yes", "--reason", "r"}, blank},
        {{"itl", "blank", "off", "--reason", "r"}, blank},
        {{"ctl", "mixed-mode", "on"}, mixed},
        {{"ctl", "mixed-mode", "off", "--reason", "r"}, mixed},
        {{"itl", "reset", "--local-key", "--reason", "r"}, reset},
        {{"itl", "reset", "--recovery", "--reason", "r"}, reset},
        {{"ctl", "reset", "--recovery", "--reason", "r"}, reset},
        {{"itl", "reset", "--recovery-key", key, "--passphrase-file", passphrase, "--reason", "r"}, signed_caution},
        {{"itl", "recovery", "regenerate", "--yes", "--reason", "r"}, replaced},
        {{"itl", "recovery", "import", key, "--passphrase-file", passphrase, "--yes", "--reason", "r"}, replaced},
        {{"itl", "recovery", "restore", "--reason", "r"}, replaced},
    };
  }

  // Two lists are there, and both are signed with a key file.
  Words SignTwoLists() {
    lists_.Add("tftp2", "SEP001122334455", 4, ReadVectorFile("ITLFile-sha512.tlv"));
    return {"itl",
            "reset",
            "--recovery-key",
            WriteKeyFile("callmanager.pem"),
            "--passphrase-file",
            WritePassphraseFile(),
            "--reason",
            "r"};
  }

  static bool Has(const Words& words, const std::string& word) { return std::ranges::find(words, word) != words.end(); }

  FakeTrustStore store_;
  FakeNode nodes_;
  FakeAuthorities authorities_;
  std::unique_ptr<RpcServer> cad_;
};

TEST_F(CautionTest, APlanTellsVerdictsReasonsNamesAndTheRefusal) {
  Answer(LockingPreFlight());
  const ProgramResult plan = Run({"trust", "remove", "3f2a", "--plan"});
  EXPECT_EQ(plan.exit_status, 3) << plan.err;
  EXPECT_EQ(plan.err, "");
  EXPECT_EQ(plan.out,
            "VERDICT             PHONES\n"
            "safe by list          9938\n"
            "safe by TVS             31\n"
            "unproven                 2\n"
            "locked                   1\n"
            "needed help before       0\n"
            "outside                 12\n"
            "\n"
            "locked, 1 phone: no TVS that it names is left\n"
            "  to make it safe: keep its TVS certificate\n"
            "  SEP000000000001\n"
            "\n"
            "unproven, 2 phones: it was never seen\n"
            "  to make them safe: reset it\\x1b[2J\n"
            "  SEP000000000002  SEP000000000003\n"
            "\n"
            "it would be refused: 1 phone would be locked out: make it safe, or --override --reason\n");
  EXPECT_TRUE(store_.asked_to_remove.caution().plan());

  const ProgramResult data = Run({"trust", "remove", "3f2a", "--plan", "--output", "json"});
  EXPECT_EQ(data.exit_status, 3);
  const boost::json::value json = boost::json::parse(data.out);
  EXPECT_EQ(json.at("would_be_made"), false);
  EXPECT_THAT(std::string(json.at("refusal").as_string()), StartsWith("1 phone would be locked out"));
  EXPECT_EQ(json.at("phones"), 9'984);
  EXPECT_EQ(json.at("safe_by_list"), 9'938);
  EXPECT_EQ(json.at("safe_by_tvs"), 31);
  EXPECT_EQ(json.at("unproven"), 2);
  EXPECT_EQ(json.at("locked"), 1);
  EXPECT_EQ(json.at("needed_help_before"), 0);
  EXPECT_EQ(json.at("outside"), 12);
  EXPECT_EQ(json.at("counts").at(1).at("remedy"), "reset it\x1b[2J");
  ASSERT_EQ(json.at("named").as_array().size(), 3u);
  EXPECT_EQ(json.at("named").at(2).at("device"), "SEP000000000003");
  EXPECT_EQ(json.at("named").at(2).at("device_verdict"), "unproven");
  EXPECT_EQ(json.at("named").at(2).at("device_reason"), "it was never seen");
  const std::string csv = Run({"trust", "remove", "3f2a", "--plan", "--output", "csv"}).out;
  EXPECT_THAT(csv, AllOf(HasSubstr(",SEP000000000001,locked,no TVS that it names is left\r\n"),
                         HasSubstr(",SEP000000000003,unproven,it was never seen\r\n")));
}

TEST_F(CautionTest, OfManyNamesTwentyStandOnAScreenAndAllThatCameInData) {
  v1::PreFlight preflight;
  Words devices;
  for (int i = 0; i < 31; ++i) devices.push_back(fmt::format("SEP{:012d}", i));
  AddCount(preflight, v1::PHONE_VERDICT_UNPROVEN, 1'031, "it is silent", "reset it");
  AddCount(preflight, v1::PHONE_VERDICT_UNPROVEN, 1, "it was never seen");
  AddCount(preflight, v1::PHONE_VERDICT_LOST_BEFORE, 1, "its list is lost");
  AddCount(preflight, static_cast<v1::PhoneVerdict>(9), 4);
  AddNamed(preflight, v1::PHONE_VERDICT_UNPROVEN, "it is silent", devices);
  AddNamed(preflight, v1::PHONE_VERDICT_LOST_BEFORE, "its list is lost", {"SEPAAAAAAAAAAAA"});
  preflight.set_not_named(1'001);
  Answer(preflight);
  const ProgramResult plan = Run({"node", "remove", "branch1", "--plan"});
  EXPECT_EQ(plan.exit_status, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("unproven, 1,031 phones: it is silent\n"
                                  "  to make them safe: reset it\n"
                                  "  SEP000000000000  SEP000000000001  SEP000000000002  SEP000000000003  "
                                  "SEP000000000004\n"));
  EXPECT_THAT(plan.out, HasSubstr("SEP000000000019\n  and 1,011 others: see them with --output json or csv\n"
                                  "\nunproven, 1 phone: it was never seen\n"
                                  "\nneeded help before, 1 phone: its list is lost\n"
                                  "  SEPAAAAAAAAAAAA\n"
                                  "\nunknown (9), 4 phones\n"
                                  "\n1,001 phones more than these are named nowhere: see `trustctl phones report`\n"
                                  "\nit would be made\n"));
  EXPECT_THAT(plan.out, Not(HasSubstr("SEP000000000020")));
  // A verdict of an itld that is newer than this program.
  EXPECT_THAT(plan.out, HasSubstr("\nunknown (9)              4\n"));
  const boost::json::value json = boost::json::parse(Run({"node", "remove", "b", "--plan", "--output", "json"}).out);
  EXPECT_EQ(json.at("would_be_made"), true);
  EXPECT_TRUE(json.at("refusal").is_null());
  EXPECT_EQ(json.at("named").as_array().size(), 32u);
  EXPECT_EQ(json.at("not_named"), 1'001);
  EXPECT_EQ(json.at("unproven"), 1'032);
}

TEST_F(CautionTest, EveryChangeOfTrustCanBePlanned) {
  for (const auto& [words, caution] : Commands()) {
    Answer(LockingPreFlight());
    const ProgramResult refused = Run(With(words, {"--plan"}));
    EXPECT_EQ(refused.exit_status, 3) << testing::PrintToString(words) << refused.err;
    EXPECT_THAT(refused.out, AllOf(StartsWith("VERDICT "), EndsWith("or --override --reason\n")));
    EXPECT_EQ(refused.err, "");
    EXPECT_TRUE(caution().plan()) << testing::PrintToString(words);
    Answer(SafePreFlight());
    const ProgramResult made = Run(With(words, {"--plan", "--accept-unproven", "0"}));
    EXPECT_EQ(made.exit_status, 0) << testing::PrintToString(words) << made.err;
    EXPECT_THAT(made.out, EndsWith("\nit would be made\n"));
    EXPECT_TRUE(caution().has_accept_unproven());
    EXPECT_EQ(caution().accept_unproven(), 0);
    EXPECT_EQ(boost::json::parse(Run(With(words, {"--plan", "--output", "json"})).out).at("would_be_made"), true);
  }
}

TEST_F(CautionTest, EveryChangeOfTrustSaysWhatBecameOfThePhonesAndTakesTheTerms) {
  v1::PreFlight made = SafePreFlight();
  made.set_made(true);
  Answer(made);
  for (const auto& [words, caution] : Commands()) {
    const ProgramResult plain = Run(words);
    EXPECT_EQ(plain.exit_status, 0) << testing::PrintToString(words) << plain.err;
    EXPECT_THAT(plain.out, EndsWith("\npre-flight: 9,969 safe (31 by TVS), 12 outside\n"))
        << testing::PrintToString(words);
    EXPECT_FALSE(caution().plan());
    EXPECT_FALSE(caution().has_accept_unproven());
    EXPECT_EQ(caution().override_reason(), "");

    EXPECT_EQ(Run(With(words, {"--accept-unproven", "31"})).exit_status, 0);
    EXPECT_EQ(caution().accept_unproven(), 31);
    EXPECT_EQ(caution().override_reason(), "");

    Words overriding = With(words, {"--override"});
    if (!Has(words, "--yes")) overriding.emplace_back("--yes");
    if (!Has(words, "--reason")) overriding = With(overriding, {"--reason", "r"});
    const ProgramResult overridden = Run(overriding);
    EXPECT_EQ(overridden.exit_status, 0) << testing::PrintToString(overriding) << overridden.err;
    EXPECT_THAT(overridden.err, HasSubstr("phones may be locked out"));
    EXPECT_EQ(caution().override_reason(), "r") << testing::PrintToString(words);
    EXPECT_FALSE(caution().has_accept_unproven());

    const boost::json::value json = boost::json::parse(Run(With(words, {"--output", "json"})).out);
    EXPECT_EQ(json.at("preflight_phones"), 9'981) << testing::PrintToString(words);
    EXPECT_EQ(json.at("preflight_safe_by_tvs"), 31);
    EXPECT_EQ(json.at("preflight_locked"), 0);
  }
}

TEST_F(CautionTest, WithoutPhonesNothingIsSaidOfThem) {
  Answer(v1::PreFlight());
  EXPECT_EQ(Run({"node", "remove", "branch1"}).out,
            "removed node branch1: its identity is not renewed and its TVS certificate is not trusted any more\n");
  nodes_.preflight.reset();
  const boost::json::value json = boost::json::parse(Run({"node", "remove", "branch1", "--output", "json"}).out);
  EXPECT_TRUE(json.at("preflight_phones").is_null());
  EXPECT_EQ(json.at("removed"), true);
}

TEST_F(CautionTest, WhatWasAcceptedOrOverriddenIsCounted) {
  v1::PreFlight preflight = LockingPreFlight();
  AddCount(preflight, v1::PHONE_VERDICT_LOST_BEFORE, 3);
  Answer(preflight);
  EXPECT_THAT(
      Run({"trust", "remove", "3f2a", "--override", "--reason", "r", "--yes"}).out,
      EndsWith("\npre-flight: 9,969 safe (31 by TVS), 2 unproven, 1 locked, 3 needed help before, 12 outside\n"));
}

TEST_F(CautionTest, AnOverrideNeedsAReasonAndAnAnswer) {
  Answer(SafePreFlight());
  for (const Words& words : std::vector<Words>{{"trust", "remove", "3f2a", "--override", "--yes"},
                                               {"trust", "remove", "3f2a", "--reason", "r"},
                                               {"trust", "remove", "3f2a", "--override", "--reason", ""},
                                               {"itl", "publish", "--yes", "--override"},
                                               {"trust", "remove", "3f2a", "--accept-unproven", "-1"},
                                               {"trust", "remove", "3f2a", "--accept-unproven", "all"},
                                               {"trust", "remove", "3f2a", "--override", "--reason", "r"}}) {
    const ProgramResult result = Run(words);
    EXPECT_EQ(result.exit_status, 2) << testing::PrintToString(words) << result.err;
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(store_.asked_to_remove.cluster(), "");
  const Words overriding = {"trust", "remove", "3f2a", "--override", "--reason", "stolen"};
  const TerminalResult no = RunAt(overriding, {{"[y/N] ", "n\n"}});
  EXPECT_EQ(no.exit_status, 1);
  EXPECT_THAT(no.screen, AllOf(HasSubstr("--plan instead of --override"), HasSubstr("not confirmed")));
  EXPECT_EQ(store_.asked_to_remove.cluster(), "");
  const TerminalResult yes = RunAt(overriding, {{"[y/N] ", "y\n"}});
  EXPECT_EQ(yes.exit_status, 0) << yes.screen;
  EXPECT_EQ(store_.asked_to_remove.caution().override_reason(), "stolen");
}

TEST_F(CautionTest, APlanAsksNobody) {
  Answer(SafePreFlight());
  const std::string key = WriteKeyFile("callmanager.pem");
  for (const Words& words : std::vector<Words>{
           {"itl", "publish"},
           {"itl", "blank", "on", "--reason", "r"},
           {"itl", "recovery", "regenerate", "--reason", "r"},
           {"itl", "recovery", "import", key, "--passphrase-file", WritePassphraseFile(), "--reason", "r"},
           {"trust", "remove", "3f2a", "--override", "--reason", "r"},
           {"itl", "reset", "--recovery", "--override", "--reason", "r"}}) {
    const ProgramResult plan = Run(With(words, {"--plan"}));
    EXPECT_EQ(plan.exit_status, 0) << testing::PrintToString(words) << plan.err;
    EXPECT_EQ(plan.err, "") << testing::PrintToString(words);
  }
  // What is planned is what waits.
  ASSERT_EQ(lists_.publish.contents_size(), 1);
  EXPECT_EQ(lists_.publish.contents(0), std::string(32, 'c'));
  lists_.candidate.reset();
  EXPECT_EQ(Run({"itl", "publish", "--plan"}).out, "nothing waits to be published\n");
}

TEST_F(CautionTest, ListsThatAreSignedHereArePlannedOneByOne) {
  Answer(LockingPreFlight());
  const Words words = SignTwoLists();
  const ProgramResult plan = Run(With(words, {"--plan"}));
  EXPECT_EQ(plan.exit_status, 3) << plan.err;
  EXPECT_THAT(plan.out, AllOf(StartsWith("ITL of tftp2, of SEP001122334455 alone:\nVERDICT "),
                              HasSubstr("--reason\n\nITL of tftp1:\nVERDICT ")));
  EXPECT_EQ(lists_.published_signed.size(), 2u);
  const boost::json::value json = boost::json::parse(Run(With(words, {"--plan", "--output", "json"})).out);
  EXPECT_THAT(std::string(json.at("refusal").as_string()), HasSubstr("; ITL of tftp1: 1 phone"));
  EXPECT_EQ(json.at("named").as_array().size(), 6u);
  EXPECT_EQ(json.at("named").at(3).at("named_of"), "ITL of tftp1");
  EXPECT_EQ(json.at("counts").at(0).at("counts_of"), "ITL of tftp2, of SEP001122334455 alone");
  EXPECT_FALSE(json.as_object().contains("locked"));

  Answer(SafePreFlight());
  EXPECT_THAT(Run(words).out,
              EndsWith("\npre-flight of ITL of tftp2, of SEP001122334455 alone: 9,969 safe (31 by TVS), 12 outside\n"
                       "pre-flight of ITL of tftp1: 9,969 safe (31 by TVS), 12 outside\n"));
}

TEST_F(CautionTest, TheNumberOfSeveralListsIsThatOfAllTogether) {
  Answer(LockingPreFlight());
  const Words words = SignTwoLists();
  const ProgramResult refused = Run(With(words, {"--accept-unproven", "2"}));
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err,
              AllOf(HasSubstr("for the 2 lists together 4 phones are unproven"), HasSubstr("say --accept-unproven 4")));
  for (const v1::PublishSignedRequest& sent : lists_.published_signed) EXPECT_TRUE(sent.caution().plan());
  lists_.published_signed.clear();
  EXPECT_EQ(Run(With(words, {"--accept-unproven", "4"})).exit_status, 0);
  ASSERT_EQ(lists_.published_signed.size(), 4u);
  EXPECT_FALSE(lists_.published_signed.back().caution().plan());
  EXPECT_EQ(lists_.published_signed.back().caution().accept_unproven(), 2);
}

TEST_F(CautionTest, ARefusalIsToldInItldsWords) {
  store_.remove_status = {grpc::StatusCode::FAILED_PRECONDITION,
                          "1 phone would be locked out, SEP000000000001: see them with --plan\x1b[2J"};
  const ProgramResult refused = Run({"trust", "remove", "3f2a"});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_EQ(refused.out, "");
  EXPECT_EQ(refused.err, "trustctl: 1 phone would be locked out, SEP000000000001: see them with --plan\\x1b[2J\n");
}

TEST_F(CautionTest, AServiceThatKnowsNoPlansIsFoundOut) {
  for (const auto& [words, caution] : Commands()) {
    store_.preflight.reset();
    nodes_.preflight.reset();
    authorities_.preflight.reset();
    lists_.preflight.reset();
    lists_.outcome.clear_preflight();
    const ProgramResult none = Run(With(words, {"--plan"}));
    EXPECT_EQ(none.exit_status, 1) << testing::PrintToString(words);
    EXPECT_THAT(none.err, HasSubstr("may have made the change")) << testing::PrintToString(words);
    EXPECT_EQ(none.out, "");
    v1::PreFlight made = SafePreFlight();
    made.set_made(true);
    Answer(made);
    EXPECT_THAT(Run(With(words, {"--plan"})).err, HasSubstr("has made the change")) << testing::PrintToString(words);
  }
}

}  // namespace
}  // namespace trustline
