// Who may call a method: its option `callers` (proto/callers.proto), resolved once.
#pragma once

#include <google/protobuf/descriptor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/callers.pb.h"

namespace trustline {

// Roles that people have on a cluster. An administrator has the rights of operator and viewer too, an operator those of
// viewer; an auditor stands apart. A method admits who has, in this sense, one of the roles that its option lists.
class RoleSet {
 public:
  RoleSet() = default;
  RoleSet(std::initializer_list<v1::AccessRole> roles) {
    for (v1::AccessRole role : roles) Add(role);
  }
  // With the roles that it includes.
  void Add(v1::AccessRole role);
  bool Has(v1::AccessRole role) const { return (bits_ & Bit(role)) != 0; }
  bool Intersects(RoleSet other) const { return (bits_ & other.bits_) != 0; }
  bool empty() const { return bits_ == 0; }
  bool operator==(const RoleSet&) const = default;

  // The listed role alone, as method options mean it.
  static RoleSet Only(v1::AccessRole role);
  void Merge(RoleSet other) { bits_ |= other.bits_; }

 private:
  static uint8_t Bit(v1::AccessRole role) { return static_cast<uint8_t>(1u << role); }
  uint8_t bits_ = 0;
};

// "viewer", "operator", "administrator", "auditor" (as the table access_grant has them).
std::string_view AccessRoleText(v1::AccessRole role);
absl::StatusOr<v1::AccessRole> ParseAccessRole(std::string_view text);

class MethodPolicy {
 public:
  // MethodPolicy::Find(v1::TrustStore::service_full_name(), "List"). NotFound for no such method; FailedPrecondition
  // for one whose option is missing or contradicts itself.
  static absl::StatusOr<MethodPolicy> Find(std::string_view service, std::string_view method);
  static absl::StatusOr<MethodPolicy> Of(const google::protobuf::MethodDescriptor& method);
  // Those of a service's methods, by their names: AllOf(v1::TrustLists::service_full_name()).
  static absl::StatusOr<std::map<std::string, MethodPolicy, std::less<>>> AllOf(std::string_view service);

  const std::string& name() const { return name_; }  // "TrustStore.List"
  bool anyone() const { return anyone_; }
  bool any_identity() const { return any_identity_; }
  v1::Callers::Scope scope() const { return scope_; }
  RoleSet roles() const { return roles_; }
  bool AdmitsService(std::string_view kind) const;
  std::string RolesText() const;  // "operator, administrator or auditor", for denials

  // The cluster that a request names ("default" when it names none, or when the scope is not REQUEST_CLUSTER). Borrowed
  // from the request. Internal for a request of another method's type.
  absl::StatusOr<std::string_view> ClusterOf(const google::protobuf::Message& request) const;

 private:
  MethodPolicy() = default;
  std::string name_;
  const google::protobuf::Descriptor* request_ = nullptr;
  bool anyone_ = false;
  bool any_identity_ = false;
  v1::Callers::Scope scope_ = v1::Callers::SCOPE_UNSPECIFIED;
  RoleSet roles_;
  std::vector<std::string> services_;
  std::vector<const google::protobuf::FieldDescriptor*> cluster_path_;
};

}  // namespace trustline
