// The independent judge of what is about to be signed: reads the bytes with a reader of its own, not with the library
// that wrote them, and knows RFC 5280 and the phones' limits.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/profile/lsc.h"
#include "common/bytes/bytes.h"
#include "common/x509/certificate.h"

namespace trustline {

// Bytes that passed CheckLsc. Only these can be signed (AuthorityKey::Sign takes nothing else), and each once.
class CheckedToBeSigned {
 public:
  CheckedToBeSigned(CheckedToBeSigned&&) = default;
  CheckedToBeSigned& operator=(CheckedToBeSigned&&) = delete;
  CheckedToBeSigned(const CheckedToBeSigned&) = delete;

  ByteView bytes() const { return AsBytes(bytes_); }
  // SHA-256 of the SubjectPublicKeyInfo of the authority that may sign them.
  const Sha256Digest& signer_key() const { return signer_key_; }

 private:
  friend absl::StatusOr<CheckedToBeSigned> CheckLsc(ByteView, const LscContent&, const Certificate&, absl::Time);
  CheckedToBeSigned(std::string bytes, const Sha256Digest& signer_key)
      : bytes_(std::move(bytes)), signer_key_(signer_key) {}
  std::string bytes_;
  Sha256Digest signer_key_;
};

// Every byte of `to_be_signed` must be what `content`, the issuer and the profile say; the content itself must keep RFC
// 5280 and the phones' limits, and the issuer must be able to issue now. FailedPrecondition naming the field and the
// rule; InvalidArgument for what is not a TBSCertificate in DER.
absl::StatusOr<CheckedToBeSigned> CheckLsc(ByteView to_be_signed, const LscContent& content, const Certificate& issuer,
                                           absl::Time now);

}  // namespace trustline
