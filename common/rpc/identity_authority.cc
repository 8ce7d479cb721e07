#include "common/rpc/identity_authority.h"

#include <openssl/evp.h>

#include "common/bytes/writer.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

constexpr size_t kMaxCertificateFile = 64 * 1024;

absl::StatusOr<CertificateTemplate> Form(const Identity& identity, absl::Time now, absl::Duration lifetime) {
  ASSIGN_OR_RETURN(CertificateTemplate form, IdentityTemplate(identity.ToUri(), {}, now));
  form.not_after = now + lifetime;
  form.not_before = std::min(form.not_before, form.not_after - kClockSkewAllowance);
  return form;
}

// What is signed: no certificate begins so, and the length keeps purpose and message apart.
std::string SignedBytes(std::string_view purpose, ByteView message) {
  constexpr std::string_view kPrefix = "Trustline identity authority signature 1";
  ByteWriter writer(kPrefix.size() + 4 + purpose.size() + message.size());
  writer.Bytes(AsBytes(kPrefix)).U32(static_cast<uint32_t>(purpose.size())).Bytes(AsBytes(purpose)).Bytes(message);
  return writer.Take();
}

}  // namespace

absl::StatusOr<IdentityAuthority> IdentityAuthority::Create(absl::Time now) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
  ASSIGN_OR_RETURN(const CertificateTemplate form, IdentityAuthorityTemplate("Trustline identity authority", now));
  ASSIGN_OR_RETURN(Certificate certificate, BuildSelfSigned(form, key));
  return IdentityAuthority(std::move(key), std::move(certificate));
}

absl::StatusOr<IdentityAuthority> IdentityAuthority::Load(const std::string& certificate_path,
                                                          const std::string& key_path,
                                                          const std::string& passphrase_path) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::ReadKeyFile(key_path, passphrase_path));
  ASSIGN_OR_RETURN(const std::string pem, ReadTextFile(certificate_path, kMaxCertificateFile));
  absl::StatusOr<Certificate> certificate = Certificate::FromPem(pem);
  if (!certificate.ok()) return Annotate(certificate.status(), certificate_path);
  if (!key.MatchesCertificate(*certificate)) {
    return FailedPrecondition("{} is not the key of {}", key_path, certificate_path);
  }
  if (!certificate->is_ca()) return FailedPrecondition("{} is not an authority's certificate", certificate_path);
  return IdentityAuthority(std::move(key), *std::move(certificate));
}

absl::Status IdentityAuthority::Save(const std::string& certificate_path, const std::string& key_path,
                                     const std::string& passphrase_path) const {
  ASSIGN_OR_RETURN(const SecretBytes passphrase, ReadPassphraseFile(passphrase_path));
  RETURN_IF_ERROR(key_.WriteKeyFile(key_path, &passphrase));
  return WriteFileAtomically(certificate_path, certificate_.ToPem(), 0644);
}

absl::StatusOr<Certificate> IdentityAuthority::IssueIdentity(const CertificateRequest& request,
                                                             const Identity& identity, absl::Time now,
                                                             absl::Duration lifetime) const {
  for (const std::string& uri : request.uri_names()) {
    if (uri != identity.ToUri()) {
      return PermissionDenied("the request asks for another identity than {}", identity.ToUri());
    }
  }
  if (!request.dns_names().empty()) return PermissionDenied("the request asks for a DNS name; identities have none");
  ASSIGN_OR_RETURN(const CertificateTemplate form, Form(identity, now, lifetime));
  return BuildIssued(form, request.public_key(), certificate_, key_);
}

absl::StatusOr<Certificate> IdentityAuthority::IssueIdentity(const PrivateKey& key, const Identity& identity,
                                                             absl::Time now, absl::Duration lifetime) const {
  ASSIGN_OR_RETURN(const CertificateTemplate form, Form(identity, now, lifetime));
  return BuildIssued(form, key.get(), certificate_, key_);
}

absl::StatusOr<std::string> IdentityAuthority::Sign(std::string_view purpose, ByteView message) const {
  const std::string bytes = SignedBytes(purpose, message);
  const ByteView view = AsBytes(bytes);
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  size_t size = 0;
  if (context == nullptr || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, view.data(), view.size()) != 1) {
    return OpenSslInternal("cannot sign with the identity authority's key");
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<uint8_t*>(signature.data()), &size, view.data(), view.size()) !=
      1) {
    return OpenSslInternal("cannot sign with the identity authority's key");
  }
  signature.resize(size);
  return signature;
}

absl::Status CheckAuthoritySignature(const Certificate& authority, std::string_view purpose, ByteView message,
                                     ByteView signature) {
  const OpenSslErrorScope errors;
  const std::string bytes = SignedBytes(purpose, message);
  const ByteView view = AsBytes(bytes);
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY* const key = X509_get0_pubkey(authority.x509());
  if (context == nullptr || key == nullptr ||
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) != 1 ||
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), view.data(), view.size()) != 1) {
    return PermissionDenied("the signature is not one of the identity authority");
  }
  return absl::OkStatus();
}

}  // namespace trustline
