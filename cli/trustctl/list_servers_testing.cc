#include "cli/trustctl/list_servers_testing.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "common/status/status.h"
#include "gtest/gtest.h"

namespace trustline {
namespace {

constexpr size_t kBlock = 512;
constexpr int kMilliseconds = 20'000;  // no test waits longer for anything

// RFC 1350, 5.
enum class Opcode : uint8_t { kRead = 1, kData = 3, kAcknowledgment = 4, kError = 5 };
constexpr uint8_t kFileNotFound = 1;

UniqueFd BindLoopback(int type, uint16_t& port) {
  UniqueFd socket(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(socket.get(), generic, size) != 0 || getsockname(socket.get(), generic, &size) != 0) {
    throw std::runtime_error("no port of 127.0.0.1 is free");
  }
  port = ntohs(address.sin_port);
  return socket;
}

// False when it is time to stop, or nothing came.
bool WaitFor(int descriptor, int stop, int16_t events = POLLIN, int milliseconds = kMilliseconds) {
  std::array<pollfd, 2> descriptors = {{{descriptor, events, 0}, {stop, POLLIN, 0}}};
  return poll(descriptors.data(), descriptors.size(), milliseconds) > 0 && descriptors[1].revents == 0;
}

void Raise(const UniqueFd& stop) { EXPECT_EQ(eventfd_write(stop.get(), 1), 0); }

std::string Head(Opcode opcode, size_t number) {
  return {'\0', static_cast<char>(opcode), static_cast<char>(number >> 8 & 0xff), static_cast<char>(number & 0xff)};
}

std::string ReadWhole(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

bool Connects(uint16_t port) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  return connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

ScriptedTftp::File ScriptedTftp::Bytes(std::string content) {
  return [content = std::move(content)](size_t offset) {
    return offset < content.size() ? content.substr(offset, kBlock) : std::string();
  };
}

ScriptedTftp::ScriptedTftp(std::map<std::string, File> files, bool silent)
    : files_(std::move(files)),
      silent_(silent),
      socket_(BindLoopback(SOCK_DGRAM, port_)),
      stop_(eventfd(0, EFD_CLOEXEC)) {
  thread_ = std::thread([this] { Serve(); });
}

ScriptedTftp::~ScriptedTftp() { Stop(); }

ScriptedTftp::Requests ScriptedTftp::Stop() {
  Raise(stop_);
  if (thread_.joinable()) thread_.join();
  return requests_;
}

void ScriptedTftp::Serve() {
  while (WaitFor(socket_.get(), stop_.get(), POLLIN, -1)) {
    std::array<char, 1024> packet = {};
    sockaddr_in client = {};
    socklen_t size = sizeof(client);
    const ssize_t length =
        recvfrom(socket_.get(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&client), &size);
    if (length < 4 || packet[1] != static_cast<char>(Opcode::kRead)) continue;
    const std::string_view request(packet.data() + 2, static_cast<size_t>(length) - 2);
    const std::string name(request.substr(0, request.find('\0')));
    const std::string_view mode = request.substr(std::min(name.size() + 1, request.size()));
    requests_.push_back(name + " " + absl::AsciiStrToLower(std::string(mode.substr(0, mode.find('\0')))));
    if (silent_) continue;
    const auto file = files_.find(name);
    if (file != files_.end()) {
      Send(file->second, client);
      continue;
    }
    const std::string error = Head(Opcode::kError, kFileNotFound) + std::string("File not found\0", 15);
    sendto(socket_.get(), error.data(), error.size(), 0, reinterpret_cast<const sockaddr*>(&client), sizeof(client));
  }
}

void ScriptedTftp::Send(const File& file, const sockaddr_in& client) {
  for (size_t block = 1;; ++block) {
    const std::string data = file((block - 1) * kBlock);
    const std::string packet = Head(Opcode::kData, block) + data;
    sendto(socket_.get(), packet.data(), packet.size(), 0, reinterpret_cast<const sockaddr*>(&client), sizeof(client));
    if (!WaitFor(socket_.get(), stop_.get())) return;
    std::array<char, 1024> answer = {};
    const ssize_t length = recv(socket_.get(), answer.data(), answer.size(), 0);
    // Loopback loses nothing: anything but the acknowledgment ends it.
    if (length < 4 || std::string_view(answer.data(), 4) != Head(Opcode::kAcknowledgment, block)) return;
    if (data.size() < kBlock) return;
  }
}

ServerProcess::ServerProcess(std::vector<std::string> arguments, int stdin_descriptor) {
  arguments.insert(arguments.begin(), {"/usr/bin/setpriv", "--pdeathsig", "KILL"});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (stdin_descriptor < 0) {
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  } else {
    posix_spawn_file_actions_adddup2(&actions, stdin_descriptor, STDIN_FILENO);
  }
  const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("cannot run " + arguments[0]);
}

ServerProcess::~ServerProcess() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool ServerProcess::Running() {
  if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
}

TftpServer::TftpServer(const std::filesystem::path& folder) {
  if (geteuid() != 0) {
    std::map<std::string, ScriptedTftp::File> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      files[entry.path().filename()] = ScriptedTftp::Bytes(ReadWhole(entry.path()));
    }
    scripted_ = std::make_unique<ScriptedTftp>(std::move(files));
    port_ = scripted_->port();
    return;
  }
  // As inetd starts it: with a socket that waits for requests already.
  const UniqueFd socket = BindLoopback(SOCK_DGRAM, port_);
  process_ = std::make_unique<ServerProcess>(
      std::vector<std::string>{"/usr/sbin/in.tftpd", "--user", "root", "--secure", folder.string()}, socket.get());
}

absl::StatusOr<std::unique_ptr<NginxServer>> NginxServer::Start(const std::filesystem::path& folder,
                                                                const std::filesystem::path& work,
                                                                std::string_view extra) {
  constexpr int kAttempts = 5;  // somebody else may take the port meanwhile
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uint16_t port = 0;
    (void)BindLoopback(SOCK_STREAM, port);
    const std::string configuration = work / "nginx.conf";
    const std::string error_log = work / "error.log";
    std::ofstream(configuration) << fmt::format(
        "daemon off;\nmaster_process off;\npid {0}/pid;\nevents {{ worker_connections 64; }}\n"
        "http {{\n  access_log {0}/access.log;\n  client_body_temp_path {0}/body;\n  proxy_temp_path {0}/proxy;\n"
        "  fastcgi_temp_path {0}/fastcgi;\n  uwsgi_temp_path {0}/uwsgi;\n  scgi_temp_path {0}/scgi;\n"
        "  server {{\n    listen 127.0.0.1:{1};\n    root {2};\n    {3}\n  }}\n}}\n",
        work.string(), port, folder.string(), extra);
    auto process = std::make_unique<ServerProcess>(
        std::vector<std::string>{"/usr/sbin/nginx", "-p", work.string(), "-c", configuration, "-e", error_log}, -1);
    const absl::Time end = absl::Now() + absl::Milliseconds(kMilliseconds);
    while (process->Running() && absl::Now() < end) {
      if (Connects(port)) return std::unique_ptr<NginxServer>(new NginxServer(std::move(process), port));
      absl::SleepFor(absl::Milliseconds(10));
    }
    if (ReadWhole(error_log).find("Address already in use") == std::string::npos) {
      return Internal("nginx does not come up: {}", ReadWhole(error_log));
    }
  }
  return Internal("nginx finds no free port");
}

ScriptedHttp::ScriptedHttp(std::string response, Then then)
    : response_(std::move(response)),
      then_(then),
      listener_(BindLoopback(SOCK_STREAM, port_)),
      stop_(eventfd(0, EFD_CLOEXEC)) {
  if (listen(listener_.get(), SOMAXCONN) != 0) throw std::runtime_error("cannot listen");
  thread_ = std::thread([this] { Serve(); });
}

ScriptedHttp::~ScriptedHttp() {
  Raise(stop_);
  thread_.join();
}

void ScriptedHttp::Serve() {
  while (WaitFor(listener_.get(), stop_.get(), POLLIN, -1)) {
    const UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ++connections_;
    Answer(client.get());
  }
}

void ScriptedHttp::Answer(int client) {
  std::array<char, 4096> request = {};
  if (!WaitFor(client, stop_.get()) || recv(client, request.data(), request.size(), 0) <= 0) return;
  std::string next = response_;
  while (send(client, next.data(), next.size(), MSG_NOSIGNAL) >= 0) {
    sent_ += std::ssize(next);
    if (then_ != Then::kEndlessZeros) break;
    if (!WaitFor(client, stop_.get(), POLLOUT)) return;
    next.assign(4096, '\0');
  }
  if (then_ == Then::kWait) WaitFor(client, stop_.get());
}

}  // namespace trustline
