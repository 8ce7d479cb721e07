#include "itl/access/access_editor.h"

#include <atomic>
#include <thread>

#include "common/postgres/transaction.h"
#include "itl/itl_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class AccessEditorTest : public ItlDatabaseTest {
 protected:
  absl::StatusOr<bool> Grant(std::string_view person, std::string_view role, int32_t cluster_id = 1) {
    return RunInTransaction(*itld_, {}, [&](Connection& connection) {
      return AccessEditor(connection, kTestActor).Grant(cluster_id, person, role);
    });
  }
  absl::StatusOr<bool> Revoke(std::string_view person, std::string_view role, int32_t cluster_id = 1) {
    return Revoke(*itld_, person, role, cluster_id);
  }
  static absl::StatusOr<bool> Revoke(Connection& on, std::string_view person, std::string_view role,
                                     int32_t cluster_id = 1) {
    return RunInTransaction(on, {}, [&](Connection& connection) {
      return AccessEditor(connection, kTestActor).Revoke(cluster_id, person, role);
    });
  }
  absl::StatusOr<ClusterRecord> CreateCluster(std::string_view name, std::string_view zone) {
    return RunInTransaction(*itld_, {}, [&](Connection& connection) {
      return AccessEditor(connection, kTestActor).CreateCluster(name, zone);
    });
  }
};

TEST_F(AccessEditorTest, GrantsAndRevokes) {
  EXPECT_THAT(Grant("alice", "administrator"), IsOkAndHolds(true));
  EXPECT_THAT(Grant("alice", "administrator"), IsOkAndHolds(false));
  EXPECT_THAT(Grant("bob@example.com", "auditor"), IsOkAndHolds(true));
  ASSERT_OK_AND_ASSIGN(const auto grants, AccessEditor(*itld_, kTestActor).List(1));
  ASSERT_THAT(grants, SizeIs(2));
  EXPECT_EQ(grants[1].person, "bob@example.com");
  EXPECT_EQ(grants[1].role, "auditor");
  EXPECT_EQ(grants[1].granted_by, kTestActor);
  EXPECT_THAT(Revoke("bob@example.com", "auditor"), IsOkAndHolds(true));
  EXPECT_THAT(Revoke("bob@example.com", "auditor"), IsOkAndHolds(false));
  EXPECT_EQ(Text("SELECT string_agg(action || ' ' || subject || ' ' || detail, ', ' ORDER BY event_id) "
                 "FROM audit_event"),
            R"(access.grant alice {"role":"administrator"}, access.grant bob@example.com {"role":"auditor"}, )"
            R"(access.revoke bob@example.com {"role":"auditor"})");
}

TEST_F(AccessEditorTest, BadNamesAndRolesAreRefused) {
  for (const std::string& name : {std::string(), std::string("a b"), std::string(65, 'a'), std::string("a/b"),
                                  std::string("a\0b", 3), std::string("m\xc3\xbcller")}) {
    EXPECT_THAT(Grant(name, "viewer"), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
  EXPECT_THAT(Grant("alice", "emperor"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Grant("alice", "viewer", 99), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Count("SELECT count(*) FROM access_grant"), 0);
}

TEST_F(AccessEditorTest, TheLastAdministratorStays) {
  ASSERT_OK(Grant("alice", "administrator"));
  ASSERT_OK(Grant("alice", "viewer"));
  EXPECT_THAT(Revoke("alice", "administrator"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("last administrator")));
  EXPECT_THAT(Revoke("alice", "viewer"), IsOkAndHolds(true));
  ASSERT_OK(Grant("bob", "administrator"));
  EXPECT_THAT(Revoke("alice", "administrator"), IsOkAndHolds(true));
  EXPECT_THAT(Revoke("bob", "administrator"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Count("SELECT count(*) FROM access_grant WHERE role = 'administrator'"), 1);

  ASSERT_OK_AND_ASSIGN(const ClusterRecord cluster, CreateCluster("other", ""));
  ASSERT_OK(Grant("carol", "administrator", cluster.cluster_id));
  EXPECT_THAT(Revoke("carol", "administrator", cluster.cluster_id), IsOkAndHolds(true));
}

TEST_F(AccessEditorTest, TwoAdministratorsCannotRevokeEachOther) {
  for (int round = 0; round < 10; ++round) {
    ASSERT_OK(Grant("alice", "administrator"));
    ASSERT_OK(Grant("bob", "administrator"));
    std::atomic<int> revoked = 0;
    const auto revoke = [&](const char* person) {
      ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect("trustline_itld"));
      revoked += Revoke(connection, person, "administrator").value_or(false);
    };
    std::thread one(revoke, "alice");
    std::thread two(revoke, "bob");
    one.join();
    two.join();
    EXPECT_EQ(revoked, 1);
  }
}

TEST_F(AccessEditorTest, ClustersAreMadeAndListed) {
  ASSERT_OK_AND_ASSIGN(const ClusterRecord cluster, CreateCluster("branch-7", "Europe/Berlin"));
  EXPECT_EQ(cluster.time_zone, "Europe/Berlin");
  EXPECT_THAT(CreateCluster("branch-7", ""), StatusIs(absl::StatusCode::kAlreadyExists));
  for (const std::string& name : {std::string(), std::string("Upper"), std::string("-a"), std::string("a-"),
                                  std::string("a_b"), std::string(64, 'a')}) {
    EXPECT_THAT(CreateCluster(name, ""), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
  for (const char* zone : {"Mars/Olympus", "../../../etc/passwd", "/etc/localtime", "x\ny"}) {
    EXPECT_THAT(CreateCluster("zone", zone), StatusIs(absl::StatusCode::kInvalidArgument)) << zone;
  }
  ASSERT_OK_AND_ASSIGN(const auto clusters, AccessEditor(*itld_, kTestActor).ListClusters());
  ASSERT_THAT(clusters, SizeIs(2));
  EXPECT_EQ(clusters[0].name, "branch-7");
  EXPECT_EQ(clusters[1].name, "default");
  EXPECT_EQ(clusters[1].time_zone, "UTC");
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'cluster.create'"), 1);
}

}  // namespace
}  // namespace trustline
