#include "provisioning/sip/stream_framer.h"

#include <utility>

#include "common/status/status.h"

namespace trustline {

absl::StatusOr<std::optional<SipMessage>> SipStreamFramer::Next() {
  if (!failure_.ok()) return failure_;
  const auto fail = [this](absl::Status status) { return failure_ = std::move(status); };

  if (!head_) {
    // 1. The head, as far as its empty line.
    const absl::StatusOr<bool> begins = SkipKeepAlives();
    if (!begins.ok()) return fail(begins.status());
    if (!*begins) return NeedMore();
    const absl::StatusOr<std::optional<size_t>> size = FindHead();
    if (!size.ok()) return fail(size.status());
    if (!*size) return NeedMore();
    absl::StatusOr<SipMessage> head = ReadSipHead(std::string_view(buffer_).substr(begin_, **size));
    if (!head.ok()) return fail(head.status());
    begin_ += **size;
    scanned_ = 0;
    head_ = *std::move(head);

    // 2. The length of its body. Section 18.3: on a stream the line must be there when a body is.
    const absl::StatusOr<std::optional<size_t>> length = SipContentLength(*head_);
    if (!length.ok()) return fail(length.status());
    body_size_ = length->value_or(0);
  }

  // 3. The body.
  if (buffer_.size() - begin_ < body_size_) return NeedMore();
  SipMessage message = *std::exchange(head_, std::nullopt);
  message.body = buffer_.substr(begin_, body_size_);
  begin_ += body_size_;
  return message;
}

absl::StatusOr<bool> SipStreamFramer::SkipKeepAlives() {
  while (true) {
    if (begin_ == buffer_.size()) return false;
    if (buffer_[begin_] != '\r') break;
    if (begin_ + 1 == buffer_.size()) return false;
    if (buffer_[begin_ + 1] != '\n') return InvalidArgument("SIP: a CR without LF where a message begins");
    begin_ += 2;
    ++keep_alives_;
    if (++keep_alives_together_ > kMaxKeepAlives) {
      return ResourceExhausted("SIP: {} empty lines without a message", kMaxKeepAlives);
    }
  }
  keep_alives_together_ = 0;
  return true;
}

absl::StatusOr<std::optional<size_t>> SipStreamFramer::FindHead() {
  const std::string_view bytes = std::string_view(buffer_).substr(begin_);
  for (; scanned_ < bytes.size(); ++scanned_) {
    if (scanned_ >= kMaxSipHeadBytes) {
      return InvalidArgument("SIP: the header lines exceed {} bytes", kMaxSipHeadBytes);
    }
    const char c = bytes[scanned_];
    const char before = scanned_ == 0 ? '\0' : bytes[scanned_ - 1];
    // Found here, so that a peer with other line ends is told at once and not when its time is over.
    if (c == '\0' || (c == '\n') != (before == '\r')) {
      return InvalidArgument("SIP: a line has a control character, or does not end with CR LF");
    }
    if (c == '\n' && scanned_ >= 3 && bytes[scanned_ - 2] == '\n') return scanned_ + 1;
  }
  return std::nullopt;
}

std::nullopt_t SipStreamFramer::NeedMore() {
  buffer_.erase(0, std::exchange(begin_, 0));
  if (buffer_.empty()) buffer_.shrink_to_fit();  // thousands of connections may have nothing to say for hours
  return std::nullopt;
}

}  // namespace trustline
