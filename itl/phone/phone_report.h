// What was said of one phone's trust lists, as a value (device-trust alarm, docs/PROTOCOLS.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/checksums.h"
#include "proto/phone_trust.pb.h"

namespace trustline {

// What a phone says of the list that it has installed.
struct ListSignature {
  enum class State : uint8_t { kHash, kNotInstalled, kUnreadable };
  State state = State::kUnreadable;
  Sha1Digest sha1 = {};  // of the file, with kHash

  bool operator==(const ListSignature&) const = default;
};

// 20 pairs of hexadecimal digits of either case, with blanks or colons between them or not, or "Not Installed" (in any
// case). Anything else, also a hash of another length, cannot be read.
ListSignature ReadListSignature(const std::string& said);

enum class PhoneEventKind : uint8_t { kLists, kRegistered, kUnregistered, kAdopted };

enum class EvidenceBasis : uint8_t { kForwarder, kDeviceCertificate, kCaller, kNone };

struct PhoneReport {
  std::string device;  // a DeviceName's text
  PhoneEventKind event = PhoneEventKind::kLists;
  absl::Time at;
  ListSignature itl;
  std::string itl_server;  // as the phone has it, in lower case; empty when it names none
  std::optional<ListSignature> ctl;
  std::string ctl_server;
  std::string address;
  std::string user_agent;
  EvidenceBasis basis = EvidenceBasis::kNone;
  std::string source;

  // "forwarder 192.0.2.1": whose word it is.
  std::string Via() const;
};

// A report of a caller with an identity is `caller_basis`'s word, whatever it says itself; provisiond's says whose it
// is. Times in the future are now. InvalidArgument for a device name or an event that is none, and for texts that are
// too long.
absl::StatusOr<PhoneReport> ReadPhoneReport(const v1::PhoneReport& message, bool is_provisiond,
                                            const std::string& caller, absl::Time now);

}  // namespace trustline
