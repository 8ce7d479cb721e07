#include "itl/trust_store/trust_import.h"

#include <algorithm>
#include <future>
#include <thread>

#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/trust_store/certificate_admission.h"
#include "itl/trust_store/trust_commit.h"

namespace trustline {
namespace {

constexpr size_t kMaxRefusalsNamed = 10;
constexpr size_t kMaxWarnings = 50;
constexpr size_t kMaxSourceSize = 1024;

std::string RolesText(const ImportOptions& options) {
  std::vector<std::string> names;
  for (const CertificateRole role : options.roles) names.emplace_back(CertificateRoleName(role));
  return absl::StrJoin(names, ",");
}

std::string AllRoleNames() {
  std::vector<std::string> names;
  for (const CertificateRole role : kAllCertificateRoles) names.emplace_back(CertificateRoleName(role));
  return absl::StrJoin(names, ", ");
}

absl::Status CheckSource(std::string_view source) {
  const bool printable =
      std::all_of(source.begin(), source.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
  if (source.empty() || source.size() > kMaxSourceSize || !printable) {
    return InvalidArgument("the source of each certificate (its file) must be 1 to {} printable characters",
                           kMaxSourceSize);
  }
  return absl::OkStatus();
}

// Judges the certificates on all cores: OpenSSL needs 0.1 ms for each, most of it for the key.
std::vector<absl::StatusOr<AdmittedCertificate>> AdmitAll(std::span<const ImportCandidate> batch, bool anchor,
                                                          absl::Time now) {
  std::vector<absl::StatusOr<AdmittedCertificate>> verdicts(batch.size(), absl::UnknownError("not judged"));
  const auto judge = [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const absl::Status source = CheckSource(batch[i].source);
      verdicts[i] = source.ok() ? AdmitCertificate(AsBytes(batch[i].der), batch[i].source, anchor, now) : source;
    }
  };
  const size_t parts =
      std::clamp<size_t>(std::min<size_t>(std::thread::hardware_concurrency(), batch.size() / 50), 1, 8);
  std::vector<std::future<void>> others;
  for (size_t part = 1; part < parts; ++part) {
    others.push_back(
        std::async(std::launch::async, judge, batch.size() * part / parts, batch.size() * (part + 1) / parts));
  }
  judge(0, batch.size() / parts);
  for (std::future<void>& other : others) other.wait();
  return verdicts;
}

}  // namespace

TrustImport::TrustImport(Connection& transaction, TrustStoreCaller caller, ImportOptions options, absl::Time now)
    : connection_(&transaction), caller_(std::move(caller)), options_(std::move(options)), now_(now) {}

absl::StatusOr<TrustImport> TrustImport::Begin(Connection& transaction, TrustStoreCaller caller, ImportOptions options,
                                               absl::Time now) {
  if (options.roles.empty() && !options.anchor) {
    return InvalidArgument("say what the certificates are trusted for: --role with one of {}, or --anchor",
                           AllRoleNames());
  }
  if (options.roles.empty() && options.listed) {
    return InvalidArgument("trust lists hold certificates with a role: --listed needs --role with one of {}",
                           AllRoleNames());
  }
  RETURN_IF_ERROR(CheckTtl(options.ttl));
  std::sort(options.roles.begin(), options.roles.end());
  options.roles.erase(std::unique(options.roles.begin(), options.roles.end()), options.roles.end());

  TrustImport import(transaction, std::move(caller), std::move(options), now);
  for (const CertificateRole role : import.options_.roles) import.role_codes_.push_back(TrustRoleCode(role));
  if (import.role_codes_.empty()) import.role_codes_.push_back(TrustRoleCode(std::nullopt));
  RETURN_IF_ERROR(transaction
                      .Execute("CREATE TEMPORARY TABLE trust_import (position bigint, source text, sha256 bytea, "
                               "der bytea, subject text, issuer text, subject_key bytea, issuer_key bytea, "
                               "serial bytea, authority_key_id bytea, not_before timestamptz, "
                               "not_after timestamptz, is_ca boolean, public_key text) ON COMMIT DROP")
                      .status());
  return import;
}

absl::Status TrustImport::AddBatch(std::span<const ImportCandidate> batch) {
  // 1. Judge every certificate of the batch, so that the error names more than the first.
  std::vector<absl::StatusOr<AdmittedCertificate>> verdicts = AdmitAll(batch, options_.anchor, now_);
  std::vector<AdmittedCertificate> admitted;
  std::vector<std::string> refusals;
  for (absl::StatusOr<AdmittedCertificate>& verdict : verdicts) {
    if (verdict.ok()) {
      admitted.push_back(*std::move(verdict));
    } else if (refusals.size() < kMaxRefusalsNamed) {
      refusals.emplace_back(StatusMessage(verdict.status()));
    } else {
      refusals.emplace_back("and more of them");
      break;
    }
  }
  if (!refusals.empty()) return InvalidArgument("nothing was added: {}", absl::StrJoin(refusals, "; "));

  // 2. Send them to the temporary table.
  size_t next = 0;
  const auto next_row = [&](Parameters& row) -> absl::StatusOr<bool> {
    if (next == admitted.size()) return false;
    const Certificate& certificate = admitted[next].certificate;
    const ByteView authority_key_id = certificate.authority_key_id();
    row.Int64(received_ + static_cast<int64_t>(next))
        .Text(batch[next].source)
        .Bytes(certificate.sha256())
        .Bytes(certificate.der())
        .Text(certificate.subject().ToText())
        .Text(certificate.issuer().ToText())
        .Bytes(certificate.subject().key())
        .Bytes(certificate.issuer().key())
        .Bytes(certificate.serial())
        .Bytes(authority_key_id.empty() ? std::nullopt : std::optional(authority_key_id))
        .Time(certificate.not_before())
        .Time(certificate.not_after())
        .Bool(certificate.is_ca())
        .Text(certificate.public_key_kind());
    ++next;
    return true;
  };
  RETURN_IF_ERROR(connection_
                      ->CopyIn("trust_import (position, source, sha256, der, subject, issuer, subject_key, issuer_key, "
                               "serial, authority_key_id, not_before, not_after, is_ca, public_key)",
                               next_row)
                      .status());

  // 3. Remember what the answer names.
  for (AdmittedCertificate& certificate : admitted) {
    const Sha256Digest& sha256 = certificate.certificate.sha256();
    if (result_.first.size() < kNamed &&
        std::find(result_.first.begin(), result_.first.end(), sha256) == result_.first.end()) {
      result_.first.push_back(sha256);
    }
    for (std::string& warning : certificate.warnings) {
      if (result_.warnings.size() < kMaxWarnings) {
        result_.warnings.push_back(std::move(warning));
      } else {
        ++warnings_left_out_;
      }
    }
  }
  received_ += static_cast<int64_t>(admitted.size());
  return absl::OkStatus();
}

absl::Status TrustImport::CheckConflicts() {
  if (options_.keeps_present) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      const Result conflict,
      connection_->Execute(
          "SELECT i.source, i.subject, i.sha256, e.role, e.ttl_seconds, e.anchor, "
          "e.ttl_seconds <> $3 OR e.anchor <> $4 FROM trust_import i "
          "JOIN trust_entry e ON e.cluster_id = $1 AND e.sha256 = i.sha256 AND e.role = ANY($2) "
          "WHERE e.removed_at IS NULL AND (e.ttl_seconds <> $3 OR e.anchor <> $4 OR ($5 AND NOT e.listed)) "
          "ORDER BY i.position, e.role LIMIT 1",
          Parameters()
              .Int64(caller_.cluster_id)
              .Int64Array(role_codes_)
              .Int64(absl::ToInt64Seconds(options_.ttl))
              .Bool(options_.anchor)
              .Bool(options_.listed)));
  if (conflict.empty()) return absl::OkStatus();
  std::string source;
  std::string subject;
  Sha256Digest sha256;
  int64_t role_code;
  int64_t ttl;
  bool anchor;
  bool other_terms;
  RETURN_IF_ERROR(conflict[0].Scan(source, subject, sha256, role_code, ttl, anchor, other_terms));
  ASSIGN_OR_RETURN(const TrustRole role, TrustRoleFromCode(role_code));
  const std::string prefix = ToHex(sha256).substr(0, 16);
  if (!other_terms) {
    return FailedPrecondition(
        "nothing was added: {} ({}) is trusted already as {}, but not listed; list it with `trustctl trust set {} "
        "--listed`",
        source, subject, TrustRoleName(role), prefix);
  }
  return FailedPrecondition(
      "nothing was added: {} ({}) is trusted already as {} with TTL {}{}; change it with `trustctl trust set {}`",
      source, subject, TrustRoleName(role), DurationText(absl::Seconds(ttl)), anchor ? ", an anchor" : "", prefix);
}

absl::Status TrustImport::WriteEntries(int64_t commit) {
  RETURN_IF_ERROR(connection_
                      ->Execute("INSERT INTO certificate (sha256, der, subject, issuer, subject_key, issuer_key, "
                                "serial, authority_key_id, not_before, not_after, is_ca, public_key) "
                                "SELECT sha256, der, subject, issuer, subject_key, issuer_key, serial, "
                                "authority_key_id, not_before, not_after, is_ca, public_key FROM trust_import "
                                "ORDER BY sha256 ON CONFLICT (sha256) DO NOTHING")
                      .status());
  return connection_
      ->Execute(
          "INSERT INTO trust_entry AS e (cluster_id, sha256, role, ttl_seconds, anchor, listed, origin, added_by, "
          "commit_number) SELECT $1, i.sha256, r.role, $3, $4, $5, $6, $7, $8 "
          "FROM trust_import i CROSS JOIN unnest($2) AS r(role) ORDER BY i.sha256, r.role "
          "ON CONFLICT (cluster_id, sha256, role) DO UPDATE SET ttl_seconds = EXCLUDED.ttl_seconds, "
          "anchor = EXCLUDED.anchor, listed = EXCLUDED.listed, origin = EXCLUDED.origin, added_by = EXCLUDED.added_by, "
          "added_at = EXCLUDED.added_at, removed_by = NULL, removed_at = NULL, "
          "commit_number = EXCLUDED.commit_number WHERE e.removed_at IS NOT NULL",
          Parameters()
              .Int64(caller_.cluster_id)
              .Int64Array(role_codes_)
              .Int64(absl::ToInt64Seconds(options_.ttl))
              .Bool(options_.anchor)
              .Bool(options_.listed)
              .Text(options_.origin)
              .Text(caller_.actor)
              .Int64(commit))
      .status();
}

// SHA-256 over the fingerprints that this commit changed, ascending; `only` becomes one of them.
absl::StatusOr<std::string> TrustImport::SetDigest(int64_t commit, Sha256Digest& only) {
  static constexpr Statement kChanged = {
      "trust_import_changed",
      "SELECT DISTINCT sha256 FROM trust_entry WHERE cluster_id = $1 AND commit_number = $2 ORDER BY sha256"};
  std::string fingerprints;
  RETURN_IF_ERROR(connection_->ForEachRow(kChanged, Parameters().Int64(caller_.cluster_id).Int64(commit),
                                          [&](const Row& row) -> absl::Status {
                                            ASSIGN_OR_RETURN(only, row.Get<Sha256Digest>(0));
                                            fingerprints += AsText(only);
                                            return absl::OkStatus();
                                          }));
  return ToHex(Sha256(AsBytes(fingerprints)));
}

absl::Status TrustImport::AppendImportAudit(const ImportResult& result) {
  Sha256Digest only;
  ASSIGN_OR_RETURN(const std::string digest, SetDigest(result.commit, only));
  AuditEvent event{.cluster_id = caller_.cluster_id, .actor = caller_.actor, .action = "trust.add"};
  event.subject = result.added == 1 ? ToHex(only) : fmt::format("{} certificates", result.added);
  event.detail = {{"certificates", fmt::format("{}", result.added)},
                  {"fingerprints_sha256", digest},
                  {"roles", RolesText(options_)},
                  {"ttl", DurationText(options_.ttl)},
                  {"anchor", options_.anchor ? "true" : "false"},
                  {"listed", options_.listed ? "true" : "false"},
                  {"origin", options_.origin},
                  {"commit", fmt::format("{}", result.commit)}};
  return AppendAudit(*connection_, event);
}

absl::StatusOr<ImportResult> TrustImport::Finish() {
  if (received_ == 0) return InvalidArgument("there is no certificate to add: name at least one file");

  // 1. The same certificate twice counts once.
  RETURN_IF_ERROR(connection_->Execute("ANALYZE trust_import").status());
  RETURN_IF_ERROR(connection_
                      ->Execute("DELETE FROM trust_import AS later USING trust_import AS earlier "
                                "WHERE later.sha256 = earlier.sha256 AND later.position > earlier.position")
                      .status());

  // 2. Compare with what is trusted, which cannot change from here on.
  RETURN_IF_ERROR(LockTrustStore(*connection_, caller_.cluster_id));
  RETURN_IF_ERROR(CheckConflicts());
  ASSIGN_OR_RETURN(
      const Result counts,
      connection_->Execute("SELECT count(DISTINCT i.sha256) FILTER (WHERE e.sha256 IS NULL), count(DISTINCT i.sha256) "
                           "FROM trust_import i CROSS JOIN unnest($2) AS r(role) LEFT JOIN trust_entry e "
                           "ON e.cluster_id = $1 AND e.sha256 = i.sha256 AND e.role = r.role AND e.removed_at IS NULL",
                           Parameters().Int64(caller_.cluster_id).Int64Array(role_codes_)));
  int64_t distinct;
  RETURN_IF_ERROR(counts[0].Scan(result_.added, distinct));
  result_.unchanged = distinct - result_.added;
  if (warnings_left_out_ > 0) {
    result_.warnings.push_back(fmt::format("and {} more warnings", warnings_left_out_));
  }

  // 3. Write what is new, under the next commit number.
  if (result_.added > 0) {
    ASSIGN_OR_RETURN(result_.commit, NextTrustCommit(*connection_, caller_.cluster_id));
    RETURN_IF_ERROR(WriteEntries(result_.commit));
    RETURN_IF_ERROR(AppendImportAudit(result_));
  }
  // The transaction may have another import.
  RETURN_IF_ERROR(connection_->Execute("DROP TABLE trust_import").status());
  return std::move(result_);
}

}  // namespace trustline
