// What the tests of the pre-flight share: a cluster whose lists are guarded, and phones that have reported.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "itl/list/list_testing.h"
#include "itl/phone/holding_store.h"
#include "itl/phone/report_store.h"
#include "itl/preflight/list_memory.h"
#include "itl/preflight/preflight_gate.h"

namespace trustline {

class GuardedListsTest : public ListDatabaseTest {
 protected:
  void SetUp() override {
    ListDatabaseTest::SetUp();
    audit_ = std::make_unique<AuditQueue>(
        AuditQueueOptions{.connection = database_->Conninfo("trustline_itld"), .application_name = "test"}, now_, log_,
        metrics_);
    gate_ = std::make_unique<PreFlightGate>(memory_, keys_.get(), now_, log_, metrics_, audit_.get());
    ListPublisherOptions options;
    options.guard = gate_.get();
    publisher_ = NewPublisher(*pool_, *keys_, options);
    holdings_ = std::make_unique<HoldingStore>(*pool_);
    reports_ = std::make_unique<ReportStore>(*pool_, *holdings_);
  }

  static std::string Device(int number) { return fmt::format("SEP{:012X}", number); }

  // Phones first to first + count - 1, of a site.
  void AddPhones(int first, int count, const std::string& site = "") {
    RunByHand(
        fmt::format("INSERT INTO device (cluster_id, name, model, site, added_by) SELECT 1, 'SEP' || "
                    "lpad(upper(to_hex(n)), 12, '0'), "
                    "'8841', '{}', 'test' FROM generate_series({}, {}) AS n",
                    site, first, first + count - 1));
  }

  // A report of each of them, which a forwarder passes on at the clock's time; `fill` says what.
  void StoreReports(int32_t cluster_id, int first, int count, const std::function<void(PhoneReport&)>& fill) {
    std::vector<PhoneReport> reports;
    for (int i = first; i < first + count; ++i) {
      PhoneReport& report = reports.emplace_back();
      report.device = Device(i);
      report.at = now_.Now();
      report.basis = EvidenceBasis::kForwarder;
      report.source = "192.0.2.1";
      fill(report);
    }
    ASSERT_OK(reports_->Store(cluster_id, reports));
  }

  // They say, at the clock's time, that they hold this list of their server; without one: none.
  void ReportHolding(int first, int count, const std::string& file, const std::string& server = "node1") {
    StoreReports(1, first, count, [&](PhoneReport& report) {
      report.itl_server = server;
      report.itl = {.state = ListSignature::State::kNotInstalled};
      if (!file.empty()) report.itl = {.state = ListSignature::State::kHash, .sha1 = Sha1(AsBytes(file))};
    });
  }

  // A TVS node that presents a certificate, which phones know by their lists.
  void AddNode(const std::string& name, const Certificate& certificate) {
    AddListed(certificate);
    RunByHand(fmt::format(
        "INSERT INTO node (name, identity, tvs_sha256, identity_expires_at, approved_at, approved_by) VALUES ('{0}', "
        "'trustline:default/tvsd/{0}', '\\x{1}', now() + interval '90 days', now(), 'test')",
        name, ToHex(certificate.sha256())));
  }
  void SiteReaches(const std::string& site, const std::string& node) {
    RunByHand(
        fmt::format("INSERT INTO tvs_reach (cluster_id, site, device, node, last_at) VALUES (1, '{}', '', '{}', '{}')",
                    site, node, absl::FormatTime("%Y-%m-%d %H:%M:%S+00", now_.Now(), absl::UTCTimeZone())));
  }

  // Another ITLRecovery key, as `trustctl itl recovery regenerate` does it.
  absl::Status ReplaceRecovery(const Caution& caution = {}, v1::PreFlight* report = nullptr) {
    return Guarded("itl.recovery.regenerate", caution, report, [&](Connection& connection) {
      const TrustStoreCaller actor = caller();
      return ListSigners(connection, actor, *keys_, now_.Now()).MakeRecovery(TestListPolicy(), "a test").status();
    });
  }
  absl::Status RemoveTrust(const Certificate& certificate, const Caution& caution = {},
                           v1::PreFlight* report = nullptr) {
    return Guarded("trust.remove", caution, report, [&](Connection& connection) {
      return TrustEditor(connection, caller()).Remove(PrefixOf(certificate.sha256())).status();
    });
  }
  absl::Status Guarded(const char* action, const Caution& caution, v1::PreFlight* report,
                       const std::function<absl::Status(Connection&)>& body) {
    return RunGuarded(*pool_, gate_.get(),
                      {.cluster_id = 1,
                       .actor = kTestActor,
                       .action = action,
                       .subject = "a test",
                       .caution = caution,
                       .report = report},
                      body);
  }
  static int64_t CountOf(const v1::PreFlight& report, v1::PhoneVerdict verdict) {
    int64_t phones = 0;
    for (const auto& count : report.counts()) {
      if (count.verdict() == verdict) phones += count.phones();
    }
    return phones;
  }

  ListMemory memory_;
  std::unique_ptr<AuditQueue> audit_;
  std::unique_ptr<PreFlightGate> gate_;
  std::unique_ptr<HoldingStore> holdings_;
  std::unique_ptr<ReportStore> reports_;
};

}  // namespace trustline
