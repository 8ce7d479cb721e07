#include "common/signed_file/reader.h"

#include "common/signed_file/signed_file_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

TEST(SignedFileReaderTest, ReadsTheHeaderOfAVector) {
  const std::string bytes = ReadVector("signed-sha1.SEP001122334455.cnf.xml.sgn");
  ASSERT_OK_AND_ASSIGN(const SignedFile file, ReadSignedFile(AsBytes(bytes)));
  const SignedFileHeader& header = file.header;
  EXPECT_EQ(header.version, kSignedFileVersion);
  EXPECT_EQ(header.header_length, 432);
  EXPECT_EQ(header.signer_version, std::nullopt);
  EXPECT_EQ(header.signer_name, "CN=cucm-pub.example,O=Example,OU=Voice");
  EXPECT_EQ(header.issuer_name, header.signer_name);
  EXPECT_EQ(ToHex(AsBytes(header.serial)), "d58dca0ab46b50753d1da33adb4ab7f6");
  EXPECT_EQ(header.digest, DigestAlgorithm::kSha1);
  EXPECT_EQ(header.modulus_code, 2);
  EXPECT_EQ(header.modulus_bits, 2048);
  EXPECT_EQ(header.signature.size(), 256u);
  EXPECT_EQ(header.signature_offset, 134u);
  EXPECT_EQ(header.signature_size, 259u);
  EXPECT_EQ(header.file_name, "SEP001122334455.cnf.xml.sgn");
  EXPECT_EQ(absl::ToUnixSeconds(header.timestamp), 0x6b02da68);
  EXPECT_EQ(header.name_form, NameForm::kComma);
  EXPECT_TRUE(header.extra.empty());
  EXPECT_EQ(header.padding, 1u);
  EXPECT_EQ(AsText(file.payload), ReadVector("SEP001122334455.cnf.xml"));
}

TEST(SignedFileReaderTest, NotesWhereEachElementStands) {
  const std::string bytes = ReadVector("ITLFile-sha512.tlv");
  ASSERT_OK_AND_ASSIGN(const SignedFile file, ReadSignedFile(AsBytes(bytes)));
  const std::vector<TlvPlace> expected = {{1, 2, 0},    {2, 2, 5},    {28, 2, 10},    {3, 109, 15},  {4, 42, 18},
                                          {6, 42, 63},  {5, 16, 108}, {7, 15, 127},   {8, 1, 130},   {9, 8, 134},
                                          {10, 1, 137}, {11, 1, 141}, {12, 256, 145}, {14, 12, 404}, {15, 4, 419}};
  EXPECT_EQ(file.header.places, expected);
  EXPECT_EQ(file.header.signer_version, kSignerVersionWithEc);
}

TEST(SignedFileReaderTest, KeepsElementsOfEncryptionAndUnknownOnes) {
  const std::string encrypted = ReadVector("encrypted-sha512.SEP001122334455.cnf.xml.enc.sgn");
  ASSERT_OK_AND_ASSIGN(const SignedFile file, ReadSignedFile(AsBytes(encrypted)));
  EXPECT_EQ(file.header.version, kEncryptedFileVersion);
  ASSERT_EQ(file.header.extra.size(), 3u);
  EXPECT_EQ(file.header.extra[0].tag, 16);
  EXPECT_EQ(file.header.extra[0].value.size(), 306u);
  EXPECT_EQ(file.header.extra[1], (ExtraTlv{26, "\x03"}));
  EXPECT_EQ(file.header.extra[2].value.size(), 64u);
  EXPECT_OK(VerifySignature(file, ReadParty("callmanager.pem").certificate));

  const std::string unknown = ReadVector("ITLFile-unknown-tlv.tlv");
  ASSERT_OK_AND_ASSIGN(const SignedFile list, ReadSignedFile(AsBytes(unknown)));
  EXPECT_EQ(list.header.extra, (std::vector<ExtraTlv>{{99, "later"}}));
  EXPECT_EQ(list.header.name_form, NameForm::kVendor);
  EXPECT_EQ(list.header.padding, 3u);
}

// The parts of a header; a test replaces what it is about.
struct Pieces {
  std::string version = Tlv(1, {"\x01\x00", 2});
  std::string signer_version;
  std::string signer = Tlv(3, TextTlv(4, "CN=a") + TextTlv(6, "CN=b") + Tlv(5, "\x07"));
  std::string digest = Tlv(8, "\x01");
  std::string algorithm = Tlv(9, Tlv(10, {"\0", 1}) + Tlv(11, "\x02"));
  std::string after_algorithm;  // inside of the signature info
  std::string signature = Tlv(12, std::string(256, 's'));
  std::string file_name = TextTlv(14, "f.sgn");
  std::string timestamp = Tlv(15, "time");
  std::string tail = "\x0d\x0d";
  std::string payload = "payload";
  int length_error = 0;

  std::string File() const {
    const std::string rest = signer_version + signer + Tlv(7, digest + algorithm + after_algorithm) + signature +
                             file_name + timestamp + tail;
    const auto length = static_cast<uint16_t>(version.size() + 5 + rest.size() + length_error);
    return version + Tlv(2, ByteWriter().U16(length).Take()) + rest + payload;
  }
};

absl::Status Refusal(const Pieces& pieces) {
  const std::string file = pieces.File();
  return ReadSignedFile(AsBytes(file)).status();
}

TEST(SignedFileReaderTest, ReadsWhatThePiecesMake) {
  const std::string file = Pieces().File();
  ASSERT_OK_AND_ASSIGN(const SignedFile read, ReadSignedFile(AsBytes(file)));
  EXPECT_EQ(AsText(read.payload), "payload");
  // Unknown elements may stand several times, known ones of encryption once.
  EXPECT_OK(Refusal({.tail = Tlv(99, "a") + Tlv(99, "") + Tlv(0x1d, "") + "\x0d"}));
  EXPECT_OK(Refusal({.tail = Tlv(26, "a") + Tlv(99, "") + Tlv(16, "") + "\x0d"}));
  EXPECT_OK(Refusal({.tail = ""}));
  EXPECT_OK(Refusal({.payload = ""}));
  EXPECT_OK(Refusal({.signer_version = Tlv(28, {"\x01\x00", 2})}));
}

TEST(SignedFileReaderTest, RefusesElementsThatAreMissingTwiceOrOutOfOrder) {
  EXPECT_THAT(ReadSignedFile({}), StatusIs(kInvalid, HasSubstr("no version (tag 1)")));
  EXPECT_THAT(Refusal({.version = ""}), StatusIs(kInvalid, HasSubstr("tag 2 at offset 0, where version (tag 1)")));
  EXPECT_THAT(Refusal({.signer = ""}), StatusIs(kInvalid, HasSubstr("where signer info (tag 3)")));
  EXPECT_THAT(Refusal({.digest = ""}), StatusIs(kInvalid, HasSubstr("where digest algorithm (tag 8)")));
  EXPECT_THAT(Refusal({.algorithm = ""}), StatusIs(kInvalid, HasSubstr("no signature algorithm info (tag 9)")));
  EXPECT_THAT(Refusal({.signature = ""}), StatusIs(kInvalid, HasSubstr("where signature (tag 12)")));
  EXPECT_THAT(Refusal({.file_name = ""}), StatusIs(kInvalid, HasSubstr("where file name (tag 14)")));
  EXPECT_THAT(Refusal({.timestamp = "", .tail = ""}), StatusIs(kInvalid, HasSubstr("no timestamp (tag 15)")));

  const Pieces good;
  EXPECT_THAT(Refusal({.signer_version = Tlv(28, "ab") + Tlv(28, "ab")}), StatusIs(kInvalid, HasSubstr("signer info")));
  EXPECT_THAT(Refusal({.signature = good.signature + good.signature}), StatusIs(kInvalid, HasSubstr("file name")));
  EXPECT_THAT(Refusal({.file_name = good.file_name + good.file_name}), StatusIs(kInvalid, HasSubstr("timestamp")));
  for (const std::string& known : {good.version, good.signer, good.signature, good.file_name, good.timestamp,
                                   Tlv(7, ""), Tlv(2, "ab"), Tlv(28, "ab"), Tlv(16, "") + Tlv(16, ""), Tlv(0, "")}) {
    EXPECT_THAT(Refusal({.tail = known}), StatusIs(kInvalid, HasSubstr("stands twice or out of its order")));
  }
  // The signature is not signed itself: it must not be movable.
  EXPECT_THAT(Refusal({.signature = good.file_name + good.signature, .file_name = ""}), StatusIs(kInvalid));
  EXPECT_THAT(Refusal({.signature = "", .timestamp = good.timestamp + good.signature}), StatusIs(kInvalid));
}

TEST(SignedFileReaderTest, RefusesLengthsThatDoNotFit) {
  EXPECT_THAT(Refusal({.version = Tlv(1, "abc")}), StatusIs(kInvalid, HasSubstr("version of 3 bytes is longer")));
  EXPECT_THAT(Refusal({.version = Tlv(1, "a")}), StatusIs(kInvalid));
  EXPECT_THAT(Refusal({.payload = "", .length_error = 1}), StatusIs(kInvalid, HasSubstr("the file is cut off")));
  EXPECT_THAT(Refusal({.length_error = -1'000}), StatusIs(kInvalid, HasSubstr("a header length of")));
  EXPECT_THAT(Refusal({.payload = std::string(20'000, 'p'), .length_error = 17'000}),
              StatusIs(kInvalid, HasSubstr("16384 can be")));
  // The header length says where the header's elements end.
  EXPECT_THAT(Refusal({.tail = "", .length_error = -1}), StatusIs(kInvalid, HasSubstr("timestamp wants 4 bytes")));
  EXPECT_THAT(Refusal({.length_error = 3}), StatusIs(kInvalid, HasSubstr("other bytes than 0x0d")));
  EXPECT_THAT(Refusal({.tail = std::string("\x63\x00\x05zz", 5)}), StatusIs(kInvalid, HasSubstr("only 2 remain")));
  EXPECT_THAT(Refusal({.tail = std::string("\x63\x00", 2)}), StatusIs(kInvalid));
  EXPECT_THAT(Refusal({.tail = "\x0d" + Tlv(99, "late")}), StatusIs(kInvalid, HasSubstr("after its padding")));

  // Info elements cover exactly their own.
  EXPECT_THAT(Refusal({.signer = Tlv(3, TextTlv(4, "CN=a") + TextTlv(6, "CN=b") + Tlv(5, "\x07") + Tlv(99, ""))}),
              StatusIs(kInvalid, HasSubstr("signer info covers 3 bytes more")));
  EXPECT_THAT(Refusal({.signer = Tlv(3, TextTlv(4, "CN=a") + TextTlv(6, "CN=b")) + Tlv(5, "\x07")}),
              StatusIs(kInvalid, HasSubstr("no serial number")));
  EXPECT_THAT(Refusal({.after_algorithm = Tlv(99, "")}), StatusIs(kInvalid, HasSubstr("signature info covers 3")));
  EXPECT_THAT(Refusal({.algorithm = Tlv(9, Tlv(10, {"\0", 1}) + Tlv(11, "\x02") + "x")}),
              StatusIs(kInvalid, HasSubstr("signature algorithm info covers 1")));
  EXPECT_THAT(Refusal({.algorithm = Tlv(9, Tlv(10, {"\0", 1}))}), StatusIs(kInvalid, HasSubstr("signature modulus")));

  EXPECT_THAT(Refusal({.signature = Tlv(12, std::string(255, 's'))}),
              StatusIs(kInvalid, HasSubstr("a signature of 255 bytes, where a key of 2048 bits makes one of 256")));
  EXPECT_THAT(Refusal({.signature = Tlv(12, std::string(128, 's'))}), StatusIs(kInvalid));
  EXPECT_THAT(Refusal({.timestamp = Tlv(15, "tim")}), StatusIs(kInvalid));
  EXPECT_THAT(Refusal({.timestamp = Tlv(15, "times")}), StatusIs(kInvalid));
  EXPECT_THAT(Refusal({.file_name = TextTlv(14, std::string(1024, 'f'))}), StatusIs(kInvalid));
  EXPECT_THAT(Refusal({.signer = Tlv(3, TextTlv(4, std::string(4097, 'a')) + TextTlv(6, "") + Tlv(5, "\x07"))}),
              StatusIs(kInvalid, HasSubstr("signer name")));
  EXPECT_THAT(Refusal({.signer = Tlv(3, TextTlv(4, "") + TextTlv(6, "") + Tlv(5, std::string(65, 's')))}),
              StatusIs(kInvalid, HasSubstr("serial number")));
  EXPECT_THAT(Refusal({.signer = Tlv(3, TextTlv(4, "") + TextTlv(6, "") + Tlv(5, ""))}), StatusIs(kInvalid));
}

TEST(SignedFileReaderTest, RefusesTextsWithoutTheirNulOrWithAnother) {
  EXPECT_THAT(Refusal({.file_name = Tlv(14, "f.sgn")}),
              StatusIs(kInvalid, HasSubstr("file name does not end with a NUL")));
  EXPECT_THAT(Refusal({.file_name = Tlv(14, "")}), StatusIs(kInvalid, HasSubstr("too short")));
  EXPECT_THAT(Refusal({.file_name = Tlv(14, {"f\0g\0", 4})}), StatusIs(kInvalid, HasSubstr("NUL inside file name")));
  EXPECT_THAT(Refusal({.signer = Tlv(3, Tlv(4, "CN=a") + TextTlv(6, "CN=b") + Tlv(5, "\x07"))}),
              StatusIs(kInvalid, HasSubstr("signer name does not end")));
  EXPECT_THAT(Refusal({.signer = Tlv(3, TextTlv(4, "CN=a") + TextTlv(6, {"b\0", 2}) + Tlv(5, "\x07"))}),
              StatusIs(kInvalid, HasSubstr("NUL inside issuer name")));
}

TEST(SignedFileReaderTest, RefusesAlgorithmsThatAreNotKnown) {
  EXPECT_THAT(Refusal({.digest = Tlv(8, "\x02")}), StatusIs(kInvalid, HasSubstr("unknown digest algorithm 2")));
  EXPECT_THAT(Refusal({.algorithm = Tlv(9, Tlv(10, "\x01") + Tlv(11, "\x02"))}),
              StatusIs(kInvalid, HasSubstr("unknown signature algorithm 1")));
  EXPECT_THAT(Refusal({.algorithm = Tlv(9, Tlv(10, {"\0", 1}) + Tlv(11, "\x04"))}),
              StatusIs(kInvalid, HasSubstr("unknown signature modulus 4")));
}

TEST(SignedFileVerificationTest, TellsWhyASignerIsNotTheOne) {
  const std::string bytes = ReadVector("signed-sha512.SEP001122334455.cnf.xml.sgn");
  ASSERT_OK_AND_ASSIGN(const SignedFile file, ReadSignedFile(AsBytes(bytes)));
  const Party signer = ReadParty("callmanager.pem");
  EXPECT_OK(VerifySignature(file, signer.certificate));
  EXPECT_THAT(VerifySignature(file, ReadParty("tvs.pem").certificate),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("d58dca0ab46b50753d1da33adb4ab7f6")));

  std::string changed = bytes;
  changed.back() ^= 1;
  ASSERT_OK_AND_ASSIGN(const SignedFile other, ReadSignedFile(AsBytes(changed)));
  EXPECT_THAT(VerifySignature(other, signer.certificate),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("the file was changed after signing")));
}

// The names are no decoration: a file that says it is from somebody else is not verified by the one who signed it.
TEST(SignedFileVerificationTest, TheNamesAreThoseOfTheSigner) {
  const Party signer = ReadParty("callmanager.pem");
  const std::string file = ReadVector("signed-sha1.SEP001122334455.cnf.xml.sgn");
  for (const size_t offset : {size_t{16 + 3}, size_t{58 + 3}}) {
    std::string changed = file;
    changed[offset] = 'x';
    changed = SignedAgain(changed, 134, signer.key, EVP_sha1());
    ASSERT_OK_AND_ASSIGN(const SignedFile read, ReadSignedFile(AsBytes(changed)));
    EXPECT_THAT(VerifySignature(read, signer.certificate), StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  EXPECT_TRUE(SignedAgain(file, 134, signer.key, EVP_sha1()) == file);
}

TEST(NamesTheSameTest, ReadsBothForms) {
  const auto name = *DistinguishedName::FromAttributes({{"CN", "a, \"b\" ;c"}, {"O", "Ö"}, {"OU", "=x"}});
  EXPECT_TRUE(NamesTheSame(name.ToText(), name));
  EXPECT_TRUE(NamesTheSame("CN=a\\, \\\"b\\\" \\;c;O=Ö;OU==x", name));
  EXPECT_FALSE(NamesTheSame("CN=a;O=Ö;OU==x", name));
  EXPECT_FALSE(NamesTheSame("", name));
  EXPECT_TRUE(NamesTheSame("", DistinguishedName()));
}

}  // namespace
}  // namespace trustline
