#include "itl/trust_store/trust_editor.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/trust_store/trust_commit.h"
#include "itl/trust_store/trust_store_reader.h"

namespace trustline {
namespace {

using EntriesByRole = std::map<int64_t, TrustEntry>;

EntriesByRole ByRole(const std::vector<TrustEntry>& entries) {
  EntriesByRole by_role;
  for (const TrustEntry& entry : entries) by_role[TrustRoleCode(entry.role)] = entry;
  return by_role;
}

std::string EntriesText(const EntriesByRole& entries) {
  std::vector<std::string> texts;
  for (const auto& [code, entry] : entries) {
    texts.push_back(fmt::format("{} {}{}{}", TrustRoleName(entry.role), DurationText(entry.ttl),
                                entry.anchor && entry.role ? " anchor" : "", entry.listed ? " listed" : ""));
  }
  return absl::StrJoin(texts, ", ");
}

absl::Status CheckChange(const TrustChange& change) {
  if (change.empty()) {
    return InvalidArgument(
        "say what to change: a TTL, roles to add or to remove, whether it is an anchor, or whether it is listed");
  }
  if (change.ttl) RETURN_IF_ERROR(CheckTtl(*change.ttl));
  for (const CertificateRole role : change.add_roles) {
    if (std::find(change.remove_roles.begin(), change.remove_roles.end(), role) != change.remove_roles.end()) {
      return InvalidArgument("the role {} cannot be added and removed at once", CertificateRoleName(role));
    }
  }
  return absl::OkStatus();
}

// What the entries shall be after the change.
absl::StatusOr<EntriesByRole> Apply(const TrustChange& change, const EntriesByRole& before) {
  const TrustEntry pattern = before.begin()->second;
  const bool any_anchor =
      std::any_of(before.begin(), before.end(), [](const auto& entry) { return entry.second.anchor; });
  const int64_t no_role = TrustRoleCode(std::nullopt);
  EntriesByRole after = before;
  for (const CertificateRole role : change.remove_roles) {
    if (after.erase(TrustRoleCode(role)) == 0) {
      return FailedPrecondition("the certificate does not have the role {}: `trustctl trust show` tells what it has",
                                CertificateRoleName(role));
    }
  }
  for (const CertificateRole role : change.add_roles) {
    TrustEntry entry{
        .role = role, .ttl = pattern.ttl, .anchor = pattern.anchor, .listed = pattern.listed, .origin = "import"};
    after.try_emplace(TrustRoleCode(role), std::move(entry));
  }
  if (change.anchor == false) after.erase(no_role);
  if (after.empty() && change.anchor.value_or(any_anchor)) {
    after[no_role] = TrustEntry{.ttl = pattern.ttl, .anchor = true, .origin = pattern.origin};
  }
  if (after.empty()) {
    return FailedPrecondition("nothing would be left that the certificate is trusted for: use `trustctl trust remove`");
  }
  if (change.listed && after.contains(no_role) && after.size() == 1) {
    return InvalidArgument(
        "the certificate is an anchor without a role, which trust lists do not hold: give it a role first");
  }
  for (auto& [code, entry] : after) {
    if (change.ttl) entry.ttl = *change.ttl;
    if (change.anchor) entry.anchor = *change.anchor;
    if (change.listed && entry.role) entry.listed = *change.listed;
  }
  return after;
}

bool SameTerms(const TrustEntry& a, const TrustEntry& b) {
  return a.ttl == b.ttl && a.anchor == b.anchor && a.listed == b.listed;
}

}  // namespace

absl::Status TrustEditor::WriteEntry(const Sha256Digest& sha256, const TrustEntry& entry, int64_t commit) {
  static constexpr Statement kWrite = {
      "trust_write_entry",
      "INSERT INTO trust_entry AS e (cluster_id, sha256, role, ttl_seconds, anchor, listed, origin, added_by, "
      "commit_number) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (cluster_id, sha256, role) DO UPDATE SET "
      "ttl_seconds = EXCLUDED.ttl_seconds, anchor = EXCLUDED.anchor, listed = EXCLUDED.listed, commit_number = "
      "EXCLUDED.commit_number, "
      "origin = CASE WHEN e.removed_at IS NULL THEN e.origin ELSE EXCLUDED.origin END, "
      "added_by = CASE WHEN e.removed_at IS NULL THEN e.added_by ELSE EXCLUDED.added_by END, "
      "added_at = CASE WHEN e.removed_at IS NULL THEN e.added_at ELSE EXCLUDED.added_at END, "
      "removed_by = NULL, removed_at = NULL"};
  return connection_
      .Execute(kWrite, Parameters()
                           .Int64(caller_.cluster_id)
                           .Bytes(sha256)
                           .Int64(TrustRoleCode(entry.role))
                           .Int64(absl::ToInt64Seconds(entry.ttl))
                           .Bool(entry.anchor)
                           .Bool(entry.listed)
                           .Text(entry.origin)
                           .Text(caller_.actor)
                           .Int64(commit))
      .status();
}

absl::Status TrustEditor::RemoveEntry(const Sha256Digest& sha256, TrustRole role, int64_t commit) {
  static constexpr Statement kRemove = {"trust_remove_entry",
                                        "UPDATE trust_entry SET removed_by = $4, removed_at = now(), "
                                        "commit_number = $5 WHERE cluster_id = $1 AND sha256 = $2 AND role = $3"};
  return connection_
      .Execute(kRemove, Parameters()
                            .Int64(caller_.cluster_id)
                            .Bytes(sha256)
                            .Int64(TrustRoleCode(role))
                            .Text(caller_.actor)
                            .Int64(commit))
      .status();
}

absl::Status TrustEditor::CheckSignsNoList(const TrustedCertificate& certificate, const std::vector<TrustRole>& roles) {
  static constexpr Statement kSigns = {
      "trust_signs_lists",
      "SELECT EXISTS (SELECT FROM list_signer WHERE cluster_id = $1 AND sha256 = $2 AND (replaced_at IS NULL OR "
      "overlapping)) OR EXISTS "
      "(SELECT FROM trust_list l JOIN trust_list_generation g USING (cluster_id, list_id, generation) WHERE "
      "l.cluster_id "
      "= $1 AND l.removed_at IS NULL AND g.signer_sha256 = $2)"};
  const bool concerned =
      std::any_of(certificate.entries.begin(), certificate.entries.end(), [&](const TrustEntry& entry) {
        return (entry.role == CertificateRole::kSast || entry.origin == "system") &&
               std::find(roles.begin(), roles.end(), entry.role) != roles.end();
      });
  if (!concerned) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kSigns, Parameters().Int64(caller_.cluster_id).Bytes(certificate.sha256)));
  ASSIGN_OR_RETURN(const bool signs, result.Value<bool>());
  if (!signs) return absl::OkStatus();
  return FailedPrecondition(
      "{} signs trust lists of this cluster, or stands in them as TFTP server: phones that ask TVS about it would be "
      "told "
      "invalid and refuse every list and configuration. Let another one sign first: `trustctl itl list` shows the "
      "signers, `trustctl itl reset` and `trustctl itl recovery` change them",
      certificate.subject);
}

absl::StatusOr<TrustedCertificate> TrustEditor::Reload(const Sha256Digest& sha256) {
  TrustStoreReader reader(connection_, caller_.cluster_id);
  ASSIGN_OR_RETURN(std::vector<TrustedCertificate> found, reader.Load(std::span(&sha256, 1), true));
  if (found.empty()) return Internal("the certificate {} left the trust store while it was changed", ToHex(sha256));
  return std::move(found.front());
}

absl::StatusOr<TrustEdit> TrustEditor::Set(const FingerprintPrefix& prefix, const TrustChange& change) {
  RETURN_IF_ERROR(CheckChange(change));

  // 1. Find the certificate under the lock, and what its entries shall be.
  RETURN_IF_ERROR(LockTrustStore(connection_, caller_.cluster_id));
  ASSIGN_OR_RETURN(TrustedCertificate certificate,
                   TrustStoreReader(connection_, caller_.cluster_id).Find(prefix, false));
  ASSIGN_OR_RETURN(const EntriesByRole after, Apply(change, ByRole(certificate.entries)));

  // 2. Make them so.
  std::vector<TrustRole> lost;
  for (const TrustEntry& entry : certificate.entries) {
    if (!after.contains(TrustRoleCode(entry.role))) lost.push_back(entry.role);
  }
  RETURN_IF_ERROR(CheckSignsNoList(certificate, lost));
  return Change(std::move(certificate), after);
}

absl::StatusOr<TrustEdit> TrustEditor::Change(TrustedCertificate certificate, const EntriesByRole& after) {
  const Sha256Digest sha256 = certificate.sha256;
  const EntriesByRole before = ByRole(certificate.entries);
  const bool same =
      std::equal(before.begin(), before.end(), after.begin(), after.end(),
                 [](const auto& a, const auto& b) { return a.first == b.first && SameTerms(a.second, b.second); });
  if (same) return TrustEdit{0, std::move(certificate)};

  // 1. Write the difference under the next commit number.
  TrustEdit edit;
  ASSIGN_OR_RETURN(edit.commit, NextTrustCommit(connection_, caller_.cluster_id));
  for (const auto& [code, entry] : before) {
    const auto left = after.find(code);
    if (left == after.end()) RETURN_IF_ERROR(RemoveEntry(sha256, entry.role, edit.commit));
    if (left == after.end() || (entry.listed && !left->second.listed)) edit.gone.push_back(entry.role);
  }
  for (const auto& [code, entry] : after) {
    const auto old = before.find(code);
    if (old != before.end() && SameTerms(old->second, entry)) continue;
    RETURN_IF_ERROR(WriteEntry(sha256, entry, edit.commit));
  }

  // 2. Record it.
  RETURN_IF_ERROR(AppendAudit(connection_, {.cluster_id = caller_.cluster_id,
                                            .actor = caller_.actor,
                                            .action = "trust.set",
                                            .subject = ToHex(sha256),
                                            .detail = {{"certificate", certificate.subject},
                                                       {"before", EntriesText(before)},
                                                       {"after", EntriesText(after)},
                                                       {"commit", fmt::format("{}", edit.commit)}}}));
  ASSIGN_OR_RETURN(edit.certificate, Reload(sha256));
  return edit;
}

absl::StatusOr<TrustEdit> TrustEditor::Remove(const FingerprintPrefix& prefix) {
  RETURN_IF_ERROR(LockTrustStore(connection_, caller_.cluster_id));
  ASSIGN_OR_RETURN(TrustedCertificate certificate,
                   TrustStoreReader(connection_, caller_.cluster_id).Find(prefix, false));
  std::vector<TrustRole> lost;
  for (const TrustEntry& entry : certificate.entries) lost.push_back(entry.role);
  RETURN_IF_ERROR(CheckSignsNoList(certificate, lost));
  return RemoveLive(std::move(certificate));
}

absl::StatusOr<TrustEdit> TrustEditor::RemoveEntries(const Sha256Digest& sha256,
                                                     const std::function<bool(const TrustEntry&)>& chosen) {
  RETURN_IF_ERROR(LockTrustStore(connection_, caller_.cluster_id));
  TrustStoreReader reader(connection_, caller_.cluster_id);
  ASSIGN_OR_RETURN(std::vector<TrustedCertificate> live, reader.Load(std::span(&sha256, 1), false));
  if (live.empty()) return TrustEdit{};
  std::erase_if(live.front().entries, [&](const TrustEntry& entry) { return !chosen(entry); });
  if (live.front().entries.empty()) return TrustEdit{};
  return RemoveLive(std::move(live.front()));
}

absl::StatusOr<TrustEdit> TrustEditor::ListEntries(const Sha256Digest& sha256,
                                                   const std::function<bool(const TrustEntry&)>& chosen) {
  RETURN_IF_ERROR(LockTrustStore(connection_, caller_.cluster_id));
  TrustStoreReader reader(connection_, caller_.cluster_id);
  ASSIGN_OR_RETURN(std::vector<TrustedCertificate> live, reader.Load(std::span(&sha256, 1), false));
  if (live.empty()) return TrustEdit{};
  std::erase_if(live.front().entries, [&](const TrustEntry& entry) { return !entry.role || !chosen(entry); });
  EntriesByRole after = ByRole(live.front().entries);
  for (auto& [code, entry] : after) entry.listed = true;
  return Change(std::move(live.front()), after);
}

absl::StatusOr<TrustEdit> TrustEditor::RemoveLive(TrustedCertificate certificate) {
  TrustEdit edit;
  ASSIGN_OR_RETURN(edit.commit, NextTrustCommit(connection_, caller_.cluster_id));
  for (const TrustEntry& entry : certificate.entries) {
    RETURN_IF_ERROR(RemoveEntry(certificate.sha256, entry.role, edit.commit));
    edit.gone.push_back(entry.role);
  }
  RETURN_IF_ERROR(AppendAudit(connection_, {.cluster_id = caller_.cluster_id,
                                            .actor = caller_.actor,
                                            .action = "trust.remove",
                                            .subject = ToHex(certificate.sha256),
                                            .detail = {{"certificate", certificate.subject},
                                                       {"before", EntriesText(ByRole(certificate.entries))},
                                                       {"commit", fmt::format("{}", edit.commit)}}}));
  ASSIGN_OR_RETURN(edit.certificate, Reload(certificate.sha256));
  return edit;
}

}  // namespace trustline
