#include "common/x509/x509_testing.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/bytes/sha256.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {

ScratchFolder::ScratchFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "x509_test.XXXXXX").string();
  path_ = mkdtemp(pattern.data());
}

ScratchFolder::~ScratchFolder() { std::filesystem::remove_all(path_); }

std::string ScratchFolder::Path(std::string_view name) const { return fmt::format("{}/{}", path_, name); }

std::string ScratchFolder::Write(std::string_view name, std::string_view bytes, int mode) const {
  const std::string path = Path(name);
  std::ofstream(path, std::ios::binary) << bytes;
  chmod(path.c_str(), static_cast<mode_t>(mode));
  return path;
}

std::string ReadTestFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

CommandResult RunCommand(const std::string& command) {
  FILE* pipe = popen(("(" + command + ") 2>&1").c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  CommandResult result;
  char buffer[4096];
  while (const size_t count = fread(buffer, 1, sizeof(buffer), pipe)) result.output.append(buffer, count);
  result.exit_status = WEXITSTATUS(pclose(pipe));
  return result;
}

CertificateTemplate AuthorityForm(std::string_view common_name) {
  CertificateTemplate form = *IdentityAuthorityTemplate(common_name, kTestNow);
  form.path_length.reset();
  return form;
}

CertificateTemplate LeafForm(std::string_view common_name) {
  CertificateTemplate form;
  form.subject = *DistinguishedName::FromAttributes({{"CN", common_name}, {"O", "Example"}});
  form.not_before = kTestNow - absl::Hours(1);
  form.not_after = kTestNow + absl::Hours(24 * 30);
  form.key_usage = {"digitalSignature"};
  return form;
}

Party MakeSelfSigned(const CertificateTemplate& form) {
  PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
  Certificate certificate = *BuildSelfSigned(form, key);
  return {std::move(key), std::move(certificate)};
}

Party MakeIssued(const CertificateTemplate& form, const Party& issuer) {
  PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
  Certificate certificate = *BuildIssued(form, key.get(), issuer.certificate, issuer.key);
  return {std::move(key), std::move(certificate)};
}

std::string MakeLargeCrl(const Party& issuer, size_t revoked) {
  const X509CrlPtr crl(X509_CRL_new());
  X509_CRL_set_version(crl.get(), 1);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.certificate.x509()));
  const Asn1TimePtr this_update(ASN1_TIME_set(nullptr, absl::ToTimeT(kTestNow - absl::Hours(1))));
  const Asn1TimePtr next_update(ASN1_TIME_set(nullptr, absl::ToTimeT(kTestNow + absl::Hours(24 * 7))));
  X509_CRL_set1_lastUpdate(crl.get(), this_update.get());
  X509_CRL_set1_nextUpdate(crl.get(), next_update.get());
  const Asn1EnumeratedPtr reason(ASN1_ENUMERATED_new());
  ASN1_ENUMERATED_set(reason.get(), CRL_REASON_SUPERSEDED);
  for (size_t i = 0; i < revoked; ++i) {
    const Sha256Digest digest = Sha256(AsBytes(fmt::format("serial {}", i)));
    const BignumPtr number(BN_bin2bn(digest.data(), 16, nullptr));
    const Asn1IntegerPtr serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
    X509RevokedPtr entry(X509_REVOKED_new());
    X509_REVOKED_set_serialNumber(entry.get(), serial.get());
    X509_REVOKED_set_revocationDate(entry.get(), this_update.get());
    X509_REVOKED_add1_ext_i2d(entry.get(), NID_crl_reason, reason.get(), 0, 0);
    X509_CRL_add0_revoked(crl.get(), entry.release());
  }
  X509_CRL_sign(crl.get(), issuer.key.get(), EVP_sha256());
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(crl.get(), &der);
  const OpenSslBytesPtr owner(der);
  return std::string(reinterpret_cast<char*>(der), static_cast<size_t>(size));
}

std::string WithReplaced(ByteView der, std::string_view from, std::string_view to) {
  std::string bytes(AsText(der));
  const size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos);
  EXPECT_EQ(from.size(), to.size());
  return bytes.replace(at, from.size(), to);
}

}  // namespace trustline
