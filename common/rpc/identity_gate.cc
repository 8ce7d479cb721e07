#include "common/rpc/identity_gate.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxPath = 128;

// The method of the system that a path such as "/trustline.v1.Node/Join" names; null for any other path.
const google::protobuf::MethodDescriptor* FindMethod(std::string_view path) {
  if (!path.starts_with("/trustline.v1.") || path.size() > kMaxPath) return nullptr;
  std::string name(path.substr(1));
  std::ranges::replace(name, '/', '.');
  return google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
}

bool AdmitsAnyone(const google::protobuf::MethodDescriptor& method) {
  const absl::StatusOr<MethodPolicy> policy = MethodPolicy::Of(method);
  return policy.ok() && policy->anyone();
}

}  // namespace

grpc::Status IdentityGate::Process(const InputMetadata& metadata, grpc::AuthContext* context,
                                   OutputMetadata* /*consumed*/, OutputMetadata* /*response*/) {
  if (PeerIdentity(*context).ok()) return grpc::Status::OK;
  const auto found = metadata.find(":path");
  const std::string_view path =
      found == metadata.end() ? "" : std::string_view(found->second.data(), found->second.size());
  const google::protobuf::MethodDescriptor* const method = FindMethod(path);
  if (method != nullptr && AdmitsAnyone(*method)) return grpc::Status::OK;
  if (on_refused_) {
    on_refused_(method == nullptr ? "unknown method" : fmt::format("{}.{}", method->service()->name(), method->name()));
  }
  return {grpc::StatusCode::UNAUTHENTICATED,
          "an identity of the system is needed: connect with its client certificate"};
}

}  // namespace trustline
