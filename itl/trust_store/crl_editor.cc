#include "itl/trust_store/crl_editor.h"

#include <openssl/bn.h>

#include <optional>

#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/openssl_ptr.h"
#include "itl/trust_store/trust_commit.h"
#include "itl/trust_store/trust_store_reader.h"

namespace trustline {
namespace {

// "Conforming CRL issuers MUST NOT use CRLNumber values longer than 20 octets" (RFC 5280, section 5.2.3).
constexpr size_t kMaxCrlNumberSize = 20;
constexpr absl::Duration kEndsSoon = absl::Hours(24);

absl::StatusOr<std::string> DecimalNumber(const CertificateRevocationList& crl) {
  const std::optional<std::string> number = crl.number();
  if (!number) return std::string();
  if (number->size() > kMaxCrlNumberSize) {
    return InvalidArgument("the CRL's number is longer than {} bytes (RFC 5280, section 5.2.3)", kMaxCrlNumberSize);
  }
  const BignumPtr value(BN_bin2bn(AsBytes(*number).data(), static_cast<int>(number->size()), nullptr));
  if (!value) return Internal("out of memory");
  const OpenSslBytesPtr text(reinterpret_cast<unsigned char*>(BN_bn2dec(value.get())));
  if (!text) return Internal("out of memory");
  return std::string(reinterpret_cast<const char*>(text.get()));
}

// Decimal numbers without leading zeros.
bool NumberLess(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

TrustedCrl Describe(const CertificateRevocationList& crl, const std::string& number, const std::string& actor,
                    absl::Time now) {
  return TrustedCrl{.sha256 = crl.sha256(),
                    .issuer = crl.issuer().ToText(),
                    .number = number,
                    .this_update = crl.this_update(),
                    .next_update = crl.next_update(),
                    .revoked = static_cast<int64_t>(crl.revoked_count()),
                    .added_by = actor,
                    .added_at = now};
}

absl::Status CheckTimes(const CertificateRevocationList& crl, absl::Time now) {
  if (crl.this_update() > now + kClockSkewAllowance) {
    return FailedPrecondition("the CRL is not valid before {}: check the clocks", TimeTextSeconds(crl.this_update()));
  }
  if (crl.next_update() && *crl.next_update() < now) {
    return FailedPrecondition(
        "the CRL's next update was due on {}: with it every certificate of {} would become invalid; fetch the current "
        "CRL",
        TimeTextSeconds(*crl.next_update()), crl.issuer().ToText());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Certificate>> CrlEditor::TrustedNamesakes(const DistinguishedName& name) {
  static constexpr Statement kNamesakes = {
      "crl_namesakes",
      "SELECT der FROM certificate c WHERE subject_key = $2 AND EXISTS (SELECT FROM trust_entry e "
      "WHERE e.cluster_id = $1 AND e.sha256 = c.sha256 AND e.removed_at IS NULL)"};
  ASSIGN_OR_RETURN(const Result rows,
                   connection_.Execute(kNamesakes, Parameters().Int64(caller_.cluster_id).Bytes(name.key())));
  std::vector<Certificate> namesakes;
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(const std::string der, row.Get<std::string>(0));
    ASSIGN_OR_RETURN(Certificate namesake, Certificate::FromDer(AsBytes(der)));
    namesakes.push_back(std::move(namesake));
  }
  return namesakes;
}

absl::StatusOr<Certificate> CrlEditor::FindSigner(const CertificateRevocationList& crl) {
  ASSIGN_OR_RETURN(const std::vector<Certificate> issuers, TrustedNamesakes(crl.issuer()));
  if (issuers.empty()) {
    return FailedPrecondition(
        "the CRL's issuer {} is not in the trust store of {}: add its certificate first with `trustctl trust add "
        "--anchor FILE`",
        crl.issuer().ToText(), caller_.cluster);
  }
  absl::Status last;
  for (const Certificate& issuer : issuers) {
    last = crl.VerifySignedBy(issuer);
    if (last.ok()) return issuer;
  }
  return FailedPrecondition("no trusted certificate of {} has signed this CRL: {}", crl.issuer().ToText(),
                            last.message());
}

// True when exactly this CRL is there already; FailedPrecondition when another one is that is not older.
absl::StatusOr<bool> CrlEditor::IsCurrent(const CertificateRevocationList& crl, const Certificate& signer,
                                          const std::string& number) {
  static constexpr Statement kCurrent = {
      "crl_current",
      "SELECT sha256, crl_number, this_update FROM trust_crl WHERE cluster_id = $1 AND issuer_key = $2 "
      "AND authority_key_id = $3 AND removed_at IS NULL"};
  ASSIGN_OR_RETURN(
      const Result current,
      connection_.Execute(
          kCurrent, Parameters().Int64(caller_.cluster_id).Bytes(crl.issuer().key()).Bytes(signer.subject_key_id())));
  if (current.empty()) return false;
  Sha256Digest sha256;
  std::string current_number;
  absl::Time this_update;
  RETURN_IF_ERROR(current[0].Scan(sha256, current_number, this_update));
  if (sha256 == crl.sha256()) return true;
  const bool both_numbered = !number.empty() && !current_number.empty();
  // One of the same number or second with other content could un-revoke what is revoked.
  if (both_numbered ? !NumberLess(current_number, number) : crl.this_update() <= this_update) {
    return FailedPrecondition("a CRL of {} as new or newer is there already (number {}, of {}): fetch the current one",
                              crl.issuer().ToText(), current_number.empty() ? "none" : current_number,
                              TimeTextSeconds(this_update));
  }
  return false;
}

// The signer's own key identifier is stored, whatever the CRL says: it is what the certificates of this key name as
// their authority's (RFC 5280, 4.2.1.1).
absl::Status CrlEditor::Write(const CertificateRevocationList& crl, const Certificate& signer,
                              const std::string& number, int64_t commit) {
  static constexpr Statement kWrite = {
      "crl_write",
      "INSERT INTO trust_crl (cluster_id, issuer_key, authority_key_id, sha256, der, issuer, crl_number, this_update, "
      "next_update, revoked_count, added_by, commit_number) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) "
      "ON CONFLICT (cluster_id, issuer_key, authority_key_id) DO UPDATE SET sha256 = EXCLUDED.sha256, "
      "der = EXCLUDED.der, issuer = EXCLUDED.issuer, crl_number = EXCLUDED.crl_number, "
      "this_update = EXCLUDED.this_update, next_update = EXCLUDED.next_update, "
      "revoked_count = EXCLUDED.revoked_count, added_by = EXCLUDED.added_by, added_at = EXCLUDED.added_at, "
      "removed_at = NULL, commit_number = EXCLUDED.commit_number"};
  return connection_
      .Execute(kWrite, Parameters()
                           .Int64(caller_.cluster_id)
                           .Bytes(crl.issuer().key())
                           .Bytes(signer.subject_key_id())
                           .Bytes(crl.sha256())
                           .Bytes(crl.der())
                           .Text(crl.issuer().ToText())
                           .Text(number)
                           .Time(crl.this_update())
                           .Time(crl.next_update())
                           .Int64(static_cast<int64_t>(crl.revoked_count()))
                           .Text(caller_.actor)
                           .Int64(commit))
      .status();
}

absl::Status CrlEditor::Audit(const char* action, const TrustedCrl& crl, int64_t commit) {
  return AppendAudit(connection_, {.cluster_id = caller_.cluster_id,
                                   .actor = caller_.actor,
                                   .action = action,
                                   .subject = ToHex(crl.sha256),
                                   .detail = {{"issuer", crl.issuer},
                                              {"number", crl.number},
                                              {"revoked", fmt::format("{}", crl.revoked)},
                                              {"commit", fmt::format("{}", commit)}}});
}

absl::StatusOr<CrlEdit> CrlEditor::Add(ByteView bytes, absl::Time now) {
  // 1. What the CRL says of itself.
  if (bytes.size() > kMaxImportedCrlSize) {
    return InvalidArgument("the CRL has {} bytes, more than the {} that are accepted", bytes.size(),
                           kMaxImportedCrlSize);
  }
  ASSIGN_OR_RETURN(const CertificateRevocationList crl, CertificateRevocationList::FromBytes(bytes));
  ASSIGN_OR_RETURN(const std::string number, DecimalNumber(crl));

  // 2. Against the trust store, which cannot change from here on.
  CrlEdit edit{.crl = Describe(crl, number, caller_.actor, now)};
  RETURN_IF_ERROR(LockTrustStore(connection_, caller_.cluster_id));
  ASSIGN_OR_RETURN(const Certificate signer, FindSigner(crl));
  ASSIGN_OR_RETURN(const bool current, IsCurrent(crl, signer, number));
  if (current) return edit;
  RETURN_IF_ERROR(CheckTimes(crl, now));
  if (!crl.next_update()) {
    edit.warnings.push_back("the CRL names no next update: nothing will say when it is out of date");
  } else if (*crl.next_update() < now + kEndsSoon) {
    edit.warnings.push_back(fmt::format(
        "the CRL's next update is due on {}: without a newer CRL by then, every certificate of its issuer is invalid",
        TimeTextSeconds(*crl.next_update())));
  }

  // 3. Write and record.
  ASSIGN_OR_RETURN(edit.commit, NextTrustCommit(connection_, caller_.cluster_id));
  RETURN_IF_ERROR(Write(crl, signer, number, edit.commit));
  RETURN_IF_ERROR(Audit("trust.crl.add", edit.crl, edit.commit));
  return edit;
}

// The row stays, emptied, so that readers learn of the removal.
absl::Status CrlEditor::Clear(const TrustedCrl& crl, int64_t commit) {
  static constexpr Statement kRemove = {"crl_remove",
                                        "UPDATE trust_crl SET der = ''::bytea, revoked_count = 0, removed_at = now(), "
                                        "commit_number = $3 WHERE cluster_id = $1 AND sha256 = $2"};
  RETURN_IF_ERROR(
      connection_.Execute(kRemove, Parameters().Int64(caller_.cluster_id).Bytes(crl.sha256).Int64(commit)).status());
  return Audit("trust.crl.remove", crl, commit);
}

absl::StatusOr<CrlEdit> CrlEditor::Remove(const FingerprintPrefix& prefix) {
  RETURN_IF_ERROR(LockTrustStore(connection_, caller_.cluster_id));
  CrlEdit edit;
  ASSIGN_OR_RETURN(edit.crl, TrustStoreReader(connection_, caller_.cluster_id).FindCrl(prefix));
  ASSIGN_OR_RETURN(edit.commit, NextTrustCommit(connection_, caller_.cluster_id));
  RETURN_IF_ERROR(Clear(edit.crl, edit.commit));
  return edit;
}

absl::StatusOr<int64_t> CrlEditor::RemoveOfUntrusted(const Certificate& signer, int64_t commit) {
  static constexpr Statement kOfIssuer = {
      "crl_of_issuer", "SELECT der FROM trust_crl WHERE cluster_id = $1 AND issuer_key = $2 AND removed_at IS NULL"};
  // 1. Nobody who is trusted speaks through these CRLs.
  RETURN_IF_ERROR(LockTrustStore(connection_, caller_.cluster_id));
  ASSIGN_OR_RETURN(const std::vector<Certificate> namesakes, TrustedNamesakes(signer.subject()));
  for (const Certificate& namesake : namesakes) {
    if (namesake.public_key_sha256() == signer.public_key_sha256()) return commit;
  }

  // 2. Of the CRLs of this name, those of this key: the stored key identifier may be a namesake's choice.
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(kOfIssuer, Parameters().Int64(caller_.cluster_id).Bytes(signer.subject().key())));
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(const std::string der, row.Get<std::string>(0));
    ASSIGN_OR_RETURN(const CertificateRevocationList crl, CertificateRevocationList::FromBytes(AsBytes(der)));
    if (!crl.VerifySignedBy(signer).ok()) continue;
    ASSIGN_OR_RETURN(const FingerprintPrefix prefix, FingerprintPrefix::Parse(ToHex(crl.sha256())));
    ASSIGN_OR_RETURN(const TrustedCrl stored, TrustStoreReader(connection_, caller_.cluster_id).FindCrl(prefix));
    if (commit == 0) {
      ASSIGN_OR_RETURN(commit, NextTrustCommit(connection_, caller_.cluster_id));
    }
    RETURN_IF_ERROR(Clear(stored, commit));
  }
  return commit;
}

}  // namespace trustline
