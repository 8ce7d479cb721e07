// The checksums by which phones and older tools name a file. No security rests on them.
#pragma once

#include <array>
#include <cstdint>

#include "common/bytes/bytes.h"

namespace trustline {

using Sha1Digest = std::array<uint8_t, 20>;
using Md5Digest = std::array<uint8_t, 16>;

Sha1Digest Sha1(ByteView bytes);
Md5Digest Md5(ByteView bytes);

}  // namespace trustline
