#include "common/rpc/identity_store.h"

#include <openssl/x509.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/certificate_file.h"
#include "common/x509/openssl_error.h"

namespace trustline {
namespace {

constexpr size_t kMaxIdentityFile = 64 * 1024;

// The certificate that a new key waits for: written before the key and renamed after it.
std::string PendingPath(const IdentityFiles& files) { return files.certificate + ".next"; }

absl::StatusOr<Certificate> ReadFirstCertificate(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxIdentityFile));
  ASSIGN_OR_RETURN(std::vector<Certificate> certificates, ReadCertificates(AsBytes(text), path));
  return certificates.front();
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return FailedPrecondition("cannot rename {} to {}: {}", from, to, std::strerror(errno));
}

// Finishes a WriteIdentity that ended between key and certificate.
absl::StatusOr<Certificate> ReadCertificateOf(const PrivateKey& key, const IdentityFiles& files) {
  absl::StatusOr<Certificate> certificate = ReadFirstCertificate(files.certificate);
  if (certificate.ok() && key.MatchesCertificate(*certificate)) return certificate;
  absl::StatusOr<Certificate> pending = ReadFirstCertificate(PendingPath(files));
  if (pending.ok() && key.MatchesCertificate(*pending)) {
    RETURN_IF_ERROR(Rename(PendingPath(files), files.certificate));
    return pending;
  }
  RETURN_IF_ERROR(certificate.status());
  return FailedPrecondition("{} is not the key of {}: restore the two files that belong together, or join again",
                            files.key, files.certificate);
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
  RETURN_IF_ERROR(WriteFileAtomically(PendingPath(files), certificate.ToPem() + authority.ToPem(), 0644));
  RETURN_IF_ERROR(key.WriteKeyFile(files.key));
  return Rename(PendingPath(files), files.certificate);
}

absl::StatusOr<LoadedIdentity> LoadIdentity(const IdentityFiles& files) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::ReadKeyFile(files.key));
  ASSIGN_OR_RETURN(Certificate certificate, ReadCertificateOf(key, files));
  ASSIGN_OR_RETURN(Certificate authority, ReadFirstCertificate(files.authority));
  if (absl::Status status = CheckIssuedBy(certificate, authority); !status.ok()) {
    return Annotate(status, fmt::format("{} and {} do not belong together", files.certificate, files.authority));
  }
  absl::StatusOr<Identity> identity = IdentityOf(certificate);
  if (!identity.ok()) return Annotate(identity.status(), files.certificate);
  return LoadedIdentity{*std::move(identity), std::move(certificate), std::move(authority), std::move(key)};
}

}  // namespace trustline
