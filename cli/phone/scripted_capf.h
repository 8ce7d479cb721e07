// A CAPF server whose messages a test decides, behind the real socket layer.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "capf/message.h"
#include "cli/phone/endpoint.h"
#include "common/net/listener_test_support.h"

namespace trustline {

class ScriptedCapf {
 public:
  // What to send after a whole message of the phone's, and at the beginning, when `message` is empty; empty waits for
  // the next message, nothing closes the connection.
  using Script = std::function<std::optional<std::string>(const std::string& message)>;

  // `new_script` makes the script of each session.
  explicit ScriptedCapf(std::function<Script()> new_script) : new_script_(std::move(new_script)) {
    workers_ = *IoWorkers::Start(1);
    StreamServerOptions options{.name = "capf", .address = "127.0.0.1", .tls = MakeTestTlsContext()};
    server_ = *StreamServer::Start(*workers_, std::move(options),
                                   [this](const Peer&) { return std::make_unique<Session>(*this); });
  }

  Endpoint endpoint() const { return {"127.0.0.1", server_->port()}; }
  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  // Sizes of the pieces in which messages came.
  std::vector<size_t> pieces() const {
    const std::lock_guard lock(mutex_);
    return pieces_;
  }
  // The phone's messages, of all sessions.
  std::vector<std::string> messages() const {
    const std::lock_guard lock(mutex_);
    return messages_;
  }

 private:
  class Session final : public PhoneSession {
   public:
    explicit Session(ScriptedCapf& capf) : capf_(capf), script_(capf.new_script_()) {}
    SessionActions OnConnected() override { return Act(script_("")); }
    SessionActions OnBytes(ByteView bytes) override {
      buffer_ += AsText(bytes);
      const std::lock_guard lock(capf_.mutex_);
      capf_.pieces_.push_back(bytes.size());
      SessionActions actions;
      while (!actions.close && buffer_.size() >= kCapfHeaderSize) {
        const auto byte = [&](size_t index) { return static_cast<uint8_t>(buffer_[index]); };
        const size_t size = kCapfHeaderSize + byte(6) * 256u + byte(7);
        if (buffer_.size() < size) break;
        const std::string message = buffer_.substr(0, size);
        buffer_.erase(0, size);
        capf_.messages_.push_back(message);
        SessionActions next = Act(script_(message));
        actions.send += next.send;
        actions.close = next.close;
      }
      return actions;
    }
    SessionActions OnWaitDone() override { return {}; }

   private:
    static SessionActions Act(std::optional<std::string> send) {
      if (!send) return {.close = true};
      return {.send = *std::move(send)};
    }

    ScriptedCapf& capf_;
    const Script script_;
    std::string buffer_;
  };

  const std::function<Script()> new_script_;
  mutable std::mutex mutex_;
  std::vector<size_t> pieces_;
  std::vector<std::string> messages_;
  std::unique_ptr<IoWorkers> workers_;
  std::unique_ptr<StreamServer> server_;
};

}  // namespace trustline
