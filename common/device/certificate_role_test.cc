#include "common/device/certificate_role.h"

namespace trustline {
namespace {

TEST(CertificateRoleTest, NamesAndCodesGoBothWays) {
  for (CertificateRole role : kAllCertificateRoles) {
    EXPECT_EQ(*ParseCertificateRole(CertificateRoleName(role)), role);
    EXPECT_EQ(CertificateRoleFromCode(static_cast<int>(role)), role);
  }
  EXPECT_EQ(*ParseCertificateRole("ccm+tftp"), CertificateRole::kCcmTftp);
  EXPECT_FALSE(ParseCertificateRole("CCM + TFTP").ok());
  EXPECT_EQ(CertificateRoleFromCode(5), std::nullopt);
}

}  // namespace
}  // namespace trustline
