#include "common/x509/pkcs12.h"

#include <gtest/gtest.h>

#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

const SecretBytes kPassphrase = SecretBytes("correct horse");

class Pkcs12Test : public ::testing::Test {
 protected:
  std::string Made() const { return *WritePkcs12(party_.certificate, party_.key, kPassphrase, "ITLRecovery"); }
  Party party_ = MakeSelfSigned(AuthorityForm("ITLRECOVERY-01234567"));
  ScratchFolder folder_;
};

TEST_F(Pkcs12Test, WhatIsWrittenIsRead) {
  const auto read = ReadPkcs12(AsBytes(Made()), kPassphrase);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->certificate, party_.certificate);
  EXPECT_EQ(read->key.public_key_sha256(), party_.key.public_key_sha256());
}

TEST_F(Pkcs12Test, OtherProgramsReadIt) {
  const std::string path = folder_.Write("recovery.p12", Made());
  const CommandResult openssl =
      RunCommand("openssl pkcs12 -in " + path + " -nodes -passin 'pass:correct horse' | openssl pkey -noout -text");
  EXPECT_EQ(openssl.exit_status, 0) << openssl.output;
  const CommandResult gnutls = RunCommand("certtool --p12-info --inder --password 'correct horse' --infile " + path);
  EXPECT_EQ(gnutls.exit_status, 0) << gnutls.output;
  EXPECT_NE(gnutls.output.find("BEGIN CERTIFICATE"), std::string::npos) << gnutls.output;
  EXPECT_NE(gnutls.output.find("PRIVATE KEY"), std::string::npos) << gnutls.output;
}

TEST_F(Pkcs12Test, ThoseOfOtherProgramsAreRead) {
  const std::string key = folder_.Path("key.pem");
  ASSERT_TRUE(party_.key.WriteKeyFile(key).ok());
  const std::string certificate = folder_.Write("certificate.pem", party_.certificate.ToPem());
  const std::string by_openssl = folder_.Path("openssl.p12");
  const CommandResult openssl = RunCommand("openssl pkcs12 -export -inkey " + key + " -in " + certificate + " -out " +
                                           by_openssl + " -passout 'pass:correct horse'");
  ASSERT_EQ(openssl.exit_status, 0) << openssl.output;
  const std::string by_gnutls = folder_.Path("gnutls.p12");
  const CommandResult gnutls =
      RunCommand("certtool --to-p12 --outder --load-privkey " + key + " --load-certificate " + certificate +
                 " --p12-name recovery --password 'correct horse' --outfile " + by_gnutls);
  ASSERT_EQ(gnutls.exit_status, 0) << gnutls.output;
  for (const std::string& path : {by_openssl, by_gnutls}) {
    const auto read = ReadPkcs12(AsBytes(ReadTestFile(path)), kPassphrase);
    ASSERT_TRUE(read.ok()) << path << ": " << read.status();
    EXPECT_EQ(read->certificate, party_.certificate) << path;
    EXPECT_EQ(read->key.public_key_sha256(), party_.key.public_key_sha256()) << path;
  }
}

TEST_F(Pkcs12Test, WhatDoesNotOpenIsRefused) {
  const std::string made = Made();
  EXPECT_EQ(ReadPkcs12(AsBytes(made), SecretBytes("wrong horse")).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReadPkcs12(AsBytes(made + "x"), kPassphrase).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadPkcs12(AsBytes(made.substr(0, made.size() - 1)), kPassphrase).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadPkcs12(AsBytes(party_.certificate.ToPem()), kPassphrase).status().code(),
            absl::StatusCode::kInvalidArgument);
  // Without the key, as `openssl pkcs12 -export -nokeys` makes it.
  const std::string certificate = folder_.Write("certificate.pem", party_.certificate.ToPem());
  const std::string without_key = folder_.Path("nokey.p12");
  const CommandResult openssl = RunCommand("openssl pkcs12 -export -nokeys -in " + certificate + " -out " +
                                           without_key + " -passout 'pass:correct horse'");
  ASSERT_EQ(openssl.exit_status, 0) << openssl.output;
  EXPECT_EQ(ReadPkcs12(AsBytes(ReadTestFile(without_key)), kPassphrase).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(Pkcs12Test, WhatGuardsNothingIsNotWritten) {
  const auto with = [&](std::string_view passphrase) {
    return WritePkcs12(party_.certificate, party_.key, SecretBytes(passphrase), "ITLRecovery").status().code();
  };
  EXPECT_EQ(with("short"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(with(std::string_view("with\0nul", 8)), absl::StatusCode::kInvalidArgument);
  const Party other = MakeSelfSigned(AuthorityForm("other"));
  EXPECT_EQ(WritePkcs12(party_.certificate, other.key, kPassphrase, "ITLRecovery").status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace trustline
