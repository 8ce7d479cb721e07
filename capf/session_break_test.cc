// Sessions that do not go as they should: phones that say something else, and connections that end anywhere.
#include "capf/session_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// How a session comes to where it awaits the phone, and what it awaits there.
struct Awaiting {
  const char* name;
  CapfOperation operation;
  std::vector<std::string> before;
  CapfCommand response;
  bool is_admitted = true;
};
std::vector<Awaiting> AllAwaiting() {
  return {
      {"authentication response", CapfOperation::kInstall, {}, CapfCommand::kAuthenticationResponse, false},
      {"key", CapfOperation::kInstall, {AuthenticationResponse()}, CapfCommand::kKeyGenerateResponse},
      {"store response",
       CapfOperation::kInstall,
       {AuthenticationResponse(), KeyGenerateResponse()},
       CapfCommand::kStoreCertificateResponse},
      {"fetched certificate",
       CapfOperation::kFetch,
       {AuthenticationResponse()},
       CapfCommand::kFetchCertificateResponse},
      {"delete response", CapfOperation::kDelete, {AuthenticationResponse()}, CapfCommand::kDeleteCertificateResponse}};
}

class CapfSessionBreakTest : public CapfSessionTest {
 protected:
  // Whether `bytes` end a session that awaits as told: end session 7, counted, logged, and the operation released.
  void ExpectMalformed(const Awaiting& awaiting, const std::string& bytes, std::string_view reason) {
    ToldDesk desk;
    Schedule(awaiting.operation);
    desk.admission = desk_.admission;
    CapfEndpoint endpoint({.new_session_id = [] { return kTestSession; }}, desk, executor_, pace_, clock_, log_);
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    for (const std::string& message : awaiting.before) connection.Receive(message);
    ASSERT_FALSE(connection.closed());
    const size_t calls = desk.calls().size();
    connection.Receive(bytes, 3);
    EXPECT_TRUE(connection.closed());
    EXPECT_EQ(connection.sent().back(), EndSession(CapfReason::kInvalidElement));
    EXPECT_EQ(endpoint.statistics().malformed, 1);
    EXPECT_EQ(endpoint.statistics().broken, 0);
    executor_.RunAll();  // although the connection has not ended
    connection.Break();
    executor_.RunAll();
    EXPECT_EQ(desk.CallsOf("Release"), awaiting.is_admitted ? 1u : 0u);
    EXPECT_EQ(desk.calls().size(), calls + (awaiting.is_admitted ? 1 : 0)) << "nothing but Release";
    EXPECT_THAT(LogText(), HasSubstr("CAPF_MALFORMED"));
    EXPECT_THAT(LogText(), HasSubstr(reason));
    log_text_.clear();
  }
};

// A message of each kind, well formed.
std::vector<std::pair<CapfCommand, std::string>> OneOfEach() {
  const CapfElements outcome{.reason = 1};
  const CapfCertificate certificate{.type = CapfCertificateType::kLsc, .der = "x"};
  std::vector<std::pair<CapfCommand, std::string>> all;
  const auto add = [&](CapfCommand command, const CapfElements& elements) {
    all.emplace_back(command, Message(command, elements));
  };
  add(CapfCommand::kAuthenticationRequest, {.version = kCapfVersion, .authentication_type = 0});
  all.emplace_back(CapfCommand::kAuthenticationResponse, AuthenticationResponse());
  add(CapfCommand::kKeyGenerateRequest, {.key_size = 2048, .key_type = CapfKeyType::kRsa});
  all.emplace_back(CapfCommand::kKeyGenerateResponse, KeyGenerateResponse());
  add(CapfCommand::kStoreCertificateRequest,
      {.certificate_type = CapfCertificateType::kLsc, .certificate = certificate});
  add(CapfCommand::kStoreCertificateResponse, outcome);
  add(CapfCommand::kFetchCertificateRequest, {});
  all.emplace_back(CapfCommand::kFetchCertificateResponse, FetchResponse());
  add(CapfCommand::kDeleteCertificateRequest, {});
  add(CapfCommand::kDeleteCertificateResponse, outcome);
  add(CapfCommand::kEndSession, outcome);
  add(CapfCommand::kRetryLater, {.retry_delay = 1});
  add(CapfCommand::kRequestInProgress, {});
  return all;
}

TEST_F(CapfSessionBreakTest, EachStateRefusesWhatItDidNotAskFor) {
  for (const Awaiting& awaiting : AllAwaiting()) {
    for (const auto& [command, message] : OneOfEach()) {
      if (command == awaiting.response) continue;
      if (command == CapfCommand::kRequestInProgress && awaiting.is_admitted) continue;
      SCOPED_TRACE(fmt::format("{} instead of {}", CapfCommandName(command), awaiting.name));
      ExpectMalformed(awaiting, message, "was not asked for");
    }
  }
}

TEST_F(CapfSessionBreakTest, AnotherSessionsMessageIsRefusedBeforeItsBodyHasCome) {
  for (const Awaiting& awaiting : AllAwaiting()) {
    SCOPED_TRACE(awaiting.name);
    std::string header =
        "\x55" + std::string(1, static_cast<char>(awaiting.response)) + "\x01\x02\x03\x05" + std::string("\x00\x40", 2);
    ExpectMalformed(awaiting, header, "16909061 is the id of another session");
  }
}

TEST_F(CapfSessionBreakTest, WhatCannotBeDecodedIsRefused) {
  for (const Awaiting& awaiting : AllAwaiting()) {
    SCOPED_TRACE(awaiting.name);
    ExpectMalformed(awaiting, "GET / HTTP/1.1\r\n\r\n", "protocol id 71 is not 85");
    ExpectMalformed(awaiting, *FromHex("55ff010203040000"), "unknown command");
    const std::string header = "\x55" + std::string(1, static_cast<char>(awaiting.response)) + "\x01\x02\x03\x04";
    ExpectMalformed(awaiting, header + "\xff\xff", "longer than the maximum");
    ExpectMalformed(awaiting,
                    header + *FromHex("0004"
                                      "63000100"),
                    "has no element");
    ExpectMalformed(awaiting,
                    header + *FromHex("0003"
                                      "010002"),
                    "reason");
  }
}

TEST_F(CapfSessionBreakTest, AnAuthenticationResponseThatIsNoneIsRefused) {
  const CapfElements elements{.reason = 4, .version = kCapfVersion, .device_name = "SEP001122334455"};
  ExpectMalformed(AllAwaiting()[0], Message(CapfCommand::kAuthenticationResponse, elements),
                  "did not authenticate itself (reason 4)");
}

// At each point of a session: after each message, while work waits, while it is done, and once it is done.
TEST_F(CapfSessionBreakTest, WhereverItBreaksTheOperationIsReleasedOnceUnlessItHasEnded) {
  const std::pair<CapfOperation, std::vector<std::string>> cases[] = {
      {CapfOperation::kInstall, {AuthenticationResponse(), InProgress(), KeyGenerateResponse(), StoreResponse()}},
      {CapfOperation::kInstall, {AuthenticationResponse(), KeyGenerateResponse(), StoreResponse(7)}},
      {CapfOperation::kFetch, {AuthenticationResponse(), FetchResponse()}},
      {CapfOperation::kDelete, {AuthenticationResponse(), DeleteResponse()}}};
  for (const auto& [operation, from_phone] : cases) {
    bool is_broken = true;
    std::set<bool> releases;
    for (int at = 0; is_broken; ++at) {
      SCOPED_TRACE(fmt::format("operation {} broken at point {}", static_cast<int>(operation), at));
      ToldDesk desk;
      Schedule(operation);
      desk.admission = desk_.admission;
      CapfEndpoint endpoint({.new_session_id = [] { return kTestSession; }}, desk, executor_, pace_, clock_, log_);
      PlayedConnection connection(endpoint, executor_);
      is_broken = false;
      int point = 0;
      const auto reach = [&] {
        if (point++ != at) return;
        is_broken = true;
        connection.Break();
      };
      desk.during = [&](std::string_view) { reach(); };
      connection.Begin();
      reach();
      for (const std::string& message : from_phone) {
        if (is_broken) break;
        connection.Deliver(message);
        reach();
        while (!is_broken && connection.is_waiting()) {
          executor_.RunOne();  // nothing when it waits for its answer to leave
          reach();
          if (is_broken) break;
          connection.GoOn();
          reach();
        }
      }
      executor_.RunAll();
      const std::vector<std::string> calls = desk.calls();
      const bool has_ended =
          desk.CallsOf("Acknowledge") + desk.CallsOf("Fail") + desk.CallsOf("StoreFetched") + desk.CallsOf("Deleted") ==
          1;
      const bool is_released = desk.CallsOf("Admit") == 1 && !has_ended;
      EXPECT_EQ(desk.CallsOf("Release"), is_released ? 1u : 0u);
      EXPECT_EQ(endpoint.statistics().broken, is_released ? 1u : 0u);
      EXPECT_EQ(!calls.empty() && calls.back() == "Release", is_released);
      const size_t successes = desk.CallsOf("Acknowledge") + desk.CallsOf("StoreFetched") + desk.CallsOf("Deleted");
      EXPECT_EQ(static_cast<size_t>(desk.told + desk.left_untold), successes);
      releases.insert(is_released);
    }
    EXPECT_THAT(releases, ElementsAre(false, true));
  }
  EXPECT_THAT(LogText(), HasSubstr("CAPF_BROKEN"));
}

TEST_F(CapfSessionBreakTest, WithoutItsSessionWorkIsOnlyDoneForTheRecord) {
  CapfEndpoint endpoint = MakeEndpoint();
  Schedule(CapfOperation::kInstall);
  {
    PlayedConnection connection(endpoint, executor_);
    connection.Begin();
    connection.Deliver(AuthenticationResponse());
  }
  executor_.RunAll();
  EXPECT_TRUE(desk_.calls().empty()) << "nobody waits for admission";
  {
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    connection.Receive(AuthenticationResponse());
    connection.Deliver(KeyGenerateResponse());
  }
  executor_.RunAll();
  EXPECT_EQ(desk_.CallsOf("Issue"), 0u);
  EXPECT_EQ(desk_.CallsOf("Release"), 1u);
  {
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    connection.Receive(AuthenticationResponse());
    connection.Receive(KeyGenerateResponse());
    connection.Deliver(StoreResponse());
  }
  executor_.RunAll();
  EXPECT_EQ(desk_.calls().back(), "Acknowledge") << "the phone has its certificate";
  EXPECT_EQ(endpoint.statistics().installed, 1);
  EXPECT_EQ(endpoint.statistics().broken, 1);
}

TEST_F(CapfSessionBreakTest, AnOperationThatIsNotReleasedIsTold) {
  CapfEndpoint endpoint = MakeEndpoint();
  Schedule(CapfOperation::kInstall);
  desk_.release_error = Unavailable("no database");
  {
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    connection.Receive(AuthenticationResponse());
  }
  executor_.RunAll();
  EXPECT_THAT(LogText(), HasSubstr("was not made pending again"));
  EXPECT_THAT(LogText(), HasSubstr("no database"));
  {
    PlayedConnection connection(endpoint, executor_);
    connection.Connect();
    connection.Receive(AuthenticationResponse());
    executor_.is_stopped = true;
    // Nobody can issue any more: no answer.
    connection.Receive(KeyGenerateResponse());
    EXPECT_TRUE(connection.closed());
    EXPECT_EQ(connection.sent().size(), 2u);
  }
  EXPECT_THAT(LogText(), HasSubstr("because this process ends"));
}

}  // namespace
}  // namespace trustline
