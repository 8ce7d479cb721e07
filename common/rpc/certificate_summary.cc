#include "common/rpc/certificate_summary.h"

namespace trustline {

v1::CertificateSummary SummaryOf(const Certificate& certificate) {
  v1::CertificateSummary summary;
  summary.set_sha256(certificate.sha256().data(), certificate.sha256().size());
  summary.set_subject(certificate.subject().ToText());
  summary.set_issuer(certificate.issuer().ToText());
  summary.set_serial(ToHex(certificate.serial()));
  summary.mutable_not_before()->set_seconds(absl::ToUnixSeconds(certificate.not_before()));
  summary.mutable_not_after()->set_seconds(absl::ToUnixSeconds(certificate.not_after()));
  summary.set_public_key(certificate.public_key_kind());
  summary.set_is_ca(certificate.is_ca());
  return summary;
}

std::optional<KeyKind> FromProto(v1::CertificateKey key) {
  switch (key) {
    case v1::CERTIFICATE_KEY_RSA_2048:
      return KeyKind::kRsa2048;
    case v1::CERTIFICATE_KEY_RSA_3072:
      return KeyKind::kRsa3072;
    case v1::CERTIFICATE_KEY_RSA_4096:
      return KeyKind::kRsa4096;
    case v1::CERTIFICATE_KEY_EC_P256:
      return KeyKind::kEcP256;
    case v1::CERTIFICATE_KEY_EC_P384:
      return KeyKind::kEcP384;
    default:
      return std::nullopt;
  }
}

}  // namespace trustline
