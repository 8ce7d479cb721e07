// The table in docs/SECURITY.md of who may call what: a copy of the methods' options, held here.
#include <google/protobuf/descriptor.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/str_join.h"
#include "common/rpc/method_policy.h"
#include "common/status/status.h"
#include "gtest/gtest.h"
#include "proto/access.pb.h"
#include "proto/adoption.pb.h"
#include "proto/audit.pb.h"
#include "proto/authority.pb.h"
#include "proto/device.pb.h"
#include "proto/enrolment.pb.h"
#include "proto/issuance.pb.h"
#include "proto/listener.pb.h"
#include "proto/migration.pb.h"
#include "proto/node.pb.h"
#include "proto/phone_trust.pb.h"
#include "proto/plan.pb.h"
#include "proto/reset.pb.h"
#include "proto/trust_list.pb.h"
#include "proto/trust_store.pb.h"
#include "proto/tvs_question.pb.h"
#include "proto/verification.pb.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;

// One message of each file with services; naming it links the file.
std::vector<const FileDescriptor*> AllFiles() {
  std::vector<const FileDescriptor*> files;
  for (const google::protobuf::Descriptor* message :
       {v1::GrantRequest::descriptor(), v1::ListAuditRequest::descriptor(), v1::AddDeviceRequest::descriptor(),
        v1::IssueResponse::descriptor(), v1::BlockKeysRequest::descriptor(), v1::JoinRequest::descriptor(),
        v1::ListListenersRequest::descriptor(), v1::AddRequest::descriptor(), v1::VerifyRequest::descriptor(),
        v1::UnlockDeviceRequest::descriptor(), v1::SetBlankRequest::descriptor(), v1::ListPhonesRequest::descriptor(),
        v1::CountQuestionsRequest::descriptor(), v1::AdoptListsRequest::descriptor(),
        v1::StartResetRequest::descriptor(), v1::MakePlanRequest::descriptor(), v1::ExportTrustRequest::descriptor()}) {
    files.push_back(message->file());
  }
  return files;
}

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string People(const MethodPolicy& policy) {
  if (policy.anyone()) return "anyone";
  if (policy.any_identity()) return "whoever has an identity, for itself";
  std::vector<std::string> people;
  for (const v1::AccessRole role :
       {v1::ACCESS_ROLE_VIEWER, v1::ACCESS_ROLE_OPERATOR, v1::ACCESS_ROLE_ADMINISTRATOR, v1::ACCESS_ROLE_AUDITOR}) {
    if (RoleSet{role}.Intersects(policy.roles())) people.emplace_back(AccessRoleText(role));
  }
  return absl::StrJoin(people, ", ");
}

std::string Services(const MethodPolicy& policy, const v1::Callers& callers) {
  if (policy.anyone()) return "anyone";
  if (policy.any_identity()) return "the same";
  return absl::StrJoin(callers.services(), ", ");
}

std::string Scope(const MethodPolicy& policy) {
  switch (policy.scope()) {
    case v1::Callers::REQUEST_CLUSTER:
      return "the request's";
    case v1::Callers::SYSTEM:
      return "`default`";
    case v1::Callers::ANY_CLUSTER:
      return "any";
    default:
      return "";
  }
}

std::string RowOf(const MethodDescriptor& method) {
  const absl::StatusOr<MethodPolicy> policy = MethodPolicy::Of(method);
  if (!policy.ok()) return policy.status().ToString();
  std::string row = "|";
  for (const std::string& cell : {policy->name(), People(*policy),
                                  Services(*policy, method.options().GetExtension(v1::callers)), Scope(*policy)}) {
    row += cell.empty() ? " |" : fmt::format(" {} |", cell);
  }
  return row;
}

TEST(MethodTableTest, KnowsEveryFileWithServices) {
  std::set<std::string> known;
  for (const FileDescriptor* file : AllFiles()) known.insert(file->name());
  for (const auto& entry : fs::directory_iterator(fs::path(TRUSTLINE_SOURCE_DIR) / "proto")) {
    if (entry.path().extension() != ".proto" || ReadFile(entry.path()).find("\nservice ") == std::string::npos)
      continue;
    const std::string name = "proto/" + entry.path().filename().string();
    EXPECT_TRUE(known.contains(name)) << name << ": add one of its messages to AllFiles()";
  }
}

TEST(MethodTableTest, SecurityMdHasTheRowOfEachMethodAndNoOther) {
  std::set<std::string> rows;
  std::set<std::string> services;
  for (const FileDescriptor* file : AllFiles()) {
    for (int s = 0; s < file->service_count(); ++s) {
      services.insert(file->service(s)->name());
      for (int m = 0; m < file->service(s)->method_count(); ++m) rows.insert(RowOf(*file->service(s)->method(m)));
    }
  }
  std::istringstream text(ReadFile(fs::path(TRUSTLINE_SOURCE_DIR) / "docs" / "SECURITY.md"));
  std::set<std::string> found;
  for (std::string line; std::getline(text, line);) {
    if (!line.starts_with("| ")) continue;
    if (services.contains(line.substr(2, line.find('.') - 2))) found.insert(line);
  }
  for (const std::string& row : rows) {
    EXPECT_TRUE(found.contains(row)) << "docs/SECURITY.md lacks this row:\n" << row;
  }
  for (const std::string& row : found) {
    EXPECT_TRUE(rows.contains(row)) << "docs/SECURITY.md has this row, which no method's option says:\n" << row;
  }
}

}  // namespace
}  // namespace trustline
