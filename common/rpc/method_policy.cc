#include "common/rpc/method_policy.h"

#include <google/protobuf/message.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/rpc/identity.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr v1::AccessRole kAllRoles[] = {v1::ACCESS_ROLE_VIEWER, v1::ACCESS_ROLE_OPERATOR, v1::ACCESS_ROLE_ADMINISTRATOR,
                                        v1::ACCESS_ROLE_AUDITOR};

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// The fields from a request to the text that names its cluster.
absl::StatusOr<std::vector<const FieldDescriptor*>> ResolveClusterPath(const Descriptor& request,
                                                                       const std::string& path) {
  std::vector<const FieldDescriptor*> fields;
  const Descriptor* message = &request;
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (const std::string& name : names) {
    const FieldDescriptor* field = message == nullptr ? nullptr : message->FindFieldByName(name);
    if (field == nullptr || field->is_repeated()) {
      return FailedPrecondition("{} has no field '{}' that names its cluster", request.full_name(), path);
    }
    fields.push_back(field);
    message = field->message_type();
  }
  if (fields.back()->type() != FieldDescriptor::TYPE_STRING) {
    return FailedPrecondition("{}: the field '{}' is not text", request.full_name(), path);
  }
  return fields;
}

}  // namespace

RoleSet RoleSet::Only(v1::AccessRole role) {
  RoleSet set;
  set.bits_ = Bit(role);
  return set;
}

void RoleSet::Add(v1::AccessRole role) {
  bits_ |= Bit(role);
  if (role == v1::ACCESS_ROLE_ADMINISTRATOR) bits_ |= Bit(v1::ACCESS_ROLE_OPERATOR);
  if (role == v1::ACCESS_ROLE_ADMINISTRATOR || role == v1::ACCESS_ROLE_OPERATOR) bits_ |= Bit(v1::ACCESS_ROLE_VIEWER);
}

std::string_view AccessRoleText(v1::AccessRole role) {
  switch (role) {
    case v1::ACCESS_ROLE_VIEWER:
      return "viewer";
    case v1::ACCESS_ROLE_OPERATOR:
      return "operator";
    case v1::ACCESS_ROLE_ADMINISTRATOR:
      return "administrator";
    case v1::ACCESS_ROLE_AUDITOR:
      return "auditor";
    default:
      return "unspecified";
  }
}

absl::StatusOr<v1::AccessRole> ParseAccessRole(std::string_view text) {
  for (v1::AccessRole role : kAllRoles) {
    if (AccessRoleText(role) == text) return role;
  }
  return InvalidArgument("'{}' is not a role: viewer, operator, administrator or auditor", text.substr(0, 64));
}

absl::StatusOr<MethodPolicy> MethodPolicy::Find(std::string_view service, std::string_view method) {
  const std::string name = fmt::format("{}.{}", service, method);
  const google::protobuf::MethodDescriptor* const descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
  if (descriptor == nullptr) return NotFound("there is no method {}", name);
  return Of(*descriptor);
}

absl::StatusOr<std::map<std::string, MethodPolicy, std::less<>>> MethodPolicy::AllOf(std::string_view service) {
  const google::protobuf::ServiceDescriptor* const descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(std::string(service));
  if (descriptor == nullptr) return NotFound("the service {} is not compiled in", service);
  std::map<std::string, MethodPolicy, std::less<>> policies;
  for (int i = 0; i < descriptor->method_count(); ++i) {
    ASSIGN_OR_RETURN(MethodPolicy policy, Of(*descriptor->method(i)));
    policies.emplace(descriptor->method(i)->name(), std::move(policy));
  }
  return policies;
}

absl::StatusOr<MethodPolicy> MethodPolicy::Of(const google::protobuf::MethodDescriptor& method) {
  const auto contradiction = [&method](std::string_view message) {
    return FailedPrecondition("{}: {}", method.full_name(), message);
  };
  if (!method.options().HasExtension(v1::callers)) return contradiction("the option 'callers' is missing");
  const v1::Callers& callers = method.options().GetExtension(v1::callers);
  MethodPolicy policy;
  policy.name_ = fmt::format("{}.{}", method.service()->name(), method.name());
  policy.request_ = method.input_type();
  policy.anyone_ = callers.anyone();
  policy.any_identity_ = callers.any_identity();
  policy.scope_ = callers.scope();
  for (const int role : callers.roles()) {
    if (role == v1::ACCESS_ROLE_UNSPECIFIED) return contradiction("lists an unspecified role");
    policy.roles_.Merge(RoleSet::Only(static_cast<v1::AccessRole>(role)));
  }
  for (const std::string& kind : callers.services()) {
    if (!IsServiceKind(kind)) return contradiction("lists a service that does not exist");
    policy.services_.push_back(kind);
  }
  const bool open = policy.anyone_ || policy.any_identity_;
  const bool listed = !policy.roles_.empty() || !policy.services_.empty();
  if (policy.anyone_ && policy.any_identity_) return contradiction("admits anyone and any identity");
  if (open == listed) return contradiction("admits nobody, or lists callers although it is open");
  if (open != (policy.scope_ == v1::Callers::SCOPE_UNSPECIFIED)) return contradiction("scope does not fit the callers");
  if (policy.scope_ == v1::Callers::REQUEST_CLUSTER) {
    ASSIGN_OR_RETURN(policy.cluster_path_,
                     ResolveClusterPath(*method.input_type(),
                                        callers.cluster_field().empty() ? "cluster" : callers.cluster_field()));
  }
  return policy;
}

bool MethodPolicy::AdmitsService(std::string_view kind) const {
  return std::ranges::find(services_, kind) != services_.end();
}

std::string MethodPolicy::RolesText() const {
  std::vector<std::string> names;
  for (v1::AccessRole role : kAllRoles) {
    if (roles_.Has(role)) names.emplace_back(AccessRoleText(role));
  }
  if (names.size() < 2) return absl::StrJoin(names, "");
  const std::string last = std::move(names.back());
  names.pop_back();
  return fmt::format("{} or {}", absl::StrJoin(names, ", "), last);
}

absl::StatusOr<std::string_view> MethodPolicy::ClusterOf(const google::protobuf::Message& request) const {
  if (request.GetDescriptor() != request_) return Internal("{} was asked with another method's request", name_);
  const google::protobuf::Message* message = &request;
  for (const FieldDescriptor* field : cluster_path_) {
    if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
      // Of a message that is not there this is the default instance, whose text is empty.
      message = &message->GetReflection()->GetMessage(*message, field);
      continue;
    }
    // Generated code holds the text itself, so that nothing is copied into `unused`.
    std::string unused;
    const std::string& text = message->GetReflection()->GetStringReference(*message, field, &unused);
    if (!text.empty()) return std::string_view(text);
  }
  return kSystemCluster;
}

}  // namespace trustline
