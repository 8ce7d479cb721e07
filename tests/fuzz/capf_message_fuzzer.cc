// The CAPF codec: what decodes must encode to something that decodes to the same and encodes to the same bytes.
#include <cstdlib>

#include "capf/message.h"

using namespace trustline;

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView bytes(data, size);
  if (size < kCapfHeaderSize) return 0;
  const auto header = DecodeCapfHeader(bytes.first(kCapfHeaderSize));
  if (!header.ok()) return 0;
  const auto elements = DecodeCapfBody(header->command, bytes.subspan(kCapfHeaderSize));
  if (!elements.ok()) return 0;
  const auto encoded = EncodeCapfMessage(header->command, header->session_id, *elements);
  Check(encoded.ok());
  const auto again = DecodeCapfBody(header->command, AsBytes(*encoded).subspan(kCapfHeaderSize));
  Check(again.ok());
  Check(again->certificate == elements->certificate);
  Check(again->sudi_data == elements->sudi_data);
  Check(again->device_name == elements->device_name);
  Check(again->password.has_value() == elements->password.has_value());
  const auto encoded_again = EncodeCapfMessage(header->command, header->session_id, *again);
  Check(encoded_again.ok() && *encoded_again == *encoded);
  return 0;
}
