// Certification path validation (RFC 5280, section 6) by OpenSSL, against the anchors of a trust store.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/x509/certificate.h"

namespace trustline {

// Why no path was accepted.
enum class PathError : uint8_t {
  kExpired,      // a certificate of the path is past its validity
  kNotYetValid,  // a certificate of the path is not valid yet
  kNoPath,       // no anchor issued it, directly or through the known intermediates
  kBroken,  // there is a path, but it breaks a rule: signature, CA flag, path length, name constraints, key strength
};
std::string_view PathErrorName(PathError error);

// The PathError of a status that AnchorSet::Validate returned; empty for any other status.
std::optional<PathError> PathErrorOf(const absl::Status& status);

struct PathElement {
  Certificate certificate;
  std::optional<size_t> anchor;  // its index in the anchors, when it is one
};
// From the leaf to the anchor; the last element is always an anchor, and may be the leaf itself.
using CertificationPath = std::vector<PathElement>;

// Which signatures below the anchor are good enough.
enum class SignatureStrength : uint8_t {
  kCurrent,  // no SHA-1
  kSha1Too,  // as manufacturers of old phones signed, whose certificates nobody can sign anew; nothing weaker
};

// Anchors, and intermediates through which a path may lead. Immutable and safe for any number of threads, without a
// lock between them; copies share everything.
class AnchorSet {
 public:
  // Certificates between leaf and anchor, at most.
  static constexpr int kMaxDepth = 8;

  AnchorSet(const std::vector<Certificate>& anchors, const std::vector<Certificate>& intermediates);

  // The path of `leaf` as of `at`. Any purpose; OpenSSL security level 1 (RSA and DSA of 1,024 bits, no SHA-1
  // signatures below the anchor unless `strength` says so). An anchor need not be self-signed. Revocation is not
  // checked: the caller asks its CRLs about every element. FailedPrecondition carries a PathError and OpenSSL's words.
  absl::StatusOr<CertificationPath> Validate(const Certificate& leaf, absl::Time at,
                                             SignatureStrength strength = SignatureStrength::kCurrent) const;

  size_t anchor_count() const;
  bool empty() const { return anchor_count() == 0; }

 private:
  struct Index;
  std::shared_ptr<const Index> index_;
};

}  // namespace trustline
