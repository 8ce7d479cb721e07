#include "common/service/log.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <condition_variable>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/time/clock.h"
#include "common/service/json.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxTextBytes = 2048;
// Ids are literals of the program; more of them than this means that one was made from data.
constexpr size_t kMaxEventIds = 1024;

void WriteToStderr(std::string_view line) {
  while (!line.empty()) {
    const ssize_t count = write(STDERR_FILENO, line.data(), line.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // nobody reads: nowhere to say so
    line.remove_prefix(static_cast<size_t>(count));
  }
}

class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit LineSink(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

  uint64_t flushes() {
    std::lock_guard lock(flush_mutex_);
    return flushes_;
  }
  bool WaitForFlush(uint64_t after) {
    std::unique_lock lock(flush_mutex_);
    return flushed_.wait_for(lock, std::chrono::milliseconds(100), [&] { return flushes_ > after; });
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    line_.assign(message.payload.data(), message.payload.size());
    line_.push_back('\n');
    write_(line_);
  }
  void flush_() override {
    std::lock_guard lock(flush_mutex_);
    ++flushes_;
    flushed_.notify_all();
  }

 private:
  std::function<void(std::string_view)> write_;
  std::string line_;
  std::mutex flush_mutex_;
  std::condition_variable flushed_;
  uint64_t flushes_ = 0;
};

// How many events of one id passed in the current second, and how many did not since the last that passed.
struct EventBudget {
  int64_t second = 0;
  int passed = 0;
  uint64_t suppressed = 0;
};

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text) {
  for (LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (LogLevelText(level) == text) return level;
  }
  return InvalidArgument("'{}' is not a log level: debug, info, warning or error", text);
}

std::string_view LogLevelText(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

class Log::Impl {
 public:
  explicit Impl(LogOptions options) : options_(std::move(options)) {
    json_ = options_.form == LogOptions::Form::kJson ||
            (options_.form == LogOptions::Form::kAutomatic && isatty(STDERR_FILENO) == 0);
    pool_ = std::make_shared<spdlog::details::thread_pool>(std::max<size_t>(options_.queue_lines, 2), 1);
    sink_ = std::make_shared<LineSink>(options_.sink ? options_.sink : WriteToStderr);
    logger_ = std::make_shared<spdlog::async_logger>(options_.service, sink_, pool_,
                                                     spdlog::async_overflow_policy::overrun_oldest);
    logger_->set_level(spdlog::level::trace);
  }

  ~Impl() {
    std::map<std::string, EventBudget, std::less<>> budgets;
    {
      std::lock_guard lock(mutex_);
      budgets.swap(budgets_);
    }
    for (const auto& [id, budget] : budgets) {
      if (budget.suppressed == 0) continue;
      Enqueue(LogLevel::kWarning, "LOG_SUPPRESSED", "events came faster than they are written",
              {{"event", id}, {"suppressed", budget.suppressed}}, 0);
    }
    Flush();
    pool_.reset();  // joins the writing thread before what it writes through ends
  }

  bool Enabled(LogLevel level) const { return level >= options_.level; }

  void Write(LogLevel level, std::string_view id, std::string_view message, LogFields fields) {
    if (!Enabled(level)) return;
    std::optional<uint64_t> suppressed = Admit(id);
    if (!suppressed) return;
    Enqueue(level, id, message, fields, *suppressed);
  }

  void Record(LogLevel level, std::string_view id, std::string_view message, LogFields fields) {
    Enqueue(level, id, message, fields, 0);
  }

  void Flush() {
    const uint64_t before = sink_->flushes();
    // Repeated, because a full queue may give up the request itself.
    do {
      logger_->flush();
    } while (!sink_->WaitForFlush(before));
  }

 private:
  // Nothing when the event is over its budget, else how many were before it.
  std::optional<uint64_t> Admit(std::string_view id) {
    const int64_t second = absl::ToUnixSeconds(absl::Now());
    std::lock_guard lock(mutex_);
    auto budget = budgets_.find(id);
    if (budget == budgets_.end()) {
      if (budgets_.size() >= kMaxEventIds) id = "OTHER";
      budget = budgets_.emplace(std::string(id), EventBudget{}).first;
    }
    EventBudget& state = budget->second;
    if (state.second != second) {
      state.second = second;
      state.passed = 0;
    }
    if (state.passed >= options_.max_events_per_second) {
      ++state.suppressed;
      return std::nullopt;
    }
    ++state.passed;
    return std::exchange(state.suppressed, 0);
  }

  void Enqueue(LogLevel level, std::string_view id, std::string_view message, LogFields fields, uint64_t suppressed) {
    std::string line;
    line.reserve(256);
    if (json_) {
      AppendJson(line, level, id, message, fields, suppressed);
    } else {
      AppendText(line, level, id, message, fields, suppressed);
    }
    logger_->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  }

  void AppendJson(std::string& line, LogLevel level, std::string_view id, std::string_view message, LogFields fields,
                  uint64_t suppressed) {
    fmt::format_to(std::back_inserter(line), R"({{"time":"{}","level":"{}")", TimeText(absl::Now()),
                   LogLevelText(level));
    auto text = [&line](std::string_view key, std::string_view value) {
      line.push_back(',');
      AppendJsonString(line, key, kMaxTextBytes);
      line.push_back(':');
      AppendJsonString(line, value, kMaxTextBytes);
    };
    if (!options_.service.empty()) text("service", options_.service);
    text("id", id);
    text("message", message);
    for (const LogField& field : fields) {
      if (const auto* value = std::get_if<std::string_view>(&field.value)) {
        text(field.key, *value);
        continue;
      }
      line.push_back(',');
      AppendJsonString(line, field.key, kMaxTextBytes);
      line.push_back(':');
      AppendNumber(line, field);
    }
    if (suppressed > 0) fmt::format_to(std::back_inserter(line), R"(,"suppressed":{})", suppressed);
    line.push_back('}');
  }

  void AppendText(std::string& line, LogLevel level, std::string_view id, std::string_view message, LogFields fields,
                  uint64_t suppressed) {
    fmt::format_to(std::back_inserter(line), "{} {:<7} {} {}", TimeText(absl::Now()), LogLevelText(level), id,
                   PrintableText(message, kMaxTextBytes));
    for (const LogField& field : fields) {
      fmt::format_to(std::back_inserter(line), " {}=", field.key);
      if (const auto* value = std::get_if<std::string_view>(&field.value)) {
        AppendJsonString(line, *value, kMaxTextBytes);
      } else {
        AppendNumber(line, field);
      }
    }
    if (suppressed > 0) fmt::format_to(std::back_inserter(line), " suppressed={}", suppressed);
  }

  static void AppendNumber(std::string& line, const LogField& field) {
    if (const auto* number = std::get_if<int64_t>(&field.value)) {
      fmt::format_to(std::back_inserter(line), "{}", *number);
    } else if (const auto* flag = std::get_if<bool>(&field.value)) {
      line.append(*flag ? "true" : "false");
    } else if (const auto* real = std::get_if<double>(&field.value)) {
      // JSON has no word for infinity or not-a-number.
      line.append(std::isfinite(*real) ? fmt::format("{}", *real) : "null");
    }
  }

  LogOptions options_;
  bool json_;
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<LineSink> sink_;
  std::shared_ptr<spdlog::async_logger> logger_;
  std::mutex mutex_;
  std::map<std::string, EventBudget, std::less<>> budgets_;
};

Log::Log(LogOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Log::~Log() = default;
void Log::Write(LogLevel level, std::string_view id, std::string_view message, LogFields fields) {
  impl_->Write(level, id, message, fields);
}
void Log::Record(LogLevel level, std::string_view id, std::string_view message, LogFields fields) {
  impl_->Record(level, id, message, fields);
}
bool Log::Enabled(LogLevel level) const { return impl_->Enabled(level); }
void Log::Flush() { impl_->Flush(); }

}  // namespace trustline
