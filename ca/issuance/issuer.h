// The issuance path: how a key of a device becomes a certificate, so that none is lost, none is issued twice, and none
// is signed that was not meant (docs/ARCHITECTURE.md, issuance).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_key.h"
#include "ca/authority/authority_store.h"
#include "ca/issuance/issuance_store.h"
#include "ca/profile/key_policy.h"
#include "ca/revocation/revocation.h"
#include "common/device/device_name.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"
#include "common/x509/public_key.h"

namespace trustline {

// What happens when the device has a good certificate. For the same key it gets that one again, unless its authority
// issues no more or two thirds of its life are over: then a repetition is a renewal.
enum class SecondCertificate : uint8_t {
  kRefuse,  // for another key
  kIssue,   // also for another key: the device makes a new one each time
  kAlways,  // also for the same key
};

struct IssuanceOrder {
  AuthorityCaller caller;
  DeviceName device;
  PublicKeyInfo public_key;  // that the device has the private key is known
  absl::Duration lifetime = kLongestLscLifetime;
  SecondCertificate second = SecondCertificate::kRefuse;
  std::string request_id;  // empty: none
};

struct IssuedLsc {
  IssuanceRecord record;
  Certificate certificate;
  std::vector<Certificate> chain;  // issuer first
  bool existed = false;
};

struct IssuerOptions {
  std::string public_url;  // "http://ca.example.net:9480"; CRLs are under it
  KeyPolicy key_policy;
};

// "http://ca.example.net:9480/crl/0011223344556677.crl"
std::string CrlUrl(std::string_view public_url, std::string_view key_name);

// Thread-safe. The references must outlive it.
class Issuer {
 public:
  Issuer(IssuerOptions options, Pool& pool, AuthorityKeys& keys, const Clock& clock);

  // The same device and key get the same certificate, as far as the order does not say otherwise. InvalidArgument names
  // the rule that the key breaks; NotFound, FailedPrecondition, AlreadyExists say what stands in the way; whatever
  // fails after the intent was committed leaves it to the sweeper or to the next order for the same key.
  absl::StatusOr<IssuedLsc> Issue(const IssuanceOrder& order);

  // Finishes an intent that somebody began, on behalf of `actor`: checks it again, signs the bytes that it committed
  // to, stores them. Abandons it when its checks refuse it. Aborted when it was abandoned meanwhile; Unavailable when
  // the authority's key is not on this machine.
  absl::StatusOr<IssuedLsc> Finish(int32_t cluster_id, int64_t issuance_id, std::string_view actor);

  // False when the intent was finished or abandoned.
  absl::StatusOr<bool> IsOpen(int32_t cluster_id, int64_t issuance_id);

  // Abandons an intent that cannot be finished. OK when it is not open any more.
  absl::Status GiveUp(int32_t cluster_id, int64_t issuance_id, const absl::Status& reason, std::string_view actor);

  const IssuerOptions& options() const { return options_; }

 private:
  struct Begun {
    int64_t issuance_id = 0;
    bool existed = false;  // begun, or issued, before
  };
  // An order whose intent is committed.
  struct Prepared {
    NewIntent intent;
    Begun begun;
  };
  absl::StatusOr<Prepared> Prepare(const IssuanceOrder& order, const Authority& authority);
  absl::StatusOr<Begun> Begin(const IssuanceOrder& order, const Authority& authority, const NewIntent& intent);
  // The earlier issuance that answers the order; empty when a new one is to be made.
  absl::StatusOr<std::optional<int64_t>> FindRepetition(const IssuanceOrder& order, const Authority& authority,
                                                        const std::vector<EarlierIssuance>& earlier) const;
  absl::StatusOr<NewIntent> Compose(const IssuanceOrder& order, const Authority& authority);
  absl::StatusOr<Certificate> SignAndVerify(const Intent& intent, const Authority& authority);
  // Empty when somebody else finished or abandoned the intent meanwhile.
  absl::StatusOr<std::optional<IssuanceRecord>> Store(const Intent& intent, const Certificate& certificate,
                                                      std::string_view actor);
  absl::Status AbandonRefused(const Intent& intent, const absl::Status& refusal, std::string_view actor);
  absl::StatusOr<IssuedLsc> FinishIntent(const Intent& intent, std::string_view actor);
  absl::StatusOr<Intent> LoadIntent(int32_t cluster_id, int64_t issuance_id);
  absl::StatusOr<IssuedLsc> LoadIssued(int32_t cluster_id, int64_t issuance_id);
  absl::StatusOr<std::shared_ptr<const Authority>> LoadAuthority(int32_t cluster_id, int32_t authority_id);
  // As last looked up. Begin() is Aborted by one that issues no more.
  absl::StatusOr<std::shared_ptr<const Authority>> ActiveAuthority(int32_t cluster_id);
  void ForgetActiveAuthority(int32_t cluster_id);

  const IssuerOptions options_;
  Pool& pool_;
  AuthorityKeys& keys_;
  const Clock& clock_;

  // Certificates of authorities never change once they are there.
  std::mutex mutex_;
  std::map<std::pair<int32_t, int32_t>, std::shared_ptr<const Authority>> authorities_;
  std::map<int32_t, std::shared_ptr<const Authority>> active_;  // by cluster
};

}  // namespace trustline
