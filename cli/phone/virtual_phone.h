// A virtual phone that lives: it keeps its trust lists on disk, decides about others as a real phone does
// (common/phone_model/phone_model.h), asks TVS over the wire and reports what it holds.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/phone/endpoint.h"
#include "cli/phone/list_holdings.h"
#include "cli/phone/list_server.h"
#include "cli/phone/signer_question.h"
#include "cli/phone/tvs_phone.h"
#include "common/device/device_name.h"
#include "common/phone_model/phone_model.h"
#include "common/x509/certificate.h"

namespace trustline {

struct VirtualPhoneOptions {
  DeviceName device;
  std::string model = "8841";
  std::string folder;  // of this phone alone; made when it is missing
  PhoneReads reads;
  std::vector<Endpoint> tvs_servers;       // in the order of the configuration that it runs on
  std::optional<Certificate> file_signer;  // of the configuration file that it is served; absent: it is served none
  std::optional<Endpoint> report_to;       // SIP over TCP; absent: it reports to nobody
  std::chrono::milliseconds report_timeout = std::chrono::seconds(15);
  TvsPhoneOptions tvs;  // how it asks; the device name is its own
};

// What a phone made of something that it was served.
struct ServedDecision {
  enum class Served : uint8_t { kNothing, kWhatItHolds, kAnother };

  Served served = Served::kNothing;
  std::string sha1;        // of the file, in hexadecimal; of kAnother and kWhatItHolds, lists only
  PhoneDecision decision;  // about kAnother
  std::string signer;      // subject, where it is known
  std::string words;       // by which rule, or why not
  std::vector<TvsAttempt> asked;

  // Whether the phone has what it was served.
  bool in_step() const { return served != Served::kAnother || decision.accepted(); }
};

struct PhoneStartResult {
  ServedDecision ctl;
  ServedDecision itl;
  ServedDecision file;    // kNothing without a file signer
  HeldLists held;         // after it
  absl::Status reported;  // OK too when it reports to nobody

  bool in_step() const { return ctl.in_step() && itl.in_step() && file.in_step(); }
};

// Nothing is kept in memory between two starts: a phone that sleeps is a folder. One thread at a time, and no two
// phones of one folder.
class VirtualPhone {
 public:
  // `lists` must outlive it.
  VirtualPhone(VirtualPhoneOptions options, ListServer& lists);

  // Fetches the CTL, then the ITL, takes each or not, judges the configuration's signer, and reports. Errors are the
  // server's when it gave no answer, and those of the folder; what was taken before stays taken.
  absl::StatusOr<PhoneStartResult> Start();

  // What it holds on disk; DataLoss when that cannot be read.
  absl::StatusOr<HeldLists> Held() const { return folder_.Load(); }

 private:
  absl::StatusOr<ServedDecision> StartList(PhoneListKind kind, HeldLists& held);
  ServedDecision DecideOnList(const HeldLists& held, const absl::StatusOr<TrustList>& list) const;
  ServedDecision DecideOnFile(const HeldLists& held) const;
  SignerAnswer Ask(const PhoneHoldings& holdings, const NamedSigner& signer) const;

  const VirtualPhoneOptions options_;
  const ListFolder folder_;
  ListServer& lists_;
};

}  // namespace trustline
