// Makes the certificates that lists are signed with and name first, and keeps their keys.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/device/certificate_role.h"
#include "common/postgres/connection.h"
#include "common/service/key_folder.h"
#include "common/x509/certificate.h"
#include "common/x509/pkcs12.h"
#include "itl/list/list_content.h"
#include "itl/list/list_store.h"
#include "itl/trust_store/trust_entry.h"

namespace trustline {

// Inside a transaction of the caller's that has locked the cluster's policy. The key's file is there before the
// transaction can commit; one whose transaction does not commit is left behind and signs nothing. A certificate is in
// the trust store, of origin "system", as soon as it is a signer: TVS must answer for it before it signs.
class ListSigners {
 public:
  ListSigners(Connection& transaction, const TrustStoreCaller& caller, KeyFolder& keys, absl::Time now)
      : connection_(transaction), caller_(caller), keys_(keys), now_(now) {}

  // A new key and its certificate. The one that it replaces stays in the trust store, because lists that it signed are
  // on phones.
  absl::StatusOr<Certificate> MakeRecovery(const ListPolicy& policy, std::string_view reason);
  absl::StatusOr<Certificate> MakeCallManager(const ListPolicy& policy, std::string_view server, std::string_view host,
                                              std::string_view reason);

  // A key and its certificate that are to take the place of the present ones: TVS answers for it, and it is no signer
  // yet, and in no list.
  struct Prepared {
    Certificate certificate;
    std::string key_name;
  };
  absl::StatusOr<Prepared> PrepareRecovery(const ListPolicy& policy);
  absl::StatusOr<Prepared> PrepareCallManager(const ListPolicy& policy, std::string_view server, std::string_view host);

  // A key from elsewhere as ITLRecovery. FailedPrecondition for one that phones cannot use: not RSA 2048 or weaker, or
  // a certificate that has expired, or is not one that may sign.
  absl::Status ImportRecovery(CertifiedKey imported, std::string_view reason);

  // One that was ITLRecovery before. FailedPrecondition when its key is not here any more, or it has expired.
  absl::Status RestoreRecovery(const StoredSigner& previous, std::string_view reason);

  // One that was replaced before any list was signed with it: TVS answers for it no longer, because no phone can hold
  // it. What an administrator trusted stays.
  absl::Status ForgetUnused(const Certificate& replaced);

 private:
  absl::Status Vouch(const Certificate& certificate, const std::vector<CertificateRole>& roles);
  absl::Status Adopt(const Certificate& certificate, std::string_view key_name, std::string_view server,
                     const std::vector<CertificateRole>& roles, std::string_view reason);

  Connection& connection_;
  const TrustStoreCaller& caller_;
  KeyFolder& keys_;
  const absl::Time now_;
};

}  // namespace trustline
