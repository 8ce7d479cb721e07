// Identity files on disk: how they are written and read, so that key and certificate always belong together.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/identity.h"
#include "common/service/identity_files.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"

namespace trustline {

struct LoadedIdentity {
  Identity identity;
  Certificate certificate;
  Certificate authority;
  PrivateKey key;
};

// The one identity that the certificate names. FailedPrecondition or InvalidArgument when it names none or several.
absl::StatusOr<Identity> IdentityOf(const Certificate& certificate);

// FailedPrecondition unless the authority's name and key are those that issued the certificate. Times are not looked
// at.
absl::Status CheckIssuedBy(const Certificate& certificate, const Certificate& authority);

// Writes key (0600), certificate followed by the authority's, and authority (0644), each whole or not at all. What a
// crash between key and certificate leaves behind is finished by LoadIdentity.
absl::Status WriteIdentity(const IdentityFiles& files, const PrivateKey& key, const Certificate& certificate,
                           const Certificate& authority);

// Reads and checks the files: the key belongs to the certificate, the authority signed it, it names one identity.
// Errors name the file and what to do.
absl::StatusOr<LoadedIdentity> LoadIdentity(const IdentityFiles& files);

}  // namespace trustline
