// Sessions of phones that come too often.
#include <gmock/gmock.h>

#include <memory>
#include <string>

#include "capf/session_testing.h"
#include "common/status/status.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

using CapfSessionHammerTest = CapfSessionTest;

TEST_F(CapfSessionHammerTest, APhoneThatHammersIsToldToComeLaterAndCostsNothing) {
  SessionPace pace({}, clock_);
  CapfEndpoint endpoint({.retry_delay = absl::Milliseconds(10), .new_session_id = [] { return kTestSession; }}, desk_,
                        executor_, pace, clock_, log_);
  desk_.admission.verdict = Admission::Verdict::kRefused;
  const std::string retry_later = *FromHex("55100102030400070c000400000001");
  const auto comes = [&](const std::string& address) {
    PlayedConnection connection(endpoint, executor_, {.address = address});
    connection.Connect();
    connection.Receive(AuthenticationResponse());
    EXPECT_TRUE(connection.closed());
    return connection.sent().back();
  };
  int later = 0;
  for (int i = 0; i < 300; ++i) later += comes("192.0.2.7") == retry_later ? 1 : 0;
  EXPECT_EQ(later, 280);
  EXPECT_EQ(desk_.CallsOf("Admit"), 20u);
  EXPECT_EQ(endpoint.statistics().over_pace, 280);
  EXPECT_EQ(endpoint.statistics().refused, 20);
  EXPECT_EQ(endpoint.statistics().over_rate, 0);
  const std::string logged = LogText();
  EXPECT_THAT(logged, HasSubstr("CAPF_OVER_PACE"));
  EXPECT_EQ(logged.find("CAPF_OVER_PACE"), logged.rfind("CAPF_OVER_PACE")) << "once";
  EXPECT_EQ(comes("192.0.2.8"), EndSession(CapfReason::kInvalidElement));
  clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(comes("192.0.2.7"), EndSession(CapfReason::kInvalidElement));
}

// However its admission ends: done, dropped because too much waits, and without the session, begun or not.
TEST_F(CapfSessionHammerTest, OneAdmissionOfADeviceAtATime) {
  CapfEndpoint endpoint = MakeEndpoint();
  desk_.admission.verdict = Admission::Verdict::kNothingScheduled;
  const auto ask = [&] {
    auto connection = std::make_unique<PlayedConnection>(endpoint, executor_);
    connection->Begin();
    connection->Deliver(AuthenticationResponse());
    return connection;
  };
  const auto is_free = [&] { return pace_.Ask("SEP001122334455", "192.0.2.7").turn.has_value(); };

  auto waiting = ask();
  EXPECT_EQ(executor_.waiting(), 1u);
  EXPECT_TRUE(ask()->closed());
  EXPECT_EQ(endpoint.statistics().over_pace, 1);
  EXPECT_EQ(executor_.waiting(), 1u);
  EXPECT_FALSE(is_free());
  executor_.RunAll();
  EXPECT_TRUE(is_free()) << "before the session goes on";
  EXPECT_TRUE(waiting->GoOn());

  executor_.is_full = true;
  auto dropped = ask();
  EXPECT_TRUE(is_free());
  EXPECT_TRUE(dropped->GoOn());
  EXPECT_TRUE(dropped->closed());
  executor_.is_full = false;

  const size_t calls = desk_.calls().size();
  auto broken = ask();
  broken->Break();
  EXPECT_FALSE(is_free()) << "its place in the queue is taken";
  executor_.RunAll();
  EXPECT_TRUE(is_free());
  EXPECT_EQ(desk_.calls().size(), calls);

  // The socket layer closed before it began what the session had asked for.
  {
    const std::unique_ptr<PhoneSession> session = endpoint.NewSession({.address = "192.0.2.7"});
    session->OnConnected();
    const std::string response = AuthenticationResponse();
    const SessionActions actions = session->OnBytes(AsBytes(response));
    EXPECT_TRUE(actions.wait_for);
    EXPECT_FALSE(is_free());
  }
  EXPECT_TRUE(is_free());

  // An error of the desk.
  desk_.admit_error = Unavailable("the database is away");
  auto failed = ask();
  executor_.RunAll();
  EXPECT_TRUE(is_free());
}

}  // namespace
}  // namespace trustline
