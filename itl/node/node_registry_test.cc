#include "itl/node/node_registry.h"

#include <atomic>
#include <thread>

#include "common/postgres/transaction.h"
#include "common/x509/certificate_request.h"
#include "itl/itl_testing.h"
#include "itl/node/tvs_certificate.h"
#include "tests/support/tvs_form.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(TvsCertificateTest, PhonesMustAcceptIt) {
  EXPECT_OK(CheckTvsCertificate(PhoneFacingParty().certificate, kTestNow));
  const auto refused = [](const Certificate& certificate, absl::Time at, const char* words) {
    EXPECT_THAT(CheckTvsCertificate(certificate, at),
                ::testing::AnyOf(StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(words)),
                                 StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(words))));
  };
  refused(PhoneFacingParty().certificate, kTestNow + absl::Hours(24 * 366 * 6), "not now");
  refused(PhoneFacingParty().certificate, kTestNow - absl::Hours(24), "not now");
  refused(MakeCertificate("leaf.example"), kTestNow, "CA:TRUE");
  const Party authority = MakeSelfSigned(AuthorityForm("Root"));
  refused(MakeIssued(LeafForm("issued.example"), authority).certificate, kTestNow, "not self-signed");
  refused(authority.certificate, kTestNow, "serverAuth");

  // The issuer's name is its own, but another key has signed it.
  const X509Ptr forged(X509_dup(PhoneFacingParty().certificate.x509()));
  ASSERT_GT(X509_sign(forged.get(), authority.key.get(), EVP_sha256()), 0);
  refused(*Certificate::FromX509(forged.get()), kTestNow, "not self-signed");

  CertificateTemplate form = TvsForm("tvs.example", kTestNow);
  form.key_usage = {"keyCertSign"};
  refused(MakeCertificate(form), kTestNow, "digitalSignature");
}

class NodeRegistryTest : public ItlDatabaseTest {
 protected:
  template <typename Body>
  auto With(Body body, absl::Time now = kTestNow) {
    return WithOn(*itld_, body, now);
  }
  template <typename Body>
  auto WithOn(Connection& on, Body body, absl::Time now = kTestNow) {
    return RunInTransaction(on, {}, [&](Connection& connection) {
      NodeRegistry registry(connection, authority_, now);
      return body(registry);
    });
  }
  absl::StatusOr<NodeToken> Token(std::string_view node, absl::Duration lifetime = kDefaultTokenLifetime) {
    return With([&](NodeRegistry& registry) { return registry.CreateToken(node, lifetime, kTestActor); });
  }
  static std::string Request(std::string_view uri) {
    static const PrivateKey* const key = new PrivateKey(*PrivateKey::Generate(KeyKind::kEcP256));
    return std::string(AsText(CertificateRequest::Build(*key, uri)->der()));
  }
  static JoinApplication Application(const NodeToken& token, std::string_view node) {
    return {std::string(token.secret.ExposeSecret()), Request(fmt::format("trustline:default/tvsd/{}", node)),
            std::string(AsText(PhoneFacingParty().certificate.der()))};
  }
  absl::StatusOr<JoinedNode> Join(const JoinApplication& application, absl::Time now = kTestNow) {
    return With([&](NodeRegistry& registry) { return registry.Join(application); }, now);
  }

  absl::StatusOr<NodeApproval> Approve(std::string_view node) {
    return With([&](NodeRegistry& registry) { return registry.Approve(node, kTestActor); });
  }
  absl::StatusOr<std::string> Announce(std::string_view uri, std::string_view host, uint32_t port = 9441) {
    return With([&](NodeRegistry& registry) { return registry.Announce(*Identity::Parse(uri), host, port); });
  }
  NodeRecord Node(std::string_view name = "node1") {
    const auto nodes = With([](NodeRegistry& registry) { return registry.List(); });
    EXPECT_OK(nodes);
    for (const NodeRecord& node : nodes.ok() ? *nodes : std::vector<NodeRecord>()) {
      if (node.name == name) return node;
    }
    ADD_FAILURE() << "there is no node " << name;
    return {};
  }
  // The live entries: "role origin listed".
  std::string Entries() {
    return Text(
        "SELECT coalesce(string_agg(role || ' ' || origin || ' ' || listed, ', ' ORDER BY role), '') FROM trust_entry "
        "WHERE removed_at IS NULL");
  }

  const IdentityAuthority authority_ = *IdentityAuthority::Create(kTestNow);
};

TEST_F(NodeRegistryTest, ANodeIsListedOnceItIsApproved) {
  EXPECT_THAT(Approve("node1"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("node list")));
  ASSERT_OK_AND_ASSIGN(const NodeToken token, Token("node1"));
  ASSERT_OK(Join(Application(token, "node1")));
  EXPECT_EQ(Entries(), "21 node false");
  EXPECT_FALSE(Node().approved_at.has_value());

  ASSERT_OK_AND_ASSIGN(const NodeApproval approval, Approve("node1"));
  EXPECT_TRUE(approval.changed);
  EXPECT_EQ(approval.commit, 2);
  EXPECT_EQ(Entries(), "21 node true");
  EXPECT_EQ(Node().approved_at, kTestNow);
  EXPECT_EQ(Node().approved_by, kTestActor);
  EXPECT_THAT(Text("SELECT subject || ' ' || actor || ' ' || detail FROM audit_event WHERE action = 'node.approve'"),
              AllOf(HasSubstr(std::string("node1 ") + kTestActor), HasSubstr(R"("commit":"2")")));

  // Again is no change, until somebody has taken it off the lists.
  ASSERT_OK_AND_ASSIGN(const NodeApproval again, Approve("node1"));
  EXPECT_FALSE(again.changed);
  EXPECT_EQ(TrustCommit(), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'node.approve'"), 1);
  RunByHand("UPDATE trust_entry SET listed = false");
  EXPECT_EQ(Approve("node1")->commit, 3);
  EXPECT_EQ(Entries(), "21 node true");

  // Approved is who was looked at, not the next one of that name.
  ASSERT_OK(With([](NodeRegistry& registry) { return registry.Remove("node1", kTestActor); }));
  EXPECT_THAT(Approve("node1"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const NodeToken second, Token("node1"));
  ASSERT_OK(Join(Application(second, "node1")));
  EXPECT_EQ(Entries(), "21 node false");
  EXPECT_FALSE(Node().approved_at.has_value());
  EXPECT_FALSE(Node().approved_by.has_value());
}

TEST_F(NodeRegistryTest, ApprovingListsOnlyWhatTheJoiningMade) {
  ASSERT_OK_AND_ASSIGN(const NodeToken token, Token("node1"));
  ASSERT_OK(Join(Application(token, "node1")));
  RunByHand(
      "INSERT INTO trust_entry (cluster_id, sha256, role, ttl_seconds, anchor, origin, added_by, commit_number)"
      " SELECT cluster_id, sha256, 2, 60, false, 'import', 'test', commit_number FROM trust_entry");
  ASSERT_OK(Approve("node1"));
  EXPECT_EQ(Entries(), "2 import false, 21 node true");

  // Without that entry there is nothing to approve.
  RunByHand("UPDATE trust_entry SET removed_at = now(), removed_by = 'x' WHERE origin = 'node'");
  EXPECT_THAT(Approve("node1"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("`trustctl node remove node1`")));
}

TEST_F(NodeRegistryTest, ANodeSaysWhereItAnswers) {
  const std::string node = "trustline:default/tvsd/node1";
  EXPECT_THAT(Announce(node, "192.0.2.1"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("node token")));
  ASSERT_OK_AND_ASSIGN(const NodeToken token, Token("node1"));
  ASSERT_OK(Join(Application(token, "node1")));
  EXPECT_EQ(Node().grpc_address, "");
  EXPECT_THAT(Announce(node, "192.0.2.1"), IsOkAndHolds("192.0.2.1:9441"));
  EXPECT_EQ(Node().grpc_address, "192.0.2.1:9441");
  EXPECT_THAT(Announce(node, "192.0.2.1"), IsOkAndHolds("192.0.2.1:9441"));
  EXPECT_THAT(Announce(node, "2001:db8::1", 19441), IsOkAndHolds("[2001:db8::1]:19441"));
  EXPECT_THAT(Announce(node, "tvs.example"), IsOkAndHolds("tvs.example:9441"));
  // Only what is new is on record.
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'node.announce'"), 3);
  EXPECT_THAT(Text("SELECT actor || detail FROM audit_event ORDER BY event_id DESC LIMIT 1"),
              AllOf(HasSubstr(node), HasSubstr(R"("grpc_address":"tvs.example:9441")"),
                    HasSubstr(R"("before":"[2001:db8::1]:19441")")));

  for (const char* host : {"", "a b", "tvs.example:9441", "[::1]", "fe80::1%eth0"}) {
    EXPECT_THAT(Announce(node, host), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("advertise"))) << host;
  }
  EXPECT_THAT(Announce(node, "tvs.example", 0), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Announce(node, "tvs.example", 65'536), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Announce("trustline:default/tvsd/node2", "192.0.2.2"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Node().grpc_address, "tvs.example:9441");

  ASSERT_OK(With([](NodeRegistry& registry) { return registry.Remove("node1", kTestActor); }));
  EXPECT_THAT(Announce(node, "192.0.2.1"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const NodeToken second, Token("node1"));
  ASSERT_OK(Join(Application(second, "node1")));
  EXPECT_EQ(Node().grpc_address, "");
}

TEST_F(NodeRegistryTest, AMachineJoins) {
  ASSERT_OK_AND_ASSIGN(const NodeToken token, Token("node1"));
  EXPECT_EQ(token.secret.size(), kJoinSecretSize);
  EXPECT_EQ(token.expires_at, kTestNow + absl::Hours(1));
  ASSERT_OK_AND_ASSIGN(const JoinedNode joined, Join(Application(token, "node1")));
  EXPECT_EQ(joined.node, "node1");
  EXPECT_THAT(joined.identity.uri_names(), ::testing::ElementsAre("trustline:default/tvsd/node1"));

  // Its TVS certificate is trusted as such, and who did it is on record.
  EXPECT_EQ(Text("SELECT role || ' ' || origin || ' ' || anchor || ' ' || added_by FROM trust_entry"),
            "21 node false trustline:default/tvsd/node1");
  EXPECT_EQ(Text("SELECT string_agg(action, ' ' ORDER BY event_id) FROM audit_event"),
            "node.token trust.add node.join");
  ASSERT_OK_AND_ASSIGN(const auto nodes, With([](NodeRegistry& registry) { return registry.List(); }));
  ASSERT_THAT(nodes, SizeIs(1));
  EXPECT_EQ(nodes[0].identity, "trustline:default/tvsd/node1");
  EXPECT_EQ(nodes[0].tvs_sha256, PhoneFacingParty().certificate.sha256());
  EXPECT_EQ(nodes[0].identity_expires_at, joined.identity.not_after());
  EXPECT_FALSE(nodes[0].removed_at.has_value());
  // The secret is nowhere in the database.
  EXPECT_EQ(Text("SELECT encode(secret_sha256, 'hex') FROM node_token"),
            ToHex(Sha256(AsBytes(token.secret.ExposeSecret()))));
}

// A machine that is invited must not take over, or take away with itself, what an administrator trusts.
TEST_F(NodeRegistryTest, ACertificateThatIsTrustedForSomethingElseIsRefusedAndOutlivesTheNode) {
  ASSERT_OK_AND_ASSIGN(const NodeToken token, Token("node1"));
  ASSERT_OK(Join(Application(token, "node1")));
  Text(
      "INSERT INTO trust_entry (cluster_id, sha256, role, ttl_seconds, anchor, origin, added_by, commit_number)"
      " SELECT cluster_id, sha256, 2, 60, false, 'import', 'test', commit_number FROM trust_entry RETURNING origin");
  ASSERT_OK(With([](NodeRegistry& registry) { return registry.Remove("node1", kTestActor); }));
  EXPECT_EQ(Text("SELECT string_agg(role::text, ' ') FROM trust_entry WHERE removed_at IS NULL"), "2");
  ASSERT_OK_AND_ASSIGN(const NodeToken again, Token("node2"));
  EXPECT_THAT(Join(Application(again, "node2")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("certificate of its own")));
}

TEST_F(NodeRegistryTest, TokensHaveBounds) {
  EXPECT_THAT(Token("node1", absl::Hours(24 * 7) + absl::Seconds(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("7d")));
  EXPECT_THAT(Token("node1", absl::ZeroDuration()), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Token("node1", -absl::InfiniteDuration()), StatusIs(absl::StatusCode::kInvalidArgument));
  for (const char* name : {"", "Node", "a/b", "-a", "a.", "n\xc3\xb6", "a b"}) {
    EXPECT_THAT(Token(name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
}

TEST_F(NodeRegistryTest, WrongExpiredAndUsedTokensGetTheSameAnswer) {
  ASSERT_OK_AND_ASSIGN(const NodeToken token, Token("node1"));
  JoinApplication wrong = Application(token, "node1");
  wrong.secret[7] = static_cast<char>(wrong.secret[7] ^ 1);
  const absl::Status wrong_status = Join(wrong).status();
  EXPECT_THAT(wrong_status, StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("trustctl node token")));
  EXPECT_EQ(Join(Application(token, "node1"), kTestNow + absl::Hours(1)).status(), wrong_status);
  JoinApplication empty = Application(token, "node1");
  empty.secret.clear();
  EXPECT_EQ(Join(empty).status(), wrong_status);
  ASSERT_OK(Join(Application(token, "node1")));
  EXPECT_EQ(Join(Application(token, "node1")).status(), wrong_status);
}

TEST_F(NodeRegistryTest, WhatFailsLeavesTheTokenAndTheStoreAsTheyWere) {
  ASSERT_OK_AND_ASSIGN(const NodeToken token, Token("node1"));
  EXPECT_THAT(Join(Application(token, "node2")), StatusIs(absl::StatusCode::kPermissionDenied));
  JoinApplication junk = Application(token, "node1");
  junk.certificate_request = "junk";
  EXPECT_THAT(Join(junk), StatusIs(absl::StatusCode::kInvalidArgument));
  JoinApplication person = Application(token, "node1");
  person.certificate_request = Request("trustline:default/person/admin");
  EXPECT_THAT(Join(person), StatusIs(absl::StatusCode::kPermissionDenied));
  JoinApplication no_tvs = Application(token, "node1");
  no_tvs.tvs_certificate = "junk";
  EXPECT_THAT(Join(no_tvs), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("TVS certificate")));
  JoinApplication leaf = Application(token, "node1");
  leaf.tvs_certificate = std::string(AsText(MakeCertificate("leaf.example").der()));
  EXPECT_THAT(Join(leaf), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM node"), 0);
  EXPECT_OK(Join(Application(token, "node1")));
}

TEST_F(NodeRegistryTest, ANameIsThereOnce) {
  ASSERT_OK_AND_ASSIGN(const NodeToken first, Token("node1"));
  ASSERT_OK_AND_ASSIGN(const NodeToken second, Token("node1"));
  ASSERT_OK(Join(Application(first, "node1")));
  EXPECT_THAT(Token("node1"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("node remove node1")));
  EXPECT_THAT(Join(Application(second, "node1")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("node remove node1")));

  ASSERT_OK(With([](NodeRegistry& registry) { return registry.Remove("node1", kTestActor); }));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE removed_at IS NULL"), 0);
  EXPECT_THAT(With([](NodeRegistry& registry) { return registry.Remove("node1", kTestActor); }),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(Join(Application(second, "node1")));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry WHERE removed_at IS NULL"), 1);

  // Two nodes with one TVS key would lose it together.
  ASSERT_OK_AND_ASSIGN(const NodeToken third, Token("node3"));
  EXPECT_THAT(Join(Application(third, "node3")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("node1 has the same TVS certificate")));
}

TEST_F(NodeRegistryTest, OfManyWithOneTokenOneJoins) {
  constexpr int kRacers = 20;
  ASSERT_OK_AND_ASSIGN(const NodeToken token, Token("node1"));
  const JoinApplication application = Application(token, "node1");
  std::atomic<int> joined = 0;
  std::atomic<int> denied = 0;
  std::vector<std::thread> racers;
  for (int i = 0; i < kRacers; ++i) {
    racers.emplace_back([&] {
      ASSERT_OK_AND_ASSIGN(Connection connection, database_->Connect("trustline_itld"));
      const auto result = WithOn(connection, [&](NodeRegistry& registry) { return registry.Join(application); });
      joined += result.ok();
      denied += absl::IsPermissionDenied(result.status());
    });
  }
  for (std::thread& racer : racers) racer.join();
  EXPECT_EQ(joined, 1);
  EXPECT_EQ(denied, kRacers - 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'node.join'"), 1);
  EXPECT_EQ(TrustCommit(), 1);
}

TEST_F(NodeRegistryTest, IdentitiesAreRenewedForTheirOwners) {
  ASSERT_OK_AND_ASSIGN(const NodeToken token, Token("node1"));
  ASSERT_OK(Join(Application(token, "node1")));
  const auto renew = [&](std::string_view uri, std::string_view requested, absl::Time now = kTestNow) {
    return With(
        [&](NodeRegistry& registry) { return registry.Renew(*Identity::Parse(uri), AsBytes(Request(requested))); },
        now);
  };
  const std::string node = "trustline:default/tvsd/node1";
  const absl::Time later = kTestNow + absl::Hours(24 * 60);
  ASSERT_OK_AND_ASSIGN(const Certificate renewed, renew(node, node, later));
  EXPECT_EQ(renewed.not_after(), later + kIdentityLifetime);
  EXPECT_EQ(Count("SELECT extract(epoch FROM identity_expires_at)::bigint FROM node"),
            absl::ToUnixSeconds(renewed.not_after()));
  EXPECT_THAT(renew(node, "trustline:default/tvsd/node2"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(renew("trustline:default/tvsd/node2", "trustline:default/tvsd/node2"),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("no node")));

  // cad joins no machine; another service that none joined with has no business here.
  const std::string cad = "trustline:default/cad/node1";
  EXPECT_OK(renew(cad, cad));
  EXPECT_THAT(renew(cad, "trustline:default/itld/node1"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(renew("trustline:default/capfd/node1", "trustline:default/capfd/node1"),
              StatusIs(absl::StatusCode::kPermissionDenied));

  const std::string person = "trustline:default/person/alice";
  EXPECT_THAT(renew(person, person), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("no role")));
  RunByHand("INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES (1, 'alice', 'viewer', 'x')");
  EXPECT_OK(renew(person, person));

  ASSERT_OK(With([](NodeRegistry& registry) { return registry.Remove("node1", kTestActor); }));
  EXPECT_THAT(renew(node, node), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("removed")));
}

}  // namespace
}  // namespace trustline
