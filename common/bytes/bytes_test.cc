#include "common/bytes/bytes.h"

#include "common/bytes/checksums.h"
#include "common/bytes/reader.h"
#include "common/bytes/secret_bytes.h"
#include "common/bytes/sha256.h"
#include "common/bytes/writer.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

TEST(HexTest, GoesBothWays) {
  EXPECT_EQ(ToHex(AsBytes(std::string_view("\x00\xab\xff", 3))), "00abff");
  EXPECT_EQ(*FromHex("00:AB:ff"), std::string("\x00\xab\xff", 3));
  EXPECT_EQ(*FromHex(""), "");
  for (const char* bad : {"a", "abc", "zz", ":ab", "ab:", "ab::cd", "a b"}) EXPECT_FALSE(FromHex(bad).ok()) << bad;
}

// RFC 3174, section 7.3, and RFC 1321, appendix A.5.
TEST(ChecksumTest, AreThoseOfTheStandards) {
  EXPECT_EQ(ToHex(Sha1(AsBytes("abc"))), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(ToHex(Md5(AsBytes("abc"))), "900150983cd24fb0d6963f7d28e17f72");
}

TEST(ByteReaderTest, ReadsWhatTheWriterWrote) {
  const std::string bytes = ByteWriter().U8(1).U16(0x0203).U32(0x04050607).U16(2).Bytes(AsBytes("ab")).Take();
  ByteReader reader("test message", AsBytes(bytes));
  EXPECT_EQ(*reader.ReadU8("a"), 1);
  EXPECT_EQ(*reader.ReadU16("b"), 0x0203);
  EXPECT_EQ(*reader.ReadU32("c"), 0x04050607u);
  EXPECT_FALSE(reader.AssertDone().ok());
  EXPECT_EQ(AsText(*reader.ReadBytesWithU16Length("d", 2)), "ab");
  EXPECT_TRUE(reader.AssertDone().ok());
}

TEST(ByteReaderTest, NamesMessageAndFieldWhenTruncated) {
  const std::string bytes = ByteWriter().U16(5).Bytes(AsBytes("1234")).Take();
  ByteReader reader("test message", AsBytes(bytes));
  const auto result = reader.ReadBytesWithU16Length("payload", 100);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("test message: payload wants 5 bytes at offset 2, only 4 remain"));
  EXPECT_FALSE(ByteReader("m", AsBytes(bytes)).ReadBytesWithU16Length("payload", 4).ok());
  EXPECT_FALSE(ByteReader("m", {}).ReadU8("x").ok());
}

TEST(SecretBytesTest, ComparesAndMoves) {
  SecretBytes secret("abc");
  EXPECT_TRUE(secret.EqualsInConstantTime(AsBytes("abc")));
  EXPECT_FALSE(secret.EqualsInConstantTime(AsBytes("abd")));
  EXPECT_FALSE(secret.EqualsInConstantTime(AsBytes("abcd")));
  SecretBytes moved = std::move(secret);
  EXPECT_EQ(moved.ExposeSecret(), "abc");
  std::string text = "hunter2";
  EXPECT_EQ(SecretBytes::TakeFrom(text).ExposeSecret(), "hunter2");
  EXPECT_TRUE(text.empty());
  EXPECT_NE(SecretBytes::Random(16).ExposeSecret(), SecretBytes::Random(16).ExposeSecret());
}

TEST(Sha256Test, MatchesTheStandardsExample) {
  // FIPS 180-4 example, "abc".
  EXPECT_EQ(ToHex(Sha256(AsBytes("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace trustline
