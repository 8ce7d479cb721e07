#include "common/service/log.h"

#include <mutex>
#include <thread>

#include "common/service/json.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using namespace std::string_literals;

// Keeps the lines.
class Lines {
 public:
  LogOptions Options(LogOptions options = {}) {
    options.form = options.form == LogOptions::Form::kAutomatic ? LogOptions::Form::kJson : options.form;
    options.sink = [this](std::string_view line) {
      std::lock_guard lock(mutex_);
      lines_.emplace_back(line);
    };
    return options;
  }
  std::vector<std::string> Get() {
    std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

TEST(LogTest, WritesOneJsonObjectALine) {
  Lines lines;
  Log log(lines.Options({.service = "tvsd"}));
  log.Info("TVS_READY", "ready", {{"port", 2445}, {"peer", "::1"}, {"tls10", false}, {"share", 0.5}});
  log.Flush();
  ASSERT_THAT(lines.Get(), SizeIs(1));
  EXPECT_THAT(lines.Get()[0],
              ContainsRegex("^\\{\"time\":\"20[0-9-]+T[0-9:]+\\.[0-9]{3}Z\",\"level\":\"info\",\"service\":\"tvsd\","
                            "\"id\":\"TVS_READY\",\"message\":\"ready\",\"port\":2445,\"peer\":\"::1\",\"tls10\":false,"
                            "\"share\":0.5\\}\n$"));
}

TEST(LogTest, LeavesOutWhatIsBelowTheLevel) {
  Lines lines;
  Log log(lines.Options({.level = LogLevel::kWarning}));
  log.Info("A", "a");
  log.Warning("B", "b");
  log.Flush();
  ASSERT_THAT(lines.Get(), SizeIs(1));
  EXPECT_THAT(lines.Get()[0], HasSubstr("\"id\":\"B\""));
}

TEST(LogTest, APeersBytesCannotForgeALine) {
  Lines lines;
  Log log(lines.Options());
  log.Info("A", "a", {{"peer", "x\"}\n{\"id\":\"FORGED\"\0\x1b[31m\xff\xc0\x80"s}});
  log.Info("B", std::string(100000, 'x'));
  log.Flush();
  ASSERT_THAT(lines.Get(), SizeIs(2));
  EXPECT_THAT(lines.Get()[0], HasSubstr("x\\\"}\\n{\\\"id\\\":\\\"FORGED\\\"\\u0000\\u001b[31m\xEF\xBF\xBD"));
  EXPECT_THAT(lines.Get()[1], SizeIs(testing::Lt(2300u)));
  EXPECT_THAT(lines.Get()[1], HasSubstr("xxx...\""));
}

TEST(LogTest, TextFormIsOneLineToo) {
  Lines lines;
  Log log(lines.Options({.form = LogOptions::Form::kText}));
  log.Error("A", "two\nlines", {{"field", "a\nb"}});
  log.Flush();
  ASSERT_THAT(lines.Get(), SizeIs(1));
  EXPECT_THAT(lines.Get()[0], EndsWith("error   A two\xEF\xBF\xBDlines field=\"a\\nb\"\n"));
}

TEST(LogTest, SaysHowManyEventsOfAnIdWereSuppressed) {
  Lines lines;
  const absl::Time begin = absl::Now();
  {
    Log log(lines.Options({.max_events_per_second = 3}));
    for (int i = 0; i < 1000; ++i) log.Info("FLOOD", "again", {{"number", i}});
    log.Info("OTHER", "not suppressed");
  }
  // The budgets of the seconds that the loop ran in.
  const int64_t seconds = absl::ToUnixSeconds(absl::Now()) - absl::ToUnixSeconds(begin) + 1;
  size_t floods = 0;
  uint64_t suppressed = 0;
  bool other = false;
  for (const std::string& line : lines.Get()) {
    if (line.find("\"id\":\"FLOOD\"") != std::string::npos) ++floods;
    other = other || line.find("\"id\":\"OTHER\"") != std::string::npos;
    if (const size_t at = line.find("\"suppressed\":"); at != std::string::npos) {
      suppressed += std::stoull(line.substr(at + 13));
    }
  }
  EXPECT_TRUE(other);
  EXPECT_GE(floods, 3u);
  EXPECT_LE(floods, 3u * static_cast<size_t>(seconds));
  EXPECT_EQ(floods + suppressed, 1000u);
}

TEST(LogTest, RecordsWhateverLevelAndRateAre) {
  Lines lines;
  {
    Log log(lines.Options({.level = LogLevel::kError, .max_events_per_second = 3}));
    for (int i = 0; i < 100; ++i) log.Record(LogLevel::kInfo, "KEPT", "again", {{"number", i}});
  }
  EXPECT_THAT(lines.Get(), SizeIs(100));
}

TEST(LogTest, ASlowReaderNeverHoldsUpTheCaller) {
  std::mutex gate;
  std::vector<std::string> lines;
  LogOptions options;
  options.form = LogOptions::Form::kJson;
  options.queue_lines = 16;
  options.max_events_per_second = 1'000'000;
  options.sink = [&](std::string_view line) {
    std::lock_guard lock(gate);
    lines.emplace_back(line);
  };
  Log log(options);
  {
    std::lock_guard held(gate);
    for (int i = 0; i < 5000; ++i) log.Info("LINE", "text", {{"number", i}});
  }
  log.Flush();
  std::lock_guard lock(gate);
  EXPECT_LE(lines.size(), 18u);
  EXPECT_THAT(lines.back(), HasSubstr("\"number\":4999"));
}

TEST(LogTest, ReadsItsLevels) {
  EXPECT_THAT(ParseLogLevel("warning"), IsOkAndHolds(LogLevel::kWarning));
  EXPECT_THAT(ParseLogLevel("WARN"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(JsonTest, KeepsGoodUtf8AndReplacesTheRest) {
  auto json = [](std::string_view text, size_t most = std::string_view::npos) {
    std::string out;
    AppendJsonString(out, text, most);
    return out;
  };
  EXPECT_EQ(json("caf\xC3\xA9 \xF0\x9F\x93\x9E"), "\"caf\xC3\xA9 \xF0\x9F\x93\x9E\"");
  EXPECT_EQ(json("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");  // a surrogate
  EXPECT_EQ(json("\xC3"), "\"\xEF\xBF\xBD\"");
  EXPECT_EQ(json("\xC2\x9B"), "\"\\u009b\"");
  EXPECT_EQ(json("\xC3\xA9\xC3\xA9", 3), "\"\xC3\xA9...\"");  // never cut within a character
  EXPECT_EQ(PrintableText("a\nb\x1b"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
}

}  // namespace
}  // namespace trustline
