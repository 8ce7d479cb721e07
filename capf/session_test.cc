#include "capf/session.h"

#include "capf/session_testing.h"
#include "common/x509/private_key.h"
#include "common/x509/public_key.h"
#include "tests/support/status_matchers.h"
#include "tests/support/wire_vector.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kAdmit = fmt::format("Admit SEP001122334455 '13579' {} 192.0.2.7", kTestSession);
constexpr KeyRequest kEcKey{.type = CapfKeyType::kEc, .curve = CapfCurve::kSecp521r1};

// The first element of `command` in a recorded direction.
template <typename T>
T Recorded(std::string_view messages, CapfCommand command, std::optional<T> CapfElements::*element) {
  for (ByteView rest = AsBytes(messages); !rest.empty();) {
    const CapfHeader header = *DecodeCapfHeader(rest.first(kCapfHeaderSize));
    const ByteView body = rest.subspan(kCapfHeaderSize, header.body_length);
    if (header.command == command) return *((*DecodeCapfBody(command, body)).*element);
    rest = rest.subspan(kCapfHeaderSize + header.body_length);
  }
  ADD_FAILURE() << "no " << CapfCommandName(command);
  return {};
}

struct RecordedSession {
  const char* name;
  uint32_t session_id;
  Admission::Verdict verdict;
  CapfOperation operation = CapfOperation::kInstall;
  KeyRequest key = {};
  std::vector<std::string> calls = {};  // after Admit
  std::string admit = fmt::format("Admit SEP001122334455 '13579' {} 192.0.2.7", session_id);
  bool has_proof = false;
};

TEST_F(CapfSessionTest, AnswersTheRecordedSessionsByteForByteInPiecesOfAnySize) {
  using Verdict = Admission::Verdict;
  const RecordedSession sessions[] = {
      {"capf-install-rsa.hex", 1, Verdict::kAdmitted, CapfOperation::kInstall, {}, {"Issue", "Acknowledge"}},
      {"capf-none.hex", 2, Verdict::kNothingScheduled},
      {.name = "capf-install-ec.hex",
       .session_id = 3,
       .verdict = Verdict::kAdmitted,
       .key = {.type = CapfKeyType::kEc, .curve = CapfCurve::kSecp384r1},
       .calls = {"Issue", "Acknowledge"},
       .admit = "Admit SEP0011223344EC '' 3 192.0.2.7"},
      {.name = "capf-unknown-device.hex",
       .session_id = 4,
       .verdict = Verdict::kUnknownDevice,
       .admit = "Admit SEP00112233FFFF '' 4 192.0.2.7"},
      {.name = "capf-fetch-existing-certificate.hex",
       .session_id = 5,
       .verdict = Verdict::kAdmitted,
       .operation = CapfOperation::kFetch,
       .calls = {"StoreFetched"},
       .admit = "Admit SEP001122334455 '' 5 192.0.2.7",
       .has_proof = true},
      {.name = "capf-wrong-password.hex",
       .session_id = 6,
       .verdict = Verdict::kRefused,
       .admit = "Admit SEP001122334455 '99999' 6 192.0.2.7"},
      {"capf-delete.hex", 7, Verdict::kAdmitted, CapfOperation::kDelete, {}, {"Deleted"}},
  };
  for (const RecordedSession& recorded : sessions) {
    ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange(recorded.name));
    for (const size_t piece : {size_t{1}, size_t{8}, size_t{100}, exchange.from_phone.size()}) {
      SCOPED_TRACE(fmt::format("{} by {}", recorded.name, piece));
      ToldDesk desk;
      desk.admission = {.verdict = recorded.verdict,
                        .claim = {.operation = recorded.operation, .keys = {recorded.key}}};
      const bool installs = !recorded.calls.empty() && recorded.calls[0] == "Issue";
      if (installs) {
        desk.certificate =
            Recorded(exchange.from_server, CapfCommand::kStoreCertificateRequest, &CapfElements::certificate).der;
      }
      CapfEndpoint endpoint({.new_session_id = [&] { return recorded.session_id; }}, desk, executor_, pace_, clock_,
                            log_);
      PlayedConnection connection(endpoint, executor_);
      connection.Connect();
      connection.Receive(exchange.from_phone, piece);
      EXPECT_EQ(ToHex(AsBytes(connection.all_sent())), ToHex(AsBytes(exchange.from_server)));
      EXPECT_TRUE(connection.closed());
      EXPECT_EQ(desk.told, recorded.verdict == Verdict::kAdmitted ? 1 : 0);
      connection.Break();
      executor_.RunAll();
      std::vector<std::string> calls = recorded.calls;
      calls.insert(calls.begin(), recorded.admit);
      EXPECT_EQ(desk.calls(), calls);
      EXPECT_EQ(desk.has_proof, recorded.has_proof);
      if (installs) {
        EXPECT_EQ(desk.public_key,
                  Recorded(exchange.from_phone, CapfCommand::kKeyGenerateResponse, &CapfElements::public_key));
        EXPECT_EQ(connection.renewals, 1);
      }
      if (recorded.operation == CapfOperation::kFetch) {
        EXPECT_EQ(desk.fetched,
                  Recorded(exchange.from_phone, CapfCommand::kFetchCertificateResponse, &CapfElements::certificate));
      }
      EXPECT_EQ(connection.patient, recorded.verdict == Verdict::kAdmitted);
    }
  }
}

TEST_F(CapfSessionTest, BeginsByItselfWithAnIdOfItsOwn) {
  CapfEndpoint endpoint({}, desk_, executor_, pace_, clock_, log_);
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    ASSERT_EQ(connection.sent().size(), 1u);
    const std::string& request = connection.sent()[0];
    EXPECT_EQ(ToHex(AsBytes(request.substr(0, 2))), "5501");
    EXPECT_EQ(ToHex(AsBytes(request.substr(6))), "00080700010308000100");
    ids.insert(request.substr(2, 4));
    EXPECT_FALSE(connection.patient);
  }
  EXPECT_GT(ids.size(), 98u);
  EXPECT_EQ(endpoint.statistics().sessions, 100);
}

TEST_F(CapfSessionTest, EachVerdictHasItsAnswer) {
  using Verdict = Admission::Verdict;
  CapfEndpoint endpoint = MakeEndpoint({.retry_delay = absl::Seconds(90)});
  const CapfStatistics& statistics = endpoint.statistics();
  const struct {
    Verdict verdict;
    std::string answer;
    const std::atomic<uint64_t>& count;
    const char* logged;
  } cases[] = {
      {Verdict::kNothingScheduled, EndSession(CapfReason::kNoAction), statistics.nothing_scheduled,
       "CAPF_NOTHING_SCHEDULED"},
      {Verdict::kRefused, EndSession(CapfReason::kInvalidElement), statistics.refused, "CAPF_REFUSED"},
      {Verdict::kUnknownDevice, EndSession(CapfReason::kUnknownDevice), statistics.unknown_device, "CAPF_REFUSED"},
      {Verdict::kBusy, *FromHex("55100102030400070c00040000005a"), statistics.busy, "CAPF_BUSY"},
      {Verdict::kOverRate, *FromHex("55100102030400070c00040000005a"), statistics.over_rate, "CAPF_OVER_RATE"},
  };
  for (const auto& [verdict, answer, count, logged] : cases) {
    desk_.admission = {.verdict = verdict, .reason = fmt::format("because {}", static_cast<int>(verdict))};
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    connection.Receive(AuthenticationResponse());
    ASSERT_EQ(connection.sent().size(), 2u);
    EXPECT_EQ(ToHex(AsBytes(connection.sent()[1])), ToHex(AsBytes(answer)));
    EXPECT_TRUE(connection.closed());
    EXPECT_EQ(count, 1);
    EXPECT_THAT(LogText(), HasSubstr(logged));
    EXPECT_THAT(LogText(), HasSubstr(desk_.admission.reason));
  }
  EXPECT_EQ(desk_.calls().size(), std::size(cases)) << "nothing to release";
  EXPECT_THAT(LogText(), Not(HasSubstr("13579")));
}

TEST_F(CapfSessionTest, APhoneThatCannotMakeTheKeyIsAskedForTheNext) {
  CapfEndpoint endpoint = MakeEndpoint();
  Schedule(CapfOperation::kInstall, {kEcKey, {.rsa_bits = 3072}});
  PlayedConnection connection(endpoint, executor_);
  connection.Connect();
  connection.Receive(AuthenticationResponse());
  EXPECT_EQ(ToHex(AsBytes(connection.sent().back())),
            "5503010203040008"
            "1100010112000102");
  connection.Receive(Message(CapfCommand::kKeyGenerateResponse, {.reason = 7}));
  EXPECT_EQ(ToHex(AsBytes(connection.sent().back())),
            "5503010203040009"
            "0a00020c0011000100");
  connection.Receive(KeyGenerateResponse());
  connection.Receive(StoreResponse());
  EXPECT_EQ(connection.sent().back(), EndSession(CapfReason::kSuccess));
  EXPECT_THAT(desk_.calls(), ElementsAre(kAdmit, "Issue", "Acknowledge"));
  EXPECT_EQ(endpoint.statistics().installed, 1);
  EXPECT_THAT(LogText(), HasSubstr("CAPF_ENROLLED"));
}

TEST_F(CapfSessionTest, TwoFailuresInOnePieceAreAnsweredOneMessageAWrite) {
  CapfEndpoint endpoint = MakeEndpoint();
  Schedule(CapfOperation::kInstall, {kEcKey, {}});
  PlayedConnection connection(endpoint, executor_);
  connection.Connect();
  const std::string failure = Message(CapfCommand::kKeyGenerateResponse, {.reason = 7});
  const std::string in_words =
      Message(CapfCommand::kKeyGenerateResponse, {.reason = 7, .reason_information = "no entropy"});
  connection.Receive(AuthenticationResponse() + in_words + InProgress() + failure);
  EXPECT_EQ(connection.sent().size(), 4u);
  EXPECT_EQ(connection.sent().back(), EndSession(CapfReason::kNoAction));
  EXPECT_EQ(desk_.calls().back(),
            "Fail: the phone could not make its key (reason 7: no entropy); then the phone could not make its key "
            "(reason 7)");
}

TEST_F(CapfSessionTest, WhatThePhoneCannotDoFailsForGoodInItsWords) {
  CapfElements refusal{.reason = 7, .reason_information = "flash is full"};
  const struct {
    CapfOperation operation;
    std::vector<std::string> from_phone;
    std::string failure;
  } cases[] = {
      {CapfOperation::kInstall,
       {Message(CapfCommand::kKeyGenerateResponse, refusal)},
       "Fail: the phone could not make its key (reason 7: flash is full)"},
      // A key together with a failure is no key.
      {CapfOperation::kInstall,
       {Message(CapfCommand::kKeyGenerateResponse, {.reason = 7, .public_key = "a public key"})},
       "Fail: the phone could not make its key (reason 7)"},
      {CapfOperation::kInstall,
       {KeyGenerateResponse(), Message(CapfCommand::kStoreCertificateResponse, refusal)},
       "Fail: the phone could not store its certificate (reason 7: flash is full)"},
      {CapfOperation::kFetch,
       {Message(CapfCommand::kFetchCertificateResponse, refusal)},
       "Fail: the phone did not show its certificate (reason 7: flash is full)"},
      {CapfOperation::kFetch,
       {Message(CapfCommand::kFetchCertificateResponse, {.reason = 1})},
       "Fail: the phone did not show its certificate (reason 1)"},
      {CapfOperation::kDelete,
       {Message(CapfCommand::kDeleteCertificateResponse, refusal)},
       "Fail: the phone could not delete its certificate (reason 7: flash is full)"},
  };
  CapfEndpoint endpoint = MakeEndpoint();
  uint64_t failed = 0;
  for (const auto& [operation, from_phone, failure] : cases) {
    Schedule(operation);
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    connection.Receive(AuthenticationResponse());
    for (const std::string& message : from_phone) connection.Receive(message);
    EXPECT_EQ(connection.sent().back(), EndSession(CapfReason::kNoAction)) << failure;
    EXPECT_TRUE(connection.closed());
    EXPECT_EQ(desk_.calls().back(), failure);
    EXPECT_EQ(endpoint.statistics().failed, ++failed);
  }
  executor_.RunAll();
  EXPECT_EQ(desk_.CallsOf("Release"), 0u);
  EXPECT_EQ(desk_.told, 0);
  EXPECT_THAT(LogText(), HasSubstr("CAPF_FAILED"));
}

TEST_F(CapfSessionTest, AnOperationWithoutAKeyFails) {
  CapfEndpoint endpoint = MakeEndpoint();
  Schedule(CapfOperation::kInstall, {});
  PlayedConnection connection(endpoint, executor_);
  connection.Connect();
  connection.Receive(AuthenticationResponse());
  EXPECT_THAT(desk_.calls(), ElementsAre(kAdmit, "Fail: the operation names no key"));
}

TEST_F(CapfSessionTest, WhatIsRefusedEndsTheSessionAndTheOperation) {
  CapfEndpoint endpoint = MakeEndpoint();
  const std::tuple<CapfOperation, std::string, std::string> cases[] = {
      {CapfOperation::kInstall, KeyGenerateResponse(), "Issue"},
      {CapfOperation::kFetch, FetchResponse(), "StoreFetched"}};
  uint64_t failed = 0;
  for (const auto& [operation, response, refusing] : cases) {
    Schedule(operation, {kEcKey, {}});
    desk_.error = InvalidArgument("refused by {}", refusing);
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    connection.Receive(AuthenticationResponse());
    connection.Receive(response);
    EXPECT_EQ(connection.sent().back(), EndSession(CapfReason::kInvalidElement));
    EXPECT_TRUE(connection.closed());
    connection.Break();
    executor_.RunAll();
    EXPECT_EQ(desk_.calls().back(), refusing);
    EXPECT_EQ(endpoint.statistics().failed, ++failed);
    EXPECT_THAT(LogText(), HasSubstr(fmt::format("refused by {}", refusing)));
  }
  EXPECT_EQ(desk_.CallsOf("Release"), 0u);
}

TEST_F(CapfSessionTest, AnErrorOfTheDeskClosesWithoutAnAnswerAndReleases) {
  const struct {
    CapfOperation operation;
    std::vector<std::string> from_phone;
    const char* failing;
  } cases[] = {
      {CapfOperation::kInstall, {KeyGenerateResponse()}, "Issue"},
      {CapfOperation::kInstall, {KeyGenerateResponse(), StoreResponse()}, "Acknowledge"},
      {CapfOperation::kInstall, {KeyGenerateResponse(), StoreResponse(9)}, "Fail"},
      {CapfOperation::kFetch, {FetchResponse()}, "StoreFetched"},
      {CapfOperation::kDelete, {DeleteResponse()}, "Deleted"},
  };
  CapfEndpoint endpoint = MakeEndpoint();
  uint64_t unavailable = 0;
  for (const absl::Status& error : {Unavailable("no database"), Aborted("the claim is lost"), InvalidArgument("?")}) {
    for (const auto& [operation, from_phone, failing] : cases) {
      const bool may_refuse = failing == std::string_view("Issue") || failing == std::string_view("StoreFetched");
      if (absl::IsInvalidArgument(error) && may_refuse) continue;
      Schedule(operation);
      desk_.error = absl::OkStatus();
      PlayedConnection connection(endpoint, executor_);
      connection.Connect();
      connection.Receive(AuthenticationResponse());
      for (const std::string& message : from_phone) {
        if (&message == &from_phone.back()) desk_.error = error;
        connection.Receive(message);
      }
      EXPECT_TRUE(connection.closed());
      EXPECT_EQ(connection.sent().size(), 1 + from_phone.size()) << failing;
      executor_.RunAll();  // although the connection is not gone yet
      connection.Break();
      executor_.RunAll();
      const std::vector<std::string> calls = desk_.calls();
      EXPECT_THAT(calls[calls.size() - 2], HasSubstr(failing));
      EXPECT_EQ(calls.back(), "Release");
      EXPECT_EQ(endpoint.statistics().unavailable, ++unavailable);
    }
  }
  EXPECT_EQ(desk_.CallsOf("Release"), unavailable);
  EXPECT_EQ(endpoint.statistics().broken, 0);
  EXPECT_EQ(endpoint.statistics().installed, 0);
  EXPECT_THAT(LogText(), HasSubstr("CAPF_UNAVAILABLE"));
  EXPECT_THAT(LogText(), HasSubstr("the claim is lost"));
}

TEST_F(CapfSessionTest, WithoutAVerdictThereIsNoAnswer) {
  CapfEndpoint endpoint = MakeEndpoint();
  for (const absl::Status& error : {Unavailable("no database"), InvalidArgument("?"), ResourceExhausted("?")}) {
    desk_.admit_error = error;
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    connection.Receive(AuthenticationResponse());
    EXPECT_TRUE(connection.closed());
    EXPECT_EQ(connection.sent().size(), 1u);
  }
  EXPECT_EQ(endpoint.statistics().unavailable, 3);
  EXPECT_EQ(desk_.CallsOf("Release"), 0u);
}

TEST_F(CapfSessionTest, ACertificateThatCannotBeSentReleasesTheOperation) {
  CapfEndpoint endpoint = MakeEndpoint();
  Schedule(CapfOperation::kInstall);
  desk_.certificate.assign(kMaxCapfCertificate, 'x');
  PlayedConnection connection(endpoint, executor_);
  connection.Connect();
  connection.Receive(AuthenticationResponse());
  connection.Receive(KeyGenerateResponse());
  EXPECT_TRUE(connection.closed());
  executor_.RunAll();
  EXPECT_THAT(desk_.calls(), ElementsAre(kAdmit, "Issue", "Release"));
  EXPECT_EQ(endpoint.statistics().unavailable, 1);
}

TEST_F(CapfSessionTest, APhoneThatGoesOnRenewsItsDeadlineUntilTheLongestSessionIsOver) {
  CapfEndpoint endpoint = MakeEndpoint({.longest_session = absl::Minutes(30)});
  Schedule(CapfOperation::kInstall);
  PlayedConnection connection(endpoint, executor_);
  connection.Connect();
  clock_.Advance(absl::Minutes(2));
  connection.Receive(AuthenticationResponse());
  for (int i = 0; i < 4; ++i) {
    connection.Receive(InProgress() + InProgress());
    clock_.Advance(absl::Minutes(6));
  }
  EXPECT_EQ(connection.renewals, 4);
  clock_.Advance(absl::Minutes(4) - absl::Milliseconds(1));
  connection.Receive(InProgress());
  EXPECT_EQ(connection.renewals, 5);
  clock_.Advance(absl::Milliseconds(1));
  connection.Receive(InProgress());
  EXPECT_EQ(connection.renewals, 5);
  EXPECT_TRUE(connection.closed());
  EXPECT_EQ(connection.sent().size(), 2u) << "no answer";
  executor_.RunAll();
  EXPECT_THAT(desk_.calls(), ElementsAre(kAdmit, "Release"));
  EXPECT_EQ(endpoint.statistics().broken, 1);
  EXPECT_THAT(LogText(), HasSubstr("still at work after 30m"));
}

TEST_F(CapfSessionTest, EveryResponseOfAnAdmittedPhoneMayTakeItsTime) {
  CapfEndpoint endpoint = MakeEndpoint();
  const std::pair<CapfOperation, std::string> cases[] = {
      {CapfOperation::kInstall, KeyGenerateResponse() + InProgress() + StoreResponse()},
      {CapfOperation::kFetch, InProgress() + FetchResponse()},
      {CapfOperation::kDelete, InProgress() + DeleteResponse()}};
  for (const auto& [operation, from_phone] : cases) {
    Schedule(operation);
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    connection.Receive(AuthenticationResponse());
    connection.Receive(from_phone, 1);
    EXPECT_EQ(connection.renewals, 1);
    EXPECT_TRUE(connection.closed());
  }
  EXPECT_EQ(endpoint.statistics().installed, 1);
  EXPECT_EQ(endpoint.statistics().fetched, 1);
  EXPECT_EQ(endpoint.statistics().deleted, 1);
}

TEST_F(CapfSessionTest, WhenTooMuchWaitsPhonesAreToldToComeLaterButAdmittedOnesGoOn) {
  CapfEndpoint endpoint = MakeEndpoint();
  Schedule(CapfOperation::kInstall);
  PlayedConnection admitted(endpoint, executor_);
  admitted.Connect();
  admitted.Receive(AuthenticationResponse());
  executor_.is_full = true;
  PlayedConnection other(endpoint, executor_);
  other.Connect();
  other.Receive(AuthenticationResponse());
  EXPECT_TRUE(other.closed());
  EXPECT_EQ(ToHex(AsBytes(other.sent().back())), "55100102030400070c00040000001e");
  EXPECT_EQ(endpoint.statistics().over_rate, 1);
  executor_.is_full = false;
  admitted.Receive(KeyGenerateResponse());
  executor_.is_full = true;
  admitted.Receive(StoreResponse());
  EXPECT_EQ(admitted.sent().back(), EndSession(CapfReason::kSuccess));
  EXPECT_THAT(desk_.calls(), ElementsAre(kAdmit, "Issue", "Acknowledge"));
}

TEST_F(CapfSessionTest, WhenTooMuchWaitsForCadAPhoneGetsNoAnswerAndItsOperationIsReleased) {
  CapfEndpoint endpoint = MakeEndpoint();
  Schedule(CapfOperation::kInstall);
  PlayedConnection connection(endpoint, executor_);
  connection.Connect();
  connection.Receive(AuthenticationResponse());
  executor_.is_full = true;
  const size_t sent = connection.sent().size();
  connection.Receive(KeyGenerateResponse());
  EXPECT_TRUE(connection.closed());
  EXPECT_EQ(connection.sent().size(), sent);
  executor_.RunAll();
  EXPECT_THAT(desk_.calls(), ElementsAre(kAdmit, "Release"));
  EXPECT_EQ(endpoint.statistics().unavailable, 1);
}

TEST_F(CapfSessionTest, AnotherKeyThanWasAskedForIsNotCertified) {
  CapfEndpoint endpoint = MakeEndpoint();
  Schedule(CapfOperation::kInstall, {{.type = CapfKeyType::kEc, .curve = CapfCurve::kSecp384r1}, {}});
  PlayedConnection connection(endpoint, executor_);
  connection.Connect();
  connection.Receive(AuthenticationResponse());
  const auto respond = [&](KeyKind kind) {
    const PrivateKey key = *PrivateKey::Generate(kind);
    connection.Receive(Message(CapfCommand::kKeyGenerateResponse, {.public_key = PublicKeyInfo::Of(key.get())->der()}));
  };
  // Another curve: the backup is asked for. Then a curve for RSA: there is nothing left to ask for.
  respond(KeyKind::kEcP256);
  EXPECT_FALSE(connection.closed());
  respond(KeyKind::kEcP384);
  EXPECT_TRUE(connection.closed());
  EXPECT_EQ(desk_.CallsOf("Issue"), 0u);
  EXPECT_EQ(
      desk_.calls().back(),
      "Fail: the phone made another key than it was asked for: EC secp256r1; then the phone made another key than it "
      "was asked for: EC secp384r1");

  PlayedConnection again(endpoint, executor_);
  again.Connect();
  again.Receive(AuthenticationResponse());
  const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP384);
  again.Receive(Message(CapfCommand::kKeyGenerateResponse, {.public_key = PublicKeyInfo::Of(key.get())->der()}));
  EXPECT_EQ(desk_.CallsOf("Issue"), 1u);
}

}  // namespace
}  // namespace trustline
