// What a damaged or forged file does: every truncation and every change of a byte is noticed.
#include "common/signed_file/reader.h"
#include "common/signed_file/signed_file_testing.h"
#include "common/signed_file/writer.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

bool IsAccepted(std::string_view bytes, const Certificate& signer) {
  const auto file = ReadSignedFile(AsBytes(bytes));
  return file.ok() && VerifySignature(*file, signer).ok();
}

class SignedFileDamageTest : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string file_ = ReadVector(GetParam());
  const Certificate signer_ = ReadParty("callmanager.pem").certificate;
};

TEST_P(SignedFileDamageTest, EveryTruncationAndAddedByteIsNoticed) {
  ASSERT_TRUE(IsAccepted(file_, signer_));
  for (size_t length = 0; length < file_.size(); ++length) {
    EXPECT_FALSE(IsAccepted(std::string_view(file_).substr(0, length), signer_)) << length;
  }
  EXPECT_FALSE(IsAccepted(file_ + '\0', signer_));
  EXPECT_FALSE(IsAccepted(file_ + '\x0d', signer_));
}

TEST_P(SignedFileDamageTest, EveryOtherValueOfEveryByteIsNoticed) {
  const size_t header = ReadSignedFile(AsBytes(file_))->header.header_length;
  std::string damaged = file_;
  for (size_t i = 0; i < file_.size(); ++i) {
    // All 255 other values in the header; a few in the payload, of which only the digest is taken.
    for (int flip = 1; flip < 256; flip += i < header ? 1 : 84) {
      damaged[i] = static_cast<char>(file_[i] ^ flip);
      ASSERT_FALSE(IsAccepted(damaged, signer_)) << "offset " << i << " xor " << flip;
    }
    damaged[i] = file_[i];
  }
}

// Bytes put in or taken out anywhere, which move everything after them.
TEST_P(SignedFileDamageTest, EveryInsertedOrRemovedByteIsNoticed) {
  for (size_t i = 0; i < file_.size(); ++i) {
    std::string removed = file_;
    removed.erase(i, 1);
    ASSERT_FALSE(IsAccepted(removed, signer_)) << i;
    for (const char byte : {'\0', '\x0c', '\x0d', file_[i]}) {
      std::string inserted = file_;
      inserted.insert(i, 1, byte);
      ASSERT_FALSE(IsAccepted(inserted, signer_)) << i;
    }
  }
}

// The signature's element is cut out before the digest is taken, so that its place is not signed either.
TEST_P(SignedFileDamageTest, TheSignatureCannotBeMoved) {
  const SignedFileHeader header = ReadSignedFile(AsBytes(file_))->header;
  std::string rest = file_;
  const std::string element = rest.substr(header.signature_offset, header.signature_size);
  rest.erase(header.signature_offset, header.signature_size);
  for (size_t i = 0; i <= rest.size(); ++i) {
    std::string moved = rest;
    moved.insert(i, element);
    EXPECT_EQ(IsAccepted(moved, signer_), i == header.signature_offset) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Vectors, SignedFileDamageTest,
                         ::testing::Values("encrypted-sha1-stub.SEP001122334455.cnf.xml.sgn",
                                           "encrypted-sha512-stub.SEP001122334455.cnf.xml.sgn",
                                           "encrypted-sha512.SEP001122334455.cnf.xml.enc.sgn"));

}  // namespace
}  // namespace trustline
