// What the tests of plans share: a guarded cluster with phones, and an engine whose plans go on when the test says so.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "itl/plan/plan_engine.h"
#include "itl/plan/plan_orders.h"
#include "itl/preflight/guarded_lists_testing.h"
#include "itl/reset/reset_orders.h"

namespace trustline {

// node1 makes lists; phones 1 to 3 are in Berlin, from where the node tvs1 is asked.
class PlanTest : public GuardedListsTest {
 protected:
  void SetUp() override {
    GuardedListsTest::SetUp();
    AddServer("node1");
    AddNode("tvs1", tvs_);
    ASSERT_EQ(Outcome(), ListOutcome::kPublished);
    AddPhones(1, 3, "Berlin");
    SiteReaches("Berlin", "tvs1");
    ReportHolding(1, 3, CurrentFile());
    now_.Advance(absl::Minutes(1));
    MakeEngine();
  }

  // As after a restart, too.
  void MakeEngine() {
    engine_ = std::make_unique<PlanEngine>(
        PlanParts{.pool = *pool_,
                  .keys = *keys_,
                  .publisher = *publisher_,
                  .guard = *gate_,
                  .nodes =
                      [this](const std::string&, const Certificate& certificate, CertificateRole role) {
                        const std::lock_guard lock(mutex_);
                        asked_roles_[certificate.sha256()] = role;
                        return vouching_;
                      },
                  .hooks = hooks_,
                  .clock = now_},
        log_);
  }
  void Restart() {
    engine_.reset();
    publisher_.reset();
    keys_ = NewKeys();
    gate_ = std::make_unique<PreFlightGate>(memory_, keys_.get(), now_, log_, metrics_, nullptr);
    ListPublisherOptions options;
    options.guard = gate_.get();
    publisher_ = NewPublisher(*pool_, *keys_, options);
    MakeEngine();
  }

  std::string CurrentFile() { return FileOf(List(Of(ListKind::kItl, "node1"))); }
  TrustList Current() { return *DecodeTrustList(AsBytes(CurrentFile())); }

  static v1::MakePlanRequest Rollover(v1::PlanKind kind) {
    v1::MakePlanRequest request;
    request.set_kind(kind);
    request.set_reason("a test");
    return request;
  }
  // Without resets where there is no hook that could do them.
  absl::StatusOr<StoredPlan> Make(v1::MakePlanRequest request) {
    if (hooks_.Names().empty() && request.hook().empty()) request.set_without_resets(true);
    return MakePlan(*engine_, caller(), request);
  }
  absl::StatusOr<StoredPlan> Change(v1::ChangePlanRequest::Change change, std::optional<int64_t> accepted = {}) {
    v1::ChangePlanRequest request;
    request.set_change(change);
    request.set_reason("a test");
    if (accepted) request.set_accept_unproven(*accepted);
    return ChangePlan(*engine_, caller(), request);
  }
  absl::StatusOr<StoredPlan> Run() { return Change(v1::ChangePlanRequest::CHANGE_RUN); }
  absl::StatusOr<StoredPlan> Resume(std::optional<int64_t> accepted = {}) {
    return Change(v1::ChangePlanRequest::CHANGE_RESUME, accepted);
  }
  absl::StatusOr<StoredPlan> Abort() { return Change(v1::ChangePlanRequest::CHANGE_ABORT); }

  // The newest.
  StoredPlan Plan() {
    const auto plans =
        RunInTransaction(*itld_, {}, [](Connection& connection) { return PlanStore(connection, 1).List(true); });
    EXPECT_OK(plans);
    if (plans.ok() && !plans->empty()) return plans->front();
    ADD_FAILURE() << "no plan";
    return {};
  }
  // Until it waits, for a step or for an administrator.
  StoredPlan GoOn() {
    const int32_t number = Plan().number;
    for (int looks = 0; looks < 50; ++looks) {
      const absl::StatusOr<bool> moved = engine_->Advance(1, number);
      EXPECT_OK(moved);
      if (!moved.ok() || !*moved) return Plan();
    }
    ADD_FAILURE() << "the plan never waits";
    return Plan();
  }
  // "running at wait: ..."; "done".
  static std::string At(const StoredPlan& plan) {
    std::string text(PlanStateText(plan.state));
    const StoredStep* const current = plan.Current();
    return plan.ended_at || current == nullptr ? text : text + " at " + current->action;
  }
  static std::string Progress(const StoredPlan& plan) {
    const StoredStep* const current = plan.Current();
    return current == nullptr ? "" : current->progress;
  }
  static std::string States(const StoredPlan& plan) {
    std::string text;
    for (const StoredStep& step : plan.steps) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", step.action, StepStateText(step.state));
    }
    return text;
  }
  // All phones that are awake hold what is published now.
  void PhonesFollow(int first = 1, int count = 3) {
    now_.Advance(absl::Minutes(1));
    ReportHolding(first, count, CurrentFile());
    now_.Advance(absl::Minutes(1));
  }
  // "SAST old, SAST new, CCM+TFTP ...": the records of the ITL of node1, by the names that the test gave.
  std::vector<std::string> Sasts() {
    std::vector<std::string> names;
    for (const TrustListRecord& record : Current().records) {
      if (record.role() == CertificateRole::kSast) names.push_back(record.certificate->subject().ToText());
    }
    return names;
  }
  bool IsTrusted(const Certificate& certificate) {
    return Count(fmt::format("SELECT count(*) FROM trust_entry WHERE sha256 = '\\x{}' AND removed_at IS NULL",
                             ToHex(certificate.sha256()))
                     .c_str()) > 0;
  }

  const Certificate tvs_ = MakePhoneFacing("tvs1");
  std::map<Sha256Digest, CertificateRole> asked_roles_;  // with mutex_
  ResetHooks hooks_;
  std::unique_ptr<PlanEngine> engine_;
};

}  // namespace trustline
