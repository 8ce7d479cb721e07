// What a listener that asks for client certificates learns of them.
#include <openssl/core_names.h>

#include <future>

#include "absl/time/clock.h"
#include "common/net/listener_test_support.h"
#include "common/net/tls_client.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/private_key.h"

namespace trustline {
namespace {

using testing::HasSubstr;
using Kind = ConnectionEvent::Kind;

struct ClientIdentity {
  PrivateKey key;
  Certificate certificate;
};

ClientIdentity MakeClientIdentity(KeyKind kind, absl::Duration until = absl::Hours(1)) {
  CertificateTemplate form;
  form.subject = *DistinguishedName::FromAttributes({{"CN", "SEP0123456789AB"}});
  form.not_before = absl::Now() - absl::Hours(2);
  form.not_after = absl::Now() + until;
  PrivateKey key = *PrivateKey::Generate(kind);
  Certificate certificate = *BuildSelfSigned(form, key);
  return {std::move(key), std::move(certificate)};
}

BignumPtr Parameter(EVP_PKEY* key, const char* name) {
  BIGNUM* value = nullptr;
  EXPECT_EQ(EVP_PKEY_get_bn_param(key, name, &value), 1) << name;
  return BignumPtr(value);
}

// A key that says it is `claimed` and signs with `own`: what a thief of a certificate without its key has.
EvpPkeyPtr MakeForgedKey(EVP_PKEY* claimed, EVP_PKEY* own) {
  const bool is_rsa = EVP_PKEY_get_base_id(own) == EVP_PKEY_RSA;
  const ParameterBuilderPtr builder(OSSL_PARAM_BLD_new());
  std::vector<BignumPtr> numbers;
  std::vector<unsigned char> point;
  const auto push = [&](EVP_PKEY* key, const char* name) {
    numbers.push_back(Parameter(key, name));
    EXPECT_EQ(OSSL_PARAM_BLD_push_BN(builder.get(), name, numbers.back().get()), 1);
  };
  if (is_rsa) {
    push(claimed, OSSL_PKEY_PARAM_RSA_N);
    push(claimed, OSSL_PKEY_PARAM_RSA_E);
    push(own, OSSL_PKEY_PARAM_RSA_D);
  } else {
    size_t size = 0;
    EVP_PKEY_get_octet_string_param(claimed, OSSL_PKEY_PARAM_PUB_KEY, nullptr, 0, &size);
    point.resize(size);
    EVP_PKEY_get_octet_string_param(claimed, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(), &size);
    OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
    OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), size);
    push(own, OSSL_PKEY_PARAM_PRIV_KEY);
  }
  const ParameterPtr parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, is_rsa ? "RSA" : "EC", nullptr));
  EVP_PKEY* key = nullptr;
  EXPECT_EQ(EVP_PKEY_fromdata_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, parameters.get()), 1);
  return EvpPkeyPtr(key);
}

class ClientCertificateTest : public ListenerTest {
 protected:
  void Start(TlsContextOptions options = {.ask_client_certificate = true}) {
    StartServerWith({.tls = MakeTestTlsContext(std::move(options))}, [this](const Peer& peer) {
      const std::lock_guard lock(mutex_);
      ++sessions_;
      shown_ = peer.certificate;
      return std::make_unique<EchoSession>(EchoBehaviour{}, live_sessions_);
    });
  }
  void TearDown() override { StopServer(); }

  static TlsClientOptions Options(TlsVersion version) { return {.min_version = version, .max_version = version}; }
  static void Show(TlsClientOptions& options, const ClientIdentity& identity) {
    options.certificate_chain = {identity.certificate};
    options.private_key = identity.key.get();
  }

  // One exchange; the client, still open.
  TlsClient Exchange(const TlsClientOptions& options) {
    auto client = TlsClient::Connect("127.0.0.1", port(), options);
    EXPECT_TRUE(client.ok()) << client.status();
    EXPECT_TRUE(client->Write(AsBytes(Frame("x"))).ok());
    EXPECT_EQ(client->ReadExactly(2).value_or("error"), Frame("x"));
    return *std::move(client);
  }
  // With TLS 1.3 the client's handshake is over before the server has looked at what it shows.
  bool IsServed(const TlsClientOptions& options) {
    auto client = TlsClient::Connect("127.0.0.1", port(), options);
    return client.ok() && client->Write(AsBytes(Frame("x"))).ok() && client->ReadExactly(2).ok();
  }

  // Of the last session.
  std::string shown() {
    const std::lock_guard lock(mutex_);
    return shown_ == nullptr ? "none" : *shown_;
  }
  int sessions() {
    const std::lock_guard lock(mutex_);
    return sessions_;
  }

  std::mutex mutex_;
  std::shared_ptr<const std::string> shown_;
  int sessions_ = 0;
};

TEST_F(ClientCertificateTest, IsKnownToTheSession) {
  Start();
  for (const KeyKind kind : {KeyKind::kEcP256, KeyKind::kRsa2048}) {
    const ClientIdentity identity = MakeClientIdentity(kind);
    for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
      TlsClientOptions options = Options(version);
      Show(options, identity);
      EXPECT_FALSE(Exchange(options).resumed());
      EXPECT_EQ(shown(), AsText(identity.certificate.der()));
    }
  }
}

TEST_F(ClientCertificateTest, OfAnOldPhoneIsKnownToo) {
  Start({.allow_tls10 = true, .ask_client_certificate = true});
  const ClientIdentity identity = MakeClientIdentity(KeyKind::kRsa2048);
  TlsClientOptions options = Options(TlsVersion::kTls10);
  Show(options, identity);
  Exchange(options);
  EXPECT_EQ(shown(), AsText(identity.certificate.der()));
}

TEST_F(ClientCertificateTest, NeedNotBeShown) {
  Start();
  for (const TlsVersion version : {TlsVersion::kTls12, TlsVersion::kTls13}) {
    Exchange(Options(version));
    EXPECT_EQ(shown(), "none");
  }
  EXPECT_EQ(sessions(), 2);
}

TEST_F(ClientCertificateTest, IsNotShownToAListenerThatDoesNotAsk) {
  Start({});
  TlsClientOptions options;
  const ClientIdentity identity = MakeClientIdentity(KeyKind::kEcP256);
  Show(options, identity);
  Exchange(options);
  EXPECT_EQ(shown(), "none");
  EXPECT_EQ(sessions(), 1);
}

TEST_F(ClientCertificateTest, IsNotJudged) {
  Start();
  const ClientIdentity expired = MakeClientIdentity(KeyKind::kEcP256, -absl::Hours(1));
  TlsClientOptions options;
  Show(options, expired);
  Exchange(options);
  EXPECT_EQ(shown(), AsText(expired.certificate.der()));
}

TEST_F(ClientCertificateTest, OfAResumedSessionIsKnownThoughItIsNotShownAgain) {
  Start();
  const ClientIdentity identity = MakeClientIdentity(KeyKind::kEcP256);
  struct Case {
    TlsVersion version;
    bool use_tickets;
  };
  for (const Case& one :
       {Case{TlsVersion::kTls12, true}, Case{TlsVersion::kTls12, false}, {TlsVersion::kTls13, true}}) {
    TlsClientOptions options = Options(one.version);
    options.use_tickets = one.use_tickets;
    TlsClientOptions showing = options;
    Show(showing, identity);
    TlsClient first = Exchange(showing);
    options.session = first.Session();
    ASSERT_NE(options.session, nullptr);
    first.Close();
    Exchange(Options(TlsVersion::kTls13));  // so that what is known below is of the session below
    ASSERT_EQ(shown(), "none");
    TlsClient second = Exchange(options);
    EXPECT_TRUE(second.resumed());
    EXPECT_EQ(shown(), AsText(identity.certificate.der()));
  }
}

TEST_F(ClientCertificateTest, OfAResumedSessionWithoutOneThereIsNone) {
  Start();
  TlsClientOptions options;
  TlsClient first = Exchange(options);
  options.session = first.Session();
  first.Close();
  const ClientIdentity identity = MakeClientIdentity(KeyKind::kEcP256);
  Show(options, identity);
  EXPECT_TRUE(Exchange(options).resumed());
  EXPECT_EQ(shown(), "none");
}

class ForgedKeyTest : public ClientCertificateTest,
                      public testing::WithParamInterface<std::tuple<KeyKind, TlsVersion>> {};

INSTANTIATE_TEST_SUITE_P(All, ForgedKeyTest,
                         testing::Combine(testing::Values(KeyKind::kEcP256, KeyKind::kRsa2048),
                                          testing::Values(TlsVersion::kTls12, TlsVersion::kTls13)));

TEST_P(ForgedKeyTest, IsRefusedInWords) {
  const auto [kind, version] = GetParam();
  Start();
  const ClientIdentity owner = MakeClientIdentity(kind);
  const PrivateKey thief = *PrivateKey::Generate(kind);
  const EvpPkeyPtr forged = MakeForgedKey(owner.key.get(), thief.get());
  TlsClientOptions options = Options(version);
  options.certificate_chain = {owner.certificate};
  options.private_key = forged.get();
  EXPECT_FALSE(IsServed(options));
  EXPECT_THAT(events_.WaitFor(Kind::kHandshakeFailed).detail,
              HasSubstr("does not have the key of the certificate that it shows"));
  EXPECT_EQ(sessions(), 0);
  // The same way of making a key, of the owner's own numbers, is served.
  const EvpPkeyPtr rebuilt = MakeForgedKey(owner.key.get(), owner.key.get());
  options.private_key = rebuilt.get();
  EXPECT_TRUE(IsServed(options));
}

TEST_F(ClientCertificateTest, ChainsAreBounded) {
  Start();
  const ClientIdentity identity = MakeClientIdentity(KeyKind::kEcP256);
  TlsClientOptions options;
  Show(options, identity);
  const size_t size = identity.certificate.der().size();
  options.certificate_chain.resize(8'000 / size, identity.certificate);
  Exchange(options);
  EXPECT_EQ(shown(), AsText(identity.certificate.der()));
  options.certificate_chain.resize(20'000 / size, identity.certificate);
  EXPECT_FALSE(IsServed(options));
  EXPECT_THAT(events_.WaitFor(Kind::kHandshakeFailed).detail, HasSubstr("larger than this listener reads"));
  EXPECT_EQ(sessions(), 1);
}

TEST_F(ClientCertificateTest, NeedsItsKey) {
  Start();
  const ClientIdentity identity = MakeClientIdentity(KeyKind::kEcP256);
  const PrivateKey other = *PrivateKey::Generate(KeyKind::kEcP256);
  TlsClientOptions options;
  options.certificate_chain = {identity.certificate};
  EXPECT_TRUE(absl::IsInvalidArgument(TlsClient::Connect("127.0.0.1", port(), options).status()));
  options.private_key = other.get();
  EXPECT_TRUE(absl::IsInvalidArgument(TlsClient::Connect("127.0.0.1", port(), options).status()));
}

}  // namespace
}  // namespace trustline
