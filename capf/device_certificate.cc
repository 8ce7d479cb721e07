#include "capf/device_certificate.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "capf/proof.h"
#include "common/bytes/bytes.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/crl.h"
#include "common/x509/path_validation.h"

namespace trustline {
namespace {

// Times in certificates are whole seconds, and the last one still counts.
constexpr absl::Duration kSecond = absl::Seconds(1);

bool HasEnded(const Certificate& certificate, absl::Time now) { return now >= certificate.not_after() + kSecond; }

absl::Status Ended(const Certificate& certificate) {
  return PermissionDenied("it has ended on {}", TimeTextSeconds(certificate.not_after()));
}

// The path as of `now`, or as of the certificate's end when that is over; empty when there is none. PermissionDenied
// for one that breaks a rule.
absl::StatusOr<std::optional<CertificationPath>> FindPath(const AnchorSet& anchors, const Certificate& certificate,
                                                          absl::Time now,
                                                          SignatureStrength strength = SignatureStrength::kCurrent) {
  // OpenSSL takes the last second for over.
  absl::StatusOr<CertificationPath> path =
      anchors.Validate(certificate, std::min(now, certificate.not_after() - kSecond), strength);
  if (path.ok()) return *std::move(path);
  const std::optional<PathError> error = PathErrorOf(path.status());
  if (!error) return path.status();
  if (*error == PathError::kNoPath) return std::nullopt;
  return PermissionDenied("its path is not good: {}", path.status().message());
}

absl::StatusOr<std::vector<Certificate>> ReadCertificates(const Result& rows) {
  std::vector<Certificate> certificates;
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(const std::string der, row.Get<std::string>(0));
    absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(der));
    if (!certificate.ok()) return Internal("an authority of the database: {}", certificate.status().message());
    certificates.push_back(*std::move(certificate));
  }
  return certificates;
}

// What it is by itself, whoever issued it.
absl::Status CheckForm(const Certificate& certificate, std::string_view device, absl::Time now) {
  const absl::StatusOr<std::string> named = DeviceNamedBy(certificate);
  if (!named.ok()) return PermissionDenied("{}", named.status().message());
  if (*named != device) return PermissionDenied("it is the certificate of {}, not of {}", *named, device);
  if (certificate.is_ca()) return PermissionDenied("it is an authority's");
  // All bits are set when the extension is absent.
  if ((X509_get_key_usage(certificate.x509()) & KU_DIGITAL_SIGNATURE) == 0) {
    return PermissionDenied("its key usage lacks digitalSignature");
  }
  if (now < certificate.not_before()) {
    return PermissionDenied("it is not valid before {}: check the clocks", TimeTextSeconds(certificate.not_before()));
  }
  return absl::OkStatus();
}

// Asks the database about one certificate.
class Judge {
 public:
  Judge(Connection& connection, CrlCache& crls, int32_t cluster_id, const Certificate& certificate, absl::Time now)
      : connection_(connection), crls_(crls), cluster_id_(cluster_id), certificate_(certificate), now_(now) {}

  // False when the system has not issued it, by all that it knows.
  absl::StatusOr<bool> IsGoodLsc(std::string_view device);
  // OK unless an authority of the system has issued it.
  absl::Status CheckForeign();
  absl::Status CheckManufacturer();

 private:
  absl::Status CheckRevocation(const Certificate& certificate);
  absl::StatusOr<std::string> ReadCrl(const Certificate& certificate, const std::string& sha256);

  Connection& connection_;
  CrlCache& crls_;
  const int32_t cluster_id_;
  const Certificate& certificate_;
  const absl::Time now_;
};

absl::StatusOr<bool> Judge::IsGoodLsc(std::string_view device) {
  // The serial number is what there is an index of.
  static constexpr Statement kOnRecord = {
      "certificate_on_record",
      "SELECT i.device, i.state, i.revoked_at, i.revocation_reason, a.state, a.subject, a.certificate "
      "FROM issuance i JOIN ca_authority a USING (cluster_id, authority_id) "
      "WHERE i.cluster_id = $1 AND i.serial = $2 AND i.sha256 = $3"};
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(kOnRecord,
                          Parameters().Int64(cluster_id_).Bytes(certificate_.serial()).Bytes(certificate_.sha256())));
  if (rows.empty()) return false;
  std::string issued_to, state, authority_state, authority_subject, authority_der;
  std::optional<absl::Time> revoked_at;
  std::optional<int16_t> reason;
  RETURN_IF_ERROR(
      rows[0].Scan(issued_to, state, revoked_at, reason, authority_state, authority_subject, authority_der));

  // 1. What the record says. It is newer than any CRL that is made of it.
  if (issued_to != device) return PermissionDenied("it was issued to {}, not to {}", issued_to, device);
  if (state == "revoked") {
    return PermissionDenied("it was revoked on {} ({})", TimeTextSeconds(revoked_at.value_or(absl::InfinitePast())),
                            RevocationReasonName(static_cast<RevocationReason>(reason.value_or(0))));
  }
  if (state != "signed" && state != "delivered" && state != "confirmed") {
    return PermissionDenied("it is on record as {}", state);
  }
  if (authority_state == "retired") return PermissionDenied("its authority {} is retired", authority_subject);
  if (HasEnded(certificate_, now_)) return Ended(certificate_);

  // 2. The authority itself, which may have an issuer outside.
  const absl::StatusOr<Certificate> authority = Certificate::FromDer(AsBytes(authority_der));
  if (!authority.ok()) return Internal("authority {}: {}", authority_subject, authority.status().message());
  ASSIGN_OR_RETURN(const std::optional<CertificationPath> path,
                   FindPath(AnchorSet({*authority}, {}), certificate_, now_));
  if (!path) return PermissionDenied("it does not chain to its authority {}", authority_subject);
  if (!authority->is_self_issued()) RETURN_IF_ERROR(CheckRevocation(*authority));
  return true;
}

absl::Status Judge::CheckForeign() {
  static constexpr Statement kAuthorities = {
      "own_authorities", "SELECT certificate FROM ca_authority WHERE cluster_id = $1 AND certificate IS NOT NULL"};
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kAuthorities, Parameters().Int64(cluster_id_)));
  ASSIGN_OR_RETURN(const std::vector<Certificate> authorities, ReadCertificates(rows));
  ASSIGN_OR_RETURN(const std::optional<CertificationPath> path,
                   FindPath(AnchorSet(authorities, {}), certificate_, now_));
  if (!path) return absl::OkStatus();
  return PermissionDenied("it chains to our authority {}, but is not on record as issued",
                          path->back().certificate.subject().ToText());
}

absl::Status Judge::CheckManufacturer() {
  // Any of them may be the end of the path, and any may stand on it.
  static constexpr Statement kManufacturers = {
      "manufacturing_authorities",
      "SELECT der FROM client_authority WHERE cluster_id = $1 AND purpose = 'manufacturing'"};
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kManufacturers, Parameters().Int64(cluster_id_)));
  ASSIGN_OR_RETURN(const std::vector<Certificate> authorities, ReadCertificates(rows));
  ASSIGN_OR_RETURN(const std::optional<CertificationPath> path,
                   FindPath(AnchorSet(authorities, {}), certificate_, now_, SignatureStrength::kSha1Too));
  if (!path) {
    return PermissionDenied(
        "its issuer {} is neither an authority of the system nor below a manufacturer's: import that with `trustctl ca "
        "client-authority add --purpose manufacturing FILE` if its phones are to prove themselves",
        certificate_.issuer().ToText());
  }
  for (const PathElement& element : *path) RETURN_IF_ERROR(CheckRevocation(element.certificate));
  return absl::OkStatus();
}

absl::StatusOr<std::string> Judge::ReadCrl(const Certificate& certificate, const std::string& sha256) {
  static constexpr Statement kRead = {
      "read_crl_of_issuer",
      "SELECT der FROM trust_crl WHERE cluster_id = $1 AND issuer_key = $2 AND sha256 = $3 AND removed_at IS NULL"};
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(kRead,
                          Parameters().Int64(cluster_id_).Bytes(certificate.issuer().key()).Bytes(AsBytes(sha256))));
  if (rows.empty()) return Unavailable("it is being replaced at this moment");
  return rows.Value<std::string>();
}

// By the CRLs that speak for its issuer: of the same name and, when both are given, the same key.
absl::Status Judge::CheckRevocation(const Certificate& certificate) {
  static constexpr Statement kCrls = {"crls_of_issuer",
                                      "SELECT sha256, issuer, next_update FROM trust_crl WHERE cluster_id = $1 AND "
                                      "issuer_key = $2 AND removed_at IS NULL "
                                      "AND (authority_key_id = ''::bytea OR $3 = ''::bytea OR authority_key_id = $3)"};
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(
          kCrls,
          Parameters().Int64(cluster_id_).Bytes(certificate.issuer().key()).Bytes(certificate.authority_key_id())));
  absl::Status out_of_date;
  for (const Row row : rows) {
    std::string sha256, issuer;
    std::optional<absl::Time> next_update;
    RETURN_IF_ERROR(row.Scan(sha256, issuer, next_update));
    const auto revocations = crls_.Get(AsBytes(sha256), [&] { return ReadCrl(certificate, sha256); });
    if (!revocations.ok()) return Annotate(revocations.status(), fmt::format("the CRL of {}", issuer));
    const auto revoked = (*revocations)->find(std::string(AsText(certificate.serial())));
    if (revoked != (*revocations)->end()) {
      return PermissionDenied("{} was revoked by its issuer on {} ({})", certificate.subject().ToText(),
                              TimeTextSeconds(revoked->second.revoked_at),
                              RevocationReasonName(revoked->second.reason));
    }
    if (next_update && now_ >= *next_update) {
      out_of_date = PermissionDenied(
          "the CRL of {} is past its next update, {}: import the current one with `trustctl trust crl add`", issuer,
          TimeTextSeconds(*next_update));
    }
  }
  return out_of_date;
}

}  // namespace

absl::StatusOr<DeviceCertificate> JudgeDeviceCertificate(Connection& connection, CrlCache& crls, int32_t cluster_id,
                                                         const Certificate& certificate, std::string_view device,
                                                         bool allow_expired_manufacturer, absl::Time now) {
  // 1. The certificate by itself.
  RETURN_IF_ERROR(CheckForm(certificate, device, now));

  // 2. What the system has issued is on record, and what is on record decides.
  Judge judge(connection, crls, cluster_id, certificate, now);
  ASSIGN_OR_RETURN(const bool lsc, judge.IsGoodLsc(device));
  if (lsc) return DeviceCertificate{.origin = CertificateOrigin::kLsc};
  RETURN_IF_ERROR(judge.CheckForeign());

  // 3. What is left is a manufacturer's.
  RETURN_IF_ERROR(judge.CheckManufacturer());
  const bool expired = HasEnded(certificate, now);
  if (expired && !allow_expired_manufacturer) return Ended(certificate);
  return DeviceCertificate{.origin = CertificateOrigin::kManufacturer, .expired = expired};
}

}  // namespace trustline
