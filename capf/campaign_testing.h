// What the tests of campaigns share: a database with capfd's and the superuser's connection, devices with certificates.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "capf/campaign_store.h"
#include "common/postgres/pool.h"
#include "common/postgres/transaction.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {

inline const char kOperator[] = "trustline:default/person/operator";
inline constexpr absl::Duration kDay = absl::Hours(24);

// "SEP000000000001"
inline std::string Phone(int number) { return fmt::format("SEP{:012X}", number); }

class CampaignTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
    pool_ = MakePool();
    authority_ = AddAuthority("active");
  }

  std::unique_ptr<Pool> MakePool() {
    PoolOptions options;
    options.connection.conninfo = database_->Conninfo("trustline_capfd");
    auto pool = Pool::Create(options);
    EXPECT_OK(pool);
    return pool.ok() ? *std::move(pool) : nullptr;
  }

  int32_t AddAuthority(std::string_view state, int32_t cluster_id = 1) {
    const std::string number = fmt::format("{:02x}", ++authorities_);
    return static_cast<int32_t>(Count(fmt::format(
        "INSERT INTO ca_authority (cluster_id, state, key_name, public_key, public_key_sha256, subject, certificate, "
        "created_by) VALUES ({}, '{}', '{}', 'RSA 2048', decode(repeat('{}', 32), 'hex'), 'CN=LSC', '\\x30', 'test') "
        "RETURNING authority_id",
        cluster_id, state, number, number)));
  }
  void AddDevice(std::string_view device, int32_t cluster_id = 1) {
    RunByHand(
        fmt::format("INSERT INTO device (cluster_id, name, added_by) VALUES ({}, '{}', 'test') ON CONFLICT DO NOTHING",
                    cluster_id, device));
  }
  // A certificate that ends so long after now, of a device that is added with it.
  void AddCertificate(std::string_view device, absl::Duration left, int32_t authority = 0,
                      std::string_view state = "confirmed", int32_t cluster_id = 1) {
    AddDevice(device, cluster_id);
    const bool has_certificate = state != "intent" && state != "abandoned";
    RunByHand(fmt::format(
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by, abandoned_at, revoked_at) VALUES ({}, {}, '{}', '', '{}', decode('40{:014x}', 'hex'), 'CN={}', "
        "'RSA 2048', decode(repeat('00', 32), 'hex'), '', '2020-01-01Z', '{}', '', '', {}, {}, 'test', {}, {})",
        cluster_id, authority == 0 ? authority_ : authority, device, state, ++certificates_, device,
        TimeText(clock_.Now() + left), has_certificate ? "'\\x30'" : "NULL",
        has_certificate ? "decode(repeat('00', 32), 'hex')" : "NULL", state == "abandoned" ? "now()" : "NULL",
        state == "revoked" ? "now()" : "NULL"));
  }
  // Phones from the number `first` on, each with a certificate that ends an hour after the one of the phone before.
  void AddPhones(int count, int first = 1) {
    for (int i = 0; i < count; ++i) AddCertificate(Phone(first + i), kDay + i * absl::Hours(1));
  }
  // The phones 1 to `count`, each with a certificate that ends a minute after the one of the phone before.
  void AddManyPhones(int count) {
    RunByHand(fmt::format(
        "SET session_replication_role = replica; "  // the references are right
        "INSERT INTO device (cluster_id, name, added_by) SELECT 1, 'SEP' || upper(lpad(to_hex(n), 12, '0')), 'test' "
        "FROM generate_series(1, {0}) n; "
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by) SELECT 1, {1}, 'SEP' || upper(lpad(to_hex(n), 12, '0')), '', 'confirmed', "
        "decode('40' || lpad(to_hex(n), 14, '0'), 'hex'), 'CN=' || n, 'RSA 2048', sha256(n::text::bytea), '', "
        "'2020-01-01Z', '{2}'::timestamptz + n * interval '1 minute', '', '', '\\x30', sha256(n::text::bytea), 'test' "
        "FROM generate_series(1, {0}) n; "
        "SET session_replication_role = origin",
        count, authority_, TimeText(clock_.Now())));
  }

  // A campaign of everything that ends within 30 days, and that nothing stops.
  static CampaignOrder Order(int32_t wave_size) {
    return {.expires_within = 30 * kDay, .wave_size = wave_size, .stop_at_failures = 0};
  }
  // What `body(CampaignStore&)` returns, in a committed transaction of capfd.
  template <typename Body>
  auto InStore(Body&& body, int32_t cluster_id = 1) {
    return RunInTransaction(*pool_, {}, [&](Connection& connection) {
      CampaignStore store(connection, cluster_id);
      return body(store);
    });
  }
  absl::StatusOr<CampaignRecord> Create(const CampaignOrder& order, int32_t cluster_id = 1) {
    return InStore([&](CampaignStore& store) { return store.Create(order, kOperator, clock_.Now()); }, cluster_id);
  }
  absl::StatusOr<CampaignRecord> Start(int32_t id) {
    return InStore([&](CampaignStore& store) { return store.Start(id, kOperator, clock_.Now()); });
  }
  absl::StatusOr<CampaignRecord> Pause(int32_t id) {
    return InStore([&](CampaignStore& store) { return store.Pause(id, kOperator, clock_.Now()); });
  }
  // A campaign that runs; 0 when something is wrong.
  int32_t CreateAndStart(const CampaignOrder& order) {
    const auto created = Create(order);
    EXPECT_OK(created);
    if (!created.ok()) return 0;
    EXPECT_OK(Start(created->id));
    return created->id;
  }
  CampaignRecord Load(int32_t id) {
    const auto campaign = InStore([&](CampaignStore& store) { return store.Load(id); });
    EXPECT_OK(campaign);
    return campaign.value_or(CampaignRecord());
  }
  int64_t Remaining(int32_t id) {
    const auto remaining = InStore([&](CampaignStore& store) -> absl::StatusOr<int64_t> {
      ASSIGN_OR_RETURN(const CampaignRecord campaign, store.Load(id));
      return store.CountRemaining(campaign, clock_.Now());
    });
    EXPECT_OK(remaining);
    return remaining.value_or(-1);
  }

  // An operation that no campaign scheduled.
  void AddOperation(std::string_view device, std::string_view state) {
    const bool is_open = state == "pending";
    RunByHand(fmt::format(
        "INSERT INTO capf_operation (cluster_id, device, operation, state, authentication, key_order, rsa_bits, curve, "
        "deadline, scheduled_by, ended_at) VALUES (1, '{}', 'fetch', '{}', 'null', 'rsa', 2048, 'secp256r1', now(), "
        "'test', {})",
        device, state, is_open ? "NULL" : "now()"));
  }
  // What becomes of a device's open operation.
  void End(std::string_view device, std::string_view state) {
    RunByHand(
        fmt::format("UPDATE capf_operation SET state = '{}', ended_at = now() WHERE device = '{}' AND ended_at IS NULL",
                    state, device));
  }
  // Of the first `count` open operations.
  void EndSome(int count, std::string_view state) {
    RunByHand(
        fmt::format("UPDATE capf_operation SET state = '{}', ended_at = now() WHERE operation_id IN (SELECT "
                    "operation_id FROM capf_operation WHERE ended_at IS NULL ORDER BY operation_id LIMIT {})",
                    state, count));
  }
  // "SEP000000000001 SEP000000000002", in the order of the names.
  std::string Wave(int32_t campaign, int32_t wave) {
    return Text(
        fmt::format("SELECT coalesce(string_agg(device, ' ' ORDER BY device), '') FROM capf_operation WHERE "
                    "campaign_id = {} AND wave = {}",
                    campaign, wave));
  }
  // "action outcome actor: detail" of the audit rows whose action begins so.
  std::vector<std::string> Audit(std::string_view action) {
    std::vector<std::string> rows;
    const auto result = superuser_->Execute(
        fmt::format("SELECT action || ' ' || outcome || ' ' || actor || ' ' || subject || ': ' || detail FROM "
                    "audit_event WHERE action LIKE '{}%' ORDER BY event_id",
                    action)
            .c_str());
    EXPECT_OK(result);
    if (!result.ok()) return rows;
    for (const Row row : *result) EXPECT_OK(row.Scan(rows.emplace_back()));
    return rows;
  }

  // As superuser; the first column of the first row.
  int64_t Count(const std::string& sql) {
    const auto result = superuser_->Execute(sql.c_str());
    EXPECT_OK(result);
    return result.ok() ? result->Value<int64_t>().value_or(-1) : -1;
  }
  std::string Text(const std::string& sql) {
    const auto result = superuser_->Execute(sql.c_str());
    EXPECT_OK(result);
    return result.ok() ? result->Value<std::string>().value_or("") : "";
  }
  void RunByHand(const std::string& sql) { ASSERT_OK(superuser_->ExecuteScript(sql)); }

  // Monday noon, and the certificates of every test lie around it.
  FakeClock clock_{absl::FromCivil(absl::CivilHour(2026, 3, 2, 12), absl::UTCTimeZone())};
  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> superuser_;
  std::unique_ptr<Pool> pool_;
  int32_t authority_ = 0;
  int authorities_ = 0;
  int certificates_ = 0;
};

}  // namespace trustline
