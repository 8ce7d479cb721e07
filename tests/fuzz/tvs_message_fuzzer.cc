// The TVS codec: what decodes must encode to something that decodes to the same.
#include <cstdlib>

#include "tvs/message.h"

using namespace trustline;

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckRequest(const TvsHeader& header, const TvsRequest& request) {
  if (const auto* verify = std::get_if<TvsVerifyRequest>(&request)) {
    if (verify->device_name.empty()) return;  // a phone of ours always gives one
    const auto encoded = EncodeTvsVerifyRequest(header.session_id, verify->device_name, verify->certificate);
    Check(encoded.ok());
    const auto again = DecodeTvsRequest(header.command, AsBytes(*encoded).subspan(kTvsHeaderSize));
    Check(again.ok());
    Check(AsText(std::get<TvsVerifyRequest>(*again).certificate) == AsText(verify->certificate));
    return;
  }
  const auto& query = std::get<TvsQueryRequest>(request);
  Check(query.issuer.find('\0') == std::string_view::npos);
  Check(query.serial_number.empty() || query.serial_number[0] != 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView bytes(data, size);
  if (size < kTvsHeaderSize) return 0;
  const auto header = DecodeTvsHeader(bytes.first(kTvsHeaderSize));
  if (!header.ok()) return 0;
  const ByteView body = bytes.subspan(kTvsHeaderSize);
  const auto request = DecodeTvsRequest(header->command, body);
  if (request.ok()) CheckRequest(*header, *request);
  const auto response = DecodeTvsResponse(header->command, body);
  if (response.ok() && response->valid) {
    Check(!EncodeTvsVerifyResponse(header->session_id, *response).empty());
    Check(EncodeTvsQueryResponse(header->session_id, *response).ok());
  }
  return 0;
}
