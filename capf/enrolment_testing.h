// What the tests of enrolment share: a database with capfd's and the superuser's connection, and a clock.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/clock.h"
#include "capf/operation_store.h"
#include "common/postgres/pool.h"
#include "common/postgres/transaction.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {

inline constexpr char kEnrolmentOperator[] = "trustline:default/person/operator";
inline constexpr char kEnrolmentActor[] = "trustline:default/capfd/node1";
inline constexpr char kEnrolmentPhone[] = "SEP001122334455";
inline constexpr char kOtherEnrolmentPhone[] = "SEP001122334466";

class EnrolmentDatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
    PoolOptions options;
    options.connection.conninfo = database_->Conninfo("trustline_capfd");
    options.max_connections = 8;
    options.acquire_timeout = absl::Seconds(30);
    ASSERT_OK_AND_ASSIGN(pool_, Pool::Create(options));
    RunByHand(
        "INSERT INTO device (cluster_id, name, added_by) VALUES (1, 'SEP001122334455', 'test'), "
        "(1, 'SEP001122334466', 'test')");
  }

  // A certificate on record, as cad would have written it.
  void AddCertificate(std::string_view device, std::string_view state = "confirmed",
                      std::string_view not_after = "2100-01-01") {
    RunByHand(
        "INSERT INTO ca_authority (cluster_id, state, key_name, public_key, public_key_sha256, subject, certificate, "
        "created_by) SELECT 1, 'active', 'k', 'EC', sha256('k'), 'CN=CA', '\\x00', 'test' "
        "WHERE NOT EXISTS (SELECT FROM ca_authority)");
    RunByHand(fmt::format(
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by, signed_at, revoked_at, revocation_reason) SELECT 1, authority_id, '{0}', '', '{1}', "
        "decode(md5(random()::text), 'hex'), 'CN={0}', 'EC', sha256('{0}'), '\\x00', '2020-01-01', '{2}', '', '\\x00', "
        "'\\x00', sha256('{0}'), 'test', now(), CASE WHEN '{1}' = 'revoked' THEN now() END, "
        "CASE WHEN '{1}' = 'revoked' THEN 5 END FROM ca_authority",
        device, state, not_after));
  }

  // In a transaction of capfd.
  absl::StatusOr<std::vector<ScheduledOperation>> Schedule(const OperationOrder& order,
                                                           const std::vector<OrderedDevice>& devices) {
    return RunInTransaction(*pool_, {}, [&](Connection& connection) {
      return OperationStore(connection, 1).Schedule(order, devices, clock_.Now());
    });
  }
  OperationOrder Order(EnrolmentAuthentication authentication = EnrolmentAuthentication::kNull,
                       CapfOperation operation = CapfOperation::kInstall) const {
    return {.operation = operation,
            .authentication = authentication,
            .deadline = clock_.Now() + absl::Hours(240),
            .scheduled_by = kEnrolmentOperator};
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

  FakeClock clock_{absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()))};
  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> superuser_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace trustline
