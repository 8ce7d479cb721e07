// What administrators do to a cluster, and what time does.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "itl/preflight/model_cluster_testing.h"

namespace trustline {

enum class OperationKind : uint8_t {
  kNothing,
  kPassTime,  // which nobody can refuse
  kNewRecovery,
  kBeginOverlap,   // the next ITLRecovery stands in the lists beside the present one
  kFinishOverlap,  // and takes its place
  kRestoreRecovery,
  kImportRecovery,  // an outside key comes here as ITLRecovery
  kNewCallManager,
  kSignFiles,    // configuration files with the CallManager certificate of now
  kPublish,      // what waits
  kApprove,      // what waits, which goes out by itself when the nodes answer
  kSignLocally,  // the present list with the CallManager key
  kSignWithRecovery,
  kSignOutside,   // with a key that is not here, which takes the CallManager's place in the list
  kReplaceTvs,    // a node presents another certificate
  kTrustNextTvs,  // which is trusted and listed before it is presented
  kRemoveNode,
  kAddNode,
  kRemoveTrust,
  kRestoreTrust,
  kRetireAuthority,  // which had issued all that signs lists: TVS answers for none of them
  kToggleListed,
  kListAnotherSast,  // a record too many
  kListLargeKey,
  kListLargeRecord,
  kToggleDigest,
  kToggleSignerVersion,
  kToggleBlank,
  kToggleMixedMode,
  kChangeTftpRole,
  kAddServer,
  kRemoveServer,
  kSetDeviceList,
  kRemoveDeviceList,
  kTakeKeyAway,
  kBringKeyBack,
  kTvsAndSigner,  // both in one step
};

// It is its own random choices: the same whatever came before it.
struct Operation {
  OperationKind kind = OperationKind::kNothing;
  uint32_t seed = 0;
  bool publishes = false;  // what follows from it, in the same step
};

// Of these kinds, each as often as it stands there. None: of all, in proportions that keep a cluster alive.
Operation RandomOperation(std::mt19937& random, const std::vector<OperationKind>& kinds);

// What was done, in words; empty when it could not be done.
std::string Apply(const Operation& operation, ModelCluster& cluster);

// Certificates and lists as a cluster begins: two servers, three nodes, a partner's call manager whose phones have
// come. Of a small one there is one server and one node besides the partner's.
ModelCluster BeginCluster(const std::shared_ptr<ListRegistry>& registry, uint32_t seed, bool is_small);

// The partner's: its list, which its phones hold, and its keys, which are not here.
SharedList PartnersList(const ModelCluster& cluster, ListRegistry& registry);
inline constexpr int kPartnersRecovery = 0, kPartnersCallManager = 1, kPartnersTvs = 2;
inline constexpr char kPartnersNode[] = "partner";

}  // namespace trustline
