#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "cli/phone/tvs_phone.h"
#include "common/status/status.h"
#include "tests/benchmarks/measurements.h"
#include "tvs/trust_store_testing.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kQuestions = 10'000;
constexpr size_t kKillAt = 2'000;
constexpr size_t kRestartAt = 7'000;
constexpr size_t kPhones = 4;
constexpr std::chrono::milliseconds kInterval{4};  // of each phone, so that the outage lasts some seconds
constexpr std::chrono::seconds kPatience{10};

enum class Kind : uint8_t { kKnown, kUnknown, kRevoked, kRemoved };
constexpr std::array<std::string_view, 4> kKindNames = {"known", "unknown", "revoked", "removed"};

struct Question {
  Kind kind;
  Certificate certificate;
};

absl::StatusOr<std::vector<Question>> PrepareTrustStore(const BenchmarkSite& site) {
  TestTrustStore store(*site.database);
  std::vector<Question> questions;
  const Party authority = MakeSelfSigned(AuthorityForm("Revoking Authority"));
  std::vector<Certificate> revoked;
  for (uint32_t i = 0; i < 8; ++i) {
    ASSIGN_OR_RETURN(Certificate known, Certificate::FromDer(AsBytes(site.series.Der(kCertificates / 2 + i))));
    questions.push_back({Kind::kKnown, std::move(known)});
    questions.push_back({Kind::kUnknown, MakeSelfSigned(LeafForm(fmt::format("unknown{}", i))).certificate});
    questions.push_back({Kind::kRevoked, MakeIssued(LeafForm(fmt::format("revoked{}", i)), authority).certificate});
    revoked.push_back(questions.back().certificate);
    RETURN_IF_ERROR(store.Put({.certificate = questions.back().certificate}));
    questions.push_back({Kind::kRemoved, MakeSelfSigned(LeafForm(fmt::format("removed{}", i))).certificate});
    RETURN_IF_ERROR(store.Put({.certificate = questions.back().certificate, .removed = true}));
  }
  RETURN_IF_ERROR(store.PutCrl(MakeTestCrl(authority, revoked, absl::Now(), absl::Now() + absl::Hours(24))));
  return questions;
}

// What the phones were told, and whether that was right.
class Tally {
 public:
  void Add(Kind kind, const absl::StatusOr<TvsAnswer>& answer) {
    const bool silent = !answer.ok() && absl::StrContains(answer.status().message(), "gave no answer");
    const std::lock_guard lock(mutex_);
    ++questions_;
    if (silent && kind == Kind::kUnknown) {
      ++silent_;
    } else if (!answer.ok()) {
      Wrong(kind, std::string(StatusMessage(answer.status())));
    } else if (answer->valid != (kind == Kind::kKnown)) {
      Wrong(kind, answer->valid ? "valid" : "invalid");
    } else if (kind == Kind::kUnknown && restarted_) {
      if (!back_) back_ = SteadyClock::now();
    }
  }
  void SetRestarted() {
    const std::lock_guard lock(mutex_);
    restarted_ = SteadyClock::now();
  }

  size_t questions() const {
    const std::lock_guard lock(mutex_);
    return questions_;
  }
  size_t silent() const { return silent_; }
  size_t wrong() const { return wrong_; }
  const std::string& first_wrong() const { return first_wrong_; }
  // From PostgreSQL's return to the first verdict on an unknown certificate.
  bool back() const {
    const std::lock_guard lock(mutex_);
    return back_.has_value();
  }
  double seconds_to_come_back() const { return std::chrono::duration<double>(*back_ - *restarted_).count(); }

 private:
  void Wrong(Kind kind, const std::string& told) {
    if (wrong_++ == 0) {
      first_wrong_ = fmt::format("question {}, about a certificate that is {}, got: {}", questions_,
                                 kKindNames[static_cast<size_t>(kind)], told);
    }
  }

  mutable std::mutex mutex_;
  size_t questions_ = 0;
  size_t silent_ = 0;
  size_t wrong_ = 0;
  std::string first_wrong_;
  std::optional<SteadyClock::time_point> restarted_;
  std::optional<SteadyClock::time_point> back_;
};

// Asks until all questions are asked and unknown certificates are answered again.
void AskAtPace(uint16_t port, const std::vector<Question>& questions, unsigned seed, Tally& tally) {
  TvsPhone phone({"127.0.0.1", port}, {.resume_sessions = true});
  std::mt19937 random(seed);
  SteadyClock::time_point due = SteadyClock::now();
  SteadyClock::time_point last = SteadyClock::time_point::max();
  while (SteadyClock::now() < last && (tally.questions() < kQuestions || !tally.back())) {
    if (tally.questions() >= kQuestions && last == SteadyClock::time_point::max())
      last = SteadyClock::now() + kPatience;
    std::this_thread::sleep_until(due += kInterval);
    const Question& question = questions[random() % questions.size()];
    const DistinguishedName& issuer = question.certificate.issuer();
    const bool query = random() % 4 == 0;
    tally.Add(question.kind, query ? phone.Query(PhoneNameText(question.certificate.subject()), PhoneNameText(issuer),
                                                 question.certificate.serial())
                                   : phone.Verify(question.certificate.der()));
  }
}

void WaitForQuestions(const Tally& tally, size_t count) {
  while (tally.questions() < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

absl::Status MeasureDatabaseKill(const BenchmarkSite& site, Report& report) {
  ASSIGN_OR_RETURN(const std::vector<Question> questions, PrepareTrustStore(site));
  ASSIGN_OR_RETURN(const auto node, site.StartNode({}));
  Tally tally;
  std::vector<std::thread> phones;
  for (unsigned i = 0; i < kPhones; ++i) {
    phones.emplace_back([&, i] { AskAtPace(node->tvs_port(), questions, i, tally); });
  }
  WaitForQuestions(tally, kKillAt);
  const absl::Status killed = site.database->Kill();
  WaitForQuestions(tally, kRestartAt);
  const absl::Status restarted = site.database->Restart();
  tally.SetRestarted();
  for (std::thread& phone : phones) phone.join();

  RETURN_IF_ERROR(killed);
  RETURN_IF_ERROR(restarted);
  report.Add({.measure = fmt::format("PostgreSQL killed during {} questions: wrong", tally.questions()),
              .figure = fmt::format("{} ({} silent)", tally.wrong(), tally.silent()),
              .wanted = "0",
              .met = tally.wrong() == 0});
  if (tally.wrong() > 0) return Internal("{} wrong answers; the first: {}", tally.wrong(), tally.first_wrong());
  if (!node->Running()) return Internal("tvsd has ended: {}", node->LogText());
  if (tally.silent() == 0) return Internal("no phone noticed that PostgreSQL was away");
  if (!tally.back()) return Internal("unknown certificates were not answered again within {} s", kPatience.count());
  report.Add({.measure = "unknown answered again after PostgreSQL's return",
              .figure = fmt::format("{:.2f} s", tally.seconds_to_come_back())});
  return node->Stop();
}

}  // namespace trustline
