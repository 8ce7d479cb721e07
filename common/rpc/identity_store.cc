#include "common/rpc/identity_store.h"

#include <openssl/x509.h>

#include "common/service/certificate_of_key.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"

namespace trustline {
namespace {

constexpr std::string_view kCure = "restore the two files that belong together, or join again";

absl::StatusOr<Certificate> ReadFirstCertificate(const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<Certificate> certificates, ReadChainFile(path));
  return certificates.front();
}

}  // namespace

absl::Status CheckIssuedBy(const Certificate& certificate, const Certificate& authority) {
  const OpenSslErrorScope errors;
  EVP_PKEY* const key = X509_get0_pubkey(authority.x509());
  if (key == nullptr || X509_check_issued(authority.x509(), certificate.x509()) != X509_V_OK ||
      X509_verify(certificate.x509(), key) != 1) {
    return FailedPrecondition("the certificate was not issued by the identity authority '{}'",
                              authority.subject().ToText());
  }
  return absl::OkStatus();
}

absl::StatusOr<Identity> IdentityOf(const Certificate& certificate) {
  const std::vector<std::string> names = certificate.uri_names();
  if (names.size() != 1) return FailedPrecondition("the certificate has {} URI names instead of one", names.size());
  return Identity::Parse(names.front());
}

absl::Status WriteIdentity(const IdentityFiles& files, const PrivateKey& key, const Certificate& certificate,
                           const Certificate& authority) {
  if (!key.MatchesCertificate(certificate)) return FailedPrecondition("the certificate is not for the key");
  RETURN_IF_ERROR(CheckIssuedBy(certificate, authority));
  RETURN_IF_ERROR(WriteFileAtomically(files.authority, authority.ToPem(), 0644));
  RETURN_IF_ERROR(
      WriteFileAtomically(PendingCertificatePath(files.certificate), certificate.ToPem() + authority.ToPem(), 0644));
  RETURN_IF_ERROR(key.WriteKeyFile(files.key));
  return RenameFile(PendingCertificatePath(files.certificate), files.certificate);
}

absl::StatusOr<LoadedIdentity> LoadIdentity(const IdentityFiles& files) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::ReadKeyFile(files.key));
  ASSIGN_OR_RETURN(const std::vector<Certificate> certificates,
                   ReadCertificatesOfKey(key, files.key, files.certificate, kCure));
  const Certificate& certificate = certificates.front();
  ASSIGN_OR_RETURN(Certificate authority, ReadFirstCertificate(files.authority));
  if (absl::Status status = CheckIssuedBy(certificate, authority); !status.ok()) {
    return Annotate(status, fmt::format("{} and {} do not belong together", files.certificate, files.authority));
  }
  absl::StatusOr<Identity> identity = IdentityOf(certificate);
  if (!identity.ok()) return Annotate(identity.status(), files.certificate);
  return LoadedIdentity{*std::move(identity), certificate, std::move(authority), std::move(key)};
}

}  // namespace trustline
