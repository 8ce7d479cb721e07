// Versions, cipher suites and session resumption, seen from a client.
#include "common/net/tls_context.h"

#include "common/net/listener_test_support.h"
#include "common/net/tls_client.h"

namespace trustline {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

class TlsContextTest : public ListenerTest {
 protected:
  void StartWith(TlsContextOptions options) {
    tls_ = MakeTestTlsContext(std::move(options));
    StartServer({.tls = tls_});
  }

  // One exchange. Returns the client, still open, so that its session can be taken.
  TlsClient Exchange(const TlsClientOptions& options) {
    auto client = TlsClient::Connect("127.0.0.1", port(), options);
    EXPECT_TRUE(client.ok()) << client.status();
    EXPECT_TRUE(client->Write(AsBytes(Frame("x"))).ok());
    EXPECT_EQ(client->ReadExactly(2).value_or("error"), Frame("x"));
    return *std::move(client);
  }

  // Whether a session from an exchange made with `options` can be resumed after `between`.
  bool Resumes(
      TlsClientOptions options, const std::function<void()>& between = [] {}) {
    {
      TlsClient first = Exchange(options);
      EXPECT_FALSE(first.resumed());
      options.session = first.Session();
      EXPECT_NE(options.session, nullptr);
      first.Close();
    }
    between();
    return Exchange(options).resumed();
  }

  std::shared_ptr<TlsContext> tls_;
};

TlsClientOptions Tls12() { return {.max_version = TlsVersion::kTls12}; }
TlsClientOptions Tls13() { return {.min_version = TlsVersion::kTls13}; }
TlsClientOptions Tls10() { return {.min_version = TlsVersion::kTls10, .max_version = TlsVersion::kTls10}; }

TEST_F(TlsContextTest, SpeaksTls12And13) {
  StartWith({});
  EXPECT_EQ(Exchange({}).version(), TlsVersion::kTls13);
  EXPECT_EQ(Exchange(Tls12()).version(), TlsVersion::kTls12);
}

TEST_F(TlsContextTest, RefusesTls10AndSaysSo) {
  StartWith({});
  EXPECT_TRUE(absl::IsFailedPrecondition(TlsClient::Connect("127.0.0.1", port(), Tls10()).status()));
  EXPECT_THAT(events_.WaitFor(ConnectionEvent::Kind::kHandshakeFailed).detail,
              HasSubstr("the peer offers TLS 1.0 at most"));
  TlsClientOptions tls11 = Tls10();
  tls11.max_version = TlsVersion::kTls11;
  EXPECT_FALSE(TlsClient::Connect("127.0.0.1", port(), tls11).ok());
}

TEST_F(TlsContextTest, SpeaksTls10WhereItIsAllowed) {
  StartWith({.allow_tls10 = true});
  EXPECT_EQ(Exchange(Tls10()).version(), TlsVersion::kTls10);
  TlsClientOptions rsa = Tls10();
  rsa.ciphers = "AES128-SHA";
  EXPECT_EQ(Exchange(rsa).cipher(), "AES128-SHA");
  EXPECT_EQ(Exchange({}).version(), TlsVersion::kTls13);
}

TEST_F(TlsContextTest, TakesRsaKeyTransportFromPhonesThatKnowNothingElse) {
  StartWith({});
  TlsClientOptions options = Tls12();
  options.ciphers = "AES256-SHA:AES128-SHA";
  EXPECT_EQ(Exchange(options).cipher(), "AES256-SHA");
  options.ciphers = "AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256";
  EXPECT_EQ(Exchange(options).cipher(), "ECDHE-RSA-AES128-GCM-SHA256");
}

TEST_F(TlsContextTest, NamesAMissingCipherSuite) {
  StartWith({});
  TlsClientOptions options = Tls12();
  options.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
  EXPECT_FALSE(TlsClient::Connect("127.0.0.1", port(), options).ok());
  EXPECT_THAT(events_.WaitFor(ConnectionEvent::Kind::kHandshakeFailed).detail, HasSubstr("no cipher suite"));
}

TEST_F(TlsContextTest, ResumesByTicket) {
  StartWith({});
  EXPECT_TRUE(Resumes(Tls13()));
  EXPECT_TRUE(Resumes(Tls12()));
  EXPECT_EQ(statistics().handshakes_resumed, 2);
  EXPECT_EQ(statistics().handshakes_full, 2);
}

TEST_F(TlsContextTest, ResumesBySessionIdWithoutTickets) {
  StartWith({.allow_tls10 = true});
  TlsClientOptions options = Tls12();
  options.use_tickets = false;
  EXPECT_TRUE(Resumes(options));
  TlsClientOptions old = Tls10();
  old.use_tickets = false;
  EXPECT_TRUE(Resumes(old));
}

TEST_F(TlsContextTest, TicketsOutliveRotationsOfTheirKey) {
  StartWith({});
  const auto rotate = [this] {
    tls_->RotateTicketKeys();
    tls_->RotateTicketKeys();
  };
  EXPECT_TRUE(Resumes(Tls13(), rotate));
  EXPECT_TRUE(Resumes(Tls12(), rotate));
}

TEST_F(TlsContextTest, ATicketOfAnOldKeyIsRenewed) {
  StartWith({.session_lifetime = seconds(3600)});
  TlsClientOptions options = Tls12();
  TlsClient first = Exchange(options);
  options.session = first.Session();
  const unsigned char* old_ticket = nullptr;
  size_t old_size = 0;
  SSL_SESSION_get0_ticket(options.session.get(), &old_ticket, &old_size);
  const std::string before(reinterpret_cast<const char*>(old_ticket), old_size);

  EXPECT_TRUE(Exchange(options).resumed());
  TlsClient same_key = Exchange(options);
  const unsigned char* ticket = nullptr;
  size_t size = 0;
  TlsSession session = same_key.Session();
  SSL_SESSION_get0_ticket(session.get(), &ticket, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(ticket), size), before);

  tls_->RotateTicketKeys();
  TlsClient renewed = Exchange(options);
  EXPECT_TRUE(renewed.resumed());
  session = renewed.Session();
  SSL_SESSION_get0_ticket(session.get(), &ticket, &size);
  EXPECT_NE(std::string(reinterpret_cast<const char*>(ticket), size), before);
}

TEST_F(TlsContextTest, AKeyOlderThanItsLifetimeOpensNothing) {
  StartWith({.session_lifetime = seconds(0), .ticket_key_interval = seconds(0)});
  EXPECT_FALSE(Resumes(Tls13(), [this] { tls_->RotateTicketKeys(); }));
}

TEST_F(TlsContextTest, TicketsOfAnotherContextGiveAFullHandshake) {
  StartWith({});
  TlsClientOptions options = Tls13();
  options.session = Exchange(options).Session();
  StopServer();
  StartWith({});
  EXPECT_FALSE(Exchange(options).resumed());
}

TEST_F(TlsContextTest, KeysRotateWhileHandshakesRun) {
  StartWith({});
  std::atomic<bool> stop{false};
  std::thread rotation([this, &stop] {
    while (!stop) {
      tls_->RotateTicketKeys();
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Resumes(Tls13()));
  stop = true;
  rotation.join();
}

TEST_F(TlsContextTest, RefusesAKeyThatIsNotTheCertificates) {
  const EvpPkeyPtr other(EVP_EC_gen("P-256"));
  const auto context =
      TlsContext::Create({.certificate_chain_pem = GetTestIdentity().certificate_pem, .private_key = other.get()});
  EXPECT_TRUE(absl::IsInvalidArgument(context.status()));
  EXPECT_THAT(std::string(StatusMessage(context.status())), HasSubstr("does not belong"));
}

TEST_F(TlsContextTest, RefusesDamagedCertificates) {
  const std::string& pem = GetTestIdentity().certificate_pem;
  EVP_PKEY* key = GetTestIdentity().key.get();
  EXPECT_FALSE(TlsContext::Create({.certificate_chain_pem = "", .private_key = key}).ok());
  EXPECT_FALSE(TlsContext::Create({.certificate_chain_pem = pem, .private_key = nullptr}).ok());
  const std::string damaged = pem + pem.substr(0, pem.size() / 2);
  EXPECT_FALSE(TlsContext::Create({.certificate_chain_pem = damaged, .private_key = key}).ok());
  EXPECT_TRUE(TlsContext::Create({.certificate_chain_pem = pem + pem, .private_key = key}).ok());
}

}  // namespace
}  // namespace trustline
