#include "common/service/listener_files.h"

#include <openssl/ssl.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/x509/x509_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr auto kNotFound = absl::StatusCode::kNotFound;

Certificate SelfSigned(std::string_view name, const PrivateKey& key) { return *BuildSelfSigned(LeafForm(name), key); }

// A folder with a listener's key and certificate.
class ListenerFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
    present_.push_back(SelfSigned("first", key));
    ASSERT_OK(key.WriteKeyFile(files_.key));
    folder_.Write("tvs.crt", present_.front().ToPem(), 0644);
  }

  PrivateKey Request(KeyKind kind = KeyKind::kEcP256) {
    PrivateKey key = *PrivateKey::Generate(kind);
    EXPECT_OK(WriteRequestedKey(files_, key));
    return key;
  }
  // Requests a key and puts a self-signed certificate for it in force.
  void Replace(std::string_view name) {
    const std::vector<Certificate> chain = {SelfSigned(name, Request())};
    ASSERT_OK(UseRequested(files_, chain));
    present_ = chain;
  }

  // The certificates of the pairs, which must be pairs.
  std::vector<Certificate> Present() {
    absl::StatusOr<ListenerCredentials> loaded = LoadListenerCredentials(files_);
    EXPECT_OK(loaded);
    if (!loaded.ok()) return {};
    EXPECT_TRUE(loaded->key.MatchesCertificate(loaded->chain.front()));
    return loaded->chain;
  }
  std::vector<Certificate> Before() {
    absl::StatusOr<ListenerCredentials> loaded = LoadPrevious(files_);
    EXPECT_OK(loaded);
    if (!loaded.ok()) return {};
    EXPECT_TRUE(loaded->key.MatchesCertificate(loaded->chain.front()));
    EXPECT_THAT(ReadPreviousChain(files_), IsOkAndHolds(loaded->chain));
    return loaded->chain;
  }
  bool Has(std::string_view name) const { return fs::exists(folder_.Path(name)); }

  const ScratchFolder folder_;
  ListenerFiles files_{.certificate = folder_.Path("tvs.crt"), .key = folder_.Path("tvs.key"), .passphrase_file = ""};
  std::vector<Certificate> present_;
};

TEST_F(ListenerFilesTest, AKeyThatWaitsAndItsCertificateTakeTheirPlace) {
  EXPECT_THAT(LoadRequestedKey(files_), StatusIs(kNotFound, HasSubstr("trustctl listener csr")));
  EXPECT_THAT(UseRequested(files_, present_), StatusIs(kNotFound));
  EXPECT_THAT(LoadPrevious(files_), StatusIs(kNotFound, HasSubstr("has not been replaced yet")));
  EXPECT_THAT(ReadPreviousChain(files_), StatusIs(kNotFound));

  Request();
  const PrivateKey key = Request(KeyKind::kEcP384);
  ASSERT_OK_AND_ASSIGN(const PrivateKey waiting, LoadRequestedKey(files_));
  EXPECT_EQ(waiting.public_key_sha256(), key.public_key_sha256());
  EXPECT_THAT(UseRequested(files_, present_), StatusIs(kRefused, HasSubstr("not for the key")));
  EXPECT_THAT(UseRequested(files_, {}), StatusIs(kRefused));
  EXPECT_EQ(Present(), present_);

  const Party root = MakeSelfSigned(AuthorityForm("Root"));
  const Certificate leaf = *BuildIssued(LeafForm("second"), key.get(), root.certificate, root.key);
  ASSERT_OK(UseRequested(files_, {leaf, root.certificate}));
  EXPECT_THAT(Present(), ElementsAre(leaf, root.certificate));
  EXPECT_EQ(Before(), present_);
  EXPECT_THAT(LoadRequestedKey(files_), StatusIs(kNotFound));
  for (const char* left : {"tvs.key.saved", "tvs.crt.saved", "tvs.crt.next"}) EXPECT_FALSE(Has(left)) << left;
  struct stat facts = {};
  for (const char* secret : {"tvs.key", "tvs.key.previous"}) {
    ASSERT_EQ(stat(folder_.Path(secret).c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600u) << secret;
  }
}

TEST_F(ListenerFilesTest, ThePreviousOnesComeBackAndForth) {
  const std::vector<Certificate> first = present_;
  Replace("second");
  const std::vector<Certificate> second = present_;
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(UsePrevious(files_));
    EXPECT_EQ(Present(), first);
    EXPECT_EQ(Before(), second);
    ASSERT_OK(UsePrevious(files_));
    EXPECT_EQ(Present(), second);
    EXPECT_EQ(Before(), first);
  }
}

TEST_F(ListenerFilesTest, EveryKeyIsUnderThePassphrase) {
  files_.passphrase_file = folder_.Write("passphrase", "only for this test\n");
  const PrivateKey key = Request();
  EXPECT_THAT(ReadTestFile(folder_.Path("tvs.key.requested")), HasSubstr("ENCRYPTED PRIVATE KEY"));
  const Certificate second = SelfSigned("second", key);
  ASSERT_OK(UseRequested(files_, {second}));
  EXPECT_THAT(Present(), ElementsAre(second));
  EXPECT_THAT(ReadTestFile(files_.key), HasSubstr("ENCRYPTED PRIVATE KEY"));
  files_.passphrase_file = folder_.Path("missing");
  EXPECT_THAT(WriteRequestedKey(files_, key), StatusIs(kNotFound, HasSubstr("missing")));
  EXPECT_FALSE(Has("tvs.key.requested"));
}

TEST_F(ListenerFilesTest, FilesThatAreNoPairAreRefused) {
  const PrivateKey other = *PrivateKey::Generate(KeyKind::kEcP256);
  ASSERT_OK(other.WriteKeyFile(files_.key));
  EXPECT_THAT(LoadListenerCredentials(files_),
              StatusIs(kRefused, AllOf(HasSubstr("tvs.key is not the key of"), HasSubstr("restore the two files"))));
  Replace("second");
  ASSERT_OK(other.WriteKeyFile(files_.key + ".previous"));
  folder_.Write("tvs.crt.previous", SelfSigned("of another key", *PrivateKey::Generate(KeyKind::kEcP256)).ToPem());
  EXPECT_THAT(UsePrevious(files_), StatusIs(kRefused, HasSubstr("tvs.key.previous is not the key of")));
  EXPECT_EQ(Present(), present_);
}

constexpr int kSteps = 6;
constexpr int kNewFrom = 4;  // the step that puts the new key in its place

// How far a replacement came before the process or the machine stopped.
class EndedReplacementTest : public ListenerFilesTest, public ::testing::WithParamInterface<int> {
 protected:
  // The first steps of replacing the present pair by the key in `key_file` and its certificate.
  void LeaveAfter(int steps, const std::string& key_file, const Certificate& certificate) {
    const auto name = [](const std::string& path, const char* suffix) { return path + suffix; };
    fs::create_hard_link(files_.key, name(files_.key, ".saved"));
    if (steps >= 2) fs::copy_file(files_.certificate, name(files_.certificate, ".saved"));
    if (steps >= 3) folder_.Write("tvs.crt.next", certificate.ToPem(), 0644);
    if (steps >= 4) fs::rename(key_file, files_.key);
    if (steps >= 5) fs::rename(name(files_.certificate, ".next"), files_.certificate);
    if (steps >= 6) fs::rename(name(files_.key, ".saved"), name(files_.key, ".previous"));
  }
};

INSTANTIATE_TEST_SUITE_P(Steps, EndedReplacementTest, ::testing::Range(1, kSteps + 1));

TEST_P(EndedReplacementTest, LeavesTheOldPairOrTheNewOneAndThePairBefore) {
  const std::vector<Certificate> first = present_;
  Replace("second");
  const std::vector<Certificate> second = present_;
  const PrivateKey key = Request();
  const std::vector<Certificate> third = {SelfSigned("third", key)};
  LeaveAfter(GetParam(), files_.key + ".requested", third.front());

  const bool is_new = GetParam() >= kNewFrom;
  EXPECT_EQ(Present(), is_new ? third : second);
  EXPECT_EQ(Before(), is_new ? second : first);
  EXPECT_FALSE(Has("tvs.key.saved"));
  EXPECT_FALSE(Has("tvs.crt.saved"));

  // It can be begun anew, or the next one.
  if (!is_new) {
    ASSERT_OK(UseRequested(files_, third));
  }
  EXPECT_EQ(Present(), third);
  EXPECT_EQ(Before(), second);
  Replace("fourth");
  EXPECT_EQ(Present(), present_);
  EXPECT_EQ(Before(), third);
}

TEST_P(EndedReplacementTest, OfARestorationLeavesTheSame) {
  const std::vector<Certificate> first = present_;
  Replace("second");
  const std::vector<Certificate> second = present_;
  LeaveAfter(GetParam(), files_.key + ".previous", first.front());

  const bool is_new = GetParam() >= kNewFrom;
  EXPECT_EQ(Present(), is_new ? first : second);
  EXPECT_EQ(Before(), is_new ? second : first);
  // The next replacement does not need somebody to have looked.
  ASSERT_OK(UsePrevious(files_));
  EXPECT_EQ(Present(), is_new ? second : first);
}

TEST_P(EndedReplacementTest, ANewReplacementSettlesItFirst) {
  Replace("second");
  const std::vector<Certificate> second = present_;
  const PrivateKey key = Request();
  const std::vector<Certificate> third = {SelfSigned("third", key)};
  LeaveAfter(GetParam(), files_.key + ".requested", third.front());
  EXPECT_EQ(Present(), GetParam() >= kNewFrom ? third : second);
  const std::vector<Certificate> before = GetParam() >= kNewFrom ? third : second;
  Replace("fourth");
  EXPECT_EQ(Present(), present_);
  EXPECT_EQ(Before(), before);
}

TEST(ListenerTlsTest, SendsTheChainWithoutItsRoot) {
  const Party root = MakeSelfSigned(AuthorityForm("Root"));
  const Party middle = MakeIssued(AuthorityForm("Middle"), root);
  Party leaf = MakeIssued(LeafForm("leaf"), middle);
  const ListenerCredentials credentials = {{leaf.certificate, middle.certificate, root.certificate},
                                           std::move(leaf.key)};
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<TlsContext> tls, MakeListenerTls(credentials, true));
  EXPECT_TRUE(tls->allow_tls10());
  EXPECT_THAT(Certificate::FromX509(SSL_CTX_get0_certificate(tls->ssl_ctx())), IsOkAndHolds(leaf.certificate));
  STACK_OF(X509)* sent = nullptr;
  SSL_CTX_get0_chain_certs(tls->ssl_ctx(), &sent);
  ASSERT_EQ(sk_X509_num(sent), 1);
  EXPECT_THAT(Certificate::FromX509(sk_X509_value(sent, 0)), IsOkAndHolds(middle.certificate));

  Party alone = MakeSelfSigned(LeafForm("alone"));
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<TlsContext> own,
                       MakeListenerTls({{alone.certificate}, std::move(alone.key)}, false));
  EXPECT_THAT(Certificate::FromX509(SSL_CTX_get0_certificate(own->ssl_ctx())), IsOkAndHolds(alone.certificate));
}

}  // namespace
}  // namespace trustline
