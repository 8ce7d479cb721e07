// A report as it comes over gRPC, in its serialized form: what is taken is bounded text, whoever sent it, and survives
// being taken twice.
#include <google/protobuf/stubs/logging.h>

#include <cstdlib>

#include "absl/time/time.h"
#include "common/device/device_name.h"
#include "common/rpc/proto_time.h"
#include "itl/phone/phone_report.h"

using namespace trustline;

namespace {

// Else it writes a line for each text that is no UTF-8.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ListSignature alone = ReadListSignature(std::string(reinterpret_cast<const char*>(data), size));
  Check(alone.state == ListSignature::State::kHash || alone.sha1 == Sha1Digest());
  v1::PhoneReport message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  for (const bool is_provisiond : {false, true}) {
    const absl::StatusOr<PhoneReport> report = ReadPhoneReport(message, is_provisiond, "caller", now);
    if (!report.ok()) {
      Check(!report.status().message().empty());
      continue;
    }
    const absl::StatusOr<DeviceName> device = DeviceName::Parse(report->device);
    Check(device.ok() && device->text() == report->device);
    Check(report->at <= now && report->at >= absl::UnixEpoch());
    // Nobody but provisiond speaks for others.
    Check(is_provisiond || (report->basis == EvidenceBasis::kCaller && report->source == "caller"));
    Check(!is_provisiond || report->basis != EvidenceBasis::kCaller);
    for (const std::string* text : {&report->itl_server, &report->ctl_server, &report->address, &report->user_agent}) {
      Check(text->size() <= 255 && text->find('\0') == std::string::npos && text->find('\n') == std::string::npos);
    }
    v1::PhoneReport again = message;
    again.set_device(report->device);
    again.set_itl_tftp_server(report->itl_server);
    *again.mutable_at() = ToProtoTime(report->at);
    const absl::StatusOr<PhoneReport> second = ReadPhoneReport(again, is_provisiond, "caller", now);
    Check(second.ok() && second->itl_server == report->itl_server && second->at == report->at);
  }
  return 0;
}
