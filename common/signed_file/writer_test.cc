#include "common/signed_file/writer.h"

#include <random>

#include "common/signed_file/reader.h"
#include "common/signed_file/signed_file_testing.h"
#include "tests/support/run_program.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kFailed = absl::StatusCode::kFailedPrecondition;
const absl::Time kTime = absl::FromUnixSeconds(1'795'351'144);

SignedFileForm FormOf(const SignedFileHeader& header) {
  return {.version = header.version,
          .signer_version = header.signer_version,
          .digest = header.digest,
          .name_form = header.name_form,
          .file_name = header.file_name,
          .timestamp = header.timestamp,
          .extra = header.extra};
}

SignedFileForm AnyForm() { return {.file_name = "f.sgn", .timestamp = kTime}; }

struct Vector {
  const char* file;
  const char* signer;
};

class SignedFileVectorTest : public ::testing::TestWithParam<Vector> {};

TEST_P(SignedFileVectorTest, IsReadVerifiedAndWrittenToTheSameBytes) {
  const std::string bytes = ReadVector(GetParam().file);
  const Party signer = ReadParty(GetParam().signer);
  ASSERT_OK_AND_ASSIGN(const SignedFile file, ReadSignedFile(AsBytes(bytes)));
  EXPECT_OK(VerifySignature(file, signer.certificate));
  ASSERT_OK_AND_ASSIGN(const std::string again,
                       WriteSignedFile(FormOf(file.header), signer.certificate, signer.key, file.payload));
  EXPECT_EQ(ToHex(AsBytes(again).first(file.header.header_length)),
            ToHex(AsBytes(bytes).first(file.header.header_length)));
  EXPECT_TRUE(again == bytes);
}

INSTANTIATE_TEST_SUITE_P(
    Vectors, SignedFileVectorTest,
    ::testing::Values(Vector{"signed-sha1.SEP001122334455.cnf.xml.sgn", "callmanager.pem"},
                      Vector{"signed-sha512.SEP001122334455.cnf.xml.sgn", "callmanager.pem"},
                      Vector{"encrypted-sha1-stub.SEP001122334455.cnf.xml.sgn", "callmanager.pem"},
                      Vector{"encrypted-sha512-stub.SEP001122334455.cnf.xml.sgn", "callmanager.pem"},
                      Vector{"encrypted-sha1.SEP001122334455.cnf.xml.enc.sgn", "callmanager.pem"},
                      Vector{"encrypted-sha512.SEP001122334455.cnf.xml.enc.sgn", "callmanager.pem"},
                      Vector{"ITLFile-sha1.tlv", "itlrecovery.pem"}, Vector{"ITLFile-sha512.tlv", "itlrecovery.pem"},
                      Vector{"ITLFile-blank.tlv", "itlrecovery.pem"},
                      Vector{"ITLFile-unknown-tlv.tlv", "itlrecovery.pem"},
                      Vector{"ITLFile-vendor-form.tlv", "itlrecovery.pem"}));

// The openssl program verifies what the writer signed, without the reader's help.
TEST(SignedFileWriterTest, OpenSslVerifiesTheRestWithoutTheSignature) {
  const Party signer = ReadParty("callmanager.pem");
  const TemporaryDirectory directory;
  const std::string certificate = directory.WriteFile("signer.pem", signer.certificate.ToPem());
  const ProgramResult key = RunProgram({"/usr/bin/openssl", "x509", "-in", certificate, "-noout", "-pubkey"});
  ASSERT_EQ(key.exit_status, 0) << key.err;
  const std::string public_key = directory.WriteFile("key.pem", key.out);
  for (const auto& [digest, option] :
       {std::pair(DigestAlgorithm::kSha1, "-sha1"), std::pair(DigestAlgorithm::kSha512, "-sha512")}) {
    SignedFileForm form = AnyForm();
    form.digest = digest;
    ASSERT_OK_AND_ASSIGN(const std::string file,
                         WriteSignedFile(form, signer.certificate, signer.key, AsBytes("<device/>\n")));
    const size_t element = file.find(std::string("\x0c\x01\x00", 3));
    ASSERT_NE(element, std::string::npos);
    const std::string signature = directory.WriteFile("signature", file.substr(element + 3, 256));
    const std::string rest = directory.WriteFile("rest", file.substr(0, element) + file.substr(element + 3 + 256));
    const ProgramResult verified =
        RunProgram({"/usr/bin/openssl", "dgst", option, "-verify", public_key, "-signature", signature, rest});
    EXPECT_EQ(verified.exit_status, 0) << verified.err << verified.out;
    EXPECT_THAT(verified.out, HasSubstr("Verified OK"));
  }
}

TEST(SignedFileWriterTest, RefusesKeysThatPhonesCannotRead) {
  const Party signer = ReadParty("callmanager.pem");
  const Party other = ReadParty("tvs.pem");
  EXPECT_THAT(WriteSignedFile(AnyForm(), signer.certificate, other.key, {}),
              StatusIs(kFailed, HasSubstr("is not the key of the certificate CN=cucm-pub.example")));

  const Party ec = MakeSelfSigned(LeafForm("ec.example"));
  EXPECT_THAT(WriteSignedFile(AnyForm(), ec.certificate, ec.key, {}),
              StatusIs(kFailed, HasSubstr("a key that is EC secp256r1")));
  EXPECT_THAT(SignedFileContentDigest(AnyForm(), ec.certificate, {}), StatusIs(kFailed));

  const Party large = SelfSignedWith(*PrivateKey::Generate(KeyKind::kRsa3072), "large.example");
  EXPECT_THAT(WriteSignedFile(AnyForm(), large.certificate, large.key, {}),
              StatusIs(kFailed, HasSubstr("phones cannot read files that are signed with RSA 3072")));
  const Party odd = WeakSelfSigned(RsaKey(1536), "odd.example");
  EXPECT_THAT(WriteSignedFile(AnyForm(), odd.certificate, odd.key, {}), StatusIs(kFailed, HasSubstr("RSA 1536")));
  const Party small = WeakSelfSigned(RsaKey(512), "small.example");
  EXPECT_THAT(WriteSignedFile(AnyForm(), small.certificate, small.key, {}), StatusIs(kFailed, HasSubstr("RSA 512")));
}

TEST(SignedFileWriterTest, SignsWithOldKeysOf1024Bits) {
  const Party old = WeakSelfSigned(RsaKey(1024), "old.example");
  for (const DigestAlgorithm digest : {DigestAlgorithm::kSha1, DigestAlgorithm::kSha512}) {
    SignedFileForm form = AnyForm();
    form.digest = digest;
    ASSERT_OK_AND_ASSIGN(const std::string file, WriteSignedFile(form, old.certificate, old.key, AsBytes("x")));
    ASSERT_OK_AND_ASSIGN(const SignedFile read, ReadSignedFile(AsBytes(file)));
    EXPECT_EQ(read.header.modulus_bits, 1024);
    EXPECT_OK(VerifySignature(read, old.certificate));
  }
}

TEST(SignedFileWriterTest, RefusesWhatDoesNotFitIntoTheHeader) {
  const Party signer = ReadParty("callmanager.pem");
  const auto write = [&](const SignedFileForm& form) {
    return WriteSignedFile(form, signer.certificate, signer.key, AsBytes("x"));
  };
  SignedFileForm form = AnyForm();
  for (const std::string& name : {std::string(), std::string(1024, 'f'), std::string("f\0g", 3)}) {
    form.file_name = name;
    EXPECT_THAT(write(form), StatusIs(kInvalid, HasSubstr("file name")));
  }
  form.file_name = std::string(1023, 'f');
  EXPECT_OK(write(form));

  form = AnyForm();
  for (const int64_t seconds : {int64_t{-1}, int64_t{1} << 32}) {
    form.timestamp = absl::FromUnixSeconds(seconds);
    EXPECT_THAT(write(form), StatusIs(kInvalid, HasSubstr("the years 1970 to 2106")));
  }
  form.timestamp = absl::InfiniteFuture();
  EXPECT_THAT(write(form), StatusIs(kInvalid));
  form.timestamp = absl::FromUnixSeconds((int64_t{1} << 32) - 1);
  EXPECT_OK(write(form));

  form = AnyForm();
  for (const int tag : {0, 1, 5, 13, 14, 15, 28}) {
    form.extra = {{static_cast<uint8_t>(tag), "x"}};
    EXPECT_THAT(write(form), StatusIs(kInvalid, HasSubstr("one of the header's own")));
  }
  form.extra = {{16, "x"}, {99, ""}, {16, ""}};
  EXPECT_THAT(write(form), StatusIs(kInvalid, HasSubstr("twice")));
  form.extra = {{99, std::string(70'000, 'x')}};
  EXPECT_THAT(write(form), StatusIs(kInvalid, HasSubstr("70000 bytes")));
  form.extra = {{99, std::string(16'000, 'x')}};
  EXPECT_THAT(write(form), StatusIs(kInvalid, HasSubstr("longer than the maximum of 16384")));
}

TEST(SignedFileWriterTest, TheContentDigestChangesWithTheContentOnly) {
  const Party signer = ReadParty("callmanager.pem");
  const auto digest = [&](const SignedFileForm& form, std::string_view payload) {
    return *SignedFileContentDigest(form, signer.certificate, AsBytes(payload));
  };
  const SignedFileForm form = AnyForm();
  SignedFileForm later = form;
  later.timestamp += absl::Hours(1);
  EXPECT_EQ(digest(form, "x"), digest(later, "x"));
  EXPECT_NE(digest(form, "x"), digest(form, "y"));
  SignedFileForm renamed = form;
  renamed.file_name = "g.sgn";
  EXPECT_NE(digest(form, "x"), digest(renamed, "x"));
  SignedFileForm sha512 = form;
  sha512.digest = DigestAlgorithm::kSha512;
  EXPECT_NE(digest(form, "x"), digest(sha512, "x"));
  EXPECT_NE(digest(form, "x"), *SignedFileContentDigest(form, ReadParty("tvs.pem").certificate, AsBytes("x")));
}

TEST(WriteNameTest, SeparatesAttributesOnlyInTheVendorsForm) {
  const auto name = *DistinguishedName::FromAttributes({{"CN", "a,b;c\\"}, {"O", "Ö \"q\""}, {"OU", " x "}});
  EXPECT_EQ(*WriteName(name, NameForm::kComma), "CN=a\\,b\\;c\\\\,O=Ö \\\"q\\\",OU=\\ x\\ ");
  EXPECT_EQ(*WriteName(name, NameForm::kVendor), "CN=a\\,b\\;c\\\\;O=Ö \\\"q\\\";OU=\\ x\\ ");
  const auto large = *DistinguishedName::FromAttributes({{"CN", std::string(4'094, 'a')}});
  EXPECT_THAT(WriteName(large, NameForm::kComma), StatusIs(kInvalid, HasSubstr("a name of 4097 bytes")));
}

// Any name and payload comes back from the reader as it was given to the writer.
TEST(SignedFileWriterTest, WhatIsWrittenIsReadAgain) {
  std::mt19937 random(7);
  const PrivateKey key = RsaKey(2048);
  const Party authority = MakeSelfSigned(AuthorityForm("an authority"));
  const std::vector<std::string> values = {"a", "Example, Inc.", "\"q\"", "Ü;ß", "#1", " x", "a=b+c", "\\", "日本"};
  for (int round = 0; round < 60; ++round) {
    std::vector<std::pair<std::string_view, std::string_view>> attributes;
    std::string filler(random() % 60 + 1, 'n');
    for (const char* type : {"CN", "O", "OU"}) attributes.emplace_back(type, values[random() % values.size()]);
    attributes.emplace_back("OU", filler);
    CertificateTemplate form = AuthorityForm("any");
    form.subject = *DistinguishedName::FromAttributes(attributes);
    ASSERT_OK_AND_ASSIGN(const Certificate signer,
                         random() % 2 == 0 ? BuildSelfSigned(form, key)
                                           : BuildIssued(form, key.get(), authority.certificate, authority.key));
    SignedFileForm file_form = {.version = kEncryptedFileVersion,
                                .digest = random() % 2 == 0 ? DigestAlgorithm::kSha1 : DigestAlgorithm::kSha512,
                                .name_form = random() % 2 == 0 ? NameForm::kComma : NameForm::kVendor,
                                .file_name = std::string(random() % 40 + 1, 'f'),
                                .timestamp = absl::FromUnixSeconds(static_cast<uint32_t>(random()))};
    if (random() % 2 == 0) file_form.signer_version = FileVersion{1, static_cast<uint8_t>(random())};
    for (size_t i = random() % 3; i > 0; --i) {
      file_form.extra.push_back({static_cast<uint8_t>(29 + random() % 200), std::string(random() % 50, '\x0d')});
    }
    const std::string payload(random() % 3'000, '\x0c');
    ASSERT_OK_AND_ASSIGN(const std::string file, WriteSignedFile(file_form, signer, key, AsBytes(payload)));
    ASSERT_OK_AND_ASSIGN(const SignedFile read, ReadSignedFile(AsBytes(file)));
    EXPECT_OK(VerifySignature(read, signer));
    EXPECT_EQ(read.header.version, file_form.version);
    EXPECT_EQ(read.header.signer_version, file_form.signer_version);
    EXPECT_EQ(read.header.digest, file_form.digest);
    EXPECT_EQ(read.header.name_form, file_form.name_form);
    EXPECT_EQ(read.header.file_name, file_form.file_name);
    EXPECT_EQ(read.header.timestamp, file_form.timestamp);
    EXPECT_EQ(read.header.extra, file_form.extra);
    EXPECT_EQ(read.header.header_length % 4, 0);
    EXPECT_LT(read.header.padding, 4u);
    EXPECT_EQ(AsText(read.payload), payload);
    EXPECT_EQ(read.header.signer_name, *WriteName(signer.subject(), file_form.name_form));
    EXPECT_EQ(read.header.issuer_name, *WriteName(signer.issuer(), file_form.name_form));
    EXPECT_EQ(*DistinguishedName::FromText(read.header.signer_name), signer.subject());
  }
}

}  // namespace
}  // namespace trustline
