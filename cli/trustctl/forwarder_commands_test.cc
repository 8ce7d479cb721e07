// trustctl forwarder and trustctl itl server name against an itld whose answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/phones_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class ForwarderCommandsTest : public PhonesFixture {
 protected:
  static v1::Forwarder ForwarderOf(const std::string& name, bool is_network) {
    v1::Forwarder forwarder;
    forwarder.set_name(name);
    forwarder.set_is_network(is_network);
    forwarder.add_requests("REFER");
    forwarder.add_requests("REGISTER");
    forwarder.set_added_by("person admin\x1b[2J");
    forwarder.mutable_added_at()->set_seconds(1'795'377'060);
    return forwarder;
  }
};

TEST_F(ForwarderCommandsTest, AddSaysWhatCountsNow) {
  *service_.put.mutable_forwarder() = ForwarderOf("192.0.2.10", true);
  service_.put.mutable_forwarder()->set_udp(true);
  service_.put.set_added(true);
  const ProgramResult added =
      Run({"forwarder", "add", "192.0.2.10", "--requests", "refer,Register", "--requests", "REFER", "--udp"});
  EXPECT_EQ(added.exit_status, 0) << added.err;
  EXPECT_EQ(added.out, "192.0.2.10 is added: what it says of phones is evidence, in REFER, REGISTER, over UDP too\n");
  EXPECT_EQ(service_.forwarder_put.cluster(), "default");
  EXPECT_EQ(service_.forwarder_put.name(), "192.0.2.10");
  EXPECT_THAT(service_.forwarder_put.requests(), ElementsAre("REFER", "REGISTER"));
  EXPECT_TRUE(service_.forwarder_put.udp());

  service_.put.mutable_forwarder()->set_udp(false);
  service_.put.set_added(false);
  EXPECT_EQ(Run({"forwarder", "add", "192.0.2.10"}).out,
            "192.0.2.10 was there already and has this form now: what it says of phones is evidence, in REFER, "
            "REGISTER\n");
  EXPECT_THAT(service_.forwarder_put.requests(), IsEmpty());
  EXPECT_FALSE(service_.forwarder_put.udp());
  const boost::json::value json = boost::json::parse(Run({"forwarder", "add", "192.0.2.10", "--output", "json"}).out);
  EXPECT_EQ(json.at("forwarder"), "192.0.2.10");
  EXPECT_EQ(json.at("kind"), "address");
  EXPECT_EQ(json.at("requests").at(1), "REGISTER");
  EXPECT_EQ(json.at("udp"), false);
  EXPECT_EQ(json.at("added"), false);
}

TEST_F(ForwarderCommandsTest, WrongWordsAndRefusalsAreToldPlainly) {
  const ProgramResult wrong = Run({"forwarder", "add", "192.0.2.10", "--requests", "REFER,INVITE"});
  EXPECT_EQ(wrong.exit_status, 2);
  EXPECT_THAT(wrong.err, HasSubstr("'INVITE' is none of these: REFER, REGISTER, OPTIONS"));
  EXPECT_EQ(Run({"forwarder", "add"}).exit_status, 2);
  EXPECT_EQ(Run({"forwarder", "add", std::string(201, 'a')}).exit_status, 2);
  EXPECT_EQ(Run({"forwarder", "add", "a\nb"}).exit_status, 2);
  EXPECT_EQ(service_.forwarder_put.name(), "");
  EXPECT_THAT(Run({"forwarder", "add", "--help"}).out, HasSubstr("can be forged"));

  service_.status = {grpc::StatusCode::INVALID_ARGUMENT, "a common name is proved over TLS: leave --udp out"};
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"forwarder", "add", "kamailio.example.com", "--udp"},
                                             {"forwarder", "list"},
                                             {"forwarder", "remove", "192.0.2.10"},
                                             {"forwarder", "claims", "refuse"},
                                             {"itl", "server", "name", "list"},
                                             {"itl", "server", "name", "add", "tftp1", "192.0.2.5"}}) {
    const ProgramResult refused = Run(command);
    EXPECT_EQ(refused.exit_status, 1) << testing::PrintToString(command);
    EXPECT_EQ(refused.out, "");
    EXPECT_THAT(refused.err, HasSubstr("a common name is proved over TLS: leave --udp out"));
  }
}

TEST_F(ForwarderCommandsTest, ListTellsAllAndWhatBecomesOfOthers) {
  *service_.forwarders.add_forwarders() = ForwarderOf("127.0.0.0/8", true);
  service_.forwarders.mutable_forwarders(0)->set_udp(true);
  *service_.forwarders.add_forwarders() = ForwarderOf("192.0.2.10", true);
  *service_.forwarders.add_forwarders() = ForwarderOf("kamailio.example.com", false);
  service_.forwarders.set_accept_claims(true);
  const ProgramResult table = Run({"forwarder", "list"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(table.out,
            "FORWARDER             KIND         REQUESTS        UDP  ADDED BY             ADDED\n"
            "127.0.0.0/8           network      REFER,REGISTER  yes  person admin\\x1b[2J  2026-11-22T19:51:00Z\n"
            "192.0.2.10            address      REFER,REGISTER  no   person admin\\x1b[2J  2026-11-22T19:51:00Z\n"
            "kamailio.example.com  common name  REFER,REGISTER  no   person admin\\x1b[2J  2026-11-22T19:51:00Z\n"
            "\n"
            "From everybody else: alarms are kept as claims\n");
  const boost::json::value json = boost::json::parse(Run({"forwarder", "list", "--output", "json"}).out);
  EXPECT_EQ(json.at("accept_claims"), true);
  ASSERT_EQ(json.at("forwarders").as_array().size(), 3u);
  EXPECT_EQ(json.at("forwarders").at(2).at("kind"), "common name");
  EXPECT_THAT(Run({"forwarder", "list", "--output", "csv"}).out,
              StartsWith("accept_claims,forwarder,kind,requests,udp,added_by,added_at\r\n"
                         "true,127.0.0.0/8,network,REFER REGISTER,true,"));

  service_.forwarders.Clear();
  EXPECT_EQ(Run({"forwarder", "list"}).out, "(no forwarders)\n\nFrom everybody else: alarms are refused\n");
}

TEST_F(ForwarderCommandsTest, RemoveAndTheClaimPolicy) {
  const ProgramResult removed = Run({"forwarder", "remove", "192.0.2.10"});
  EXPECT_EQ(removed.exit_status, 0) << removed.err;
  EXPECT_THAT(removed.out, StartsWith("removed 192.0.2.10: "));
  EXPECT_EQ(service_.forwarder_removed.name(), "192.0.2.10");
  EXPECT_EQ(service_.forwarder_removed.cluster(), "default");

  service_.claim_policy_set.set_changed(true);
  EXPECT_EQ(Run({"forwarder", "claims", "refuse"}).out, "alarms of others than forwarders are refused\n");
  EXPECT_FALSE(service_.claim_policy.accept());
  EXPECT_EQ(service_.claim_policy.cluster(), "default");
  service_.claim_policy_set.set_changed(false);
  EXPECT_EQ(Run({"forwarder", "claims", "accept"}).out,
            "alarms of others than forwarders are kept as claims, as they were\n");
  EXPECT_TRUE(service_.claim_policy.accept());
  const boost::json::value json = boost::json::parse(Run({"forwarder", "claims", "accept", "--output", "json"}).out);
  EXPECT_EQ(json.at("accept_claims"), true);
  EXPECT_EQ(json.at("changed"), false);
  const ProgramResult other = Run({"forwarder", "claims", "reject"});
  EXPECT_EQ(other.exit_status, 2);
  EXPECT_THAT(other.err, AllOf(HasSubstr("accept"), HasSubstr("refuse")));
}

class ServerNameCommandsTest : public PhonesFixture {};

TEST_F(ServerNameCommandsTest, ListTellsNamesHashesAndWhatIsForeign) {
  v1::ListServerNamesResponse::Server& first = *service_.server_names.add_servers();
  first.set_tftp_server("tftp1");
  first.set_host("tftp1.example.com");
  first.add_names("192.0.2.5");
  first.add_names("tftp.example");
  first.set_itl_sha1(std::string(20, '\x1b'));
  first.mutable_changed_at()->set_seconds(1'795'290'660);
  first.mutable_compared_at()->set_seconds(1'795'377'060);
  service_.server_names.add_servers()->set_tftp_server("tftp2");
  const ProgramResult table = Run({"itl", "server", "name", "list"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(table.out,
            "TFTP SERVER  HOST               OTHER NAMES             SHA1 OF THE ITL                           "
            "CHANGED               COMPARED\n"
            "tftp1        tftp1.example.com  192.0.2.5,tftp.example  1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b  "
            "2026-11-21T19:51:00Z  2026-11-22T19:51:00Z\n"
            "tftp2        -                  -                       -                                         "
            "-                     -\n");
  EXPECT_EQ(table.err, "");

  service_.server_names.add_foreign("old.example\x1b[2J");
  const ProgramResult foreign = Run({"itl", "server", "name", "list"});
  EXPECT_THAT(foreign.out, HasSubstr("\nNAMED BY PHONES, BUT NOT OURS\nold.example\\x1b[2J\n"));
  EXPECT_THAT(foreign.err, HasSubstr("trustctl itl server name add SERVER NAME"));
  const ProgramResult data = Run({"itl", "server", "name", "list", "--output", "json"});
  EXPECT_EQ(data.err, "");
  const boost::json::value json = boost::json::parse(data.out);
  EXPECT_EQ(json.at("foreign").at(0), "old.example\x1b[2J");
  EXPECT_EQ(json.at("servers").at(0).at("names").at(1), "tftp.example");
  EXPECT_EQ(json.at("servers").at(0).at("changed_at"), "2026-11-21T19:51:00.000Z");
  EXPECT_TRUE(json.at("servers").at(1).at("itl_sha1").is_null());
  EXPECT_EQ(service_.names_listed.cluster(), "default");

  service_.server_names.Clear();
  EXPECT_EQ(Run({"itl", "server", "name", "list"}).out, "(no TFTP servers)\n");
}

TEST_F(ServerNameCommandsTest, NamesAreAddedAndRemoved) {
  service_.changed_names.add_names("192.0.2.5");
  service_.changed_names.add_names("tftp.example");
  service_.changed_names.set_changed(true);
  const ProgramResult added = Run({"itl", "server", "name", "add", "tftp1", "192.0.2.5", "TFTP.example"});
  EXPECT_EQ(added.exit_status, 0) << added.err;
  EXPECT_EQ(added.out, "tftp1: besides its name and its host it is called 192.0.2.5, tftp.example\n");
  EXPECT_EQ(service_.names_changed.tftp_server(), "tftp1");
  EXPECT_EQ(service_.names_changed.cluster(), "default");
  EXPECT_THAT(service_.names_changed.add(), ElementsAre("192.0.2.5", "TFTP.example"));
  EXPECT_THAT(service_.names_changed.remove(), IsEmpty());

  service_.changed_names.Clear();
  const ProgramResult removed = Run({"itl", "server", "name", "remove", "tftp1", "192.0.2.5"});
  EXPECT_EQ(removed.out, "tftp1: nothing changed; besides its name and its host it is called nothing else\n");
  EXPECT_THAT(service_.names_changed.remove(), ElementsAre("192.0.2.5"));
  EXPECT_THAT(service_.names_changed.add(), IsEmpty());
  const boost::json::value json =
      boost::json::parse(Run({"itl", "server", "name", "remove", "tftp1", "192.0.2.5", "--output", "json"}).out);
  EXPECT_EQ(json.at("server"), "tftp1");
  EXPECT_EQ(json.at("changed"), false);
  EXPECT_TRUE(json.at("names").as_array().empty());
  EXPECT_EQ(Run({"itl", "server", "name", "add", "tftp1"}).exit_status, 2);
}

}  // namespace
}  // namespace trustline
