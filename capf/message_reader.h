// Cuts what a phone sends into messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "capf/message.h"
#include "common/bytes/bytes.h"

namespace trustline {

struct CapfMessage {
  CapfCommand command = CapfCommand::kEndSession;
  CapfElements elements;
};

// Of one session. What it holds may be a password: bytes are overwritten once they are used, and none is left behind in
// freed memory.
class CapfMessageReader {
 public:
  explicit CapfMessageReader(uint32_t session_id) : session_id_(session_id) {}
  ~CapfMessageReader();
  CapfMessageReader(const CapfMessageReader&) = delete;
  CapfMessageReader& operator=(const CapfMessageReader&) = delete;

  void Add(ByteView bytes);

  // The next message when it has come whole. InvalidArgument, as soon as the header has come, for another session's
  // message and for one that is not among `expected`; then for a body that cannot be decoded. Nothing can be read after
  // an error.
  absl::StatusOr<std::optional<CapfMessage>> Next(std::initializer_list<CapfCommand> expected);

  // Nothing is left, not even a part of a message.
  bool empty() const { return used_ == bytes_.size(); }

 private:
  void Use(size_t count);
  void DropUsed();

  const uint32_t session_id_;
  std::vector<uint8_t> bytes_;
  size_t used_ = 0;  // of `bytes_`, from the front
};

}  // namespace trustline
