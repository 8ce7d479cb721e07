// The body application/x-cisco-alarm+xml: whatever comes, what is kept is bounded text.
#include <cstdlib>

#include "common/device/device_name.h"
#include "common/service/json.h"
#include "provisioning/sip/trust_alarm.h"

using namespace trustline;

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckText(const std::string& text) { Check(text.size() <= 256 && PrintableText(text) == text); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<PhoneAlarm> alarm = ReadPhoneAlarm(body);
  if (!alarm.ok()) {
    Check(!alarm.status().message().empty());
    return 0;
  }
  Check(size <= kMaxAlarmBytes);
  if (const auto* other = std::get_if<OtherAlarm>(&*alarm)) {
    Check(!other->name.empty() && other->name != "DeviceTLInfo");
    CheckText(other->name);
    return 0;
  }
  const auto& lists = std::get<DeviceTrustListInfo>(*alarm);
  const absl::StatusOr<DeviceName> device = DeviceName::Parse(lists.device);
  Check(device.ok() && device->text() == lists.device);
  for (const std::string* text :
       {&lists.address, &lists.itl_signature, &lists.itl_tftp_server, &lists.ctl_signature, &lists.ctl_tftp_server}) {
    CheckText(*text);
  }
  return 0;
}
