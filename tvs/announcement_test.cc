#include "tvs/announcement.h"

#include <atomic>

#include "common/net/ip_address.h"
#include "common/rpc/channel.h"
#include "common/rpc/peer_address.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "common/status/status.h"
#include "proto/node.grpc.pb.h"
#include "tvs/configuration.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Refuses with the statuses that it was given, then takes everything.
class FakeNode final : public v1::Node::Service {
 public:
  grpc::Status Announce(grpc::ServerContext* context, const v1::AnnounceRequest* request,
                        v1::AnnounceResponse* response) override {
    const std::lock_guard lock(mutex);
    asked.push_back(*request);
    peer = PeerHost(context->peer()).value_or("");
    if (!refusals.empty()) {
      const absl::Status refusal = refusals.front();
      refusals.erase(refusals.begin());
      return ToGrpc(refusal);
    }
    response->set_grpc_address("192.0.2.1:9441");
    ++taken;
    return grpc::Status::OK;
  }

  std::mutex mutex;
  std::vector<absl::Status> refusals;
  std::vector<v1::AnnounceRequest> asked;
  std::string peer;
  std::atomic<int> taken = 0;
};

class AnnouncementTest : public testing::Test {
 protected:
  AnnouncementOptions Options(const std::string& itld) const {
    return {.itld = itld,
            .identity = own_.files(),
            .host = "tvs.example",
            .port = 9441,
            .retry = absl::Milliseconds(1),
            .interval = absl::Milliseconds(1)};
  }
  std::unique_ptr<RpcServer> Serve(FakeNode& node) {
    auto server = RpcServer::Start({.identity = itld_.files()}, {&node}, health_);
    EXPECT_OK(server);
    return server.ok() ? *std::move(server) : nullptr;
  }
  static void Await(const FakeNode& node, int taken) {
    while (node.taken < taken) std::this_thread::yield();
  }
  std::vector<std::string> Lines(std::string_view event) {
    const std::lock_guard lock(lines_mutex_);
    std::vector<std::string> found;
    for (const std::string& line : lines_) {
      if (line.find(event) != std::string::npos) found.push_back(line);
    }
    return found;
  }

  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  const TestIdentity own_{authority_, "trustline:default/tvsd/node1"};
  const TestIdentity itld_{authority_, "trustline:default/itld/node1"};
  Health health_;
  std::mutex lines_mutex_;
  std::vector<std::string> lines_;
  Log log_{{.sink = [this](std::string_view line) {
    const std::lock_guard lock(lines_mutex_);
    lines_.emplace_back(line);
  }}};
};

TEST_F(AnnouncementTest, IsTriedUntilItIsTakenAndThenAgain) {
  FakeNode node;
  // The same reason twice is one line.
  node.refusals = {Unavailable("the database is away"), Unavailable("the database is away"), NotFound("removed")};
  const std::unique_ptr<RpcServer> server = Serve(node);
  Announcement announcement(Options(fmt::format("127.0.0.1:{}", server->port())), log_);
  announcement.Start();
  Await(node, 3);
  announcement.Stop();
  EXPECT_EQ(node.asked.front().grpc_address(), "tvs.example");
  EXPECT_EQ(node.asked.front().grpc_port(), 9441u);
  EXPECT_EQ(node.peer, "127.0.0.1");
  EXPECT_THAT(Lines("GRPC_NOT_ANNOUNCED"), ElementsAre(HasSubstr("the database is away"), HasSubstr("removed")));
  EXPECT_THAT(Lines("GRPC_ANNOUNCED"), ElementsAre(HasSubstr("192.0.2.1:9441")));
}

TEST_F(AnnouncementTest, AnItldThatIsAwayOrMuteKeepsNobodyFromStopping) {
  FakeNode node;
  std::unique_ptr<RpcServer> server = Serve(node);
  const std::string address = fmt::format("127.0.0.1:{}", server->port());
  {
    // Every call waits for the lock.
    std::unique_lock mute(node.mutex);
    Announcement announcement(Options(address), log_);
    announcement.Start();
    absl::SleepFor(absl::Milliseconds(50));
    const absl::Time before = absl::Now();
    announcement.Stop();
    EXPECT_LT(absl::Now() - before, absl::Seconds(10));
  }
  server->Shutdown();
  server.reset();
  Announcement announcement(Options(address), log_);
  announcement.Start();
  while (Lines("GRPC_NOT_ANNOUNCED").empty()) std::this_thread::yield();
  announcement.Stop();
  EXPECT_THAT(Lines("GRPC_NOT_ANNOUNCED").front(), AllOf(HasSubstr("does not answer"), HasSubstr("warning")));
}

TEST(HostToAnnounceTest, IsOneByWhichOthersReachTheNode) {
  EXPECT_EQ(HostToAnnounce("tvs.example", "0.0.0.0"), "tvs.example");
  EXPECT_EQ(HostToAnnounce("", "192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(HostToAnnounce("", "2001:db8::7"), "2001:db8::7");
  for (const char* listen : {"0.0.0.0", "::", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "localhost"}) {
    EXPECT_EQ(HostToAnnounce("", listen), "") << listen;
  }
}

TEST(TvsdConfigTest, AdvertisesANameOrAnAddress) {
  const auto read = [](std::string_view grpc) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const ConfigFile file,
                     ConfigFile::Parse(fmt::format("[[listener]]\ncertificate = \"tvs.crt\"\nkey = \"tvs.key\"\n"
                                                   "[grpc]\n{}\n",
                                                   grpc),
                                       "/tvsd.toml"));
    ASSIGN_OR_RETURN(const TvsdConfig config, ReadTvsdConfig(file.root()));
    return config.grpc_advertise;
  };
  EXPECT_THAT(read(""), IsOkAndHolds(""));
  EXPECT_THAT(read("advertise = \"tvs.example\""), IsOkAndHolds("tvs.example"));
  EXPECT_THAT(read("advertise = \"2001:db8::1\""), IsOkAndHolds("2001:db8::1"));
  for (const char* bad : {"", "tvs.example:9441", "[2001:db8::1]"}) {
    EXPECT_THAT(read(fmt::format("advertise = \"{}\"", bad)),
                StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("tvsd.toml:5"), HasSubstr("advertise"))))
        << bad;
  }
}

TEST(PeerHostTest, IsTheAddressAlone) {
  EXPECT_EQ(PeerHost("ipv4:192.0.2.1:40000"), "192.0.2.1");
  EXPECT_EQ(PeerHost("ipv6:%5B2001:db8::1%5D:40000"), "2001:db8::1");
  EXPECT_EQ(PeerHost("ipv6:[2001:db8::1]:40000"), "2001:db8::1");
  EXPECT_EQ(PeerHost("unix:/run/socket"), std::nullopt);
}

TEST(IsHostTest, TakesNamesAndAddresses) {
  for (const char* good : {"a", "tvs-1.example", "192.0.2.1", "::1", "2001:db8::1"}) EXPECT_TRUE(IsHost(good)) << good;
  using namespace std::string_view_literals;
  for (const std::string_view bad :
       {""sv, "a b"sv, "a:9441"sv, "[::1]"sv, "fe80::1%eth0"sv, "192.0.2.1\0x"sv, "::1\0"sv, "a/b"sv, "n\xc3\xb6"sv}) {
    EXPECT_FALSE(IsHost(bad)) << bad;
  }
  EXPECT_FALSE(IsHost(std::string(254, 'a')));
}

}  // namespace
}  // namespace trustline
