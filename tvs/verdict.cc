#include "tvs/verdict.h"

#include <algorithm>

#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Narrows a valid verdict by one certificate's validity and revocation; sets the reason and returns false when it
// fails.
bool PassesTimes(TrustVerdict& verdict, int64_t now, int64_t not_before, int64_t not_after,
                 const TrustSnapshot::Revocation& revocation) {
  const auto fail = [&verdict](InvalidReason reason) {
    verdict.valid = false;
    verdict.reason = reason;
    return false;
  };
  if (revocation.revoked) return fail(InvalidReason::kRevoked);
  if (now > not_after) return fail(InvalidReason::kExpired);
  if (now < not_before) return fail(InvalidReason::kNotYetValid);
  if (now >= revocation.known_until) return fail(InvalidReason::kRevocationUnknown);
  const int64_t remaining = std::min(not_after, revocation.known_until) - now;
  verdict.ttl_seconds = static_cast<uint32_t>(std::min<int64_t>(verdict.ttl_seconds, remaining));
  return true;
}

uint32_t LeastTtl(const TrustRecord& record, CertificateRoleSet roles) {
  uint32_t least = std::numeric_limits<uint32_t>::max();
  for (size_t slot = 0; slot < CertificateRoleSet::kSlots; ++slot) {
    if (roles.Has(slot)) least = std::min(least, record.ttl_seconds[slot]);
  }
  return least;
}

TrustVerdict JudgeRecord(const TrustRecord& record, int64_t now) {
  TrustVerdict verdict{.known = true, .record = &record};
  if (record.live.empty()) {
    verdict.reason = record.revoked ? InvalidReason::kRevoked : InvalidReason::kRemoved;
    return verdict;
  }
  verdict.valid = true;
  verdict.reason = InvalidReason::kNone;
  verdict.roles = record.live;
  verdict.ttl_seconds = LeastTtl(record, record.live);
  PassesTimes(verdict, now, record.not_before, record.not_after,
              {.revoked = record.revoked, .known_until = record.revocation_known_until});
  return verdict;
}

InvalidReason ReasonOf(const absl::Status& path_status) {
  switch (PathErrorOf(path_status).value_or(PathError::kBroken)) {
    case PathError::kExpired:
      return InvalidReason::kExpired;
    case PathError::kNotYetValid:
      return InvalidReason::kNotYetValid;
    case PathError::kNoPath:
      return InvalidReason::kUnknown;
    case PathError::kBroken:
      break;
  }
  return InvalidReason::kBrokenChain;
}

TrustVerdict JudgeByAnchors(const TrustSnapshot& snapshot, ByteView der, absl::Time now) {
  TrustVerdict verdict;
  const absl::StatusOr<Certificate> leaf = Certificate::FromDer(der);
  if (!leaf.ok()) {
    verdict.reason = InvalidReason::kMalformed;
    verdict.path_words = StatusMessage(leaf.status());
    return verdict;
  }
  verdict.path_words = leaf->is_self_issued() ? "" : leaf->issuer().ToText();
  if (snapshot.anchors().empty()) return verdict;
  const absl::StatusOr<CertificationPath> path = snapshot.anchors().Validate(*leaf, now);
  if (!path.ok()) {
    verdict.reason = ReasonOf(path.status());
    if (verdict.reason != InvalidReason::kUnknown) verdict.path_words = StatusMessage(path.status());
    return verdict;
  }
  verdict.path_words.clear();
  verdict.valid = true;
  verdict.reason = InvalidReason::kNone;
  verdict.ttl_seconds = std::numeric_limits<uint32_t>::max();
  const int64_t now_seconds = absl::ToUnixSeconds(now);
  for (const PathElement& element : *path) {
    const Certificate& certificate = element.certificate;
    const Sha256Digest issuer_key = certificate.issuer().key();
    const TrustSnapshot::Revocation revocation =
        snapshot.FindRevocation(issuer_key, FixedKeyIdentifier(certificate.authority_key_id()),
                                IssuerSerialKey(issuer_key, certificate.serial()));
    if (!PassesTimes(verdict, now_seconds, absl::ToUnixSeconds(certificate.not_before()),
                     absl::ToUnixSeconds(certificate.not_after()), revocation)) {
      verdict.path_words = fmt::format("certificate {} of the path", certificate.subject().ToText());
      // A CRL speaks for stored certificates too: nothing in the database could turn this around.
      verdict.known = verdict.reason == InvalidReason::kRevoked || verdict.reason == InvalidReason::kRevocationUnknown;
      return verdict;
    }
    if (!element.anchor) {
      if (&element != &path->front()) verdict.issuers.push_back(certificate);
      continue;
    }
    verdict.issuers.push_back(certificate);
    const TrustRecord* record = snapshot.FindBySha256(certificate.sha256());
    if (record == nullptr) continue;
    CertificateRoleSet given;
    for (size_t slot = 0; slot < CertificateRoleSet::kSlots; ++slot) {
      if (record->anchor.Has(slot) && record->live.Has(slot)) given.Add(slot);
    }
    verdict.roles.AddAll(given);
    verdict.ttl_seconds = std::min(verdict.ttl_seconds, LeastTtl(*record, given));
  }
  return verdict;
}

}  // namespace

std::string_view InvalidReasonName(InvalidReason reason) {
  switch (reason) {
    case InvalidReason::kNone:
      return "none";
    case InvalidReason::kUnknown:
      return "unknown";
    case InvalidReason::kExpired:
      return "expired";
    case InvalidReason::kNotYetValid:
      return "not_yet_valid";
    case InvalidReason::kRevoked:
      return "revoked";
    case InvalidReason::kRemoved:
      return "removed";
    case InvalidReason::kWrongRole:
      return "wrong_role";
    case InvalidReason::kBrokenChain:
      return "broken_chain";
    case InvalidReason::kMalformed:
      return "malformed";
    case InvalidReason::kRevocationUnknown:
      return "revocation_unknown";
  }
  return "unknown";
}

TrustVerdict JudgeCertificate(const TrustSnapshot& snapshot, ByteView der, absl::Time now) {
  return JudgeCertificate(snapshot, der, Sha256(der), now);
}

TrustVerdict JudgeCertificate(const TrustSnapshot& snapshot, ByteView der, const Sha256Digest& sha256, absl::Time now) {
  if (const TrustRecord* record = snapshot.FindBySha256(sha256)) return JudgeRecord(*record, absl::ToUnixSeconds(now));
  return JudgeByAnchors(snapshot, der, now);
}

TrustVerdict JudgeSigner(const TrustSnapshot& snapshot, const Sha256Digest& issuer_serial, absl::Time now) {
  const int64_t now_seconds = absl::ToUnixSeconds(now);
  const TrustRecord* record = snapshot.FindByIssuerSerial(issuer_serial, now_seconds);
  if (record == nullptr) return TrustVerdict{};
  return JudgeRecord(*record, now_seconds);
}

void RequireRole(TrustVerdict& verdict, CertificateRole role) {
  if (!verdict.valid || verdict.roles.HasRole(role)) return;
  verdict.valid = false;
  verdict.reason = InvalidReason::kWrongRole;
}

std::string ExplainVerdict(const TrustVerdict& verdict) {
  const auto roles = [&verdict] {
    std::string text;
    for (CertificateRole role : verdict.roles.Roles()) {
      fmt::format_to(std::back_inserter(text), "{}{}", text.empty() ? "" : ", ", CertificateRoleName(role));
    }
    return text.empty() ? std::string("none") : text;
  };
  const auto valid_until = [&verdict] {
    return verdict.record ? TimeText(absl::FromUnixSeconds(verdict.record->not_after)) : verdict.path_words;
  };
  switch (verdict.reason) {
    case InvalidReason::kNone:
      // The roles stand beside it in every answer; this is the common case and formats nothing.
      if (verdict.issuers.empty()) return "in the trust store";
      return fmt::format("issued under the anchor {} with roles {}", verdict.issuers.back().subject().ToText(),
                         roles());
    case InvalidReason::kUnknown:
      if (verdict.path_words.empty()) return "not in the trust store; 'trustctl trust add' makes it trusted";
      return fmt::format(
          "not in the trust store, and no path leads to an anchor: its issuer {} is no anchor and no stored "
          "intermediate "
          "below one; 'trustctl trust add' makes it trusted, or with --anchor its issuer",
          verdict.path_words);
    case InvalidReason::kExpired:
      return fmt::format("expired ({}); add its successor with 'trustctl trust add'", valid_until());
    case InvalidReason::kNotYetValid:
      return "its validity has not begun; check the clocks of this node and of its issuer";
    case InvalidReason::kRevoked:
      return fmt::format("revoked by its issuer's CRL{}{}; replace the certificate",
                         verdict.path_words.empty() ? "" : ": ", verdict.path_words);
    case InvalidReason::kRemoved:
      return "it was removed from the trust store; 'trustctl trust show' says when and by whom";
    case InvalidReason::kWrongRole:
      return fmt::format("trusted, but not in this role; its roles are: {}", roles());
    case InvalidReason::kBrokenChain:
      return fmt::format("its path to an anchor is broken: {}", verdict.path_words);
    case InvalidReason::kMalformed:
      return fmt::format("not a certificate: {}", verdict.path_words);
    case InvalidReason::kRevocationUnknown:
      return "the CRL of its issuer is past its next update; import a newer one with 'trustctl trust crl add'";
  }
  return "";
}

}  // namespace trustline
