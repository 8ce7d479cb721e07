// What the SIP listener needs from the rest of provisiond: somebody who stores reports, and somebody who judges
// certificates.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace trustline {

enum class PhoneTrustEvent : uint8_t { kLists, kRegistered, kUnregistered };

// Why a report is evidence, or is not (proto/phone_trust.proto, ReportBasis).
enum class ReportBasis : uint8_t { kForwarder, kDeviceCertificate, kNone };

// What a phone said, or what a forwarder said of it. Texts as they came, bounded by their reader.
struct PhoneTrustReport {
  std::string device;  // a DeviceName's text
  PhoneTrustEvent event = PhoneTrustEvent::kLists;
  absl::Time at;
  std::string itl_signature;
  std::string itl_tftp_server;
  std::string ctl_signature;
  std::string ctl_tftp_server;
  std::string address;
  std::string user_agent;
  ReportBasis basis = ReportBasis::kNone;
  std::string source;  // the peer's address, or the forwarder's name
};

// Thread-safe.
class ReportDesk {
 public:
  virtual ~ReportDesk() = default;

  // Does not block. `done` is called once, from any thread, perhaps within the call: OK when the report is stored;
  // Unavailable when that could not be done in time or there is no room (the phone is told to come again), anything
  // else when it cannot be used.
  virtual void Submit(PhoneTrustReport report, std::function<void(absl::Status)> done) = 0;
};

// What TVS says of a certificate that a peer has shown.
struct CertificateStanding {
  bool valid = false;
  bool has_role = false;    // false with `valid`: an LSC
  std::string common_name;  // empty when it has none or several
};

// Thread-safe.
class CertificateJudge {
 public:
  virtual ~CertificateJudge() = default;

  // Does not block. `done` is called once, from any thread, perhaps within the call. `der` is kept as long as needed.
  virtual void Judge(std::shared_ptr<const std::string> der, std::function<void(CertificateStanding)> done) = 0;
};

}  // namespace trustline
