// From where which TVS node was asked, and what it presents to phones (migrations/0022_preflight.sql, tvs_reach and
// tvs_node_certificate): by these the pre-flight tells where TVS is a way for a phone.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/postgres/connection.h"
#include "itl/question/question_counts.h"

namespace trustline {

// Works inside a transaction that the caller owns; of a cluster one at a time.
class TvsReachStore {
 public:
  TvsReachStore(Connection& transaction, int32_t cluster_id, absl::Time now)
      : connection_(transaction), cluster_id_(cluster_id), now_(now) {}

  // The site of a phone reaches the node when the phone asked it; the phone alone, when it has no site. Anybody may ask
  // a TVS under any phone's name. So a question counts only when it came from the address that the phone is known to
  // have by evidence, where an answer reaches nobody else: a forged one makes no way. Nor does it unmake one, because
  // times only grow, and questions of one name from two addresses come as two counts. A phone behind NAT is seen at
  // another address than it reports and never counts, which errs to the safe side: too little is taken for a way.
  // Written at most once an hour for each site and node.
  absl::Status SawAsking(std::string_view node, const std::vector<QuestionCounts>& counts);

  // What the node said last is all that it presents. Sent with the transaction's next statement, whose error is its own
  // too.
  void Presents(std::string_view node, const std::vector<Sha256Digest>& certificates);

  // What it said last, in order.
  absl::StatusOr<std::vector<Sha256Digest>> PresentedBy(std::string_view node);

  // What was neither seen nor said for 60 days.
  absl::Status ForgetOld();

 private:
  Connection& connection_;
  const int32_t cluster_id_;
  const absl::Time now_;
};

}  // namespace trustline
