// One comparison of lists with what they should say, and what follows from it, inside one transaction.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/postgres/connection.h"
#include "common/service/key_folder.h"
#include "itl/list/ctl_signers.h"
#include "itl/list/list_content.h"
#include "itl/list/list_order.h"
#include "itl/list/list_store.h"
#include "itl/trust_list/reader.h"

namespace trustline {

// What was found out before the transaction, which must not wait for a network: whether the TVS nodes answer for a
// signer, by its certificate.
using VouchedSigners = std::map<Sha256Digest, absl::Status>;

// The transaction is the caller's and has locked the cluster's policy. Used once.
class ListRun {
 public:
  ListRun(Connection& transaction, int32_t cluster_id, KeyFolder& keys, const VouchedSigners& vouched,
          const PublishOrder& order, absl::Time now);

  // Composes, signs, reads back and verifies what has changed; stores and publishes what may be, keeps the rest as
  // candidates. Errors are those of the database and of what all lists share.
  absl::StatusOr<PublishResult> Publish(const ListPolicy& policy);

  // FailedPrecondition when a list of the cluster should say something else than it does which an administrator has not
  // approved: what an order changes besides must not bring that along.
  absl::Status CheckNothingWaits(const ListPolicy& policy);

  // The current generations of the order's lists, signed with the server's CallManager key (`local`) or with
  // ITLRecovery. What waits goes on waiting. FailedPrecondition when that signer is no SAST of a list.
  absl::StatusOr<PublishResult> Resign(const ListPolicy& policy, bool local);

  // A file that was signed elsewhere becomes the next generation of the list `which`. FailedPrecondition unless it says
  // what the list says now, or should say, but for its signer.
  absl::StatusOr<PublishResult> PublishSigned(const ListPolicy& policy, const ListForm& which, const std::string& file);

 private:
  struct Prepared {
    StoredList list;
    ListContent content;
    std::string file;      // empty until it is signed
    absl::Status refusal;  // why it cannot be published
    std::vector<std::string> changes;
    std::vector<std::string> warnings;
    bool needs_approval = false;
    bool signer_changes = false;
    bool phones_know_signer = false;  // as SAST of the present list
    std::string held_by;              // a first list, while this other one waits for approval
  };

  absl::Status LoadMaterial(const ListPolicy& policy);
  // The first such list.
  absl::StatusOr<std::optional<StoredList>> FindWaiting(const ListComposer& composer);
  // Why a device cannot be given such a list, if it cannot.
  absl::StatusOr<absl::Status> CheckDeviceReads(const ListForm& form, const ListContent& content);
  // What the cluster's lists have now, if something that has ended is to be judged by it.
  absl::Status LoadKnown(const std::vector<Prepared>& all);
  // A list that is made for the first time takes nothing from phones, but must not say before the others what waits.
  absl::Status HoldFirstLists(const ListComposer& composer, std::vector<Prepared>& all);
  // For a list that cannot be composed.
  absl::Status KeepUnmade(const StoredList& list, const absl::Status& reason, PublishResult& result);
  absl::StatusOr<std::vector<Prepared>> ComposeChanged(const ListComposer& composer, PublishResult& result);
  absl::StatusOr<KeyFolder::Key> KeyOf(const Certificate& signer);
  // A file with the content of `read`, which differs from the list's in the signer at most, as its next generation.
  absl::Status PublishFile(StoredList list, const TrustList& read, const Certificate& signer, const std::string& before,
                           PublishResult& result, std::vector<NewGeneration>& publish);
  // What it is to say: signed, read back, checked against `before`.
  absl::Status Sign(Prepared& prepared, const std::string* before);
  void SignAll(std::vector<Prepared>& all, const std::map<int64_t, std::string>& before);
  // An ITL that would go on being signed by another than the CTL, if any, were the CTL's signer changed now.
  absl::StatusOr<std::string> FindLeftBehind(const std::vector<Prepared>& changed);
  absl::Status Decide(Prepared& prepared, PublishResult& result, std::vector<NewGeneration>& publish);
  // By the order.
  bool IsApproved(const Prepared& prepared) const;
  // Or by an order before.
  bool IsOrWasApproved(const Prepared& prepared) const;
  static std::string ApprovalReason(const Prepared& prepared, bool ctl_knows_signer);
  absl::Status KeepCandidate(const Prepared& prepared, CandidateState state, const std::string& reason,
                             PublishResult& result);
  void AddGeneration(const Prepared& prepared, std::vector<NewGeneration>& publish) const;
  absl::Status Store(const std::vector<NewGeneration>& generations, PublishResult& result);
  absl::Status Audit(const PublishResult& result);

  Connection& connection_;
  const int32_t cluster_id_;
  ListStore store_;
  CtlSigners ctl_signers_;
  KeyFolder& keys_;
  const VouchedSigners& vouched_;
  const PublishOrder& order_;
  const absl::Time now_;
  std::vector<StoredSigner> signers_;
  std::map<Sha256Digest, std::string> key_names_;  // of signers, by certificate
  std::vector<Sha256Digest> known_;                // certificates of current lists, where that matters
  std::string left_behind_;                        // FindLeftBehind()
  absl::Status reading_;                           // whether all phones can read lists of the policy's form
};

}  // namespace trustline
