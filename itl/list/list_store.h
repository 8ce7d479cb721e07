// The tables of trust lists (migrations/0019_trust_lists.sql). Works inside a transaction that the caller owns.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/bytes/checksums.h"
#include "common/bytes/sha256.h"
#include "common/postgres/connection.h"
#include "common/x509/certificate.h"
#include "itl/list/list_content.h"

namespace trustline {

struct StoredPolicy {
  ListPolicy policy;
  std::optional<absl::Time> blank_since;
  std::string blank_by;
  int64_t considered_commit = 0;
  int64_t trust_commit = 0;  // the trust store's last
};

struct StoredServer {
  std::string name;
  std::string host;
  std::string added_by;
  absl::Time added_at;
};

// A certificate whose key itld has.
struct StoredSigner {
  std::string tftp_server;  // empty: ITLRecovery
  Certificate certificate;
  std::string key_name;
  std::string reason;
  absl::Time created_at;
};

enum class CandidateState : uint8_t { kApproval, kNodes, kRefused };

struct StoredCandidate {
  Sha256Digest content_sha256 = {};
  CandidateState state = CandidateState::kApproval;
  std::string reason;
  std::string changes;  // a line each
  absl::Time since;
  // Of an administrator who published it while it had to wait for nodes.
  std::optional<std::string> approved_by;
  std::optional<std::string> approval_reason;
};

// A generation without its file.
struct StoredGeneration {
  int64_t number = 0;
  Sha1Digest sha1 = {};
  Md5Digest md5 = {};
  Sha256Digest sha256 = {};
  Sha256Digest content_sha256 = {};
  Sha256Digest signer_sha256 = {};
  int64_t size = 0;
  DigestAlgorithm digest = DigestAlgorithm::kSha1;
  FileVersion signer_version;
  int32_t records = 0;
  std::string reason;
  std::string published_by;
  absl::Time published_at;
};

struct StoredList {
  int64_t list_id = 0;
  ListForm form;
  std::optional<StoredGeneration> current;
  std::optional<StoredCandidate> candidate;
};

// Which of the lists; what is empty or not given does not matter.
struct ListFilter {
  std::optional<ListKind> kind;
  std::optional<std::string> tftp_server;
  std::optional<std::string> device;  // "" chooses those for all phones

  bool empty() const { return !kind && !tftp_server && !device; }
  bool Chooses(const ListForm& form) const {
    return kind.value_or(form.kind) == form.kind && tftp_server.value_or(form.tftp_server) == form.tftp_server &&
           device.value_or(form.device) == form.device;
  }
};

struct NewGeneration {
  int64_t list_id = 0;
  std::string file;
  StoredGeneration record;  // its number and all but size and published_at
};

class ListStore {
 public:
  ListStore(Connection& transaction, int32_t cluster_id) : connection_(transaction), cluster_id_(cluster_id) {}

  // Until the transaction ends nobody else changes the cluster's lists. Empty when the cluster has none.
  absl::StatusOr<std::optional<StoredPolicy>> LockPolicy();
  absl::StatusOr<std::optional<StoredPolicy>> ReadPolicy();
  // The first time; false when somebody else did it meanwhile, who is waited for.
  absl::StatusOr<bool> CreatePolicy(const ListPolicy& policy);
  absl::Status WritePolicy(const ListPolicy& policy, std::string_view actor);
  absl::Status MarkConsidered(int64_t trust_commit);

  absl::StatusOr<std::vector<StoredServer>> Servers();
  // False when it is there.
  absl::StatusOr<bool> AddServer(std::string_view name, std::string_view host, std::string_view actor);
  // Its lists too; false when it is not there.
  absl::StatusOr<bool> RemoveServer(std::string_view name);

  // The present ones.
  absl::StatusOr<std::vector<StoredSigner>> Signers();
  // Those that stand in lists beside the present one of the same server, and sign nothing: to come, or to go. One a
  // server at most.
  absl::StatusOr<std::vector<StoredSigner>> OverlappingSigners();
  // An ITLRecovery signer that was replaced: the one that lists are still signed with, else the last.
  absl::StatusOr<std::optional<StoredSigner>> PreviousRecovery();
  // In the place of the present one.
  absl::Status AddSigner(std::string_view tftp_server, const Certificate& certificate, std::string_view key_name,
                         std::string_view reason, std::string_view actor);
  // Beside the present one, in the place of another that overlaps.
  absl::Status AddOverlap(std::string_view tftp_server, const Certificate& certificate, std::string_view key_name,
                          std::string_view reason, std::string_view actor);
  // The overlapping signer is the present one now, which overlaps. FailedPrecondition unless `certificate` is the
  // overlapping one.
  absl::Status SwitchToOverlap(std::string_view tftp_server, const Certificate& certificate);
  // The present one is alone again; false when it is already.
  absl::StatusOr<bool> EndOverlap(std::string_view tftp_server);

  // The entries of the trust store that are listed, in the order of their records.
  absl::StatusOr<std::vector<ListedEntry>> Listed();

  // Policy, signers, those that overlap, servers and what is listed, as lists are made of them.
  absl::StatusOr<ListMaterial> Material(const ListPolicy& policy, const std::vector<StoredSigner>& signers);

  // By kind, server and device.
  absl::StatusOr<std::vector<StoredList>> Lists(const ListFilter& filter);
  // One that is there stays, and gets this form; its signer is SetLocalSigner()'s.
  absl::Status PutList(const ListForm& form, std::string_view actor);
  absl::Status SetLocalSigner(int64_t list_id, bool local_signer);
  // False when it is not there.
  absl::StatusOr<bool> RemoveDeviceList(std::string_view tftp_server, std::string_view device);

  absl::Status AddGenerations(const std::vector<NewGeneration>& generations, absl::Time now);
  absl::Status PutCandidate(int64_t list_id, const StoredCandidate& candidate, absl::Time now);
  absl::Status DropCandidates(const std::vector<int64_t>& list_ids);
  absl::StatusOr<bool> HasCandidates();

  // The files of current generations, by list.
  absl::StatusOr<std::map<int64_t, std::string>> CurrentFiles(const std::vector<int64_t>& list_ids);

  struct Found {
    StoredList list;  // without candidate; its current generation may be another
    StoredGeneration generation;
    std::string file;
  };
  // 0: the current one. NotFound.
  absl::StatusOr<Found> FindGeneration(const StoredList& list, int64_t number);
  // By SHA-1, MD5 or SHA-256 of the file, told by its length. NotFound; InvalidArgument for another length.
  absl::StatusOr<Found> FindByHash(ByteView hash);
  // Also of lists that are not made any more, which phones may hold. By list, the newest first; from the one behind
  // `after` on; at most `limit`.
  struct Position {
    int64_t list_id = 0;
    int64_t number = 0;
  };
  struct Past {
    StoredList list;  // without candidate and current generation
    StoredGeneration generation;
    bool is_current = false;
  };
  absl::StatusOr<std::vector<Past>> History(const ListFilter& filter, Position after, int64_t limit);

 private:
  absl::StatusOr<std::vector<StoredSigner>> ReadSigners(const Statement& statement);
  absl::Status WriteSigner(std::string_view tftp_server, const Certificate& certificate, std::string_view key_name,
                           std::string_view reason, std::string_view actor, bool overlaps);

  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
