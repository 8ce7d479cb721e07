// What a damaged list does: every truncation and every change of a byte is noticed.
#include "itl/trust_list/trust_list_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

class TrustListDamageTest : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string file_ = ReadVector(GetParam());
};

TEST_P(TrustListDamageTest, EveryTruncationAndAddedByteIsNoticed) {
  ASSERT_TRUE(IsAcceptedTrustList(file_));
  for (size_t length = 0; length < file_.size(); ++length) {
    ASSERT_FALSE(IsAcceptedTrustList(std::string_view(file_).substr(0, length))) << length;
  }
  EXPECT_FALSE(IsAcceptedTrustList(file_ + '\0'));
  EXPECT_FALSE(IsAcceptedTrustList(file_ + '\x0d'));
}

TEST_P(TrustListDamageTest, EveryChangeOfAByteIsNoticed) {
  std::string damaged = file_;
  for (size_t i = 0; i < file_.size(); ++i) {
    // In small lists three other values of every byte, in large ones, which take long, another one at each offset.
    const std::vector<int> flips =
        file_.size() < 6'000 ? std::vector<int>{0x01, 0x80, 0xff} : std::vector<int>{1 + static_cast<int>(i % 255)};
    for (const int flip : flips) {
      damaged[i] = static_cast<char>(file_[i] ^ flip);
      ASSERT_FALSE(IsAcceptedTrustList(damaged)) << "offset " << i << " xor " << flip;
    }
    damaged[i] = file_[i];
  }
}

// Whole records taken out, doubled or exchanged.
TEST_P(TrustListDamageTest, OtherRecordsAreNoticed) {
  const auto list = DecodeTrustList(AsBytes(file_));
  ASSERT_OK(list);
  size_t offset = list->header().header_length;
  const std::string first = file_.substr(offset, list->records[0].record_length);
  for (const TrustListRecord& record : list->records) {
    const std::string bytes = file_.substr(offset, record.record_length);
    std::string without = file_;
    without.erase(offset, record.record_length);
    EXPECT_FALSE(IsAcceptedTrustList(without));
    std::string twice = file_;
    twice.insert(offset, bytes);
    EXPECT_FALSE(IsAcceptedTrustList(twice));
    std::string moved = without;
    moved.insert(list->header().header_length, bytes);
    EXPECT_EQ(IsAcceptedTrustList(moved), bytes == first);
    offset += record.record_length;
  }
}

// Each form once: records with SHA-1 and SHA-512, RSA and EC, of the vendor and blanked.
INSTANTIATE_TEST_SUITE_P(Vectors, TrustListDamageTest,
                         ::testing::Values("ITLFile-sha512.tlv", "ITLFile-blank.tlv", "ITLFile-unknown-tlv.tlv"));

}  // namespace
}  // namespace trustline
