// The structured log: one event a line with a stable id, a sentence for the operator, and fields.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trustline {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

// "debug", "info", "warning", "error".
absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text);
std::string_view LogLevelText(LogLevel level);

// A field of an event, borrowed for the call: {"port", 2445}, {"peer", peer.address}.
struct LogField {
  LogField(std::string_view name, std::string_view text) : key(name), value(text) {}
  LogField(std::string_view name, const std::string& text) : key(name), value(std::string_view(text)) {}
  LogField(std::string_view name, const char* text) : key(name), value(std::string_view(text)) {}
  LogField(std::string_view name, const absl::Status& status)
      : key(name), value(std::string_view(status.message().data(), status.message().size())) {}
  LogField(std::string_view name, bool flag) : key(name), value(flag) {}
  template <std::integral T>
  LogField(std::string_view name, T number) : key(name), value(static_cast<int64_t>(number)) {}
  LogField(std::string_view name, double number) : key(name), value(number) {}

  std::string_view key;
  std::variant<std::string_view, int64_t, double, bool> value;
};

using LogFields = std::initializer_list<LogField>;

struct LogOptions {
  std::string service;  // "tvsd"; a field of every line when not empty
  LogLevel level = LogLevel::kInfo;
  enum class Form : uint8_t { kAutomatic, kJson, kText } form = Form::kAutomatic;  // text on a terminal, else JSON
  // Of one event id; what exceeds it is counted, and the next line of this id says how many were suppressed.
  int max_events_per_second = 50;
  size_t queue_lines = 8192;  // waiting to be written; the oldest is given up for a new one
  // Where whole lines (with their line end) go instead of stderr; called on the log's own thread.
  std::function<void(std::string_view line)> sink;
};

// Safe to use from any thread. The caller pays for formatting only; one thread of the log's own does the writing.
// Texts are escaped and cut at 2,048 bytes, so that a peer's bytes cannot forge a line.
class Log {
 public:
  explicit Log(LogOptions options);
  // Writes everything that waits.
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // `id` is a stable name in capitals ("TVS_HANDSHAKE_FAILED"); `message` a sentence.
  void Debug(std::string_view id, std::string_view message, LogFields fields = {}) {
    Write(LogLevel::kDebug, id, message, fields);
  }
  void Info(std::string_view id, std::string_view message, LogFields fields = {}) {
    Write(LogLevel::kInfo, id, message, fields);
  }
  void Warning(std::string_view id, std::string_view message, LogFields fields = {}) {
    Write(LogLevel::kWarning, id, message, fields);
  }
  void Error(std::string_view id, std::string_view message, LogFields fields = {}) {
    Write(LogLevel::kError, id, message, fields);
  }

  void Write(LogLevel level, std::string_view id, std::string_view message, LogFields fields);
  // Writes whatever the level and the rate are: for events of which every one must stand in the log and whose number
  // somebody else bounds.
  void Record(LogLevel level, std::string_view id, std::string_view message, LogFields fields);
  bool Enabled(LogLevel level) const;
  // Returns when what was written before the call has reached the sink.
  void Flush();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trustline
