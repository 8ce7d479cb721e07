// What cad asks of the trust store, whose only writer is itld.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/service/identity_files.h"
#include "common/x509/certificate.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {

// Two calls of it, one after the other, end within the time that trustctl gives a call of cad.
inline constexpr absl::Duration kTrustStorePatience = absl::Seconds(8);

// Thread-safe. Calls wait for a service that is just starting, at most some seconds; then Unavailable names it.
class TrustStoreClient {
 public:
  // `address` is itld's, "host:port". Connects at the first call.
  static absl::StatusOr<std::unique_ptr<TrustStoreClient>> Create(const std::string& address,
                                                                  const IdentityFiles& identity,
                                                                  absl::Duration patience = kTrustStorePatience);

  // Both are repeatable.
  absl::Status AddAuthority(std::string_view cluster, const Certificate& certificate);
  absl::Status RemoveAuthority(std::string_view cluster, const Certificate& certificate);
  // The same on an administrator's terms, with what it means for phones; FailedPrecondition when it is refused.
  absl::StatusOr<v1::PreFlight> RemoveAuthority(std::string_view cluster, const Certificate& certificate,
                                                const v1::Caution& caution);
  // Repeatable. FailedPrecondition when the trust store has a newer one.
  absl::Status AddCrl(std::string_view cluster, std::string_view der);

 private:
  TrustStoreClient(std::string address, std::unique_ptr<v1::TrustStore::Stub> stub, absl::Duration patience)
      : address_(std::move(address)), stub_(std::move(stub)), patience_(patience) {}

  const std::string address_;
  const std::unique_ptr<v1::TrustStore::Stub> stub_;
  const absl::Duration patience_;
};

}  // namespace trustline
