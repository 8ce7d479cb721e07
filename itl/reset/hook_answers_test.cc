#include "itl/reset/hook_answers.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "itl/reset/hook_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::vector<std::string> Lines(std::string_view bytes, size_t at_once) {
  std::vector<std::string> lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  LineCutter cutter;
  for (size_t i = 0; i < bytes.size(); i += at_once) cutter.Add(bytes.substr(i, at_once), keep);
  cutter.Finish(keep);
  return lines;
}

TEST(HookAnswersTest, APhoneIsALineWhateverItSaysOfItself) {
  HandedPhone phone = Handed(1);
  phone.site = "Ber\tlin\nSEP000000000002\tx";
  phone.user_agent = std::string("a\0b\x7f", 4) + std::string(1000, 'x');
  phone.address = "";
  const std::string input = HookInput({phone, Handed(2)});
  EXPECT_EQ(std::count(input.begin(), input.end(), '\n'), 2);
  EXPECT_EQ(std::count(input.begin(), input.end(), '\t'), 8);
  EXPECT_THAT(input, HasSubstr("SEP000000000001\t8841\tBer lin SEP000000000002 x\t-\ta b xxx"));
  EXPECT_THAT(input, HasSubstr("\nSEP000000000002\t8841\tBerlin\t192.0.2.1\tCisco-CP8841/12.8\n"));
}

TEST(HookAnswersTest, LinesAreCutHoweverTheyCome) {
  const std::string bytes = "one\n\ntwo\r\n" + std::string(3000, 'x') + "\nthe last";
  const std::vector<std::string> expected = {"one", "", "two\r", std::string(kLongestHookLine, 'x'), "the last"};
  for (const size_t at_once : {1, 2, 7, 1023, 1024, 1025, 100'000})
    EXPECT_EQ(Lines(bytes, at_once), expected) << at_once;
  EXPECT_THAT(Lines("\n", 1), ElementsAre(""));
}

TEST(HookAnswersTest, TheFirstAnswerCountsAndWhatIsNoneIsCounted) {
  HookAnswers answers({Handed(1), Handed(2), Handed(3), Handed(4)});
  answers.AddLine("sep000000000001\tok\tall\twell");
  answers.AddLine("SEP000000000001\tfailed\tlater");
  answers.AddLine("SEP000000000002\tfailed\tno such\x1b[2J phone\r");
  answers.AddLine("SEP000000000003\tok");
  for (const char* line : {"SEP000000000099\tok\t", "SEP000000000004 ok", "SEP000000000004\tOK\t", "", "\t\t\t", "ok",
                           "SEP000000000004\t", "SEP000000000004\tok now\t"}) {
    answers.AddLine(line);
  }
  EXPECT_EQ(answers.ignored(), 9);
  EXPECT_THAT(answers.first_ignored(), HasSubstr("SEP000000000001"));
  EXPECT_THAT(
      AnswerTexts(answers.All("silence")),
      ElementsAre("SEP000000000001 ok: all\xEF\xBF\xBDwell", "SEP000000000002 failed: no such\xEF\xBF\xBD[2J phone",
                  "SEP000000000003 ok: ", "SEP000000000004 failed: silence"));
  EXPECT_THAT(answers.Given(), SizeIs(3));
}

TEST(HookAnswersTest, WordsFitTheTable) {
  HookAnswers answers({Handed(1), Handed(2)});
  answers.AddLine("SEP000000000001\tok\t" + std::string(1000, 'x'));
  answers.AddLine("SEP000000000002\tok\t" + std::string(1000, '\xff'));
  for (const PhoneAnswer& answer : answers.All("")) {
    size_t characters = 0;
    for (const char c : answer.words) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
    EXPECT_LE(characters, 400u) << answer.device;
    EXPECT_GE(characters, 100u) << answer.device;
  }
}

}  // namespace
}  // namespace trustline
