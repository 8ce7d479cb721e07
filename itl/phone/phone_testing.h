// What the tests of the record of phones share: a database with TFTP servers, generations and devices, and reports.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "itl/itl_testing.h"
#include "itl/phone/claim_store.h"
#include "itl/phone/holding_store.h"
#include "itl/phone/phone_history.h"
#include "itl/phone/phone_messages.h"
#include "itl/phone/phone_reader.h"
#include "itl/phone/phone_upkeep.h"
#include "itl/phone/report_store.h"
#include "tests/support/fake_clock.h"

namespace trustline {

inline Sha1Digest Hash(uint8_t byte) {
  Sha1Digest digest;
  digest.fill(byte);
  return digest;
}

// node1 has generations 1 and 2 of the list 1, with hashes 0x11.. and 0x12..; node2 generation 1 of the list 2
// (0x21..).
class PhoneDatabaseTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    PoolOptions options;
    options.connection.conninfo = database_->Conninfo("trustline_itld");
    ASSERT_OK_AND_ASSIGN(pool_, Pool::Create(options));
    holdings_ = std::make_unique<HoldingStore>(*pool_);
    store_ = std::make_unique<ReportStore>(*pool_, *holdings_);
    RunByHand(
        "INSERT INTO trust_list_policy (cluster_id, tftp_role, recovery_years, organization, organizational_unit) "
        "VALUES "
        "(1, 2, 20, 'Example', 'Voice')");
    RunByHand(
        "INSERT INTO tftp_server (cluster_id, name, host, added_by) VALUES (1, 'node1', 'Node1.example', 'test'), (1, "
        "'node2', 'node2.example', 'test')");
    RunByHand(
        "INSERT INTO trust_list (cluster_id, kind, tftp_server, added_by) VALUES (1, 'ITL', 'node1', 'test'), (1, "
        "'ITL', "
        "'node2', 'test')");
    Publish(1, 1, 0x11);
    Publish(1, 2, 0x12);
    Publish(2, 1, 0x21);
  }

  void Publish(int64_t list_id, int64_t generation, uint8_t hash) {
    const std::string sha1 = ToHex(Hash(hash));
    RunByHand(fmt::format(
        "INSERT INTO trust_list_generation (cluster_id, list_id, generation, file, sha1, md5, sha256, content_sha256, "
        "signer_sha256, digest, signer_version, records, reason, published_by) VALUES (1, {}, {}, '', '\\x{}', "
        "decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), "
        "decode(repeat('00', 32), 'hex'), 1, 0, 4, 'test', 'test')",
        list_id, generation, sha1));
    RunByHand(fmt::format("UPDATE trust_list SET generation = {} WHERE list_id = {}", generation, list_id));
  }

  void AddDevices(int from, int count, const std::string& model = "8841", const std::string& site = "Berlin") {
    RunByHand(
        fmt::format("INSERT INTO device (cluster_id, name, model, site, added_by) SELECT 1, 'SEP' || "
                    "upper(lpad(to_hex(n), 12, '0')), "
                    "'{}', '{}', 'test' FROM generate_series({}, {}) AS n",
                    model, site, from, from + count - 1));
  }
  static std::string Device(int number) { return fmt::format("SEP{:012X}", number); }

  PhoneReport Report(int device, uint8_t hash, const std::string& server = "node1", int second = 0) const {
    PhoneReport report{.device = Device(device),
                       .at = kStart + absl::Seconds(second),
                       .itl_server = server,
                       .address = "192.0.2.100",
                       .user_agent = "Cisco-CP8841/12.8",
                       .basis = EvidenceBasis::kForwarder,
                       .source = "192.0.2.9"};
    report.itl = {.state = ListSignature::State::kHash, .sha1 = Hash(hash)};
    return report;
  }
  PhoneReport ClaimOf(int device, const std::string& source, int second = 0) const {
    PhoneReport report = Report(device, 0x12, "node1", second);
    report.basis = EvidenceBasis::kNone;
    report.source = source;
    return report;
  }

  // "Match 2/2": what the mismatch report says of a phone, with the generation held and expected.
  std::string Said(int device) {
    const HoldingViews views = *HoldingViews::Read(*itld_, 1);
    const absl::StatusOr<PhoneRow> phone = PhoneReader(*itld_, 1, views).Find(Device(device));
    if (!phone.ok()) return phone.status().ToString();
    const HoldingView& view = views.Get(phone->state.holding_id);
    return fmt::format("{} {}/{}", PhoneStatusText(view.status), view.holding.generation, view.expected_generation);
  }
  std::vector<std::string> Names(const PhoneFilter& filter, const std::string& after = "", int64_t limit = 1000) {
    const HoldingViews views = *HoldingViews::Read(*itld_, 1);
    std::vector<std::string> names;
    const auto phones = PhoneReader(*itld_, 1, views).List(filter, after, limit);
    EXPECT_OK(phones);
    for (const PhoneRow& phone : *phones) names.push_back(phone.state.device);
    return names;
  }
  // "Match 3, Unknown 2".
  std::string Summary(const std::string& model = "", const std::string& site = "") {
    const HoldingViews views = *HoldingViews::Read(*itld_, 1);
    std::map<PhoneStatus, int64_t> totals;
    const std::map<int64_t, int64_t> counts = *PhoneReader(*itld_, 1, views).Count(model, site);
    for (const auto& [holding_id, phones] : counts) {
      totals[views.Get(holding_id).status] += phones;
    }
    std::string text;
    for (const auto& [status, phones] : totals) {
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", PhoneStatusText(status), phones);
    }
    return text;
  }

  static inline const absl::Time kStart = absl::FromUnixSeconds(1'795'000'000);
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<HoldingStore> holdings_;
  std::unique_ptr<ReportStore> store_;
};

}  // namespace trustline
