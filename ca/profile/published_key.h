// Keys whose private half anyone can read: they stand in tests and examples of well-known software and in standards.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "common/bytes/sha256.h"

namespace trustline {

// The list in published_keys.txt, from which the build makes these arrays (published_keys.cmake).
struct PublishedKeys {
  std::span<const Sha256Digest> public_key_sha256;  // ascending
  std::span<const char* const> sources;             // each at the place of its key
};
PublishedKeys AllPublishedKeys();

// Where the private half of a key stands ("OpenSSL 3.0.20 test/certs/server-key.pem"), by the SHA-256 of its
// SubjectPublicKeyInfo; empty for any other key.
std::optional<std::string_view> PublishedKeySource(const Sha256Digest& public_key_sha256);

}  // namespace trustline
