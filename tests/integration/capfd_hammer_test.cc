// Phones that hammer at the real capfd, over real TLS, with the real cad, itld and PostgreSQL.
#include <atomic>
#include <thread>

#include "tests/integration/capfd_testing.h"

namespace trustline {
namespace {

constexpr char kHammering[] = "SEP0000000000A1";
constexpr int kSuccess = static_cast<int>(CapfReason::kSuccess);
constexpr int kSessions = 400;
constexpr int kThreads = 4;
// Of a device, by the pace (docs/PROTOCOLS.md, "CAPF").
constexpr int kMostInWindow = 20;
constexpr absl::Duration kWindow = absl::Seconds(10);

class CapfdHammerTest : public CapfdTest {
 protected:
  struct Hammered {
    int later = 0;
    int admitted = 0;  // to authentication
    int failed = 0;
    int most_admitted = 0;  // in the time that it took
  };

  // kSessions of one device, as fast as they can; `meanwhile` runs beside them, in this thread.
  Hammered Hammer(std::string_view device, const std::string& password, const std::function<void()>& meanwhile) {
    std::atomic<int> begun = 0, later = 0, admitted = 0, failed = 0;
    const absl::Time start = absl::Now();
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        while (begun++ < kSessions) {
          CapfPhoneOptions options = PhoneOptions(device, password);
          // It never comes to an end that would be the last.
          options.goes_on = [](const CapfPhoneMessage& message) {
            return message.command != CapfCommand::kKeyGenerateRequest;
          };
          const absl::StatusOr<CapfPhoneResult> result = CapfPhone(Server(), options).Enrol();
          ++(!result.ok() ? failed : result->retry_seconds ? later : admitted);
        }
      });
    }
    meanwhile();
    for (std::thread& thread : threads) thread.join();
    const int64_t windows = (absl::Now() - start) / kWindow + 1;
    return {.later = later,
            .admitted = admitted,
            .failed = failed,
            .most_admitted = static_cast<int>(windows) * kMostInWindow};
  }
  // Ten phones, one after the other, each with one session.
  void EnrolHonestPhones(const std::vector<std::pair<std::string, std::string>>& phones) {
    for (const auto& [device, password] : phones) {
      const absl::StatusOr<CapfPhoneResult> result = CapfPhone(Server(), PhoneOptions(device, password)).Enrol();
      EXPECT_EQ(EndOf(result), kSuccess) << device;
    }
  }
  std::vector<std::pair<std::string, std::string>> ScheduleHonestPhones() {
    std::vector<std::pair<std::string, std::string>> phones;
    for (int i = 0; i < 10; ++i) {
      std::string device = fmt::format("SEP0000000001{:02X}", i);
      std::string password = ScheduleByString(device);
      phones.emplace_back(std::move(device), std::move(password));
    }
    return phones;
  }
  std::string StateOf(std::string_view device) {
    const v1::ShowEnrolmentResponse shown = Show(device);
    return shown.operations_size() == 1 ? v1::OperationState_Name(shown.operations(0).state()) : "";
  }
};

TEST_F(CapfdHammerTest, APhoneWithAWrongStringSlowsNoOther) {
  ScheduleByString(kHammering);
  const auto honest = ScheduleHonestPhones();
  const Hammered hammered = Hammer(kHammering, "99999", [&] { EnrolHonestPhones(honest); });
  EXPECT_EQ(hammered.failed, 0);
  EXPECT_EQ(hammered.later + hammered.admitted, kSessions);
  EXPECT_GE(hammered.admitted, 1);
  EXPECT_LE(hammered.admitted, hammered.most_admitted);
  // The lock at its address, not the number of its tries, has kept the string from its end.
  EXPECT_EQ(StateOf(kHammering), "OPERATION_STATE_PENDING");
  EXPECT_LE(Count(fmt::format("SELECT wrong_strings::bigint FROM capf_operation WHERE device = '{}'", kHammering)), 5);
  // Neither the audit log nor the log is flooded.
  EXPECT_LE(Count(fmt::format("SELECT count(*) FROM audit_event WHERE subject = '{}'", kHammering)),
            hammered.most_admitted);
  const std::string log = capfd_->LogText();
  int lines = 0;
  for (size_t at = log.find("CAPF_OVER_PACE"); at != std::string::npos; at = log.find("CAPF_OVER_PACE", at + 1)) {
    ++lines;
  }
  EXPECT_GE(lines, 1);
  EXPECT_LE(lines, hammered.most_admitted / kMostInWindow);
}

TEST_F(CapfdHammerTest, APhoneWithItsStringSlowsNoOtherAndKeepsItsOperation) {
  const std::string password = ScheduleByString(kHammering);
  const auto honest = ScheduleHonestPhones();
  const Hammered hammered = Hammer(kHammering, password, [&] { EnrolHonestPhones(honest); });
  EXPECT_EQ(hammered.failed, 0);
  EXPECT_GT(hammered.later, 0);
  EXPECT_GE(hammered.admitted, 1);
  EXPECT_LE(hammered.admitted, hammered.most_admitted);
  WaitForCount(fmt::format("SELECT count(*) FROM capf_operation WHERE device = '{}' AND state = 'pending'", kHammering),
               1, absl::Seconds(10));
  EXPECT_EQ(Count(fmt::format("SELECT count(*) FROM issuance WHERE device = '{}'", kHammering)), 0);
  EXPECT_EQ(Count(fmt::format("SELECT wrong_strings::bigint FROM capf_operation WHERE device = '{}'", kHammering)), 0);
}

}  // namespace
}  // namespace trustline
