#include "itl/trust_store/trust_store_reader.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int64_t kMatchesInError = 5;

std::vector<int64_t> RoleCodes(const std::vector<CertificateRole>& roles) {
  std::vector<int64_t> codes;
  for (const CertificateRole role : roles) codes.push_back(TrustRoleCode(role));
  if (codes.empty()) {
    codes.push_back(TrustRoleCode(std::nullopt));
    for (const CertificateRole role : kAllCertificateRoles) codes.push_back(TrustRoleCode(role));
  }
  return codes;
}

// The lowest digest above `digest`; empty when that is the highest of all.
std::optional<Sha256Digest> Successor(Sha256Digest digest) {
  for (auto byte = digest.rbegin(); byte != digest.rend(); ++byte) {
    if (++*byte != 0) return digest;
  }
  return std::nullopt;
}

// The lowest digest that a query may return; empty when there is none left.
std::optional<Sha256Digest> LowerBound(const Sha256Digest& lowest, const std::optional<Sha256Digest>& after) {
  if (!after) return lowest;
  const std::optional<Sha256Digest> next = Successor(*after);
  if (!next) return std::nullopt;
  return std::max(lowest, *next);
}

Sha256Digest HighestDigest() {
  Sha256Digest digest;
  digest.fill(0xff);
  return digest;
}

absl::Status ReadEntry(const Row& row, Sha256Digest& sha256, TrustEntry& entry) {
  int64_t role;
  int64_t ttl;
  RETURN_IF_ERROR(row.Scan(sha256, role, ttl, entry.anchor, entry.listed, entry.origin, entry.added_by, entry.added_at,
                           entry.removed_by, entry.removed_at));
  ASSIGN_OR_RETURN(entry.role, TrustRoleFromCode(role));
  entry.ttl = absl::Seconds(ttl);
  return absl::OkStatus();
}

absl::Status ReadCrl(const Row& row, TrustedCrl& crl) {
  return row.Scan(crl.sha256, crl.issuer, crl.number, crl.this_update, crl.next_update, crl.revoked, crl.added_by,
                  crl.added_at);
}

absl::Status Ambiguous(const FingerprintPrefix& prefix, std::string_view what, std::vector<std::string> matches) {
  const bool more = static_cast<int64_t>(matches.size()) > kMatchesInError;
  if (more) matches.resize(kMatchesInError);
  return FailedPrecondition("several {} have a fingerprint that begins with {}: {}{}; give more digits", what,
                            prefix.text(), absl::StrJoin(matches, ", "), more ? ", ..." : "");
}

}  // namespace

absl::StatusOr<std::vector<Sha256Digest>> TrustStoreReader::Fingerprints(const TrustFilter& filter,
                                                                         const std::optional<Sha256Digest>& after,
                                                                         int64_t limit) {
  static constexpr Statement kFingerprints = {"trust_fingerprints",
                                              "SELECT DISTINCT sha256 FROM trust_entry "
                                              "WHERE cluster_id = $1 AND sha256 BETWEEN $2 AND $3 "
                                              "AND role = ANY($4) AND ($5 OR removed_at IS NULL) "
                                              "ORDER BY sha256 LIMIT $6"};
  const std::optional<Sha256Digest> lower = LowerBound(filter.prefix ? filter.prefix->lowest() : Sha256Digest{}, after);
  std::vector<Sha256Digest> fingerprints;
  if (!lower) return fingerprints;
  const Sha256Digest upper = filter.prefix ? filter.prefix->highest() : HighestDigest();
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kFingerprints, Parameters()
                                                                               .Int64(cluster_id_)
                                                                               .Bytes(*lower)
                                                                               .Bytes(upper)
                                                                               .Int64Array(RoleCodes(filter.roles))
                                                                               .Bool(filter.include_removed)
                                                                               .Int64(limit)));
  for (const Row row : result) {
    ASSIGN_OR_RETURN(fingerprints.emplace_back(), row.Get<Sha256Digest>(0));
  }
  return fingerprints;
}

absl::StatusOr<std::vector<TrustedCertificate>> TrustStoreReader::Load(std::span<const Sha256Digest> fingerprints,
                                                                       bool include_removed) {
  static constexpr Statement kCertificates = {
      "trust_certificates",
      "SELECT sha256, subject, issuer, serial, not_before, not_after, public_key, is_ca FROM certificate "
      "WHERE sha256 = ANY($1) ORDER BY sha256"};
  static constexpr Statement kEntries = {
      "trust_entries",
      "SELECT sha256, role, ttl_seconds, anchor, listed, origin, added_by, added_at, removed_by, removed_at "
      "FROM trust_entry WHERE cluster_id = $1 AND sha256 = ANY($2) AND ($3 OR removed_at IS NULL) "
      "ORDER BY sha256, role"};
  std::vector<std::string> keys;
  for (const Sha256Digest& digest : fingerprints) keys.emplace_back(AsText(digest));

  std::vector<TrustedCertificate> certificates;
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kCertificates, Parameters().BytesArray(keys)));
  for (const Row row : rows) {
    TrustedCertificate& c = certificates.emplace_back();
    RETURN_IF_ERROR(
        row.Scan(c.sha256, c.subject, c.issuer, c.serial, c.not_before, c.not_after, c.public_key, c.is_ca));
  }
  ASSIGN_OR_RETURN(
      const Result entries,
      connection_.Execute(kEntries, Parameters().Int64(cluster_id_).BytesArray(keys).Bool(include_removed)));
  auto certificate = certificates.begin();
  for (const Row row : entries) {
    Sha256Digest sha256;
    TrustEntry entry;
    RETURN_IF_ERROR(ReadEntry(row, sha256, entry));
    while (certificate != certificates.end() && certificate->sha256 < sha256) ++certificate;
    if (certificate == certificates.end()) break;
    certificate->entries.push_back(std::move(entry));
  }
  std::erase_if(certificates, [](const TrustedCertificate& c) { return c.entries.empty(); });
  return certificates;
}

absl::StatusOr<TrustPage> TrustStoreReader::List(const TrustFilter& filter, const std::optional<Sha256Digest>& after,
                                                 int64_t limit) {
  ASSIGN_OR_RETURN(std::vector<Sha256Digest> fingerprints, Fingerprints(filter, after, limit + 1));
  TrustPage page;
  if (static_cast<int64_t>(fingerprints.size()) > limit) {
    fingerprints.resize(limit);
    page.last = fingerprints.back();
  }
  ASSIGN_OR_RETURN(page.certificates, Load(fingerprints, filter.include_removed));
  return page;
}

absl::StatusOr<TrustedCertificate> TrustStoreReader::Find(const FingerprintPrefix& prefix, bool include_removed) {
  TrustFilter filter;
  filter.prefix = prefix;
  ASSIGN_OR_RETURN(std::vector<Sha256Digest> matches, Fingerprints(filter, std::nullopt, kMatchesInError + 1));
  if (matches.empty() && include_removed) {
    filter.include_removed = true;
    ASSIGN_OR_RETURN(matches, Fingerprints(filter, std::nullopt, kMatchesInError + 1));
  }
  if (matches.empty()) {
    return NotFound(
        "no trusted certificate has a fingerprint that begins with {}: `trustctl trust list` shows those that are "
        "trusted, with --removed also those that were",
        prefix.text());
  }
  ASSIGN_OR_RETURN(std::vector<TrustedCertificate> certificates, Load(matches, filter.include_removed));
  if (matches.size() > 1) {
    std::vector<std::string> texts;
    for (const TrustedCertificate& match : certificates) {
      texts.push_back(fmt::format("{} ({})", ToHex(match.sha256).substr(0, 16), match.subject));
    }
    return Ambiguous(prefix, "certificates", std::move(texts));
  }
  if (certificates.empty()) return Aborted("the certificate was changed at this moment: try again");
  return std::move(certificates.front());
}

absl::StatusOr<std::string> TrustStoreReader::Der(const Sha256Digest& sha256) {
  static constexpr Statement kDer = {"trust_der", "SELECT der FROM certificate WHERE sha256 = $1"};
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kDer, Parameters().Bytes(sha256)));
  return result.Value<std::string>();
}

absl::StatusOr<std::vector<ExportedCertificate>> TrustStoreReader::Export(const std::vector<CertificateRole>& roles,
                                                                          const std::optional<Sha256Digest>& after,
                                                                          int64_t limit) {
  static constexpr Statement kExport = {
      "trust_export",
      "SELECT c.sha256, c.der FROM certificate c JOIN (SELECT DISTINCT sha256 FROM trust_entry "
      "  WHERE cluster_id = $1 AND sha256 >= $2 AND role = ANY($3) AND removed_at IS NULL "
      "  ORDER BY sha256 LIMIT $4) AS trusted USING (sha256) ORDER BY c.sha256"};
  std::vector<ExportedCertificate> exported;
  const std::optional<Sha256Digest> lower = LowerBound(Sha256Digest{}, after);
  if (!lower) return exported;
  ASSIGN_OR_RETURN(
      const Result result,
      connection_.Execute(kExport,
                          Parameters().Int64(cluster_id_).Bytes(*lower).Int64Array(RoleCodes(roles)).Int64(limit)));
  for (const Row row : result) {
    ExportedCertificate& certificate = exported.emplace_back();
    RETURN_IF_ERROR(row.Scan(certificate.sha256, certificate.der));
  }
  return exported;
}

absl::StatusOr<std::vector<TrustedCrl>> TrustStoreReader::ListCrls() {
  static constexpr Statement kCrls = {
      "trust_crls",
      "SELECT sha256, issuer, crl_number, this_update, next_update, revoked_count, added_by, added_at "
      "FROM trust_crl WHERE cluster_id = $1 AND removed_at IS NULL ORDER BY issuer, sha256"};
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kCrls, Parameters().Int64(cluster_id_)));
  std::vector<TrustedCrl> crls;
  for (const Row row : result) RETURN_IF_ERROR(ReadCrl(row, crls.emplace_back()));
  return crls;
}

absl::StatusOr<TrustedCrl> TrustStoreReader::FindCrl(const FingerprintPrefix& prefix) {
  static constexpr Statement kFindCrl = {
      "trust_find_crl",
      "SELECT sha256, issuer, crl_number, this_update, next_update, revoked_count, added_by, added_at "
      "FROM trust_crl WHERE cluster_id = $1 AND sha256 BETWEEN $2 AND $3 AND removed_at IS NULL "
      "ORDER BY sha256 LIMIT 6"};
  ASSIGN_OR_RETURN(
      const Result result,
      connection_.Execute(kFindCrl, Parameters().Int64(cluster_id_).Bytes(prefix.lowest()).Bytes(prefix.highest())));
  std::vector<TrustedCrl> crls;
  for (const Row row : result) RETURN_IF_ERROR(ReadCrl(row, crls.emplace_back()));
  if (crls.empty()) {
    return NotFound("no CRL has a fingerprint that begins with {}: `trustctl trust crl list` shows them",
                    prefix.text());
  }
  if (crls.size() > 1) {
    std::vector<std::string> texts;
    for (const TrustedCrl& crl : crls) {
      texts.push_back(fmt::format("{} ({})", ToHex(crl.sha256).substr(0, 16), crl.issuer));
    }
    return Ambiguous(prefix, "CRLs", std::move(texts));
  }
  return std::move(crls.front());
}

}  // namespace trustline
