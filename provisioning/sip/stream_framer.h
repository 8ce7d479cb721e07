// SIP messages out of a byte stream (RFC 3261, section 18.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "provisioning/sip/message.h"

namespace trustline {

// Keeps at most one unfinished message besides what was appended since Next() last gave nothing.
class SipStreamFramer {
 public:
  // Without a message between them. Peers send one every half minute or so.
  static constexpr uint32_t kMaxKeepAlives = 10'000;

  void Append(ByteView bytes) { buffer_.append(AsText(bytes)); }

  // The next whole message; nullopt when there is none yet. An error is final: where the next message would begin is
  // not known any more.
  absl::StatusOr<std::optional<SipMessage>> Next();

  // After an error: the head of the message that is refused, for an answer, when that could be read.
  const std::optional<SipMessage>& refused() const { return head_; }

  // How many line ends came where a message may begin (RFC 5626, section 3.5.1: keep-alives), since the beginning.
  uint64_t keep_alives() const { return keep_alives_; }
  // Part of a message has come.
  bool has_begun() const { return head_.has_value() || begin_ < buffer_.size(); }

 private:
  // True when the bytes of the next message begin; false when more are needed.
  absl::StatusOr<bool> SkipKeepAlives();
  // The size of the head when it has come whole.
  absl::StatusOr<std::optional<size_t>> FindHead();
  std::nullopt_t NeedMore();

  std::string buffer_;
  size_t begin_ = 0;                // of the message in the buffer
  size_t scanned_ = 0;              // after begin_, without the end of the head
  std::optional<SipMessage> head_;  // read; waits for its body
  size_t body_size_ = 0;
  absl::Status failure_;
  uint64_t keep_alives_ = 0;
  uint32_t keep_alives_together_ = 0;
};

}  // namespace trustline
