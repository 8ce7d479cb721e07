#include "cli/trustctl/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trustline {
namespace {

constexpr absl::Duration kBarDelay = absl::Milliseconds(500);
constexpr absl::Duration kBarInterval = absl::Milliseconds(100);
constexpr absl::Duration kLineInterval = absl::Seconds(5);
constexpr int64_t kBarWidth = 30;

}  // namespace

Progress::Progress(std::ostream& err, bool terminal, std::string what, int64_t total, const Clock& clock)
    : err_(err), terminal_(terminal), what_(std::move(what)), total_(total), clock_(clock) {
  next_ = clock_.Now() + (terminal_ ? kBarDelay : kLineInterval);
}

Progress::~Progress() { Finish(); }

void Progress::Update(int64_t done) {
  const absl::Time now = clock_.Now();
  if (now < next_) return;
  next_ = now + (terminal_ ? kBarInterval : kLineInterval);
  if (terminal_) {
    err_ << "\r\x1b[K" << Line(done) << std::flush;
    bar_shown_ = true;
  } else {
    err_ << Line(done) << std::endl;
  }
}

void Progress::Finish() {
  if (bar_shown_) err_ << "\r\x1b[K" << std::flush;
  bar_shown_ = false;
}

std::string Progress::Line(int64_t done) const {
  if (total_ <= 0) return fmt::format("{} {}", done, what_);
  const int64_t counted = std::clamp<int64_t>(done, 0, total_);
  const std::string text = fmt::format("{} of {} {}, {}%", counted, total_, what_, counted * 100 / total_);
  if (!terminal_) return text;
  const auto filled = static_cast<size_t>(counted * kBarWidth / total_);
  return fmt::format("[{}{}] {}", std::string(filled, '#'), std::string(kBarWidth - filled, ' '), text);
}

}  // namespace trustline
