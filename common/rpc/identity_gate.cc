#include "common/rpc/identity_gate.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "common/rpc/access_denials.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/json.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxPath = 128;

// "/trustline.v1.Node/Join" names a method that admits anyone.
bool AdmitsAnyone(std::string_view path) {
  if (!path.starts_with("/trustline.v1.") || path.size() > kMaxPath) return false;
  std::string name(path.substr(1));
  std::ranges::replace(name, '/', '.');
  const google::protobuf::MethodDescriptor* const method =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
  if (method == nullptr) return false;
  const absl::StatusOr<MethodPolicy> policy = MethodPolicy::Of(*method);
  return policy.ok() && policy->anyone();
}

}  // namespace

IdentityGate::IdentityGate(Log* log, Metrics* metrics)
    : log_(log), refused_(metrics == nullptr ? nullptr : &DenialCounter(*metrics, "no_identity")) {}

grpc::Status IdentityGate::Process(const InputMetadata& metadata, grpc::AuthContext* context,
                                   OutputMetadata* /*consumed*/, OutputMetadata* /*response*/) {
  if (PeerIdentity(*context).ok()) return grpc::Status::OK;
  const auto found = metadata.find(":path");
  const std::string_view path =
      found == metadata.end() ? "" : std::string_view(found->second.data(), found->second.size());
  if (AdmitsAnyone(path)) return grpc::Status::OK;
  if (refused_ != nullptr) refused_->Add();
  if (log_ != nullptr) {
    log_->Info("ACCESS_NO_IDENTITY", "a caller without an identity was refused",
               {{"method", PrintableText(path, kMaxPath)}});
  }
  return {grpc::StatusCode::UNAUTHENTICATED,
          "an identity of the system is needed: connect with its client certificate"};
}

}  // namespace trustline
