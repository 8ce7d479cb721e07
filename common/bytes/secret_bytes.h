// Bytes that must not be copied by accident, logged, or left in freed memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes/bytes.h"

namespace trustline {

// Owns a secret; move-only; overwritten when destroyed. The only way out is ExposeSecret(), so that grep finds every
// use.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::string_view secret) : bytes_(secret.begin(), secret.end()) {}
  static SecretBytes Random(size_t count);
  // Takes over `secret` and overwrites it.
  static SecretBytes TakeFrom(std::string& secret);

  SecretBytes(SecretBytes&& other) noexcept { *this = std::move(other); }
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() { Cleanse(); }

  std::string_view ExposeSecret() const {
    return std::string_view(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
  }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  bool EqualsInConstantTime(ByteView other) const { return EqualInConstantTime(bytes_, other); }

 private:
  void Cleanse();
  std::vector<uint8_t> bytes_;
};

}  // namespace trustline
