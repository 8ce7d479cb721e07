#include "tvs/session.h"

#include <future>

#include "common/bytes/writer.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/wire_vector.h"
#include "tvs/trust_store_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

// The certificates of the recorded exchanges, as they were trusted when those were recorded.
std::vector<TestEntry> RecordedTrust() {
  const auto certificate = [](const char* file) { return *Certificate::FromPem(ReadVector(file)); };
  return {{.certificate = certificate("callmanager.pem"), .role = 0, .ttl_seconds = 3'600},
          {.certificate = certificate("callmanager.pem"), .role = 2, .ttl_seconds = 3'600},
          {.certificate = certificate("appserver-ec.pem"), .role = 7, .ttl_seconds = 86'400}};
}

class TvsSessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    store_ = std::make_unique<TestTrustStore>(*database_);
    for (const TestEntry& entry : RecordedTrust()) ASSERT_OK(store_->Put(entry));
    follower_ =
        std::make_unique<TrustFollower>(TrustFollowerOptions{.connection = database_->Conninfo("trustline_tvsd"),
                                                             .application_name = "session_test",
                                                             .clusters = {"default"}},
                                        log_);
    follower_->Start();
    ASSERT_OK(Confirm());
  }
  void TearDown() override {
    if (follower_) follower_->Stop();
  }

  absl::Status Confirm() {
    std::promise<absl::Status> promise;
    follower_->Confirm(*follower_->Find("default"), [&](absl::Status status) { promise.set_value(std::move(status)); });
    return promise.get_future().get();
  }

  std::unique_ptr<TvsEndpoint> MakeEndpoint(FreshnessPolicy policy = {}) {
    return std::make_unique<TvsEndpoint>(*follower_->Find("default"), *follower_, policy, 1, clock_, log_);
  }

  struct Outcome {
    std::string sent;
    bool closed = false;
  };
  // Plays the socket layer: hands over `bytes` in pieces and does the outside work that the session asks for.
  static Outcome Drive(PhoneSession& session, std::string_view bytes, size_t piece) {
    Outcome outcome;
    for (size_t at = 0; at < bytes.size() && !outcome.closed; at += piece) {
      SessionActions actions = session.OnBytes(AsBytes(bytes.substr(at, piece)));
      for (;;) {
        outcome.sent += actions.send;
        outcome.closed = actions.close;
        if (outcome.closed || !actions.wait_for) break;
        std::promise<void> done;
        actions.wait_for([&done] { done.set_value(); });
        done.get_future().get();
        actions = session.OnWaitDone();
      }
    }
    return outcome;
  }

  std::string log_text_;
  std::mutex log_mutex_;
  Log log_{{.service = "test", .level = LogLevel::kDebug, .form = LogOptions::Form::kJson, .sink = [this](auto line) {
              const std::lock_guard lock(log_mutex_);
              log_text_ += line;
            }}};
  FakeClock clock_{kTestNow};
  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<TestTrustStore> store_;
  std::unique_ptr<TrustFollower> follower_;
};

constexpr const char* kExchanges[] = {"tvs-callmanager.hex", "tvs-appserver-ec.hex", "tvs-capf.hex",
                                      "tvs-query-callmanager.hex", "tvs-query-unknown.hex"};

TEST_F(TvsSessionTest, AnswersTheRecordedExchangesByteForByteInPiecesOfAnySize) {
  const auto endpoint = MakeEndpoint();
  for (const char* name : kExchanges) {
    ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange(name));
    for (const size_t piece : {size_t{1}, size_t{9}, size_t{10}, size_t{100}, exchange.from_phone.size()}) {
      const auto session = endpoint->NewSession({});
      const Outcome outcome = Drive(*session, exchange.from_phone, piece);
      EXPECT_EQ(ToHex(AsBytes(outcome.sent)), ToHex(AsBytes(exchange.from_server))) << name << " by " << piece;
      EXPECT_FALSE(outcome.closed);
    }
  }
  EXPECT_EQ(endpoint->statistics().verify.valid, 10u);
  EXPECT_EQ(endpoint->statistics().query.valid, 5u);
  EXPECT_EQ(endpoint->statistics().verify.invalid[static_cast<size_t>(InvalidReason::kUnknown)], 5u);
}

TEST_F(TvsSessionTest, AnswersSeveralRequestsOfOneConnection) {
  const auto endpoint = MakeEndpoint();
  std::string asked;
  std::string expected;
  for (const char* name : kExchanges) {
    ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange(name));
    asked += exchange.from_phone;
    expected += exchange.from_server;
  }
  for (const size_t piece : {size_t{1}, size_t{700}, asked.size()}) {
    const auto session = endpoint->NewSession({});
    EXPECT_EQ(ToHex(AsBytes(Drive(*session, asked, piece).sent)), ToHex(AsBytes(expected))) << piece;
  }
}

TEST_F(TvsSessionTest, ManySmallQueriesAtOnceDoNotMakeALargeAnswer) {
  const auto endpoint = MakeEndpoint();
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-query-callmanager.hex"));
  std::string asked;
  for (int i = 0; i < 1'000; ++i) asked += exchange.from_phone;
  const auto session = endpoint->NewSession({});
  const Outcome outcome = Drive(*session, asked, asked.size());
  EXPECT_TRUE(outcome.closed);
  EXPECT_LT(outcome.sent.size(), 70'000u);
}

TEST_F(TvsSessionTest, AnUnknownCertificateAsksTheDatabaseOnceAndThenTheCache) {
  const auto endpoint = MakeEndpoint();
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-capf.hex"));
  const auto session = endpoint->NewSession({});
  for (int i = 0; i < 3; ++i) Drive(*session, exchange.from_phone, 4'096);
  EXPECT_EQ(endpoint->statistics().misses, 1u);
}

// Were each answer to renew it, a certificate that is asked for all the time would never be looked for again.
TEST_F(TvsSessionTest, ACachedUnknownIsLookedForAgainHoweverOftenItIsAskedFor) {
  const auto endpoint = MakeEndpoint();
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-capf.hex"));
  const auto session = endpoint->NewSession({});
  const auto deadline = std::chrono::steady_clock::now() + 20 * UnknownCache::kLifetime;
  while (endpoint->statistics().misses < 2) {
    Drive(*session, exchange.from_phone, 4'096);
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  }
}

TEST_F(TvsSessionTest, ACertificateThatWasJustAddedIsValidAtTheFirstQuestion) {
  const auto endpoint = MakeEndpoint();
  const Party party = MakeSelfSigned(LeafForm("new.example"));
  ASSERT_OK_AND_ASSIGN(const std::string request,
                       EncodeTvsVerifyRequest(5, "CP-8841-SEP001122334455", party.certificate.der()));
  ASSERT_OK(store_->RunByHand("DROP TRIGGER cluster_trust_change ON cluster"));  // no hint before the question
  ASSERT_OK(store_->Put({.certificate = party.certificate, .role = 21, .ttl_seconds = 60}));
  const auto session = endpoint->NewSession({});
  EXPECT_EQ(ToHex(AsBytes(Drive(*session, request, 4'096).sent)),
            "5701020000000005000f"
            "0700010008000115"
            "0900040000003c")
      << "status valid, role TVS, TTL 60";
}

TEST_F(TvsSessionTest, AnAnswerFromTheCacheOfUnknownsEndsWithTheNextCommit) {
  const auto endpoint = MakeEndpoint();
  const Party party = MakeSelfSigned(LeafForm("new.example"));
  ASSERT_OK_AND_ASSIGN(const std::string request,
                       EncodeTvsVerifyRequest(5, "CP-8841-SEP001122334455", party.certificate.der()));
  const auto session = endpoint->NewSession({});
  EXPECT_EQ(ToHex(AsBytes(Drive(*session, request, 4'096).sent)), "5701020000000005000407000101");
  ASSERT_OK(store_->Put({.certificate = party.certificate, .role = 21, .ttl_seconds = 60}));
  ASSERT_OK(Confirm());
  EXPECT_EQ(Drive(*session, request, 4'096).sent[13], 0) << "valid";
}

TEST_F(TvsSessionTest, QueriesFindTheSignerHoweverItsNameIsWritten) {
  const auto endpoint = MakeEndpoint();
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-query-callmanager.hex"));
  const std::string serial = *FromHex("00d58dca0ab46b50753d1da33adb4ab7f6");
  for (const char* issuer : {"CN=cucm-pub.example;O=Example;OU=Voice", "CN=cucm-pub.example,O=Example,OU=Voice",
                             "cn=CUCM-pub.example, o=example, ou=voice", "OU=Voice;O=Example;CN=cucm-pub.example"}) {
    ASSERT_OK_AND_ASSIGN(const std::string request,
                         EncodeTvsQueryRequest(1'001, "CP-8861-SEPB000B4BA0AEE", "", issuer, AsBytes(serial)));
    const auto session = endpoint->NewSession({});
    EXPECT_EQ(ToHex(AsBytes(Drive(*session, request, 4'096).sent)), ToHex(AsBytes(exchange.from_server))) << issuer;
  }
}

TEST_F(TvsSessionTest, WhatCannotBeReadClosesTheConnectionAndIsCountedAndLogged) {
  const auto endpoint = MakeEndpoint();
  const char* const bad[] = {
      "55010100000000010000",  // another protocol
      "57020100000000010000",  // another version
      "57010900000000010000",  // an unknown command
      "57010200000000010004"
      "07000101",  // a response
      "570101000000000"
      "1ffff",  // longer than any request
      "57010100000000010005"
      "6300020000",                    // an unknown tag
      "57010100000000010000",          // a body without elements
      "5701010000000001000502000230",  // an element longer than the body
      "57010300000000010009"
      "0400020000"
      "05000101",  // NUL inside a name
  };
  uint64_t count = 0;
  for (const char* hex : bad) {
    for (const size_t piece : {size_t{1}, size_t{100}}) {
      const auto session = endpoint->NewSession({.address = "192.0.2.7"});
      const Outcome outcome = Drive(*session, *FromHex(hex), piece);
      EXPECT_EQ(outcome.sent, "") << hex;
      if (outcome.closed) ++count;
    }
  }
  EXPECT_EQ(endpoint->statistics().malformed, count);
  EXPECT_EQ(count, 2 * std::size(bad) - 2) << "all but the truncated one, which waits for the rest";
  log_.Flush();
  EXPECT_THAT(log_text_, HasSubstr("TVS_MALFORMED_REQUEST"));
  EXPECT_THAT(log_text_, HasSubstr("192.0.2.7"));
}

TEST_F(TvsSessionTest, WhatIsNoCertificateGetsAnInvalidVerdictWithoutAskingTheDatabase) {
  const auto endpoint = MakeEndpoint();
  for (const std::string& der : {std::string("x"), std::string(kMaxTvsCertificate, '0'),
                                 std::string(AsText(RecordedTrust()[0].certificate.der())) + '\0'}) {
    ASSERT_OK_AND_ASSIGN(const std::string request, EncodeTvsVerifyRequest(1, "CP-8841-SEP001122334455", AsBytes(der)));
    const auto session = endpoint->NewSession({});
    EXPECT_EQ(ToHex(AsBytes(Drive(*session, request, 16'384).sent)), "5701020000000001000407000101");
  }
  EXPECT_EQ(endpoint->statistics().misses, 0u);
}

// Verifies what the outage rule says of each kind of certificate.
TEST_F(TvsSessionTest, WithTheDatabaseAwayKnownIsAnsweredUnknownIsNotAndTheTtlShrinks) {
  const auto endpoint = MakeEndpoint({.age_limit = std::chrono::hours(1), .away_after = std::chrono::milliseconds(1)});
  ASSERT_OK(store_->Put({.certificate = RecordedTrust()[2].certificate, .role = 7, .removed = true}));
  ASSERT_OK(Confirm());
  ASSERT_OK(database_->Kill());
  EXPECT_FALSE(Confirm().ok());  // longer ago than away_after
  ASSERT_OK_AND_ASSIGN(const WireExchange known, ReadWireExchange("tvs-callmanager.hex"));
  const auto session = endpoint->NewSession({});
  const Outcome answer = Drive(*session, known.from_phone, 4'096);
  ASSERT_EQ(answer.sent.size(), known.from_server.size());
  EXPECT_EQ(answer.sent[13], 0) << "valid";
  ASSERT_OK_AND_ASSIGN(const TvsResponse response,
                       DecodeTvsResponse(TvsCommand::kVerifyResponse, AsBytes(answer.sent).subspan(kTvsHeaderSize)));
  EXPECT_LT(response.ttl_seconds, 3'600u);
  EXPECT_GT(response.ttl_seconds, 3'000u);

  ASSERT_OK_AND_ASSIGN(const WireExchange removed, ReadWireExchange("tvs-appserver-ec.hex"));
  EXPECT_EQ(ToHex(AsBytes(Drive(*session, removed.from_phone, 4'096).sent).subspan(kTvsHeaderSize)), "07000101");

  for (const char* name : {"tvs-capf.hex", "tvs-query-unknown.hex"}) {
    ASSERT_OK_AND_ASSIGN(const WireExchange unknown, ReadWireExchange(name));
    const Outcome silence = Drive(*endpoint->NewSession({}), unknown.from_phone, 4'096);
    EXPECT_TRUE(silence.closed) << name;
    EXPECT_EQ(silence.sent, "") << name;
  }
  // A name that this node cannot read is unknown to it too.
  ASSERT_OK_AND_ASSIGN(const std::string unreadable,
                       EncodeTvsQueryRequest(1'001, "CP-8861-SEPB000B4BA0AEE", "", "zz", AsBytes("\x01")));
  const Outcome silence = Drive(*endpoint->NewSession({}), unreadable, 4'096);
  EXPECT_TRUE(silence.closed);
  EXPECT_EQ(silence.sent, "");
  EXPECT_EQ(endpoint->statistics().silent_away, 3u);
  log_.Flush();
  size_t logged = 0;
  for (size_t at = log_text_.find("TVS_SILENT_AWAY"); at != std::string::npos;
       at = log_text_.find("TVS_SILENT_AWAY", at + 1)) {
    ++logged;
  }
  EXPECT_EQ(logged, 3u);
}

TEST_F(TvsSessionTest, OverTheAgeLimitNothingIsAnswered) {
  const auto endpoint =
      MakeEndpoint({.age_limit = std::chrono::nanoseconds(1), .away_after = std::chrono::nanoseconds(0)});
  ASSERT_OK_AND_ASSIGN(const WireExchange known, ReadWireExchange("tvs-callmanager.hex"));
  const Outcome silence = Drive(*endpoint->NewSession({}), known.from_phone, 4'096);
  EXPECT_TRUE(silence.closed);
  EXPECT_EQ(silence.sent, "");
  EXPECT_EQ(endpoint->statistics().silent_stale, 1u);
}

TEST_F(TvsSessionTest, TheDatabaseDyingDuringTheQuestionGivesNoVerdictOnTheUnknown) {
  const auto endpoint = MakeEndpoint({.away_after = std::chrono::hours(1)});
  ASSERT_OK(database_->Kill());
  ASSERT_OK_AND_ASSIGN(const WireExchange unknown, ReadWireExchange("tvs-capf.hex"));
  const Outcome silence = Drive(*endpoint->NewSession({}), unknown.from_phone, 4'096);
  EXPECT_TRUE(silence.closed);
  EXPECT_EQ(silence.sent, "");
}

}  // namespace
}  // namespace trustline
