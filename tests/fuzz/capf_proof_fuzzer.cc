// The proof by an existing certificate in an authentication response: good or refused with a reason, and what covers a
// session is good in that one only.
#include <cstdlib>

#include "capf/message.h"
#include "capf/proof.h"

using namespace trustline;

namespace {

constexpr uint32_t kSessionId = 5;  // of the recorded session

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto response = DecodeCapfBody(CapfCommand::kAuthenticationResponse, ByteView(data, size));
  if (!response.ok()) return 0;
  const auto proved = CheckPossession(*response, kSessionId);
  if (!proved.ok()) {
    Check(absl::IsPermissionDenied(proved.status()) || absl::IsInvalidArgument(proved.status()));
    return 0;
  }
  Check(AsText(proved->certificate.der()) == response->certificate->der);
  Check(proved->session_certificate.has_value() == response->sudi_data.has_value());
  Check(CheckPossession(*response, kSessionId + 1).ok() == !response->sudi_data.has_value());
  const auto device = DeviceNamedBy(proved->certificate);
  Check(device.ok() || absl::IsInvalidArgument(device.status()));
  return 0;
}
