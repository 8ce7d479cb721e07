// What migration 0018 makes of a database that served phones before it.
#include <filesystem>

#include "common/postgres/migration.h"
#include "gtest/gtest.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;

class ListedEntriesMigrationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::CreateEmpty());
    Apply("0017");
  }
  // All migrations up to the one whose name begins so.
  void Apply(const std::string& last) {
    for (const auto& entry : fs::directory_iterator(fs::path(TRUSTLINE_SOURCE_DIR) / "migrations")) {
      const std::string name = entry.path().filename();
      if (name.substr(0, last.size()) > last) continue;
      fs::copy_file(entry.path(), directory_.path() / name, fs::copy_options::overwrite_existing);
    }
    ASSERT_OK_AND_ASSIGN(const Migrator migrator, Migrator::Create(directory_.path()));
    ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
    ASSERT_OK(migrator.Apply(connection, "1.2.3", [](std::string_view) {}));
  }
  void RunByHand(const std::string& sql) {
    ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect());
    EXPECT_OK(connection.ExecuteScript(sql));
  }
  absl::StatusOr<std::string> Text(const char* sql) {
    ASSIGN_OR_RETURN(Connection connection, database_->Connect());
    ASSIGN_OR_RETURN(const Result result, connection.Execute(sql));
    return result.Value<std::string>();
  }
  // A certificate whose SHA-256 begins with the two digits, trusted so.
  static std::string Trusted(const std::string& digits, int role, const std::string& origin, bool removed = false) {
    return "INSERT INTO certificate (sha256, der, subject, issuer, subject_key, issuer_key, serial, not_before, "
           "not_after, is_ca, public_key) SELECT h, h, 'CN=' , 'CN=', h, h, h, now(), now(), false, 'RSA 2048' FROM "
           "(SELECT decode(repeat('" +
           digits +
           "', 32), 'hex') AS h) AS x ON CONFLICT DO NOTHING; INSERT INTO trust_entry (cluster_id, sha256, role, "
           "ttl_seconds, anchor, origin, added_by, removed_at, commit_number) VALUES (1, decode(repeat('" +
           digits + "', 32), 'hex'), " + std::to_string(role) + ", 60, " + (role < 0 ? "true" : "false") + ", '" +
           origin + "', 'test', " + (removed ? "now()" : "NULL") + ", 1);";
  }
  static std::string Node(const std::string& name, const std::string& digits, bool removed) {
    return "INSERT INTO node (name, identity, tvs_sha256, identity_expires_at, removed_at) VALUES ('" + name + "', '" +
           name + "', decode(repeat('" + digits + "', 32), 'hex'), now(), " + (removed ? "now()" : "NULL") + ");";
  }

  TemporaryDirectory directory_;
  std::unique_ptr<ScratchDatabase> database_;
};

TEST_F(ListedEntriesMigrationTest, WhatServesPhonesIsListedAndApproved) {
  RunByHand(Trusted("11", 4, "import") + Trusted("12", 4, "import", true) + Trusted("21", 21, "node") +
            Trusted("21", 3, "import") + Trusted("22", 21, "node", true) + Trusted("23", 21, "import") +
            Trusted("31", 7, "import") + Trusted("41", -1, "system"));
  RunByHand(Node("here", "21", false) + Node("gone", "22", true) + Node("renewed", "23", false));
  Apply("0018");
  EXPECT_THAT(Text("SELECT string_agg(left(encode(sha256, 'hex'), 2) || ':' || role, ' ' ORDER BY sha256, role) "
                   "FROM trust_entry WHERE listed"),
              IsOkAndHolds("11:4 21:21"));
  EXPECT_THAT(Text("SELECT string_agg(name || ' ' || coalesce(approved_by, '-'), ', ' ORDER BY name) FROM node"),
              IsOkAndHolds("gone -, here migration, renewed migration"));
  EXPECT_THAT(Text("UPDATE trust_entry SET listed = true WHERE role = -1 RETURNING origin"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace trustline
