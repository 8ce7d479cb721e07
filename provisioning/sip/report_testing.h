// A desk and a judge whose answers a test gives, from where and when it likes.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/service/log.h"
#include "provisioning/forwarders.h"
#include "provisioning/report_desk.h"
#include "provisioning/sip/report_intake.h"
#include "tests/support/fake_clock.h"

namespace trustline {

class TestDesk final : public ReportDesk {
 public:
  void Submit(PhoneTrustReport report, std::function<void(absl::Status)> done) override {
    std::unique_lock lock(mutex_);
    reports.push_back(std::move(report));
    if (answers_at_once) {
      lock.unlock();
      done(answer);
    } else {
      waiting.push_back(std::move(done));
    }
  }
  // Answers what waits, the last first.
  void AnswerAll(const absl::Status& status = absl::OkStatus()) {
    std::unique_lock lock(mutex_);
    std::vector<std::function<void(absl::Status)>> all = std::exchange(waiting, {});
    lock.unlock();
    for (auto done = all.rbegin(); done != all.rend(); ++done) (*done)(status);
  }

  std::vector<PhoneTrustReport> reports;
  std::vector<std::function<void(absl::Status)>> waiting;
  bool answers_at_once = true;
  absl::Status answer;

 private:
  std::mutex mutex_;
};

class TestJudge final : public CertificateJudge {
 public:
  void Judge(std::shared_ptr<const std::string> der, std::function<void(CertificateStanding)> done) override {
    judged.push_back(*der);
    if (answers_at_once) {
      done(standing);
    } else {
      waiting.push_back(std::move(done));
    }
  }

  std::vector<std::string> judged;
  std::vector<std::function<void(CertificateStanding)>> waiting;
  bool answers_at_once = true;
  CertificateStanding standing;
};

class TestForwarders final : public ForwarderSource {
 public:
  std::shared_ptr<const Forwarders> Current() const override { return current; }

  // 192.0.2.1 and cm1.example may send everything, the former over UDP too.
  std::shared_ptr<const Forwarders> current = std::make_shared<Forwarders>(
      std::vector<Forwarder>{{.name = "192.0.2.1",
                              .is_network = true,
                              .may_refer = true,
                              .may_register = true,
                              .may_options = true,
                              .udp = true},
                             {.name = "cm1.example", .may_refer = true, .may_register = true, .may_options = true}},
      true);
};

// Everything that a listener needs.
struct TestIntake {
  FakeClock clock{absl::FromUnixSeconds(1'800'000'000)};
  Log log{{.service = "test", .form = LogOptions::Form::kJson, .sink = [](std::string_view) {}}};
  TestDesk desk;
  TestJudge judge;
  TestForwarders forwarders;
  ReportIntake intake{desk, judge, forwarders, {}, clock, log};
};

// The codes of the responses in `bytes`, in their order: "202 200".
inline std::string ResponseCodes(std::string_view bytes) {
  std::string codes;
  while (true) {
    const size_t begin = bytes.find("SIP/2.0 ");
    // Via lines have the version too, before a slash.
    if (begin == std::string_view::npos) return codes;
    const bool is_start = begin == 0 || bytes[begin - 1] == '\n';
    if (is_start) codes += (codes.empty() ? "" : " ") + std::string(bytes.substr(begin + 8, 3));
    bytes.remove_prefix(begin + 8);
  }
}

}  // namespace trustline
