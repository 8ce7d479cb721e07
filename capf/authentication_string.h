// Authentication strings: the digits that somebody types at a phone to prove that it is the one that is to be enrolled.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/bytes/secret_bytes.h"

namespace trustline {

inline constexpr int kLeastStringDigits = 4;
inline constexpr int kMostStringDigits = 10;
inline constexpr int kDefaultStringDigits = 8;

// What is kept of a string.
struct KeptString {
  std::string salt;  // 16 bytes
  std::string hmac;  // 32 bytes
};

// Makes and recognises strings under a key of 32 bytes that only capfd has: without it nobody who reads the database
// can try the few digits out. Thread-safe; immutable.
class AuthenticationStrings {
 public:
  // The key in the file, sealed by AES-256-GCM under a key that PBKDF2-HMAC-SHA-256 makes of the passphrase; made when
  // the file is not there. Errors are those of ReadPassphraseFile and of private files; Unauthenticated for a
  // passphrase that does not open it, or a file that was changed.
  static absl::StatusOr<std::unique_ptr<AuthenticationStrings>> Open(const std::string& key_file,
                                                                     const std::string& passphrase_file);

  // Random digits, each value equally likely.
  static SecretBytes Generate(int digits);

  // With a new salt.
  KeptString Keep(const SecretBytes& string) const;
  // In constant time.
  bool Matches(const KeptString& kept, const SecretBytes& string) const;

  // 32 bytes by which keys are told apart, and which say nothing of the key; of no string the hash.
  const std::string& CheckValue() const { return check_value_; }
  const std::string& key_file() const { return key_file_; }

 private:
  AuthenticationStrings(SecretBytes key, std::string check_value, std::string key_file)
      : key_(std::move(key)), check_value_(std::move(check_value)), key_file_(std::move(key_file)) {}
  const SecretBytes key_;
  const std::string check_value_;
  const std::string key_file_;
};

}  // namespace trustline
