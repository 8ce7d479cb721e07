#include "common/x509/openssl_error.h"

#include <openssl/err.h>

namespace trustline {
namespace {

TEST(OpenSslErrorTest, DrainsTheQueue) {
  ERR_clear_error();
  EXPECT_EQ(DrainOpenSslErrors(), "unknown reason");
  ERR_raise_data(ERR_LIB_X509, X509_R_CERT_ALREADY_IN_HASH_TABLE, "data %d", 7);
  ERR_raise(ERR_LIB_X509, X509_R_INVALID_DIRECTORY);
  const absl::Status status = OpenSslInvalidArgument("context");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StatusMessage(status), "context: cert already in hash table (data 7); invalid directory");
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(OpenSslErrorTest, ScopeLeavesNothingBehind) {
  {
    const OpenSslErrorScope errors;
    ERR_raise(ERR_LIB_X509, X509_R_INVALID_DIRECTORY);
    EXPECT_NE(ERR_peek_error(), 0u);
  }
  EXPECT_EQ(ERR_peek_error(), 0u);
}

}  // namespace
}  // namespace trustline
