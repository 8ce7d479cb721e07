// What the tests of this folder share: a database with cad's and the superuser's connection, and issued certificates.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ca/device/device_registry.h"
#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "gtest/gtest.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {

inline constexpr char kOperator[] = "trustline:default/person/operator";

inline DeviceName Named(std::string_view text) { return *DeviceName::Parse(text); }

class DeviceDatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    ASSERT_OK_AND_ASSIGN(Connection cad, database_->Connect("trustline_cad"));
    cad_.emplace(std::move(cad));
    ASSERT_OK_AND_ASSIGN(Connection superuser, database_->Connect());
    superuser_.emplace(std::move(superuser));
    RunByHand(
        "INSERT INTO cluster (name) VALUES ('branch'); "
        "INSERT INTO ca_authority (cluster_id, state, key_name, public_key, public_key_sha256, subject, certificate, "
        "created_by) VALUES (1, 'active', '00', 'RSA 2048', decode(repeat('00', 32), 'hex'), 'CN=CAPF', '\\x30', "
        "'test')");
  }

  static AuthorityCaller caller() { return {1, "default", kOperator}; }

  // The body's calls in a transaction of their own, committed when it succeeds.
  template <typename Body>
  auto With(Body body) {
    return WithOn(*cad_, body);
  }
  template <typename Body>
  static auto WithOn(Connection& on, Body body) {
    return RunInTransaction(on, {}, [&](Connection& connection) {
      DeviceRegistry registry(connection, caller());
      return body(registry);
    });
  }

  // A certificate (or, in the state "intent", a request) of the device with `hours` left.
  void Issue(std::string_view device, std::string_view state, int hours = 24) {
    const bool is_signed = state != "intent" && state != "abandoned";
    RunByHand(fmt::format(
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by, revoked_at, abandoned_at) SELECT 1, authority_id, '{}', '', '{}', "
        "decode('40000000000000{:02x}', 'hex'), "
        "'CN={}', 'RSA 2048', decode(repeat('11', 32), 'hex'), '\\x30', now() - interval '100 hours', "
        "now() + interval '{} hours', '', '\\x30', {}, {}, 'test', {}, {} FROM ca_authority",
        device, state, ++serial_, device, hours, is_signed ? "'\\x30'" : "NULL",
        is_signed ? "decode(repeat('22', 32), 'hex')" : "NULL", state == "revoked" ? "now()" : "NULL",
        state == "abandoned" ? "now()" : "NULL"));
  }

  // As superuser; the first column of the first row.
  int64_t Count(const std::string& sql) {
    const absl::StatusOr<Result> result = superuser_->Execute(sql.c_str());
    EXPECT_OK(result);
    return result.ok() ? result->Value<int64_t>().value_or(-1) : -1;
  }
  std::string Text(const std::string& sql) {
    const absl::StatusOr<Result> result = superuser_->Execute(sql.c_str());
    EXPECT_OK(result);
    return result.ok() ? result->Value<std::string>().value_or("") : "";
  }
  void RunByHand(const std::string& sql) { EXPECT_OK(superuser_->ExecuteScript(sql)); }
  // "device.add SEP..., ..." in the order of recording.
  std::string Audited() {
    return Text(
        "SELECT coalesce(string_agg(action || ' ' || subject, ', ' ORDER BY event_id), '') FROM audit_event "
        "WHERE outcome = 'done'");
  }
  std::string AuditDetail(std::string_view action) {
    return Text(fmt::format("SELECT detail FROM audit_event WHERE action = '{}'", action));
  }
  std::string StatesOf(std::string_view device) {
    return Text(
        fmt::format("SELECT coalesce(string_agg(state, ' ' ORDER BY issuance_id), '') FROM issuance "
                    "WHERE device = '{}'",
                    device));
  }

  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> cad_;  // role trustline_cad
  std::optional<Connection> superuser_;
  int serial_ = 0;
};

}  // namespace trustline
