// The authorities that certify devices, as anchors of a cluster's trust store.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/postgres/connection.h"
#include "itl/trust_store/trust_entry.h"

namespace trustline {

// Works inside a transaction that the caller owns and commits; audits what it changes.
class AuthorityEditor {
 public:
  AuthorityEditor(Connection& transaction, TrustStoreCaller caller)
      : connection_(transaction), caller_(std::move(caller)) {}

  // The certificate (DER) becomes an anchor without a role, of origin "system", with the default TTL; also one that was
  // removed before. Returns the commit, 0 when it is such an anchor already, whoever made it. InvalidArgument for what
  // is no CA certificate that may sign certificates, has expired at `now`, or cannot be imported.
  absl::StatusOr<int64_t> Add(ByteView der, absl::Time now);

  // Takes back what Add() did; entries of another origin or with a role stay. The authority's CRLs go too, unless a
  // certificate of the same name and key is still trusted. Returns the commit, 0 when there was nothing to take back.
  absl::StatusOr<int64_t> Remove(const Sha256Digest& sha256);

 private:
  Connection& connection_;
  TrustStoreCaller caller_;
};

}  // namespace trustline
