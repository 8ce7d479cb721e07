// What a phone says of its lists after its start: the device-trust alarm (docs/PROTOCOLS.md, reports of trust lists).
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/phone/endpoint.h"
#include "cli/phone/list_holdings.h"
#include "common/bytes/checksums.h"
#include "common/device/device_name.h"

namespace trustline {

// One list in the alarm.
struct ReportedList {
  Sha1Digest sha1 = {};  // of the file
  std::string server;    // the TFTP server that it came from; empty: "N/A"
};

struct ListReport {
  std::string device;
  std::string model;                // "8841"
  std::optional<ReportedList> ctl;  // absent: "Not Installed"
  std::optional<ReportedList> itl;

  static ListReport Of(const DeviceName& device, std::string model, const HeldLists& held);
};

// Sends it over TCP as a SIP REFER, and returns OK once it is stored (202). FailedPrecondition with the answer's first
// line for any other; Unavailable when nobody answers, DeadlineExceeded when not within `timeout`, which covers
// everything; DataLoss for an answer that is none of SIP.
absl::Status SendListReport(const Endpoint& to, const ListReport& report, std::chrono::milliseconds timeout);

}  // namespace trustline
