// The private keys of authorities: the only place that signs with them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/profile/lsc_check.h"
#include "common/service/key_folder.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/certificate_request.h"
#include "common/x509/private_key.h"

namespace trustline {

// One authority's key. Thread-safe. Nothing gives the key away.
class AuthorityKey {
 public:
  explicit AuthorityKey(KeyFolder::Key key);

  // SHA-256 of the SubjectPublicKeyInfo.
  const Sha256Digest& public_key_sha256() const { return public_key_sha256_; }
  std::string kind_text() const { return key_->kind_text(); }

  // The signature over what was checked, which is used up. Internal when it was checked for another authority.
  absl::StatusOr<std::string> Sign(CheckedToBeSigned checked) const;

  // The complete CRL: `crl` is signed in place.
  absl::Status SignCrl(X509_CRL* crl) const;

  absl::StatusOr<Certificate> SelfSign(const CertificateTemplate& form) const;
  absl::StatusOr<CertificateRequest> Request(const DistinguishedName& subject) const;

 private:
  const KeyFolder::Key key_;
  const Sha256Digest public_key_sha256_;
};

// A folder of authorities' keys (common/service/key_folder.h), of which only signatures come out. A key's name is also
// that of its CRL. Thread-safe.
class AuthorityKeys {
 public:
  // Errors as KeyFolder::Open() and CheckAll().
  static absl::StatusOr<std::unique_ptr<AuthorityKeys>> Open(const std::string& folder,
                                                             const std::string& passphrase_file);

  // Makes a key and its file. The file stands, and the folder is synced, before this returns.
  absl::StatusOr<std::shared_ptr<const AuthorityKey>> Generate(KeyKind kind);

  // FailedPrecondition when this process has no such key.
  absl::StatusOr<std::shared_ptr<const AuthorityKey>> Find(std::string_view key_name);
  bool Has(std::string_view key_name);

  // For a key that no authority has: it and its file are gone. OK when they were before.
  absl::Status Discard(std::string_view key_name);

 private:
  explicit AuthorityKeys(std::unique_ptr<KeyFolder> folder) : folder_(std::move(folder)) {}
  const std::unique_ptr<KeyFolder> folder_;
};

}  // namespace trustline
