#include "ca/profile/published_key.h"

#include <algorithm>

namespace trustline {

std::optional<std::string_view> PublishedKeySource(const Sha256Digest& public_key_sha256) {
  const PublishedKeys keys = AllPublishedKeys();
  const auto found = std::ranges::lower_bound(keys.public_key_sha256, public_key_sha256);
  if (found == keys.public_key_sha256.end() || *found != public_key_sha256) return std::nullopt;
  return keys.sources[static_cast<size_t>(found - keys.public_key_sha256.begin())];
}

}  // namespace trustline
