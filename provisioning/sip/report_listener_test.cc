// The sessions and datagrams of reports on real sockets.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <thread>

#include "common/net/listener_test_support.h"
#include "common/net/udp_server.h"
#include "provisioning/sip/report_datagrams.h"
#include "provisioning/sip/report_session.h"
#include "provisioning/sip/report_testing.h"
#include "provisioning/sip/sip_testing.h"

namespace trustline {
namespace {

// Answers from a thread of its own, the oldest first.
class ThreadedDesk final : public ReportDesk {
 public:
  ~ThreadedDesk() override {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  void Submit(PhoneTrustReport report, std::function<void(absl::Status)> done) override {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(done));
      bases_.push_back(report.basis);
    }
    changed_.notify_one();
  }
  std::vector<ReportBasis> bases() {
    const std::lock_guard lock(mutex_);
    return bases_;
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return is_ending_ || !waiting_.empty(); });
      std::vector<std::function<void(absl::Status)>> all = std::exchange(waiting_, {});
      if (all.empty()) return;
      lock.unlock();
      for (const auto& done : all) done(absl::OkStatus());
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void(absl::Status)>> waiting_;
  std::vector<ReportBasis> bases_;
  bool is_ending_ = false;
  std::thread thread_{[this] { Run(); }};
};

class ReportListenerTest : public ListenerTest {
 protected:
  ReportListenerTest() {
    forwarders_.current = std::make_shared<Forwarders>(
        std::vector<Forwarder>{
            {.name = "127.0.0.0/8", .is_network = true, .may_refer = true, .may_register = true, .udp = true}},
        true);
    StartWorkers();
  }
  ~ReportListenerTest() override {
    StopServer();
    workers_.reset();
  }

  FakeClock clock_{absl::FromUnixSeconds(1'800'000'000)};
  Log log_{{.service = "test", .form = LogOptions::Form::kJson, .sink = [](std::string_view) {}}};
  ThreadedDesk desk_;
  TestJudge judge_;
  TestForwarders forwarders_;
  ReportIntake intake_{desk_, judge_, forwarders_, {}, clock_, log_};
};

TEST_F(ReportListenerTest, ThousandsOfReportsOverOneConnectionAreAllAnswered) {
  constexpr int kReports = 5'000;
  StartServerWith(
      {}, [this](const Peer& peer) { return std::make_unique<ReportSession>(intake_, peer, SipTransport::kTcp); });
  RawClient client = RawClient::Connect(port());
  std::thread writer([&client] {
    for (int i = 0; i < kReports; ++i) {
      TestRequest request = TestRefer(TrustListAlarm(fmt::format("SEP{:012X}", i)));
      request.contact = "";
      request.number = std::to_string(i);
      client.Send(request.Text());
    }
    client.EndOutput();
  });
  const std::optional<std::string> answers = client.ReadUntilClosed();
  writer.join();
  ASSERT_TRUE(answers.has_value());
  EXPECT_EQ(ResponseCodes(*answers).size(), kReports * 4u - 1);
  EXPECT_EQ(intake_.statistics()->answers[1], static_cast<uint64_t>(kReports));
  // In the order of the requests.
  size_t position = 0;
  for (int i = 0; i < kReports; ++i) {
    position = answers->find(fmt::format("\r\nCSeq: {} REFER\r\n", i), position);
    ASSERT_NE(position, std::string::npos) << i;
  }
  EXPECT_EQ(desk_.bases(), std::vector<ReportBasis>(kReports, ReportBasis::kForwarder));
}

TEST_F(ReportListenerTest, ADatagramIsAnsweredToWhereItCameFrom) {
  absl::StatusOr<std::unique_ptr<UdpServer>> server =
      UdpServer::Start(*workers_, {.name = "sip", .address = "127.0.0.1"}, ReportDatagrams(intake_));
  ASSERT_TRUE(server.ok()) << server.status();
  const UniqueFd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const timeval limit{30, 0};
  setsockopt(socket_fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  sockaddr_in to{.sin_family = AF_INET, .sin_port = htons((*server)->port())};
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  ASSERT_EQ(connect(socket_fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  const std::string request = TestRefer().Text();
  ASSERT_EQ(send(socket_fd.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  std::string answer(65'536, '\0');
  const ssize_t size = recv(socket_fd.get(), answer.data(), answer.size(), 0);
  ASSERT_GT(size, 0);
  answer.resize(static_cast<size_t>(size));
  EXPECT_EQ(ResponseCodes(answer), "202");
  EXPECT_THAT(answer, ::testing::HasSubstr(";received=127.0.0.1\r\n"));
  (*server)->Stop();
}

}  // namespace
}  // namespace trustline
