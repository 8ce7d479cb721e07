// A TVS whose answers a test decides, behind the real socket layer.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cli/phone/endpoint.h"
#include "common/net/listener_test_support.h"
#include "tvs/message.h"

namespace trustline {

class ScriptedTvs {
 public:
  // The answer to a whole request message; empty closes the connection.
  using Script = std::function<std::string(const std::string& request)>;

  // It presents the certificate of `tls`, that of GetTestIdentity() unless given.
  explicit ScriptedTvs(Script script, std::shared_ptr<TlsContext> tls = MakeTestTlsContext())
      : script_(std::move(script)) {
    workers_ = *IoWorkers::Start(1);
    StreamServerOptions options{.name = "tvs", .address = "127.0.0.1", .tls = std::move(tls)};
    server_ = *StreamServer::Start(*workers_, std::move(options),
                                   [this](const Peer&) { return std::make_unique<Session>(*this); });
  }

  Endpoint endpoint() const { return {"127.0.0.1", server_->port()}; }
  // Sizes of the pieces in which requests came.
  std::vector<size_t> pieces() const {
    const std::lock_guard lock(mutex_);
    return pieces_;
  }
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  class Session final : public PhoneSession {
   public:
    explicit Session(ScriptedTvs& tvs) : tvs_(tvs) {}
    SessionActions OnBytes(ByteView bytes) override {
      buffer_ += AsText(bytes);
      const std::lock_guard lock(tvs_.mutex_);
      tvs_.pieces_.push_back(bytes.size());
      if (buffer_.size() < kTvsHeaderSize) return {};
      const auto byte = [&](size_t index) { return static_cast<uint8_t>(buffer_[index]); };
      const size_t size = kTvsHeaderSize + byte(8) * 256u + byte(9);
      if (buffer_.size() < size) return {};
      const std::string request = buffer_.substr(0, size);
      buffer_.erase(0, size);
      tvs_.requests_.push_back(request);
      std::string answer = tvs_.script_(request);
      return {.send = answer, .close = answer.empty()};
    }
    SessionActions OnWaitDone() override { return {}; }

   private:
    ScriptedTvs& tvs_;
    std::string buffer_;
  };

  const Script script_;
  mutable std::mutex mutex_;
  std::vector<size_t> pieces_;
  std::vector<std::string> requests_;
  std::unique_ptr<IoWorkers> workers_;
  std::unique_ptr<StreamServer> server_;
};

}  // namespace trustline
