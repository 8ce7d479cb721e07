// For tests that run the real `trustline up` with the real daemons and PostgreSQL.
#pragma once
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>

#include "absl/time/clock.h"
#include "cli/supervisor/child_process.h"
#include "cli/supervisor/data_directory.h"
#include "cli/supervisor/port_offset_testing.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/process_record.h"
#include "cli/supervisor/settings.h"
#include "common/net/http_client.h"
#include "common/net/http_server.h"
#include "common/net/tls_client.h"
#include "common/posix/pidfd.h"
#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
inline constexpr absl::Duration kStartTime = absl::Seconds(120);
inline constexpr const char* kChildren[] = {"postgres", "itld", "tvsd", "cad", "capfd", "provisiond"};

// Whoever starts the system: root (then everything gets a user of its own), or somebody else.
enum class Starter { kThisUser, kNobody };

class UpTest : public ::testing::TestWithParam<Starter> {
 protected:
  void SetUp() override {
    // The system users must be able to reach it.
    chmod(directory_.path().c_str(), 0755);
    bin_ = TRUSTLINE_BIN_DIR;
    if (GetParam() == Starter::kNobody && geteuid() == 0) BecomeNobody();
  }

  // Programs and data where that user can reach them, wherever this build lies.
  void BecomeNobody() {
    const passwd* nobody = getpwnam("nobody");
    ASSERT_NE(nobody, nullptr);
    user_ = SystemUser{.name = "nobody", .uid = nobody->pw_uid, .gid = nobody->pw_gid, .shared_group = nobody->pw_gid};
    ASSERT_EQ(chown(directory_.path().c_str(), user_->uid, user_->gid), 0);
    const std::filesystem::path installed = directory_.path() / "bin";
    std::filesystem::create_directories(installed);
    for (const char* program : {"trustline", "tvsd", "itld", "cad", "capfd", "provisiond", "trustctl"}) {
      std::filesystem::copy_file(std::filesystem::path(TRUSTLINE_BIN_DIR) / program, installed / program);
    }
    std::filesystem::create_directories(directory_.path() / "share" / "trustline");
    std::filesystem::copy(std::filesystem::path(TRUSTLINE_SOURCE_DIR) / "migrations",
                          directory_.path() / "share" / "trustline" / "migrations");
    bin_ = installed;
  }

  ChildCommand Command(const std::string& program, std::vector<std::string> arguments) const {
    return {.program = bin_ + "/" + program, .arguments = std::move(arguments), .user = user_};
  }
  std::vector<std::string> UpArguments() const {
    return {"up", "--data", data_, "--port-offset", std::to_string(offset_), "--listen", "127.0.0.1"};
  }

  // To act as whoever the files of a daemon belong to.
  static std::optional<SystemUser> OwnerOf(const std::string& directory) {
    struct stat status;
    if (geteuid() != 0 || stat(directory.c_str(), &status) != 0) return std::nullopt;
    return SystemUser{.name = directory, .uid = status.st_uid, .gid = status.st_gid, .shared_group = status.st_gid};
  }

  // Starts the system and reads its output until the line, or until it ends. Returns whether the line came.
  bool StartUntil(const std::string& line, std::vector<std::string> arguments = {}) {
    if (arguments.empty()) arguments = UpArguments();
    auto child = ChildProcess::Start(Command("trustline", arguments));
    if (!child.ok()) {
      ADD_FAILURE() << child.status();
      return false;
    }
    up_ = *std::move(child);
    output_.clear();
    const absl::Time deadline = absl::Now() + kStartTime;
    while (absl::Now() < deadline) {
      ReadOutput(absl::Milliseconds(200));
      if (("\n" + output_).find("\n" + line) != std::string::npos) return true;
      if (up_->TryWait()) {
        ReadOutput(absl::ZeroDuration());
        return false;
      }
    }
    return false;
  }
  void ReadOutput(absl::Duration wait) {
    pollfd event{.fd = up_->output_fd(), .events = POLLIN, .revents = 0};
    poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(wait)));
    output_ += up_->ReadOutput();
  }

  // Reads the output of the running system until the line came.
  bool WaitForOutput(const std::string& line) {
    const absl::Time deadline = absl::Now() + kStartTime;
    while (absl::Now() < deadline && output_.find(line) == std::string::npos) ReadOutput(absl::Milliseconds(100));
    return output_.find(line) != std::string::npos;
  }

  // The status with which the running system ends.
  std::string WaitForEnd() {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (absl::Now() < deadline) {
      ReadOutput(absl::Milliseconds(100));
      if (const auto status = up_->TryWait()) return WaitStatusText(*status);
    }
    return "did not end";
  }
  std::string Stop() {
    up_->Signal(SIGTERM);
    return WaitForEnd();
  }

  // A start that must be refused: its one line.
  std::string Refusal(std::vector<std::string> arguments = {}) {
    EXPECT_FALSE(StartUntil("ready\n", std::move(arguments)));
    EXPECT_EQ(WaitForEnd(), "ended with status 1") << output_;
    return output_;
  }

  ProcessRecord Record(const std::string& name) const {
    return ProcessRecord::Read(DataPaths(data_).pid(name)).value_or(ProcessRecord{});
  }
  // Watches the children that run now.
  std::vector<UniqueFd> WatchChildren() const {
    std::vector<UniqueFd> watched;
    for (const char* name : kChildren) {
      watched.emplace_back(OpenPidfd(Record(name).pid));
      EXPECT_TRUE(watched.back().valid()) << name << " does not run";
    }
    return watched;
  }
  static void ExpectEnded(const std::vector<UniqueFd>& watched) {
    for (size_t i = 0; i < watched.size(); ++i) {
      pollfd event{.fd = watched[i].get(), .events = POLLIN, .revents = 0};
      EXPECT_EQ(poll(&event, 1, 30'000), 1) << kChildren[i] << " lives on";
    }
  }

  bool IsReady(uint16_t metrics_port) const {
    const auto answer =
        HttpGet("127.0.0.1", static_cast<uint16_t>(metrics_port + offset_), "/health/ready", std::chrono::seconds(2));
    return answer.ok() && answer->status == 200;
  }
  void ExpectPhonesAreServed() const {
    EXPECT_TRUE(IsReady(9541));
    EXPECT_OK(TlsClient::Connect("127.0.0.1", Ports::WithOffset(offset_)->tvs));
  }
  // The system's own word for its data: what `trustctl` lists.
  std::string Ask(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--context", data_ + "/admin/context.toml"});
    const auto finished = RunToEnd(Command("trustctl", std::move(arguments)), absl::Seconds(30));
    if (!finished.ok()) return finished.status().ToString();
    EXPECT_EQ(WaitStatusText(finished->wait_status), "ended with status 0") << finished->output;
    return finished->output;
  }

  // `trustctl node list`, once the tvsd of the system with this offset has told itld where it answers gRPC.
  std::string AwaitNodes(int offset) {
    const std::string address = HostPort("127.0.0.1", Ports::WithOffset(offset)->tvsd_grpc);
    std::string nodes;
    for (const absl::Time deadline = absl::Now() + kStartTime; absl::Now() < deadline;) {
      nodes = Ask({"node", "list"});
      if (nodes.find(address) != std::string::npos) return nodes;
    }
    ADD_FAILURE() << address << " is not announced:\n" << nodes;
    return nodes;
  }

  TemporaryDirectory directory_;
  std::string bin_;
  std::string data_ = directory_.path() / "data";
  int offset_ = FreePortOffset();
  std::optional<SystemUser> user_;
  std::optional<ChildProcess> up_;
  std::string output_;
};

inline std::string StarterName(const ::testing::TestParamInfo<Starter>& starter) {
  return starter.param == Starter::kThisUser ? "ThisUser" : "Nobody";
}

}  // namespace trustline
