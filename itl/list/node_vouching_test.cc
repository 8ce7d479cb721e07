// Whether the TVS nodes answer for a signer, asked over real mutual TLS of services that say what a test wants.
#include "itl/list/node_vouching.h"

#include <grpcpp/server_context.h>

#include <condition_variable>
#include <deque>
#include <functional>

#include "common/rpc/authorization.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "itl/list/list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
// For nodes that answer: no limit that a busy machine could come to.
constexpr absl::Duration kAmple = absl::Seconds(60);
// For nodes that never do.
constexpr absl::Duration kShort = absl::Milliseconds(300);

using Answer = std::function<grpc::Status(v1::QueryResponse& response)>;

// A TVS node's gRPC service; keeps what it was asked.
class AnsweringNode final : public v1::Verification::Service {
 public:
  AnsweringNode(const IdentityAuthority& authority, const std::string& uri, Answer answer)
      : identity_(authority, uri), answer_(std::move(answer)) {
    auto server = RpcServer::Start({.identity = identity_.files()}, {this}, health_);
    EXPECT_OK(server);
    if (server.ok()) server_ = *std::move(server);
  }
  ~AnsweringNode() override {
    if (server_) server_->Shutdown(absl::ZeroDuration());
  }

  grpc::Status Query(grpc::ServerContext* context, const v1::QueryRequest* request,
                     v1::QueryResponse* response) override {
    {
      const auto caller = PeerIdentity(*context);
      const std::lock_guard lock(mutex_);
      asked_.push_back(*request);
      callers_.push_back(caller.ok() ? caller->ToUri() : caller.status().ToString());
    }
    return answer_(*response);
  }

  std::string address() const { return fmt::format("127.0.0.1:{}", server_->port()); }
  std::vector<v1::QueryRequest> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  std::vector<std::string> callers() {
    const std::lock_guard lock(mutex_);
    return callers_;
  }

 private:
  const TestIdentity identity_;
  const Answer answer_;
  Health health_;
  std::mutex mutex_;
  std::vector<v1::QueryRequest> asked_;  // with mutex_
  std::vector<std::string> callers_;     // URIs, with mutex_
  std::unique_ptr<RpcServer> server_;
};

class NodeVouchingTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    PoolOptions options;
    options.connection.conninfo = database_->Conninfo("trustline_itld");
    ASSERT_OK_AND_ASSIGN(pool_, Pool::Create(options));
  }
  void TearDown() override {
    Release();
    nodes_.clear();
  }

  static std::string UriOf(const std::string& name) { return "trustline:default/tvsd/" + name; }

  // The node's row, approved.
  void AddNode(const std::string& name, const std::string& address) {
    RunByHand(
        fmt::format("INSERT INTO node (name, identity, identity_expires_at, approved_at, approved_by, grpc_address) "
                    "VALUES ('{}', '{}', now() + interval '1 day', now(), '{}', '{}')",
                    name, UriOf(name), kTestActor, address));
  }
  // Something with the identity `uri` answers.
  AnsweringNode& Start(const std::string& uri, Answer answer) {
    return nodes_.emplace_back(authority_, uri, std::move(answer));
  }
  AnsweringNode& StartNode(const std::string& name, Answer answer) {
    AnsweringNode& node = Start(UriOf(name), std::move(answer));
    AddNode(name, node.address());
    return node;
  }

  v1::QueryResponse Vouched() const {
    v1::QueryResponse response;
    response.set_verdict(v1::VERDICT_VALID);
    response.set_certificate(std::string(AsText(signer_.der())));
    response.add_roles(v1::CERTIFICATE_ROLE_CCM_TFTP);
    response.add_roles(v1::CERTIFICATE_ROLE_SAST);
    return response;
  }
  static Answer Say(const v1::QueryResponse& said) {
    return [said](v1::QueryResponse& response) {
      response = said;
      return grpc::Status::OK;
    };
  }
  static Answer Fail(grpc::StatusCode code, const std::string& message) {
    return [=](v1::QueryResponse&) { return grpc::Status(code, message); };
  }
  // Until the test ends.
  Answer Hang() {
    return [this](v1::QueryResponse&) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return released_; });
      return grpc::Status::OK;
    };
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

  absl::Status Check(const std::vector<std::string>& without = {}, absl::Duration patience = kAmple) {
    return NodeVouching(*pool_, itld_identity_.files(), patience).Check("branch", signer_, without);
  }

  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  const TestIdentity itld_identity_{authority_, "trustline:default/itld/node1"};
  const Certificate signer_ = MakePhoneFacing("signer");
  std::unique_ptr<Pool> pool_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;            // with mutex_
  int arrived_ = 0;                  // with mutex_
  std::deque<AnsweringNode> nodes_;  // answer with what is above
};

TEST_F(NodeVouchingTest, ANodeThatSaysValidAndSastVouches) {
  AnsweringNode& node = StartNode("node1", Say(Vouched()));
  EXPECT_OK(Check());
  const std::vector<v1::QueryRequest> asked = node.asked();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].cluster(), "branch");
  EXPECT_EQ(asked[0].issuer(), signer_.issuer().ToText());
  EXPECT_EQ(asked[0].serial(), AsText(signer_.serial()));
  EXPECT_THAT(node.callers(), ElementsAre("trustline:default/itld/node1"));
}

TEST_F(NodeVouchingTest, AnInvalidSignerIsSaidWithTheNodesExplanation) {
  v1::QueryResponse invalid;
  invalid.set_verdict(v1::VERDICT_INVALID);
  invalid.set_explanation("nobody vouches for it");
  StartNode("node1", Say(invalid));
  EXPECT_THAT(Check(), StatusIs(kRefused, AllOf(HasSubstr("CN=signer"), HasSubstr("node1: it says invalid"),
                                                HasSubstr("nobody vouches for it"), HasSubstr("node remove NODE"))));
}

TEST_F(NodeVouchingTest, NoVerdictIsNoVouching) {
  v1::QueryResponse undecided = Vouched();
  undecided.set_verdict(v1::VERDICT_UNSPECIFIED);
  StartNode("node1", Say(undecided));
  EXPECT_THAT(Check(), StatusIs(kRefused, HasSubstr("node1: it says invalid")));
}

TEST_F(NodeVouchingTest, AnotherCertificateOfTheSameIssuerAndSerialIsNotTheSigner) {
  v1::QueryResponse other = Vouched();
  other.set_certificate(std::string(AsText(MakePhoneFacing("signer", kTestNow + absl::Hours(1)).der())));
  StartNode("node1", Say(other));
  EXPECT_THAT(Check(), StatusIs(kRefused, HasSubstr("node1: it answers with another certificate")));
}

TEST_F(NodeVouchingTest, ASignerWithoutTheRoleSastIsNone) {
  v1::QueryResponse server = Vouched();
  server.clear_roles();
  server.add_roles(v1::CERTIFICATE_ROLE_CCM_TFTP);
  StartNode("node1", Say(server));
  EXPECT_THAT(Check(), StatusIs(kRefused, HasSubstr("node1: it does not say SAST")));
}

TEST_F(NodeVouchingTest, OneNodeThatDoesNotVouchIsEnough) {
  AnsweringNode& first = StartNode("node1", Say(Vouched()));
  StartNode("node2", Fail(grpc::StatusCode::UNAVAILABLE, "the trust store is not read yet"));
  AnsweringNode& third = StartNode("node3", Say(Vouched()));
  EXPECT_THAT(Check(), StatusIs(kRefused, AllOf(HasSubstr("node2: the trust store is not read yet"),
                                                Not(HasSubstr("node1")), Not(HasSubstr("node3")))));
  EXPECT_EQ(first.asked().size(), 1u);
  EXPECT_EQ(third.asked().size(), 1u);
}

TEST_F(NodeVouchingTest, ANodeWithoutAnAddressIsAskedForIt) {
  AddNode("node1", "");
  EXPECT_THAT(Check(), StatusIs(kRefused, HasSubstr("node1: it has not told its address")));
}

TEST_F(NodeVouchingTest, ItMustBeThatVeryNode) {
  AnsweringNode& other = Start(UriOf("node2"), Say(Vouched()));
  AddNode("node1", other.address());
  EXPECT_THAT(Check(), StatusIs(kRefused, AllOf(HasSubstr("node1: trustline:default/tvsd/node2 answers at"),
                                                HasSubstr(other.address()), HasSubstr("restart its tvsd"))));
}

// Else whoever answers there could keep a node from being asked.
TEST_F(NodeVouchingTest, ItMustBeThatVeryNodeThatHasNoListener) {
  StartNode("node1", Say(Vouched()));
  AnsweringNode& other = Start(UriOf("node3"), Fail(grpc::StatusCode::NOT_FOUND, "no listener for it"));
  AddNode("node2", other.address());
  EXPECT_THAT(Check(), StatusIs(kRefused, HasSubstr("node2: trustline:default/tvsd/node3 answers at")));
}

TEST_F(NodeVouchingTest, NoOtherServiceIsANode) {
  // A service of the same authority; and a node of another authority, with the right name.
  AnsweringNode& cad = Start("trustline:default/cad/node1", Say(Vouched()));
  AddNode("node1", cad.address());
  const IdentityAuthority another = *IdentityAuthority::Create(absl::Now());
  AnsweringNode& stranger = nodes_.emplace_back(another, UriOf("node2"), Say(Vouched()));
  AddNode("node2", stranger.address());
  EXPECT_THAT(Check({}, kShort), StatusIs(kRefused, AllOf(HasSubstr("node1: "), HasSubstr("node2: "))));
  EXPECT_THAT(cad.asked(), IsEmpty());
  EXPECT_THAT(stranger.asked(), IsEmpty());
}

TEST_F(NodeVouchingTest, ANodeWithoutAListenerForTheClusterIsNoMatter) {
  StartNode("node1", Fail(grpc::StatusCode::NOT_FOUND, "no listener for it"));
  StartNode("node2", Say(Vouched()));
  EXPECT_OK(Check());
}

TEST_F(NodeVouchingTest, ButOneNodeMustHaveOne) {
  StartNode("node1", Fail(grpc::StatusCode::NOT_FOUND, "no listener for it"));
  StartNode("node2", Fail(grpc::StatusCode::NOT_FOUND, "no listener for it"));
  const auto has_none = StatusIs(kRefused, AllOf(HasSubstr("no TVS node answers for the cluster branch"),
                                                 HasSubstr("CN=signer"), HasSubstr("cluster = \"branch\"")));
  EXPECT_THAT(Check(), has_none);
  // Leaving out one of them does not make the other one vouch.
  EXPECT_THAT(Check({"node1"}), has_none);
}

TEST_F(NodeVouchingTest, ANodeThatDoesNotAnswerIsNotWaitedFor) {
  StartNode("node1", Hang());
  EXPECT_THAT(Check({}, kShort),
              StatusIs(kRefused, AllOf(HasSubstr("node1: tvsd at 127.0.0.1:"), HasSubstr("did not answer in time"))));
}

TEST_F(NodeVouchingTest, ANodeThatIsNotThereIsNotWaitedFor) {
  const std::string address = Start(UriOf("node1"), Say(Vouched())).address();
  nodes_.clear();
  AddNode("node1", address);
  EXPECT_THAT(Check({}, kShort), StatusIs(kRefused, HasSubstr("node1: tvsd at " + address)));
}

TEST_F(NodeVouchingTest, NodesAreAskedAtOnce) {
  // Each answers when both have been asked.
  const Answer together = [this](v1::QueryResponse& response) {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return arrived_ == 2 || released_; });
    response = Vouched();
    return grpc::Status::OK;
  };
  StartNode("node1", together);
  StartNode("node2", together);
  EXPECT_OK(Check());
}

TEST_F(NodeVouchingTest, ANodeIsLeftOutByItsName) {
  StartNode("node1", Say(Vouched()));
  AnsweringNode& broken = StartNode("node2", Fail(grpc::StatusCode::INTERNAL, "broken"));
  EXPECT_THAT(Check(), StatusIs(kRefused, HasSubstr("node2: broken")));
  EXPECT_OK(Check({"node2"}));
  EXPECT_EQ(broken.asked().size(), 1u);
  EXPECT_THAT(Check({"node2", "node9"}),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("node9"), HasSubstr("trustctl node list"))));
}

TEST_F(NodeVouchingTest, WhoLeavesOutEachNodeNeedsNone) {
  AnsweringNode& node = StartNode("node1", Fail(grpc::StatusCode::INTERNAL, "broken"));
  AddNode("node2", "");
  EXPECT_OK(Check({"node1", "node2"}));
  EXPECT_THAT(node.asked(), IsEmpty());
}

TEST_F(NodeVouchingTest, OnlyNodesThatAreApprovedAndThereAreAsked) {
  StartNode("node1", Say(Vouched()));
  AnsweringNode& waiting = StartNode("node2", Fail(grpc::StatusCode::INTERNAL, "broken"));
  AnsweringNode& gone = StartNode("node3", Fail(grpc::StatusCode::INTERNAL, "broken"));
  RunByHand("UPDATE node SET approved_at = NULL, approved_by = NULL WHERE name = 'node2'");
  RunByHand("UPDATE node SET removed_at = now() WHERE name = 'node3'");
  EXPECT_OK(Check());
  EXPECT_THAT(waiting.asked(), IsEmpty());
  EXPECT_THAT(gone.asked(), IsEmpty());
  EXPECT_THAT(Check({"node2"}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Check({"node3"}), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(NodeVouchingTest, WithoutApprovedNodesNobodyVouches) {
  const auto approve_one = StatusIs(
      kRefused, AllOf(HasSubstr("no TVS node answers for the cluster branch"), HasSubstr("trustctl node approve")));
  EXPECT_THAT(Check(), approve_one);
  AnsweringNode& waiting = StartNode("node1", Say(Vouched()));
  RunByHand("UPDATE node SET approved_at = NULL, approved_by = NULL");
  EXPECT_THAT(Check(), approve_one);
  EXPECT_THAT(waiting.asked(), IsEmpty());
}

TEST_F(NodeVouchingTest, ANodeThatMovesIsAskedAtItsNewAddress) {
  AnsweringNode& node = StartNode("node1", Say(Vouched()));
  NodeVouching vouching(*pool_, itld_identity_.files(), kAmple);
  EXPECT_OK(vouching.Check("branch", signer_, {}));
  AnsweringNode& moved = Start(UriOf("node1"), Say(Vouched()));
  RunByHand(fmt::format("UPDATE node SET grpc_address = '{}'", moved.address()));
  EXPECT_OK(vouching.Check("branch", signer_, {}));
  EXPECT_OK(vouching.Check("branch", signer_, {}));
  EXPECT_EQ(node.asked().size(), 1u);
  EXPECT_EQ(moved.asked().size(), 2u);
}

TEST_F(NodeVouchingTest, AnErrorOfTheDatabaseIsNoAnswer) {
  StartNode("node1", Say(Vouched()));
  RunByHand("REVOKE SELECT ON node FROM trustline_itld");
  EXPECT_THAT(Check(), AllOf(Not(IsOk()), Not(StatusIs(kRefused))));
}

}  // namespace
}  // namespace trustline
