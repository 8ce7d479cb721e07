// Asks itld, which knows the phones, before this node presents another certificate to them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/bytes/sha256.h"
#include "common/rpc/listener_service.h"
#include "common/service/identity_files.h"
#include "common/service/log.h"
#include "proto/node.grpc.pb.h"

namespace trustline {

struct PresentationJudgeOptions {
  std::string itld;  // "HOST:PORT"
  IdentityFiles identity;
  // What the node's listeners of a cluster would present, were those of the names given the one with the certificate.
  std::function<std::vector<Sha256Digest>(const std::string& cluster, const Presentation& presentation)> presented;
  // Called when itld may believe in what is not presented in the end.
  std::function<void()> say_again;
};

// One change at a time.
class PresentationJudge {
 public:
  // The log must outlive it.
  PresentationJudge(PresentationJudgeOptions options, Log& log) : options_(std::move(options)), log_(log) {}

  // A PresentationGuard. Unavailable when itld cannot be asked: then an override is a change that nobody has judged.
  absl::Status Judge(const Presentation& presentation,
                     google::protobuf::RepeatedPtrField<v1::ListenerPreFlight>& preflights);

 private:
  absl::StatusOr<v1::PreFlight> Ask(v1::Node::Stub& itld, const std::string& cluster, const Presentation& presentation,
                                    bool plan);
  absl::Status AskAll(const Presentation& presentation, bool plan,
                      google::protobuf::RepeatedPtrField<v1::ListenerPreFlight>& preflights);

  const PresentationJudgeOptions options_;
  Log& log_;
};

}  // namespace trustline
