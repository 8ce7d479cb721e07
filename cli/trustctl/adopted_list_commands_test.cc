// trustctl adopt list, show against an itld whose answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/fake_adoption_service.h"
#include "cli/trustctl/trustctl_testing.h"
#include "cli/trustctl/vector_lists_testing.h"
#include "gmock/gmock.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr auto kItl = v1::TRUST_LIST_KIND_ITL;
constexpr auto kCtl = v1::TRUST_LIST_KIND_CTL;

class AdoptedListCommandsTest : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(itld_, StartServer("itld", {&service_}));
    WriteContext({{"itld", itld_.get()}});
  }
  boost::json::value Json(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = Run(std::move(arguments));
    EXPECT_EQ(result.exit_status, 0) << result.err;
    return boost::json::parse(result.out);
  }
  // What `adopt show` says that cannot show anything.
  std::string Refused(std::vector<std::string> arguments, int exit_status) {
    arguments.insert(arguments.begin(), {"adopt", "show"});
    const ProgramResult result = Run(std::move(arguments));
    EXPECT_EQ(result.exit_status, exit_status) << result.err;
    EXPECT_EQ(result.out, "");
    return result.err;
  }

  const std::string itl_ = ReadVectorFile("ITLFile-sha512.tlv");
  const std::string other_itl_ = ReadVectorFile("ITLFile-sha1.tlv");
  const std::string itl_sha1_ = ToHex(Sha1(AsBytes(itl_)));
  FakeAdoption service_;
  std::unique_ptr<RpcServer> itld_;
};

TEST_F(AdoptedListCommandsTest, ShowIsTheLayoutThatAdministratorsKnow) {
  service_.Add("berlin", kItl, "cucm1.example", itl_).set_phones(7);
  const ProgramResult shown = Run({"adopt", "show"});
  EXPECT_EQ(shown.exit_status, 0) << shown.err;
  EXPECT_EQ(shown.out, ReadVectorFile("ITLFile-sha512.show.txt"));
  ASSERT_THAT(service_.asked, SizeIs(2));
  EXPECT_EQ(service_.asked[0].cluster(), "default");
  EXPECT_EQ(service_.asked[0].sha1(), "");
  EXPECT_EQ(ToHex(AsBytes(service_.asked[1].sha1())), itl_sha1_);

  const boost::json::value json = Json({"adopt", "show", "berlin"});
  EXPECT_EQ(json.at("kind"), "ITL");
  EXPECT_EQ(json.at("origin"), "berlin");
  EXPECT_EQ(json.at("own"), false);
  EXPECT_EQ(json.at("tftp_server"), "cucm1.example");
  EXPECT_EQ(json.at("is_current"), true);
  EXPECT_EQ(json.at("phones"), 7);
  EXPECT_EQ(json.at("adopted_at"), "2026-11-22T19:51:00.000Z");
  EXPECT_EQ(json.at("adopted_by"), "trustline:default/person/admin");
  EXPECT_EQ(json.at("sha1").as_string(), itl_sha1_);
  EXPECT_EQ(json.at("size").as_int64(), std::ssize(itl_));
  EXPECT_EQ(json.at("verified"), true);
  EXPECT_THAT(json.at("records").as_array(), SizeIs(6));
  EXPECT_THAT(Run({"adopt", "show", "--output", "csv"}).out, StartsWith("kind,origin,own,tftp_server,is_current,"));
}

TEST_F(AdoptedListCommandsTest, AListThatDoesNotVerifySaysSo) {
  std::string changed = itl_;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  service_.Add("berlin", kItl, "cucm1.example", changed);
  EXPECT_THAT(Run({"adopt", "show"}).out, HasSubstr("The ITL file could not be verified: "));
  EXPECT_EQ(Json({"adopt", "show"}).at("verified"), false);
}

TEST_F(AdoptedListCommandsTest, TheOneThatIsMeantIsNamedByOriginHostKindOrHash) {
  service_.Add("berlin", kItl, "cucm1.example", itl_);
  service_.Add("berlin", kItl, "cucm1.example", other_itl_).set_is_current(false);
  service_.Add("berlin", kItl, "cucm2.example", other_itl_);
  service_.Add("berlin", kCtl, "cucm1.example", other_itl_);
  service_.Add("hamburg", kItl, "10.0.0.1", itl_);
  const auto shown = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"adopt", "show"});
    const boost::json::value json = Json(std::move(arguments));
    return fmt::format("{} {} {} {}", json.at("kind").as_string().c_str(), json.at("origin").as_string().c_str(),
                       json.at("tftp_server").as_string().c_str(),
                       json.at("sha1").as_string() == itl_sha1_ ? "one" : "other");
  };
  EXPECT_EQ(shown({"hamburg"}), "ITL hamburg 10.0.0.1 one");
  EXPECT_EQ(shown({"berlin", "--tftp", "CUCM1.example"}), "ITL berlin cucm1.example one");
  EXPECT_EQ(shown({"--tftp", "cucm2.example"}), "ITL berlin cucm2.example other");
  EXPECT_EQ(shown({"--ctl"}), "CTL berlin cucm1.example other");
  EXPECT_EQ(shown({"--sha1", itl_sha1_}), "ITL berlin cucm1.example one");
  EXPECT_EQ(shown({"hamburg", "--sha1", itl_sha1_}), "ITL hamburg 10.0.0.1 one");
  EXPECT_THAT(Run({"adopt", "show", "--ctl"}).out, StartsWith("The checksum value of the CTL"));

  EXPECT_THAT(Refused({"berlin"}, 2), AllOf(HasSubstr("ITL of cucm1.example (berlin), ITL of cucm2.example (berlin)"),
                                            HasSubstr("--tftp HOST"), Not(HasSubstr("hamburg"))));
  EXPECT_THAT(Refused({"hamburg", "--ctl"}, 1), HasSubstr("`trustctl adopt list`"));
  EXPECT_THAT(Refused({"bremen", "--sha1", itl_sha1_}, 1), HasSubstr("bremen has no list with this SHA-1"));
  EXPECT_THAT(Refused({"--sha1", std::string(40, 'a')}, 1), HasSubstr("no adopted list has this SHA-1"));
  EXPECT_THAT(Refused({"--sha1", "abcd"}, 2), HasSubstr("40 hexadecimal digits"));
  EXPECT_THAT(Refused({"--sha1", itl_sha1_, "--tftp", "cucm1.example"}, 2), HasSubstr("--sha1"));
  EXPECT_THAT(Refused({"--sha1", itl_sha1_, "--ctl"}, 2), HasSubstr("--sha1"));
}

TEST_F(AdoptedListCommandsTest, HostsThatServeTheSameFileNeedNoName) {
  service_.Add("berlin", kCtl, "cucm1.example", itl_);
  service_.Add("berlin", kCtl, "cucm2.example", itl_);
  EXPECT_EQ(Json({"adopt", "show", "--ctl"}).at("tftp_server"), "cucm1.example");
  EXPECT_EQ(Json({"adopt", "show", "--ctl", "--tftp", "cucm2.example"}).at("tftp_server"), "cucm2.example");
}

TEST_F(AdoptedListCommandsTest, ErrorsNameAFewOfMany) {
  for (int i = 0; i < 13; ++i) {
    service_.Add("berlin", kItl, fmt::format("cucm{}.example", i), i % 2 == 0 ? itl_ : other_itl_);
  }
  EXPECT_THAT(Refused({}, 2), AllOf(HasSubstr("cucm9.example (berlin) and 3 more;"), Not(HasSubstr("cucm10.example"))));
}

TEST_F(AdoptedListCommandsTest, TheFileIsWrittenAsItWasServed) {
  service_.Add("berlin", kItl, "cucm1.example", itl_);
  const std::string out = PathOf("ITLFile.tlv");
  const ProgramResult written = Run({"adopt", "show", "--out", out});
  EXPECT_EQ(written.exit_status, 0) << written.err;
  EXPECT_EQ(written.out, fmt::format("ITL of cucm1.example (berlin): 9160 bytes in {}\n", out));
  EXPECT_EQ(ReadFile(out), itl_);
  EXPECT_THAT(Refused({"--out", out}, 1), HasSubstr("--force"));
  const boost::json::value json = Json({"adopt", "show", "--out", out, "--force"});
  EXPECT_EQ(json.at("sha1").as_string(), itl_sha1_);
  EXPECT_EQ(json.at("file").as_string(), out);
  EXPECT_THAT(Refused({"--force"}, 2), HasSubstr("--out"));
}

TEST_F(AdoptedListCommandsTest, WhatIsNotTheAdoptedFileIsNeitherShownNorWritten) {
  service_.Add("berlin", kItl, "cucm1.example", itl_).set_content(other_itl_);
  EXPECT_THAT(Refused({}, 1), HasSubstr("not the file that was adopted"));
  EXPECT_THAT(Refused({"--out", PathOf("ITLFile.tlv")}, 1), HasSubstr("not the file that was adopted"));
  EXPECT_EQ(ReadFile(PathOf("ITLFile.tlv")), "");
}

TEST_F(AdoptedListCommandsTest, ListTellsAll) {
  EXPECT_EQ(Run({"adopt", "list"}).out, "(nothing was adopted)\n");
  service_.Add("berlin\x1b[2J", kItl, "cucm1.example", itl_).set_phones(7);
  EXPECT_EQ(Run({"adopt", "list"}).out,
            fmt::format("ORIGIN         OWN  KIND  TFTP SERVER    SHA1                                      CURRENT  "
                        "PHONES  SIZE  ADOPTED               BY\n"
                        "berlin\\x1b[2J  no   ITL   cucm1.example  {}  yes           7  9160  "
                        "2026-11-22T19:51:00Z  trustline:default/person/admin\n",
                        itl_sha1_));
}

}  // namespace
}  // namespace trustline
