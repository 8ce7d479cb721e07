#include "ca/authority/authority_key.h"

#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/signature_algorithm.h"

namespace trustline {
AuthorityKey::AuthorityKey(KeyFolder::Key key) : key_(std::move(key)), public_key_sha256_(key_->public_key_sha256()) {}

absl::StatusOr<std::string> AuthorityKey::Sign(CheckedToBeSigned checked) const {
  if (checked.signer_key() != public_key_sha256_) {
    return Internal("the certificate was checked for another authority than the one that is to sign it");
  }
  const OpenSslErrorScope errors;
  ASSIGN_OR_RETURN(const SignatureAlgorithm algorithm, SignatureAlgorithmOf(key_->get()));
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  const ByteView bytes = checked.bytes();
  size_t size = 0;
  if (context == nullptr || EVP_DigestSignInit(context.get(), nullptr, algorithm.digest, nullptr, key_->get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes.data(), bytes.size()) != 1) {
    return OpenSslInternal("the authority cannot sign");
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes.data(),
                     bytes.size()) != 1) {
    return OpenSslInternal("the authority cannot sign");
  }
  signature.resize(size);
  return signature;
}

absl::Status AuthorityKey::SignCrl(X509_CRL* crl) const {
  const OpenSslErrorScope errors;
  ASSIGN_OR_RETURN(const SignatureAlgorithm algorithm, SignatureAlgorithmOf(key_->get()));
  if (X509_CRL_sign(crl, key_->get(), algorithm.digest) == 0) return OpenSslInternal("the authority cannot sign a CRL");
  return absl::OkStatus();
}

absl::StatusOr<Certificate> AuthorityKey::SelfSign(const CertificateTemplate& form) const {
  return BuildSelfSigned(form, *key_);
}

absl::StatusOr<CertificateRequest> AuthorityKey::Request(const DistinguishedName& subject) const {
  return CertificateRequest::BuildForSubject(*key_, subject);
}

absl::StatusOr<std::unique_ptr<AuthorityKeys>> AuthorityKeys::Open(const std::string& folder,
                                                                   const std::string& passphrase_file) {
  ASSIGN_OR_RETURN(std::unique_ptr<KeyFolder> keys,
                   KeyFolder::Open(folder, passphrase_file, {.contents = "the authorities' keys", .owner = "cad"}));
  RETURN_IF_ERROR(keys->CheckAll());
  return std::unique_ptr<AuthorityKeys>(new AuthorityKeys(std::move(keys)));
}

absl::StatusOr<std::shared_ptr<const AuthorityKey>> AuthorityKeys::Generate(KeyKind kind) {
  ASSIGN_OR_RETURN(KeyFolder::Key key, folder_->Generate(kind));
  return std::make_shared<AuthorityKey>(std::move(key));
}

absl::StatusOr<std::shared_ptr<const AuthorityKey>> AuthorityKeys::Find(std::string_view key_name) {
  ASSIGN_OR_RETURN(KeyFolder::Key key, folder_->Find(key_name));
  return std::make_shared<AuthorityKey>(std::move(key));
}

bool AuthorityKeys::Has(std::string_view key_name) { return folder_->Find(key_name).ok(); }

absl::Status AuthorityKeys::Discard(std::string_view key_name) { return folder_->Discard(key_name); }

}  // namespace trustline
