// Phones that move from the cluster "default" to another one, "berlin", of this system or of another.
#pragma once

#include <memory>
#include <string>

#include "common/bytes/checksums.h"
#include "itl/move/cluster_trust_store.h"
#include "itl/plan/plan_testing.h"

namespace trustline {

class MigrationTest : public PlanTest {
 protected:
  void SetUp() override {
    PlanTest::SetUp();
    RunByHand("INSERT INTO cluster (name) VALUES ('berlin')");
    there_ = static_cast<int32_t>(Count("SELECT cluster_id FROM cluster WHERE name = 'berlin'"));
    GrantThere();
    publisher_there_ = std::make_unique<ListPublisher>(
        ListPublisherOptions(), *pool_, *keys_,
        [](const std::string&, const Certificate&, const std::vector<std::string>&) { return absl::OkStatus(); },
        "trustline:default/itld/node1", now_, log_, metrics_);
    AddServerThere("tftpb");
    ASSERT_OK(PublishThere());
    AddDevicesThere(1, 6);
    before_ = Trusted(1);
    before_there_ = Trusted(there_);
  }

  void GrantThere() {
    RunByHand(
        fmt::format("INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES ({}, 'admin', "
                    "'administrator', 'test')",
                    there_));
  }
  TrustStoreCaller CallerThere() const { return {there_, "berlin", kTestActor}; }
  void AddServerThere(const std::string& name) {
    ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) -> absl::Status {
      const TrustStoreCaller actor = CallerThere();
      ListStore store(connection, there_);
      RETURN_IF_ERROR(store.CreatePolicy(TestListPolicy()).status());
      RETURN_IF_ERROR(store.AddServer(name, name + ".example", kTestActor).status());
      ListSigners signers(connection, actor, *keys_, now_.Now());
      RETURN_IF_ERROR(signers.MakeRecovery(TestListPolicy(), "first").status());
      RETURN_IF_ERROR(signers.MakeCallManager(TestListPolicy(), name, name + ".example", "new").status());
      return store.PutList({.kind = ListKind::kItl, .tftp_server = name, .device = ""}, kTestActor);
    }));
  }
  absl::Status PublishThere() { return publisher_there_->Publish(there_, "berlin", Approved()).status(); }
  ClusterTrust TrustOf(int32_t cluster_id, const std::string& name) {
    const auto trust = RunInTransaction(
        *itld_, {}, [&](Connection& connection) { return ReadClusterTrust(connection, cluster_id, name); });
    EXPECT_OK(trust);
    return trust.ok() ? *trust : ClusterTrust();
  }
  std::string ExportThere() { return EncodeClusterTrust(TrustOf(there_, "berlin")); }
  // The live entries: "sha role".
  std::string Trusted(int32_t cluster_id) {
    return Text(fmt::format("SELECT coalesce(string_agg(encode(sha256, 'hex') || ' ' || role || ' ' || listed, ',' "
                            "ORDER BY sha256, role), '') FROM trust_entry WHERE cluster_id = {} AND removed_at IS NULL",
                            cluster_id)
                    .c_str());
  }

  static v1::MakePlanRequest Migrate(const std::string& to_cluster) {
    v1::MakePlanRequest request;
    request.set_kind(v1::PLAN_KIND_MIGRATE);
    request.set_to_cluster(to_cluster);
    request.set_reason("a test");
    return request;
  }
  static v1::MakePlanRequest MigrateBy(const std::string& file) {
    v1::MakePlanRequest request = Migrate("");
    request.set_export_file(file);
    return request;
  }
  // Phones of a site from which no TVS was ever asked.
  void AddPhonesWithoutTvs(int first, int count) {
    AddPhones(first, count, "Bremen");
    ReportHolding(first, count, CurrentFile());
    now_.Advance(absl::Minutes(1));
  }
  // They say so here: what their list is, and of which server.
  void ArriveByReport(int first, int count) {
    now_.Advance(absl::Minutes(1));
    ReportHolding(first, count, TrustOf(there_, "berlin").servers.front().itl, "tftpb");
    now_.Advance(absl::Minutes(1));
  }
  void AddDevicesThere(int first, int count) {
    RunByHand(fmt::format(
        "INSERT INTO device (cluster_id, name, model, site, added_by) SELECT {}, 'SEP' || "
        "lpad(upper(to_hex(n)), 12, '0'), '8841', '', 'test' FROM generate_series({}, {}) AS n ON CONFLICT DO NOTHING",
        there_, first, first + count - 1));
  }
  // They say so there, as devices of that cluster.
  void ArriveThere(int first, int count) {
    now_.Advance(absl::Minutes(1));
    const std::string file = TrustOf(there_, "berlin").servers.front().itl;
    StoreReports(there_, first, count, [&](PhoneReport& report) {
      report.itl_server = "tftpb";
      report.itl = {.state = ListSignature::State::kHash, .sha1 = Sha1(AsBytes(file))};
    });
    now_.Advance(absl::Minutes(1));
  }
  void AddLsc(int number, const std::string& state = "confirmed") {
    RunByHand(
        "INSERT INTO ca_authority (cluster_id, state, key_name, public_key, public_key_sha256, subject, certificate, "
        "created_by) SELECT 1, 'retired', 'k', 'RSA 2048', sha256('k'), 'CN=ca', '\\x00', 'test' WHERE NOT EXISTS "
        "(SELECT FROM ca_authority)");
    RunByHand(fmt::format(
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by) SELECT 1, authority_id, '{0}', '', '{1}', substr(sha256('{0}'), 1, 16), 'CN={0}', 'RSA 2048', "
        "sha256('{0}'), '\\x00', '{2}', '{3}', '', '\\x00', '\\x00', sha256('{0}'), 'test' FROM ca_authority",
        Device(number), state, "2020-01-01",
        absl::FormatTime("%Y-%m-%d", now_.Now() + absl::Hours(24 * 30), absl::UTCTimeZone())));
  }

  int32_t there_ = 0;
  std::unique_ptr<ListPublisher> publisher_there_;
  std::string before_, before_there_;
};

}  // namespace trustline
