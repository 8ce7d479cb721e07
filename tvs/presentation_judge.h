// Asks itld, which knows the phones, before this node presents another certificate to them.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/rpc/listener_service.h"
#include "common/service/identity_files.h"
#include "common/service/log.h"
#include "proto/node.grpc.pb.h"

namespace trustline {

struct PresentationJudgeOptions {
  std::string itld;  // "HOST:PORT"; empty: the node has none, and nobody judges
  IdentityFiles identity;
  // What the node's listeners of a cluster would present, were those of the names given the one with the certificate.
  std::function<std::vector<Sha256Digest>(const std::string& cluster, const Presentation& presentation)> presented;
  // For all of it: shorter than administrators' programs wait, so that they hear why.
  absl::Duration patience = absl::Seconds(20);
};

// Thread-safe.
class PresentationJudge {
 public:
  using PreFlights = google::protobuf::RepeatedPtrField<v1::ListenerPreFlight>;

  // The log must outlive it.
  PresentationJudge(PresentationJudgeOptions options, Log& log) : options_(std::move(options)), log_(log) {}

  // A PresentationGuard. A number of unproven phones that is accepted is that of all clusters together. Refuses
  // too when itld cannot be asked: then an override is a change that nobody has judged. Ends with the call that it
  // serves.
  absl::Status Judge(const Presentation& presentation, PreFlights& preflights);

 private:
  // Every cluster, each on the terms that `caution_of` gives it.
  absl::Status AskAll(const Presentation& presentation, absl::Time deadline,
                      const std::function<v1::Caution(const std::string& cluster)>& caution_of, PreFlights& preflights);
  // Nothing is changed in the one cluster when another one refuses.
  absl::Status AskInTurn(const Presentation& presentation, absl::Time deadline, PreFlights& preflights);

  const PresentationJudgeOptions options_;
  Log& log_;
};

}  // namespace trustline
