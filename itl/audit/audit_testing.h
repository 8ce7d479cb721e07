// What the tests of the audit chain share: a log that is filled, sealed, recorded and verified.
#pragma once

#include <fmt/format.h>

#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include "absl/time/clock.h"
#include "common/rpc/identity_authority.h"
#include "common/service/audit.h"
#include "itl/audit/seal_file.h"
#include "itl/audit/sealer.h"
#include "itl/audit/verifier.h"
#include "itl/itl_testing.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

class AuditTest : public ItlDatabaseTest {
 protected:
  void Append(int count, std::string_view subject = "s") {
    for (int i = 0; i < count; ++i) {
      ASSERT_OK(AppendAudit(*itld_, {.cluster_id = 1,
                                     .actor = kTestActor,
                                     .action = i % 2 == 0 ? "trust.add" : "trust.remove",
                                     .subject = fmt::format("{}{}", subject, i),
                                     .detail = {{"n", fmt::format("{}", i)}}}));
    }
  }
  void SealAll() {
    while (true) {
      ASSERT_OK_AND_ASSIGN(const int64_t sealed, SealBatch(*itld_));
      if (sealed == 0) return;
    }
  }
  // Writes the end of the chain to the seal file, as the sealer does each minute.
  void Record() {
    ASSERT_OK_AND_ASSIGN(SealFile file, SealFile::Open(seal_file_));
    ASSERT_OK_AND_ASSIGN(const Seal last, LastSeal(*itld_));
    ASSERT_OK(file.Append(last, kTestNow));
  }
  AuditVerification Verify() {
    const auto report =
        VerifyAuditChain(*itld_, seal_file_, authority_.certificate(), [](int64_t) { return absl::OkStatus(); });
    EXPECT_OK(report);
    return report.value_or(AuditVerification{});
  }
  std::unique_ptr<AuditSealer> MakeSealer(const std::string& seal_file,
                                          absl::Duration record_interval = absl::Milliseconds(50)) {
    return std::make_unique<AuditSealer>(AuditSealerOptions{.connection = database_->Conninfo("trustline_itld"),
                                                            .seal_file = seal_file,
                                                            .authority = authority_.certificate(),
                                                            .poll_interval = absl::Milliseconds(20),
                                                            .record_interval = record_interval},
                                         clock_, log_, metrics_);
  }
  // Asks until `condition` holds; false when it does not within ten seconds.
  static bool Eventually(const std::function<bool()>& condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (!condition()) {
      if (absl::Now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
  bool AllSealed() {
    ScopedConnection connection(*database_);
    return connection.Count("SELECT count(*) FROM audit_unsealed") == 0;
  }
  static std::string ReadFile(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  // A connection of the moment, because the database is killed in between.
  class ScopedConnection {
   public:
    explicit ScopedConnection(const ScratchDatabase& database) : connection_(database.Connect()) {}
    int64_t Count(const char* sql) {
      if (!connection_.ok()) return -1;
      const auto result = connection_->Execute(sql);
      return result.ok() ? result->Value<int64_t>().value_or(-1) : -1;
    }

   private:
    absl::StatusOr<Connection> connection_;
  };

  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  const TemporaryDirectory directory_;
  const std::string seal_file_ = directory_.path() / "audit-seals";
  SystemClock clock_;
  Log log_{LogOptions{.sink = [](std::string_view) {}}};
  Metrics metrics_{"itld"};
};

}  // namespace trustline
