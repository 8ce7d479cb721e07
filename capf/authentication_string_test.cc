#include "capf/authentication_string.h"

#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

std::string Content(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class AuthenticationStringsTest : public ::testing::Test {
 protected:
  void SetUp() override { WritePrivate("passphrase", "correct horse battery staple\n"); }

  std::string Path(std::string_view name) const { return folder_.path() / name; }
  void WritePrivate(std::string_view name, std::string_view content) {
    fs::remove(Path(name));
    folder_.WriteFile(std::string(name), std::string(content));
    fs::permissions(Path(name), fs::perms(0600));
  }
  absl::StatusOr<std::unique_ptr<AuthenticationStrings>> Open() const {
    return AuthenticationStrings::Open(Path("key"), Path("passphrase"));
  }

  const TemporaryDirectory folder_;
};

TEST_F(AuthenticationStringsTest, TheKeyIsMadeOnceAndKept) {
  ASSERT_OK_AND_ASSIGN(const auto first, Open());
  struct stat info = {};
  ASSERT_EQ(stat(Path("key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 2) << "nothing else was left";
  EXPECT_THAT(Content(Path("key")), MatchesRegex("trustline authentication string key 1: [0-9a-f]{152}\n"));

  const KeptString kept = first->Keep(SecretBytes("0042"));
  ASSERT_OK_AND_ASSIGN(const auto again, Open());
  EXPECT_TRUE(again->Matches(kept, SecretBytes("0042")));
}

TEST_F(AuthenticationStringsTest, KeysAreToldApartByWhatIsTheHashOfNoString) {
  ASSERT_OK_AND_ASSIGN(const auto first, Open());
  ASSERT_OK_AND_ASSIGN(const auto again, Open());
  ASSERT_OK_AND_ASSIGN(const auto other, AuthenticationStrings::Open(Path("other"), Path("passphrase")));
  EXPECT_EQ(first->CheckValue().size(), 32U);
  EXPECT_EQ(first->CheckValue(), again->CheckValue());
  EXPECT_NE(first->CheckValue(), other->CheckValue());
  EXPECT_EQ(other->key_file(), Path("other"));
  // A salt of the database has 16 bytes.
  for (size_t salt = 16; salt < 20; ++salt) {
    EXPECT_FALSE(first->Matches({std::string("check of key 1\0\0\0\0\0\0", 20).substr(0, salt), first->CheckValue()},
                                SecretBytes("")));
  }
}

TEST_F(AuthenticationStringsTest, AStringMatchesOnlyItself) {
  ASSERT_OK_AND_ASSIGN(const auto strings, Open());
  const SecretBytes string("12345678");
  const KeptString kept = strings->Keep(string);
  EXPECT_EQ(kept.salt.size(), 16U);
  EXPECT_EQ(kept.hmac.size(), 32U);
  EXPECT_TRUE(strings->Matches(kept, string));
  for (const char* other : {"12345679", "1234567", "123456780", "", "012345678"}) {
    EXPECT_FALSE(strings->Matches(kept, SecretBytes(other))) << other;
  }
  const KeptString again = strings->Keep(string);
  EXPECT_NE(again.salt, kept.salt);
  EXPECT_NE(again.hmac, kept.hmac);
  EXPECT_FALSE(strings->Matches({again.salt, kept.hmac}, string));
  EXPECT_FALSE(strings->Matches({kept.salt, ""}, string));
}

TEST_F(AuthenticationStringsTest, AnotherKeyRecognisesNothing) {
  ASSERT_OK_AND_ASSIGN(const auto strings, Open());
  const KeptString kept = strings->Keep(SecretBytes("1234"));
  ASSERT_OK_AND_ASSIGN(const auto other, AuthenticationStrings::Open(Path("other"), Path("passphrase")));
  EXPECT_FALSE(other->Matches(kept, SecretBytes("1234")));
}

TEST_F(AuthenticationStringsTest, AWrongPassphraseOpensNothing) {
  ASSERT_OK(Open());
  WritePrivate("passphrase", "another\n");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kUnauthenticated,
                               AllOf(HasSubstr(Path("key")), HasSubstr("passphrase is wrong"))));
}

// One bit at a time, in every part of the file.
TEST_F(AuthenticationStringsTest, AChangedFileOpensNothing) {
  ASSERT_OK(Open());
  const std::string whole = Content(Path("key"));
  constexpr size_t kBegin = 39;
  constexpr std::array<size_t, 4> kParts = {0, 32, 32 + 24, 32 + 24 + 64};  // salt, nonce, key, tag
  for (const size_t part : kParts) {
    std::string changed = whole;
    char& digit = changed[kBegin + part];
    digit = digit == '0' ? '1' : '0';
    WritePrivate("key", changed);
    EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("was changed"))) << part;
  }
  WritePrivate("key", whole.substr(0, whole.size() - 3) + "\n");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not whole")));
  WritePrivate("key", "trustline authentication string key 2: 00\n");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("does not begin")));
  WritePrivate("key", "");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("restore it from a backup")));
  WritePrivate("key", whole);
  EXPECT_OK(Open());
}

TEST_F(AuthenticationStringsTest, FilesThatOthersCanReadAreRefused) {
  ASSERT_OK(Open());
  fs::permissions(Path("key"), fs::perms(0640));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("chmod 600 " + Path("key"))));
  fs::permissions(Path("key"), fs::perms(0600));
  fs::permissions(Path("passphrase"), fs::perms(0644));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("passphrase")));
  EXPECT_THAT(AuthenticationStrings::Open(Path("nowhere/key"), Path("missing")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("missing")));
}

TEST_F(AuthenticationStringsTest, AKeyThatCannotBeMadeIsAnError) {
  EXPECT_THAT(AuthenticationStrings::Open(Path("nowhere/key"), Path("passphrase")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
  EXPECT_FALSE(fs::exists(Path("key")));
}

TEST_F(AuthenticationStringsTest, DigitsAreEquallyLikely) {
  constexpr int kStrings = 200'000;
  std::array<int, 10> counts = {};
  std::set<std::string> seen;
  for (int i = 0; i < kStrings; ++i) {
    const SecretBytes string = AuthenticationStrings::Generate(kMostStringDigits);
    ASSERT_EQ(string.size(), 10U);
    for (const char digit : string.ExposeSecret()) {
      ASSERT_THAT(digit, AllOf(::testing::Ge('0'), ::testing::Le('9')));
      ++counts[static_cast<size_t>(digit - '0')];
    }
    seen.emplace(string.ExposeSecret());
  }
  // The remainder of 256 would give six digits 1.6 % too many and four 2.3 % too few. A standard deviation is 0.2 %.
  for (const int count : counts) EXPECT_NEAR(count, kStrings, kStrings * 0.0125);
  EXPECT_GE(seen.size(), static_cast<size_t>(kStrings - 20)) << "of 10,000,000,000 two of them are the same by chance";
  EXPECT_THAT(std::string(AuthenticationStrings::Generate(4).ExposeSecret()), MatchesRegex("[0-9]{4}"));
  EXPECT_THAT(seen, ::testing::Contains(::testing::StartsWith("0"))) << "a string may begin with zero";
}

}  // namespace
}  // namespace trustline
