// SIPp as phones behind one call manager: what each of them says is stored.
#include <future>

#include "tests/integration/sip_site.h"
#include "tests/integration/sipp.h"

namespace trustline {
namespace {

class SipScenariosTest : public SipSiteTest {
 protected:
  // "DEVICE;HASH" for each number.
  static std::string Calls(int first, int last, const std::string& hash) {
    std::string calls;
    for (int n = first; n <= last; ++n) calls += fmt::format("{};{}\n", DeviceNumber(n), hash);
    return calls;
  }
  int64_t PhonesThatHold(const std::string& state) {
    return Count(
        fmt::format("SELECT count(*) FROM phone p JOIN phone_holding h USING (cluster_id, holding_id) "
                    "WHERE h.state = '{}' AND p.via = 'forwarder 127.0.0.0/8'",
                    state));
  }
};

class SipTransportTest : public SipScenariosTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(SipTransportTest, APhonesLifeIsInItsHistory) {
  constexpr int kPhones = 5;
  AddDevices(1, kPhones);
  const std::string current = CurrentHash();
  std::string calls;
  for (int n = 1; n <= kPhones; ++n) calls += fmt::format("{};Not Installed;{}\n", DeviceNumber(n), current);
  const bool is_udp = GetParam() == "u1";
  ASSERT_OK_AND_ASSIGN(const SippCounts counts,
                       RunSipp({.scenario = "life.xml",
                                .transport = GetParam(),
                                .port = is_udp ? provisiond_->udp_port() : provisiond_->tcp_port(),
                                .calls = calls,
                                .count = kPhones}));
  EXPECT_EQ(counts.successful, kPhones);
  EXPECT_EQ(counts.failed + counts.unexpected, 0);
  // The live rows have ended, the ledgers have both lists.
  EXPECT_EQ(Count("SELECT count(*) FROM phone WHERE reported_at IS NULL AND registered = false"), kPhones);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_held h JOIN phone_holding USING (cluster_id, holding_id) "
                  "WHERE kind = 'ITL' AND state = 'hash' AND generation = 1"),
            kPhones);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_held h JOIN phone_holding USING (cluster_id, holding_id) "
                  "WHERE kind = 'ITL' AND state = 'not installed'"),
            kPhones);
  for (int n = 1; n <= kPhones; ++n) {
    std::vector<std::string> events;
    const boost::json::value history = DoJson({"phones", "history", DeviceNumber(n)});
    for (const boost::json::value& line : history.as_array()) {
      std::string event(line.at("event").as_string().c_str());
      if (event == "reported") event += fmt::format(" {}", line.at("status").as_string().c_str());
      events.push_back(std::move(event));
    }
    EXPECT_THAT(events,
                ::testing::ElementsAre("unregistered", "reported Match", "registered", "reported Not Installed"));
  }
}

INSTANTIATE_TEST_SUITE_P(Transports, SipTransportTest, ::testing::Values("u1", "t1"),
                         [](const auto& transport) { return transport.param == "u1" ? "Udp" : "Tcp"; });

TEST_F(SipScenariosTest, TwoThousandReportsASecondAreStoredWithoutLoss) {
  constexpr int kPhones = 20'000;
  constexpr int kPerSecond = 2'000;
  AddDevices(1, kPhones);
  struct Case {
    int connections;
    const char* hash;
    const char* state;
  };
  // The second one's word replaces the first one's, so that each is counted by itself.
  const Case cases[] = {{1, "Not Installed", "not installed"},
                        {4, "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D ", "hash"}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.connections);
    // A SIPp for each: one that has several connections ends them by itself and then fails.
    const int share = kPhones / one.connections;
    std::vector<std::future<absl::StatusOr<SippCounts>>> runs;
    for (int i = 0; i < one.connections; ++i) {
      runs.push_back(std::async(std::launch::async, RunSipp,
                                SippRun{.scenario = "alarm.xml",
                                        .transport = "t1",
                                        .port = provisiond_->tcp_port(),
                                        .calls = Calls(i * share + 1, (i + 1) * share, one.hash),
                                        .count = share,
                                        .per_second = kPerSecond / one.connections,
                                        // Calls at once: a report waits for its transaction.
                                        .more = {"-l", "4000"}}));
    }
    double per_second = 0;
    for (auto& run : runs) {
      ASSERT_OK_AND_ASSIGN(const SippCounts counts, run.get());
      EXPECT_EQ(counts.successful, share);
      EXPECT_EQ(counts.failed + counts.retransmissions + counts.unexpected, 0);
      per_second += counts.calls_per_second;
    }
    EXPECT_EQ(PhonesThatHold(one.state), kPhones);
    fmt::print("{} reports over {} connections: {:.0f} a second\n", kPhones, one.connections, per_second);
  }
  EXPECT_EQ(Count("SELECT count(*) FROM phone_history WHERE event = 'reported'"), 2 * kPhones);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_claim"), 0);
  EXPECT_EQ(Metric(*provisiond_, "trustline_sip_answers_total{cluster=\"default\",code=\"202\"}"), 2 * kPhones);
  EXPECT_EQ(Metric(*provisiond_, "trustline_sip_unstored_total{cluster=\"default\"}"), 0);
}

}  // namespace
}  // namespace trustline
