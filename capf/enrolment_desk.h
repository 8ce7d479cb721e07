// What a phone's session asks of the rest of the system. Each call but Told may block for seconds; sessions call from
// the threads of a WorkQueue, never from the socket's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/message.h"

namespace trustline {

// A key that the phone is asked to make.
struct KeyRequest {
  CapfKeyType type = CapfKeyType::kRsa;
  uint16_t rsa_bits = 2048;
  CapfCurve curve = CapfCurve::kSecp256r1;

  bool operator==(const KeyRequest&) const = default;
};

enum class CapfOperation : uint8_t { kInstall, kFetch, kDelete };

// The right of one session to work on one scheduled operation.
struct OperationClaim {
  int64_t operation_id = 0;
  std::string claim;  // 16 random bytes: a session that lost the operation to another cannot change it any more
  std::string device;
  CapfOperation operation = CapfOperation::kInstall;
  std::vector<KeyRequest> keys;  // of install: the preferred one first, then what to ask for when the phone fails
};

struct Admission {
  enum class Verdict : uint8_t {
    kAdmitted,
    kNothingScheduled,
    kRefused,        // the proof is wrong
    kUnknownDevice,  // of this cluster, or not in service
    kBusy,           // another session of the device is open
    kOverRate,       // it would be admitted, but too many are
  };
  Verdict verdict = Verdict::kRefused;
  std::string reason;    // for the log; empty with kAdmitted
  OperationClaim claim;  // with kAdmitted
};

// Thread-safe. Of one cluster. An error (Unavailable, DeadlineExceeded, ...) means that nothing was decided: the
// session closes the connection, and the phone tries again.
class EnrolmentDesk {
 public:
  virtual ~EnrolmentDesk() = default;

  // The authentication response of a session that `address` opened.
  virtual absl::StatusOr<Admission> Admit(const CapfElements& response, uint32_t session_id,
                                          std::string_view address) = 0;

  // The certificate (DER) for the phone's public key (SubjectPublicKeyInfo, DER). InvalidArgument: the key is refused,
  // and the operation has failed. Aborted: the claim is lost.
  virtual absl::StatusOr<std::string> Issue(const OperationClaim& claim, std::string_view public_key) = 0;

  // The phone has stored the certificate: the operation has succeeded, and its authentication string is used up.
  virtual absl::Status Acknowledge(const OperationClaim& claim) = 0;

  // The phone is being told that its operation has succeeded. Until then it may come again with the string that it has
  // used. Does not block: sessions call it from the socket's thread.
  virtual void Told(const OperationClaim& claim) = 0;

  // The session ended before that, so that the phone may come again. Does not block.
  virtual void LeftUntold(const OperationClaim& claim) = 0;

  // The phone has sent one of its certificates (DER). InvalidArgument: it is none, and the operation has failed.
  virtual absl::Status StoreFetched(const OperationClaim& claim, const CapfCertificate& certificate) = 0;

  // The phone has deleted its certificate: what the device was issued is revoked.
  virtual absl::Status Deleted(const OperationClaim& claim) = 0;

  // The phone cannot do it, for good.
  virtual absl::Status Fail(const OperationClaim& claim, std::string_view reason) = 0;

  // The session ended before its operation: that is pending again. OK when the claim was lost.
  virtual absl::Status Release(const OperationClaim& claim) = 0;
};

}  // namespace trustline
