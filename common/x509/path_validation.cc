#include "common/x509/path_validation.h"

#include <openssl/x509_vfy.h>

#include <algorithm>
#include <set>
#include <string>
#include <unordered_map>

#include "absl/strings/cord.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

constexpr char kPathErrorPayload[] = "trustline/path-error";

// Certificates tried for one leaf. Honest stores have a handful with the same name; a store with thousands must not
// make one question expensive.
constexpr size_t kMaxCandidates = 64;

absl::Status WithPathError(absl::Status status, PathError error) {
  status.SetPayload(kPathErrorPayload, absl::Cord(std::string(1, static_cast<char>(error))));
  return status;
}

PathError ClassifyVerifyError(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return PathError::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return PathError::kNotYetValid;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
      return PathError::kNoPath;
    default:
      return PathError::kBroken;
  }
}

// What security level 1 would refuse besides SHA-1.
absl::Status CheckStrength(const STACK_OF(X509) * chain) {
  constexpr int kLeastBits = 80;
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    X509* const x509 = sk_X509_value(chain, i);
    int digest = NID_undef;
    int bits = 0;
    const bool is_known = X509_get_signature_info(x509, &digest, nullptr, &bits, nullptr) == 1;
    const bool is_anchor = i == sk_X509_num(chain) - 1;
    if (!is_anchor && (!is_known || (bits < kLeastBits && digest != NID_sha1))) {
      return WithPathError(FailedPrecondition("its signature or one above it is too weak"), PathError::kBroken);
    }
    const EVP_PKEY* const key = X509_get0_pubkey(x509);
    if (key == nullptr || EVP_PKEY_get_security_bits(key) < kLeastBits) {
      return WithPathError(FailedPrecondition("its key or one above it is too weak"), PathError::kBroken);
    }
  }
  return absl::OkStatus();
}

std::string KeyText(const DistinguishedName& name) {
  const Sha256Digest key = name.key();
  return std::string(AsText(key));
}

}  // namespace

struct AnchorSet::Index {
  struct Issuer {
    Certificate certificate;
    std::optional<size_t> anchor;
  };
  using BySubject = std::unordered_multimap<std::string, Issuer>;

  size_t anchor_count = 0;
  BySubject by_subject;

  // Everything that may stand above `leaf`, and the leaf itself where it is in the set: few, found by name. OpenSSL
  // decides among them.
  std::vector<const Issuer*> Candidates(const Certificate& leaf) const {
    std::vector<const Issuer*> found;
    std::set<std::string> names_seen;
    std::vector<std::string> names = {KeyText(leaf.subject()), KeyText(leaf.issuer())};
    for (int depth = 0; depth <= kMaxDepth && !names.empty(); ++depth) {
      std::vector<std::string> next;
      for (std::string& name : names) {
        if (!names_seen.insert(name).second) continue;
        const auto [begin, end] = by_subject.equal_range(name);
        for (auto at = begin; at != end && found.size() < kMaxCandidates; ++at) {
          found.push_back(&at->second);
          next.push_back(KeyText(at->second.certificate.issuer()));
        }
      }
      names = std::move(next);
    }
    return found;
  }
};

std::string_view PathErrorName(PathError error) {
  switch (error) {
    case PathError::kExpired:
      return "expired";
    case PathError::kNotYetValid:
      return "not yet valid";
    case PathError::kNoPath:
      return "no path to an anchor";
    case PathError::kBroken:
      return "broken path";
  }
  return "unknown";
}

std::optional<PathError> PathErrorOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPathErrorPayload);
  if (!payload || payload->size() != 1) return std::nullopt;
  return static_cast<PathError>((*payload)[0]);
}

AnchorSet::AnchorSet(const std::vector<Certificate>& anchors, const std::vector<Certificate>& intermediates) {
  auto index = std::make_shared<Index>();
  index->anchor_count = anchors.size();
  std::set<Sha256Digest> is_anchor;
  for (size_t i = 0; i < anchors.size(); ++i) {
    is_anchor.insert(anchors[i].sha256());
    index->by_subject.emplace(KeyText(anchors[i].subject()), Index::Issuer{anchors[i], i});
  }
  for (const Certificate& intermediate : intermediates) {
    if (is_anchor.contains(intermediate.sha256())) continue;
    index->by_subject.emplace(KeyText(intermediate.subject()), Index::Issuer{intermediate, std::nullopt});
  }
  index_ = std::move(index);
}

size_t AnchorSet::anchor_count() const { return index_->anchor_count; }

absl::StatusOr<CertificationPath> AnchorSet::Validate(const Certificate& leaf, absl::Time at,
                                                      SignatureStrength strength) const {
  const OpenSslErrorScope errors;
  const std::vector<const Index::Issuer*> candidates = index_->Candidates(leaf);
  const X509StackViewPtr anchors(sk_X509_new_null());
  const X509StackViewPtr intermediates(sk_X509_new_null());
  const X509StoreCtxPtr context(X509_STORE_CTX_new());
  if (anchors == nullptr || intermediates == nullptr || context == nullptr) return OpenSslInternal("out of memory");
  for (const Index::Issuer* issuer : candidates) {
    STACK_OF(X509)* const stack = issuer->anchor ? anchors.get() : intermediates.get();
    if (sk_X509_push(stack, issuer->certificate.x509()) <= 0) return OpenSslInternal("out of memory");
  }
  if (X509_STORE_CTX_init(context.get(), nullptr, leaf.x509(), intermediates.get()) != 1) {
    return OpenSslInternal("path validation cannot start");
  }
  X509_STORE_CTX_set0_trusted_stack(context.get(), anchors.get());
  X509_VERIFY_PARAM* const parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_ANY);
  // To OpenSSL SHA-1 has 63 bits of strength, level 1 wants 80, and level 0 wants nothing at all.
  X509_VERIFY_PARAM_set_auth_level(parameters, strength == SignatureStrength::kSha1Too ? 0 : 1);
  X509_VERIFY_PARAM_set_depth(parameters, kMaxDepth);
  X509_VERIFY_PARAM_set_time(parameters, absl::ToTimeT(at));

  if (X509_verify_cert(context.get()) != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    X509* const culprit = X509_STORE_CTX_get_current_cert(context.get());
    std::string whose;
    if (culprit != nullptr) {
      const auto name = DistinguishedName::FromX509Name(X509_get_subject_name(culprit));
      if (name.ok()) whose = fmt::format("{}: ", name->ToText());
    }
    return WithPathError(FailedPrecondition("{}{}", whose, X509_verify_cert_error_string(error)),
                         ClassifyVerifyError(error));
  }

  if (strength == SignatureStrength::kSha1Too) {
    RETURN_IF_ERROR(CheckStrength(X509_STORE_CTX_get0_chain(context.get())));
  }

  CertificationPath path;
  const STACK_OF(X509)* const chain = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    X509* const x509 = sk_X509_value(chain, i);
    const auto found = std::find_if(candidates.begin(), candidates.end(),
                                    [x509](const Index::Issuer* issuer) { return issuer->certificate.x509() == x509; });
    if (found != candidates.end()) {
      path.push_back({(*found)->certificate, (*found)->anchor});
    } else {
      path.push_back({leaf, std::nullopt});
    }
  }
  return path;
}

}  // namespace trustline
