#include "ca/profile/published_key.h"

#include "ca/profile/key_policy.h"
#include "common/x509/pem.h"
#include "common/x509/public_key.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Optional;

// The public halves of keys whose private halves stand in the same places.
struct PublishedExample {
  std::string source;
  std::string public_key_info;  // base64
};
std::vector<PublishedExample> Examples() {
  return {
      {"RFC 6979 A.2.5",
       "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+"
       "n1F3o8KU1EYimQ=="},
      {"RFC 9500 section 2.1",
       "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsPnoGUOnrpiSqt4XynxA+HRP7S+BSObI6qJ7fQAVSPtRkqsotWxQYLEYzNEx5ZSH"
       "TGypibVsJylvCfuToDTfMul8b/CZjP2Ob0LdpYrNH6l5hvFE89FU1nZQF15oVLOpUgA7wGiHuEVawrGfey92UE68mOyUVXGweJIVDdxqdMoP"
       "vNNUl86BU02vlBiESxOuox+dWmuVV7vfYZ79Toh/LUK43YvJh+rhv4nKuF7iHjVjBd9sB6iDjj70HFldzOQ9r8SRI+9NirupPTkF5AKNe6kU"
       "hKJ1luB7S27ZkvB3tSTT3P593VVJvnzOjaA1z6Cz+4+eRvcysqhrRgFlwI9TEwIDAQAB"},
      {"RFC 9500 section 2.3",
       "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQiVI+I+3gv+17KN0RFLHKh5Vj71vc75eSOkyMsxFxbFsTNEMTLjVuKFxOelIgsiZJXKZNCX0"
       "FBmrfpCkKklCcg=="}};
}

TEST(PublishedKey, IsKnownAndNotCertified) {
  for (const auto& [source, base64] : Examples()) {
    ASSERT_OK_AND_ASSIGN(const std::string info, DecodePemBody(base64));
    EXPECT_THAT(PublishedKeySource(Sha256(AsBytes(info))), Optional(std::string_view(source)));
    ASSERT_OK_AND_ASSIGN(const PublicKeyInfo key, PublicKeyInfo::FromDer(AsBytes(info)));
    EXPECT_THAT(CheckDeviceKey(key, {}),
                StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("published"), HasSubstr(source))));
  }
}

TEST(PublishedKey, EveryOneIsFoundAndNoOther) {
  const PublishedKeys keys = AllPublishedKeys();
  ASSERT_EQ(keys.public_key_sha256.size(), keys.sources.size());
  EXPECT_GT(keys.sources.size(), 1000u);
  for (size_t i = 0; i < keys.sources.size(); ++i) {
    Sha256Digest digest = keys.public_key_sha256[i];
    EXPECT_THAT(PublishedKeySource(digest), Optional(std::string_view(keys.sources[i])));
    digest.back() ^= 1;
    EXPECT_FALSE(PublishedKeySource(digest).has_value());
  }
  Sha256Digest end;
  end.fill(0);
  EXPECT_FALSE(PublishedKeySource(end).has_value());
  end.fill(0xff);
  EXPECT_FALSE(PublishedKeySource(end).has_value());
}

TEST(PublishedKey, TheListIsSortedAndNamesSources) {
  const PublishedKeys keys = AllPublishedKeys();
  for (size_t i = 1; i < keys.public_key_sha256.size(); ++i) {
    EXPECT_LT(keys.public_key_sha256[i - 1], keys.public_key_sha256[i]);
  }
  for (const std::string_view source : keys.sources) {
    EXPECT_GT(source.find(' '), 0u) << source;
    EXPECT_NE(source.find(' '), std::string_view::npos) << source;
  }
}

}  // namespace
}  // namespace trustline
