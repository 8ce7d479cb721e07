// Takes CRLs of authorities into a cluster's trust store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/postgres/connection.h"
#include "common/x509/crl.h"
#include "itl/trust_store/fingerprint_prefix.h"
#include "itl/trust_store/trust_entry.h"

namespace trustline {

// Of a CRL in gRPC; the largest public ones are 10 MB.
inline constexpr size_t kMaxImportedCrlSize = 16 * 1024 * 1024;

struct CrlEdit {
  int64_t commit = 0;  // 0 when nothing changed
  TrustedCrl crl;
  std::vector<std::string> warnings;
};

// Works inside a transaction that the caller owns and commits; audits what it changes.
class CrlEditor {
 public:
  CrlEditor(Connection& transaction, TrustStoreCaller caller) : connection_(transaction), caller_(std::move(caller)) {}

  // The CRL (PEM or DER) replaces the issuer's earlier one. InvalidArgument for what is not a complete CRL;
  // FailedPrecondition when its issuer is not trusted here, did not sign it, when it is older than the one that is
  // there, not valid yet, or past its next update.
  absl::StatusOr<CrlEdit> Add(ByteView bytes, absl::Time now);

  // Nothing is revoked by this issuer any more, as far as we know. Errors as TrustStoreReader::FindCrl.
  absl::StatusOr<CrlEdit> Remove(const FingerprintPrefix& prefix);

  // Removes the CRLs that `signer` made, unless a certificate of its name and key is trusted. They carry the number
  // `commit`, or the next one when it is 0. Returns that number; `commit` when nothing was removed.
  absl::StatusOr<int64_t> RemoveOfUntrusted(const Certificate& signer, int64_t commit);

 private:
  // The trusted certificates with this name.
  absl::StatusOr<std::vector<Certificate>> TrustedNamesakes(const DistinguishedName& name);
  // The trusted certificate whose key made the signature.
  absl::StatusOr<Certificate> FindSigner(const CertificateRevocationList& crl);
  absl::StatusOr<bool> IsCurrent(const CertificateRevocationList& crl, const Certificate& signer,
                                 const std::string& number);
  absl::Status Write(const CertificateRevocationList& crl, const Certificate& signer, const std::string& number,
                     int64_t commit);
  absl::Status Clear(const TrustedCrl& crl, int64_t commit);
  absl::Status Audit(const char* action, const TrustedCrl& crl, int64_t commit);

  Connection& connection_;
  TrustStoreCaller caller_;
};

}  // namespace trustline
