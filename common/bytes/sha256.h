// SHA-256 (FIPS 180-4), the name of a certificate everywhere in the system.
#pragma once

#include <array>
#include <cstdint>

#include "common/bytes/bytes.h"

namespace trustline {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest Sha256(ByteView bytes);

}  // namespace trustline
