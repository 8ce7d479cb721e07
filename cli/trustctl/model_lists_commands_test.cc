// trustctl phones models against an itld whose answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/phones_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ModelListsCommandsTest : public PhonesFixture {};

TEST_F(ModelListsCommandsTest, ListTellsWhatEachModelKnows) {
  v1::ListModelListsResponse::Model& adapter = *service_.model_lists.add_models();
  adapter.set_model("ATA191\x1b[2J");
  adapter.set_phones(3);
  adapter.set_has_no_lists(true);
  adapter.set_set_by("person admin");
  adapter.mutable_set_at()->set_seconds(1'795'377'060);
  v1::ListModelListsResponse::Model& phone = *service_.model_lists.add_models();
  phone.set_model("8841");
  phone.set_phones(1'000);
  const ProgramResult table = Run({"phones", "models", "list"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(table.out,
            "MODEL          PHONES  TRUST LISTS  SET BY        SET\n"
            "ATA191\\x1b[2J       3  no           person admin  2026-11-22T19:51:00Z\n"
            "8841             1000  yes          -             -\n");
  EXPECT_EQ(table.err, "");
  EXPECT_EQ(service_.model_lists_listed.cluster(), "default");
  service_.model_lists.set_not_listed(7);
  const ProgramResult json = Run({"phones", "models", "list", "--output", "json"});
  const boost::json::value models = boost::json::parse(json.out);
  EXPECT_EQ(models.at(0).at("trust_lists"), false);
  EXPECT_EQ(models.at(1).at("phones"), 1'000);
  EXPECT_TRUE(models.at(1).at("set_by").is_null());
  EXPECT_THAT(json.err, HasSubstr("7 more models"));
  EXPECT_THAT(Run({"phones", "models", "list", "--output", "csv"}).out,
              StartsWith("model,phones,trust_lists,set_by,set_at\r\n"));
  service_.model_lists.Clear();
  EXPECT_EQ(Run({"phones", "models", "list"}).out, "(no models)\n");
}

TEST_F(ModelListsCommandsTest, SettingSaysHowManyPhonesItIsAbout) {
  service_.set_model_lists.set_phones(3);
  service_.set_model_lists.set_changed(true);
  const ProgramResult without = Run({"phones", "models", "without-lists", "ATA 191"});
  EXPECT_EQ(without.exit_status, 0) << without.err;
  EXPECT_EQ(without.out,
            "phones of model ATA 191 know no trust lists: 3 in service are left out when a change is judged\n");
  EXPECT_EQ(without.err, "");
  EXPECT_EQ(service_.model_lists_set.cluster(), "default");
  EXPECT_EQ(service_.model_lists_set.model(), "ATA 191");
  EXPECT_TRUE(service_.model_lists_set.has_no_lists());

  service_.set_model_lists.set_phones(0);
  service_.set_model_lists.set_changed(false);
  const ProgramResult with = Run({"phones", "models", "with-lists", "8841"});
  EXPECT_EQ(with.out,
            "phones of model 8841 know trust lists, as was said before: 0 in service count when a change is judged\n");
  EXPECT_THAT(with.err, HasSubstr("exactly this model"));
  EXPECT_FALSE(service_.model_lists_set.has_no_lists());
  const boost::json::value json =
      boost::json::parse(Run({"phones", "models", "with-lists", "8841", "--output", "json"}).out);
  EXPECT_EQ(json.at("model"), "8841");
  EXPECT_EQ(json.at("trust_lists"), true);
  EXPECT_EQ(json.at("phones"), 0);
  EXPECT_EQ(json.at("changed"), false);
}

TEST_F(ModelListsCommandsTest, WrongWordsAndRefusalsAreToldPlainly) {
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"phones", "models"},
                                             {"phones", "models", "without-lists"},
                                             {"phones", "models", "without-lists", std::string(201, 'x')},
                                             {"phones", "models", "with-lists", "a\nb"}}) {
    EXPECT_EQ(Run(wrong).exit_status, 2) << testing::PrintToString(wrong);
  }
  EXPECT_EQ(service_.model_lists_set.model(), "");
  service_.status = {grpc::StatusCode::PERMISSION_DENIED, "an administrator may"};
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"phones", "models", "list"}, {"phones", "models", "without-lists", "ATA191"}}) {
    const ProgramResult refused = Run(command);
    EXPECT_EQ(refused.exit_status, 1);
    EXPECT_EQ(refused.out, "");
    EXPECT_THAT(refused.err, HasSubstr("an administrator may"));
  }
}

}  // namespace
}  // namespace trustline
