#include "common/x509/certificate_chain.h"

#include "common/x509/x509_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

class CertificateChainTest : public testing::Test {
 protected:
  const Party root_ = MakeSelfSigned(AuthorityForm("Root"));
  const Party middle_ = MakeIssued(AuthorityForm("Middle"), root_);
  const Party leaf_ = MakeIssued(LeafForm("leaf"), middle_);
};

TEST_F(CertificateChainTest, OrdersTheIssuers) {
  EXPECT_THAT(OrderChain(leaf_.certificate, {root_.certificate, middle_.certificate}, kTestNow),
              IsOkAndHolds(ElementsAre(middle_.certificate, root_.certificate)));
  EXPECT_THAT(OrderChain(root_.certificate, {}, kTestNow), IsOkAndHolds(IsEmpty()));
}

TEST_F(CertificateChainTest, NamesWhatIsMissingOrTooMuch) {
  EXPECT_THAT(OrderChain(leaf_.certificate, {root_.certificate}, kTestNow),
              StatusIs(kRefused, AllOf(HasSubstr("has a gap"), HasSubstr("CN=Middle"), HasSubstr("CN=leaf"))));
  EXPECT_THAT(OrderChain(leaf_.certificate, {middle_.certificate}, kTestNow),
              StatusIs(kRefused, AllOf(HasSubstr("CN=Root"), HasSubstr("up to the self-signed root"))));
  const Party other = MakeSelfSigned(AuthorityForm("Other"));
  EXPECT_THAT(OrderChain(leaf_.certificate, {other.certificate, middle_.certificate, root_.certificate}, kTestNow),
              StatusIs(kRefused, AllOf(HasSubstr("CN=Other"), HasSubstr("leave it out"))));
}

TEST_F(CertificateChainTest, IssuersAreAuthoritiesThatHaveNotEnded) {
  const Party leaf = MakeIssued(LeafForm("below a leaf"), MakeSelfSigned(LeafForm("no authority")));
  const Party no_authority = MakeSelfSigned(LeafForm("no authority"));
  EXPECT_THAT(
      OrderChain(MakeIssued(LeafForm("below a leaf"), no_authority).certificate, {no_authority.certificate}, kTestNow),
      StatusIs(kRefused, HasSubstr("no authority,O=Example: invalid CA certificate")));
  EXPECT_THAT(OrderChain(leaf_.certificate, {middle_.certificate, root_.certificate},
                         middle_.certificate.not_after() + absl::Seconds(1)),
              StatusIs(kRefused, HasSubstr("has expired")));
  // Of the same name, but with another key.
  EXPECT_FALSE(Issued(no_authority.certificate, leaf.certificate));
  EXPECT_TRUE(Issued(root_.certificate, root_.certificate));
}

}  // namespace
}  // namespace trustline
