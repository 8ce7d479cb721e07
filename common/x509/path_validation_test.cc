#include "common/x509/path_validation.h"

#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

const Party& Root() {
  static const Party* const root = new Party(MakeSelfSigned(AuthorityForm("Root")));
  return *root;
}
const Party& Middle() {
  static const Party* const middle = new Party(MakeIssued(AuthorityForm("Middle"), Root()));
  return *middle;
}

std::optional<PathError> ErrorOf(const AnchorSet& anchors, const Certificate& leaf, absl::Time at = kTestNow) {
  const auto path = anchors.Validate(leaf, at);
  EXPECT_EQ(path.ok(), StatusMessage(path.status()).empty());
  return PathErrorOf(path.status());
}

// A certificate with an extension that the builder does not make, issued by `issuer`.
Party IssueWithExtension(const CertificateTemplate& form, const Party& issuer, int nid, const char* value) {
  Party party = MakeIssued(form, issuer);
  const X509Ptr copy(X509_dup(party.certificate.x509()));
  const X509ExtensionPtr extension(X509V3_EXT_nconf_nid(nullptr, nullptr, nid, value));
  EXPECT_NE(extension, nullptr);
  X509_add_ext(copy.get(), extension.get(), -1);
  X509_sign(copy.get(), issuer.key.get(), EVP_sha256());
  party.certificate = *Certificate::FromX509(copy.get());
  return party;
}

TEST(AnchorSetTest, FindsThePathAndTheAnchor) {
  const Party leaf = MakeIssued(LeafForm("leaf"), Middle());
  const Party other = MakeSelfSigned(AuthorityForm("Other"));
  const AnchorSet anchors({other.certificate, Root().certificate}, {Middle().certificate});
  const auto path = anchors.Validate(leaf.certificate, kTestNow);
  ASSERT_TRUE(path.ok()) << path.status();
  ASSERT_EQ(path->size(), 3u);
  EXPECT_EQ((*path)[0].certificate, leaf.certificate);
  EXPECT_EQ((*path)[1].certificate, Middle().certificate);
  EXPECT_EQ((*path)[2].certificate, Root().certificate);
  EXPECT_FALSE((*path)[0].anchor.has_value());
  EXPECT_FALSE((*path)[1].anchor.has_value());
  EXPECT_EQ((*path)[2].anchor, 1u);
}

TEST(AnchorSetTest, AnIntermediateCanBeTheAnchor) {
  const Party leaf = MakeIssued(LeafForm("leaf"), Middle());
  // Also when the same certificate is among the intermediates, and its root is known.
  const AnchorSet anchors({Middle().certificate}, {Middle().certificate, Root().certificate});
  const auto path = anchors.Validate(leaf.certificate, kTestNow);
  ASSERT_TRUE(path.ok()) << path.status();
  ASSERT_EQ(path->size(), 2u);
  EXPECT_EQ(path->back().anchor, 0u);
}

TEST(AnchorSetTest, AnAnchorIsItsOwnPath) {
  const AnchorSet anchors({Root().certificate, Middle().certificate}, {});
  for (const Certificate& anchor : {Root().certificate, Middle().certificate}) {
    const auto path = anchors.Validate(*Certificate::FromDer(anchor.der()), kTestNow);
    ASSERT_TRUE(path.ok()) << path.status();
    EXPECT_EQ(path->front().certificate, anchor);
    EXPECT_TRUE(path->back().anchor.has_value());
  }
}

TEST(AnchorSetTest, ReadsTheCapturedLsc) {
  const Certificate lsc = *Certificate::FromPem(ReadVector("capf-issued-lsc.pem"));
  const AnchorSet anchors({*Certificate::FromPem(ReadVector("capf.pem"))}, {});
  EXPECT_TRUE(anchors.Validate(lsc, kTestNow).ok()) << anchors.Validate(lsc, kTestNow).status();
  EXPECT_EQ(ErrorOf(anchors, lsc, kTestNow + absl::Hours(24 * 400)), PathError::kExpired);
}

TEST(AnchorSetTest, WithoutAnchorThereIsNoPath) {
  const Party leaf = MakeIssued(LeafForm("leaf"), Middle());
  EXPECT_EQ(ErrorOf(AnchorSet({}, {}), leaf.certificate), PathError::kNoPath);
  EXPECT_EQ(ErrorOf(AnchorSet({}, {Middle().certificate, Root().certificate}), leaf.certificate), PathError::kNoPath);
  EXPECT_EQ(ErrorOf(AnchorSet({Root().certificate}, {}), leaf.certificate), PathError::kNoPath);
  EXPECT_EQ(ErrorOf(AnchorSet({Root().certificate}, {}), MakeSelfSigned(LeafForm("self")).certificate),
            PathError::kNoPath);
}

TEST(AnchorSetTest, ChecksTheTimeOfEveryElement) {
  const AnchorSet anchors({Root().certificate}, {Middle().certificate});
  const Party leaf = MakeIssued(LeafForm("leaf"), Middle());
  EXPECT_EQ(ErrorOf(anchors, leaf.certificate, leaf.certificate.not_after() - absl::Seconds(1)), std::nullopt);
  EXPECT_EQ(ErrorOf(anchors, leaf.certificate, leaf.certificate.not_after() + absl::Seconds(1)), PathError::kExpired);
  EXPECT_EQ(ErrorOf(anchors, leaf.certificate, leaf.certificate.not_before() - absl::Seconds(1)),
            PathError::kNotYetValid);

  CertificateTemplate short_lived = AuthorityForm("Short");
  short_lived.not_after = kTestNow + absl::Hours(1);
  const Party expiring = MakeSelfSigned(short_lived);
  // The builder ends a leaf with its issuer; this one outlives it.
  const Party renewed{*PrivateKey::Generate(KeyKind::kEcP256), *BuildSelfSigned(AuthorityForm("Short"), expiring.key)};
  const Party long_lived{*PrivateKey::Generate(KeyKind::kEcP256),
                         *BuildIssued(LeafForm("leaf"), renewed.key.get(), renewed.certificate, expiring.key)};
  const AnchorSet expired({expiring.certificate}, {});
  EXPECT_EQ(ErrorOf(expired, long_lived.certificate), std::nullopt);
  const auto path = expired.Validate(long_lived.certificate, kTestNow + absl::Hours(2));
  EXPECT_EQ(PathErrorOf(path.status()), PathError::kExpired);
  EXPECT_THAT(std::string(StatusMessage(path.status())), HasSubstr("CN=Short: certificate has expired"));
  // With the renewed certificate of the same key beside the expired one there is a path again.
  EXPECT_EQ(ErrorOf(AnchorSet({expiring.certificate, renewed.certificate}, {}), long_lived.certificate,
                    kTestNow + absl::Hours(2)),
            std::nullopt);
}

TEST(AnchorSetTest, TheSameNameWithAnotherKeyIsNoIssuer) {
  const Party imposter = MakeSelfSigned(AuthorityForm("Root"));
  const Party leaf = MakeIssued(LeafForm("leaf"), imposter);
  EXPECT_NE(ErrorOf(AnchorSet({Root().certificate}, {}), leaf.certificate), std::nullopt);
  // Without key identifiers OpenSSL has to look at the signature.
  const X509Ptr bare(X509_dup(leaf.certificate.x509()));
  const int at = X509_get_ext_by_NID(bare.get(), NID_authority_key_identifier, -1);
  const X509ExtensionPtr removed(X509_delete_ext(bare.get(), at));
  X509_sign(bare.get(), imposter.key.get(), EVP_sha256());
  EXPECT_EQ(ErrorOf(AnchorSet({Root().certificate}, {}), *Certificate::FromX509(bare.get())), PathError::kBroken);
  // Both are known: the right one is found.
  EXPECT_EQ(ErrorOf(AnchorSet({Root().certificate, imposter.certificate}, {}), leaf.certificate), std::nullopt);
}

TEST(AnchorSetTest, ADamagedSignatureBreaksThePath) {
  const Party leaf = MakeIssued(LeafForm("leaf"), Root());
  const Certificate forged = *Certificate::FromDer(AsBytes(WithReplaced(leaf.certificate.der(), "Example", "Exempla")));
  const AnchorSet anchors({Root().certificate}, {});
  EXPECT_EQ(ErrorOf(anchors, leaf.certificate), std::nullopt);
  EXPECT_EQ(ErrorOf(anchors, forged), PathError::kBroken);
}

TEST(AnchorSetTest, OnlyAuthoritiesIssue) {
  const Party not_ca = MakeIssued(LeafForm("not a CA"), Root());
  const Party leaf = MakeIssued(LeafForm("leaf"), not_ca);
  EXPECT_NE(ErrorOf(AnchorSet({Root().certificate}, {not_ca.certificate}), leaf.certificate), std::nullopt);
  EXPECT_NE(ErrorOf(AnchorSet({not_ca.certificate}, {}), leaf.certificate), std::nullopt);
  CertificateTemplate form = LeafForm("not a CA either");
  form.key_usage = {"keyCertSign"};
  const Party claims_usage = MakeIssued(form, Root());
  const Party second = MakeIssued(LeafForm("leaf"), claims_usage);
  EXPECT_EQ(ErrorOf(AnchorSet({Root().certificate}, {claims_usage.certificate}), second.certificate),
            PathError::kBroken);
}

TEST(AnchorSetTest, KeepsPathLengthAndNameConstraints) {
  CertificateTemplate short_path = AuthorityForm("Short path");
  short_path.path_length = 0;
  const Party root = MakeSelfSigned(short_path);
  const Party middle = MakeIssued(AuthorityForm("Below"), root);
  const Party deep = MakeIssued(LeafForm("leaf"), middle);
  EXPECT_EQ(ErrorOf(AnchorSet({root.certificate}, {middle.certificate}), deep.certificate), PathError::kBroken);

  const Party constrained = IssueWithExtension(AuthorityForm("Constrained"), Root(), NID_name_constraints,
                                               "critical,permitted;DNS:example.com");
  const AnchorSet anchors({Root().certificate}, {constrained.certificate});
  CertificateTemplate form = LeafForm("leaf");
  form.dns_names = {"phone.example.com"};
  EXPECT_EQ(ErrorOf(anchors, MakeIssued(form, constrained).certificate), std::nullopt);
  form.dns_names = {"phone.example.org"};
  const auto path = anchors.Validate(MakeIssued(form, constrained).certificate, kTestNow);
  EXPECT_EQ(PathErrorOf(path.status()), PathError::kBroken);
  EXPECT_THAT(std::string(StatusMessage(path.status())), HasSubstr("permitted subtree violation"));
}

// The same certificate with a signature over another digest.
Certificate SignedWith(const EVP_MD* digest, const Party& party, const Party& issuer) {
  const X509Ptr copy(X509_dup(party.certificate.x509()));
  EXPECT_GT(X509_sign(copy.get(), issuer.key.get(), digest), 0);
  return *Certificate::FromX509(copy.get());
}

TEST(AnchorSetTest, TakesSha1OnlyWhereItIsAllowed) {
  PrivateKey key = *PrivateKey::Generate(KeyKind::kRsa2048);
  const Certificate certificate = *BuildSelfSigned(AuthorityForm("Maker"), key);
  const Party maker = {std::move(key), certificate};
  const AnchorSet anchors({certificate}, {});
  const Party leaf = MakeIssued(LeafForm("leaf"), maker);
  const auto error_of = [&](const Certificate& of, SignatureStrength strength) {
    return PathErrorOf(anchors.Validate(of, kTestNow, strength).status());
  };
  const Certificate sha1 = SignedWith(EVP_sha1(), leaf, maker);
  EXPECT_EQ(error_of(sha1, SignatureStrength::kCurrent), PathError::kBroken);
  EXPECT_EQ(error_of(sha1, SignatureStrength::kSha1Too), std::nullopt);
  EXPECT_EQ(error_of(leaf.certificate, SignatureStrength::kSha1Too), std::nullopt);
  EXPECT_EQ(error_of(SignedWith(EVP_md5(), leaf, maker), SignatureStrength::kSha1Too), PathError::kBroken);
  // A signature is not less wrong.
  const std::string der = std::string(AsText(sha1.der()));
  std::string damaged = der;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  EXPECT_EQ(error_of(*Certificate::FromDer(AsBytes(damaged)), SignatureStrength::kSha1Too), PathError::kBroken);
}

TEST(AnchorSetTest, RefusesUnknownCriticalExtensions) {
  const Party root = MakeSelfSigned(AuthorityForm("Root 2"));
  const Party leaf = IssueWithExtension(LeafForm("leaf"), root, NID_netscape_comment, "critical,hello");
  EXPECT_EQ(ErrorOf(AnchorSet({root.certificate}, {}), leaf.certificate), PathError::kBroken);
}

TEST(AnchorSetTest, BoundsTheDepth) {
  std::vector<Party> parties;
  parties.push_back(MakeSelfSigned(AuthorityForm("0")));
  std::vector<Certificate> intermediates;
  for (int i = 1; i <= AnchorSet::kMaxDepth + 1; ++i) {
    parties.push_back(MakeIssued(AuthorityForm(std::to_string(i)), parties.back()));
    intermediates.push_back(parties.back().certificate);
  }
  const AnchorSet anchors({parties[0].certificate}, intermediates);
  const auto leaf_below = [&parties](int i) { return MakeIssued(LeafForm("leaf"), parties[i]).certificate; };
  EXPECT_EQ(ErrorOf(anchors, leaf_below(AnchorSet::kMaxDepth)), std::nullopt);
  EXPECT_NE(ErrorOf(anchors, leaf_below(AnchorSet::kMaxDepth + 1)), std::nullopt);
}

TEST(AnchorSetTest, ManyThreadsAskAtOnce) {
  const AnchorSet anchors({Root().certificate}, {Middle().certificate});
  const Certificate leaf = MakeIssued(LeafForm("leaf"), Middle()).certificate;
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) good += anchors.Validate(leaf, kTestNow).ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 80);
}

TEST(AnchorSetTest, OtherErrorsHaveNoPathError) {
  EXPECT_EQ(PathErrorOf(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(PathErrorOf(InvalidArgument("x")), std::nullopt);
}

}  // namespace
}  // namespace trustline
