// Servers of trust lists for tests: the real ones (tftpd-hpa, nginx), and some that misbehave.
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/posix/unique_fd.h"

namespace trustline {

// A TFTP server that a test has written: it serves whole files, one client after the other, and can do what real
// servers do not. It knows no options (RFC 2347). On 127.0.0.1.
class ScriptedTftp {
 public:
  // The file's bytes from `offset` on, at most 512: fewer end it.
  using File = std::function<std::string(size_t offset)>;
  // What a client asked for, with its mode, in lower case.
  using Requests = std::vector<std::string>;

  static File Bytes(std::string content);

  // `silent`: it takes requests and never answers.
  explicit ScriptedTftp(std::map<std::string, File> files, bool silent = false);
  ~ScriptedTftp();
  uint16_t port() const { return port_; }
  // After its end.
  Requests Stop();

 private:
  void Serve();
  void Send(const File& file, const sockaddr_in& client);

  const std::map<std::string, File> files_;
  const bool silent_;
  uint16_t port_ = 0;
  UniqueFd socket_;
  UniqueFd stop_;  // an eventfd
  Requests requests_;
  std::thread thread_;
};

// A process that ends with this object, and with the thread that started it.
class ServerProcess {
 public:
  // `stdin_descriptor` becomes its standard input, -1: /dev/null.
  ServerProcess(std::vector<std::string> arguments, int stdin_descriptor);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  bool Running();

 private:
  pid_t pid_ = -1;
};

// Debian's tftpd-hpa with a folder, on a free port of 127.0.0.1. It serves only when root has started it, since it sets
// groups; for anybody else ScriptedTftp serves the folder's files as they were at the start.
class TftpServer {
 public:
  explicit TftpServer(const std::filesystem::path& folder);
  uint16_t port() const { return port_; }

 private:
  uint16_t port_ = 0;
  std::unique_ptr<ServerProcess> process_;
  std::unique_ptr<ScriptedTftp> scripted_;
};

// Debian's nginx with a folder, on a free port of 127.0.0.1. `extra` stands in its server block.
class NginxServer {
 public:
  // `work` is a folder of its own.
  static absl::StatusOr<std::unique_ptr<NginxServer>> Start(const std::filesystem::path& folder,
                                                            const std::filesystem::path& work,
                                                            std::string_view extra = "");
  uint16_t port() const { return port_; }

 private:
  NginxServer(std::unique_ptr<ServerProcess> process, uint16_t port) : process_(std::move(process)), port_(port) {}
  std::unique_ptr<ServerProcess> process_;
  uint16_t port_;
};

// Sends these bytes to whoever connects and has sent a request, as HTTP servers do not; then waits for its end, or goes
// on sending zero bytes. On 127.0.0.1, one client after the other.
class ScriptedHttp {
 public:
  enum class Then : uint8_t { kClose, kWait, kEndlessZeros };
  ScriptedHttp(std::string response, Then then);
  ~ScriptedHttp();
  uint16_t port() const { return port_; }
  int64_t sent() const { return sent_; }
  int connections() const { return connections_; }

 private:
  void Serve();
  void Answer(int client);

  const std::string response_;
  const Then then_;
  uint16_t port_ = 0;
  UniqueFd listener_;
  UniqueFd stop_;  // an eventfd
  std::atomic<int64_t> sent_ = 0;
  std::atomic<int> connections_ = 0;
  std::thread thread_;
};

}  // namespace trustline
