#include "capf/message_reader.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "common/status/status.h"

namespace trustline {
namespace {

// Most messages of phones are shorter.
constexpr size_t kLeastCapacity = 1024;

}  // namespace

CapfMessageReader::~CapfMessageReader() {
  if (!bytes_.empty()) OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

void CapfMessageReader::Add(ByteView bytes) {
  DropUsed();
  const size_t size = bytes_.size() + bytes.size();
  if (size > bytes_.capacity()) {
    // A vector that grows by itself would free its old bytes as they are.
    std::vector<uint8_t> larger;
    larger.reserve(std::max({kLeastCapacity, 2 * bytes_.capacity(), size}));
    larger.assign(bytes_.begin(), bytes_.end());
    if (!bytes_.empty()) OPENSSL_cleanse(bytes_.data(), bytes_.size());
    bytes_.swap(larger);
  }
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

absl::StatusOr<std::optional<CapfMessage>> CapfMessageReader::Next(std::initializer_list<CapfCommand> expected) {
  const ByteView rest = ByteView(bytes_).subspan(used_);
  if (rest.size() < kCapfHeaderSize) return std::nullopt;
  ASSIGN_OR_RETURN(const CapfHeader header, DecodeCapfHeader(rest.first(kCapfHeaderSize)));
  if (header.session_id != session_id_) {
    return InvalidArgument("CAPF header: {} is the id of another session", header.session_id);
  }
  if (std::ranges::find(expected, header.command) == expected.end()) {
    return InvalidArgument("CAPF header: the {} was not asked for", CapfCommandName(header.command));
  }
  if (rest.size() - kCapfHeaderSize < header.body_length) return std::nullopt;
  absl::StatusOr<CapfElements> elements =
      DecodeCapfBody(header.command, rest.subspan(kCapfHeaderSize, header.body_length));
  Use(kCapfHeaderSize + header.body_length);
  if (!elements.ok()) return std::move(elements).status();
  return CapfMessage{.command = header.command, .elements = *std::move(elements)};
}

void CapfMessageReader::Use(size_t count) {
  OPENSSL_cleanse(bytes_.data() + used_, count);
  used_ += count;
  if (!empty()) return;
  // Between messages, which may be half an hour, no memory is held.
  std::vector<uint8_t>().swap(bytes_);
  used_ = 0;
}

void CapfMessageReader::DropUsed() {
  if (used_ == 0) return;
  const size_t left = bytes_.size() - used_;
  std::copy(bytes_.begin() + static_cast<ptrdiff_t>(used_), bytes_.end(), bytes_.begin());
  OPENSSL_cleanse(bytes_.data() + left, used_);
  bytes_.resize(left);
  used_ = 0;
}

}  // namespace trustline
