#include "capf/message_reader.h"

#include "capf/freed_memory_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kSession = 0x01020304;

// An authentication response of session kSession with the password "31415926". In no memory that is ever freed.
constexpr char kResponse[] =
    "\x55\x02\x01\x02\x03\x04\x00\x27"
    "\x01\x00\x01\x01"
    "\x07\x00\x01\x03"
    "\x0b\x00\x09"
    "31415926\0"
    "\x0d\x00\x10"
    "SEP001122334455";
constexpr std::string_view kWhole(kResponse, sizeof(kResponse));
constexpr std::string_view kInProgress("\x55\x11\x01\x02\x03\x04\x00\x00", 8);

absl::StatusOr<std::optional<CapfMessage>> Next(CapfMessageReader& reader) {
  return reader.Next({CapfCommand::kAuthenticationResponse, CapfCommand::kRequestInProgress});
}

TEST(CapfMessageReaderTest, FindsMessagesInPiecesOfAnySize) {
  const std::string bytes = std::string(kWhole) + std::string(kInProgress) + std::string(kWhole);
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    CapfMessageReader reader(kSession);
    std::vector<CapfCommand> found;
    EXPECT_TRUE(reader.empty());
    for (size_t at = 0; at < bytes.size(); at += piece) {
      reader.Add(AsBytes(std::string_view(bytes).substr(at, piece)));
      while (true) {
        ASSERT_OK_AND_ASSIGN(const auto message, Next(reader));
        if (!message) break;
        found.push_back(message->command);
        if (message->command == CapfCommand::kRequestInProgress) continue;
        EXPECT_EQ(message->elements.password->ExposeSecret(), "31415926");
        EXPECT_EQ(message->elements.device_name, "SEP001122334455");
      }
    }
    EXPECT_THAT(found, ::testing::ElementsAre(CapfCommand::kAuthenticationResponse, CapfCommand::kRequestInProgress,
                                              CapfCommand::kAuthenticationResponse));
    EXPECT_TRUE(reader.empty());
  }
}

TEST(CapfMessageReaderTest, PartOfAMessageIsNotEmpty) {
  CapfMessageReader reader(kSession);
  reader.Add(AsBytes(kWhole.substr(0, 1)));
  EXPECT_FALSE(reader.empty());
  EXPECT_THAT(Next(reader), IsOk());
}

TEST(CapfMessageReaderTest, RefusesAHeaderBeforeItsBodyHasCome) {
  CapfMessageReader another_session(kSession + 1);
  another_session.Add(AsBytes(kWhole.substr(0, kCapfHeaderSize)));
  EXPECT_THAT(Next(another_session), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another session")));
  CapfMessageReader unexpected(kSession);
  unexpected.Add(AsBytes(kWhole.substr(0, kCapfHeaderSize)));
  EXPECT_THAT(unexpected.Next({CapfCommand::kKeyGenerateResponse}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("authentication response was not asked for")));
}

TEST(CapfMessageReaderTest, NoPasswordIsLeftInFreedMemory) {
  const FreedMemoryWatch watch("3141592");
  // It would be seen.
  std::make_unique<std::vector<char>>(kWhole.begin(), kWhole.end()).reset();
  EXPECT_EQ(watch.found(), 1);

  for (const size_t piece : {size_t{1}, size_t{10}, size_t{30}, size_t{1'000}}) {
    for (const size_t end : {kWhole.size(), kWhole.size() - 1}) {
      CapfMessageReader reader(kSession);
      for (size_t at = 0; at < end; at += piece) reader.Add(AsBytes(kWhole.substr(0, end).substr(at, piece)));
      EXPECT_EQ(Next(reader)->has_value(), end == kWhole.size());
    }
  }
  {
    // Part of it moves to the front when what came before it was used.
    CapfMessageReader reader(kSession);
    for (int i = 0; i < 100; ++i) reader.Add(AsBytes(kInProgress));
    reader.Add(AsBytes(kWhole.substr(0, kWhole.size() - 1)));
    while (Next(reader)->has_value()) {
    }
    reader.Add(AsBytes(kWhole.substr(kWhole.size() - 1)));
    EXPECT_TRUE(Next(reader)->has_value());
    EXPECT_TRUE(reader.empty());
  }
  {
    // The buffer grows while it stands there.
    CapfMessageReader reader(kSession);
    reader.Add(AsBytes(kWhole));
    for (int i = 0; i < 1'000; ++i) reader.Add(AsBytes(kInProgress));
    while (Next(reader)->has_value()) {
    }
  }
  // A body that cannot be decoded.
  CapfMessageReader other(kSession);
  constexpr std::string_view kBad(
      "\x55\x02\x01\x02\x03\x04\x00\x10\x01\x00\x01\x01\x0b\x00\x09"
      "31415926x",
      24);
  other.Add(AsBytes(kBad));
  EXPECT_FALSE(Next(other).ok());
  EXPECT_EQ(watch.found(), 1);
}

}  // namespace
}  // namespace trustline
