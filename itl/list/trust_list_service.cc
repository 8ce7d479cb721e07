// Who may call what, and the methods that read. Those that change are in trust_list_changes.cc.
#include "itl/list/trust_list_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/bytes/bytes.h"
#include "common/device/device_name.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"
#include "itl/list/list_notices.h"
#include "itl/list/trust_list_messages.h"

namespace trustline {
namespace {

constexpr int32_t kDefaultPageSize = 200;
constexpr int32_t kLargestPageSize = 1000;
constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};

// A page token is where the page before ended: "LIST GENERATION".
absl::StatusOr<ListStore::Position> ReadPageToken(const std::string& token) {
  ListStore::Position position;
  if (token.empty()) return position;
  const std::vector<std::string> parts = absl::StrSplit(token, ' ');
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &position.list_id) ||
      !absl::SimpleAtoi(parts[1], &position.number)) {
    return InvalidArgument("the page token is not one that a list has given: begin again without it");
  }
  return position;
}

absl::Status HasNoLists(const std::string& cluster) {
  return FailedPrecondition(
      "the cluster {} has no trust lists: `trustctl itl server add NAME --host HOST` makes the first", cluster);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrustListService>> TrustListService::Create(const TrustListServiceParts& parts) {
  auto service = std::unique_ptr<TrustListService>(new TrustListService(parts));
  ASSIGN_OR_RETURN(service->policies_, MethodPolicy::AllOf(v1::TrustLists::service_full_name()));
  return service;
}

absl::StatusOr<Caller> TrustListService::Admit(grpc::ServerContext& context, const char* method,
                                               const google::protobuf::Message& request) {
  return parts_.authorizer.Authorize(context, policies_.find(method)->second, request);
}

absl::StatusOr<Caller> TrustListService::AdmitChange(grpc::ServerContext& context, const char* method,
                                                     const google::protobuf::Message& request) {
  ASSIGN_OR_RETURN(Caller caller, Admit(context, method, request));
  if (parts_.publisher == nullptr) {
    return FailedPrecondition(
        "this itld keeps no keys of trust lists: give it a folder for them ([trust_lists] keys and passphrase_file in "
        "its configuration)");
  }
  return caller;
}

absl::StatusOr<std::string> TrustListService::ServerOf(ListStore& store, const std::string& named) {
  ASSIGN_OR_RETURN(const std::vector<StoredServer> servers, store.Servers());
  std::vector<std::string> names;
  for (const StoredServer& server : servers) names.push_back(server.name);
  if (!named.empty()) {
    if (std::find(names.begin(), names.end(), named) != names.end()) return named;
    return NotFound("no TFTP server {} is there; there are: {}", named,
                    names.empty() ? "none" : absl::StrJoin(names, ", "));
  }
  if (names.size() == 1) return names.front();
  if (names.empty()) return NotFound("no TFTP server is there: `trustctl itl server add NAME --host HOST` adds one");
  if (names.size() > 10) {
    names.resize(10);
    names.emplace_back("...");
  }
  return InvalidArgument("say which TFTP server is meant (--tftp-server): {}", absl::StrJoin(names, ", "));
}

absl::Status TrustListService::PutLists(const absl::StatusOr<PublishResult>& result, v1::PublishResponse& response) {
  if (result.ok()) response = ToProto(*result);
  return result.status();
}

absl::Status TrustListService::CheckReason(const std::string& reason) {
  const bool says_something = std::any_of(reason.begin(), reason.end(), [](unsigned char c) { return c > ' '; });
  return !says_something ? InvalidArgument("say why (--reason): the reason stays on record") : absl::OkStatus();
}

absl::Status TrustListService::ListAll(const Caller& caller, const v1::ListTrustListsRequest& request,
                                       v1::ListTrustListsResponse& response) {
  ListFilter filter;
  ASSIGN_OR_RETURN(filter.kind, FromProto(request.kind()));
  if (!request.tftp_server().empty()) filter.tftp_server = request.tftp_server();
  if (!request.with_devices()) filter.device = "";
  return RunInTransaction(parts_.pool, kOneState, [&](Connection& connection) -> absl::Status {
    response.Clear();
    ListStore store(connection, caller.cluster_id);
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, store.ReadPolicy());
    if (!policy) return absl::OkStatus();
    *response.mutable_policy() = ToProto(*policy);
    if (filter.tftp_server) RETURN_IF_ERROR(ServerOf(store, *filter.tftp_server).status());
    ASSIGN_OR_RETURN(const std::vector<StoredServer> servers, store.Servers());
    for (const StoredServer& server : servers) *response.add_tftp_servers() = ToProto(server);
    ASSIGN_OR_RETURN(const std::vector<StoredSigner> signers, store.Signers());
    for (const StoredSigner& signer : signers) *response.add_signers() = ToProto(signer);
    ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store.Lists(filter));
    for (const StoredList& list : lists) *response.add_lists() = ToProto(list);
    // Whichever lists were asked for: what waits in another is not to be missed.
    ASSIGN_OR_RETURN(const std::vector<StoredList> all, store.Lists({}));
    ASSIGN_OR_RETURN(const std::vector<std::string> notices,
                     ListNotices(connection, caller.cluster_id, *policy, signers, all, parts_.clock.Now()));
    for (const std::string& notice : notices) response.add_notices(notice);
    for (const StoredSigner& signer : signers) {
      if (parts_.keys == nullptr) break;
      const absl::Status key = parts_.keys->Find(signer.key_name).status();
      if (key.ok()) continue;
      response.add_notices(fmt::format(
          "nothing can be signed as {}: {}{}", signer.certificate.subject().ToText(), StatusMessage(key),
          signer.tftp_server.empty() ? "; or bring it back from its PKCS#12 file (`trustctl itl recovery import FILE`)"
                                     : ""));
    }
    return absl::OkStatus();
  });
}

absl::Status TrustListService::ListPast(const Caller& caller, const v1::ListGenerationsRequest& request,
                                        v1::ListGenerationsResponse& response) {
  ListFilter filter;
  ASSIGN_OR_RETURN(filter.kind, FromProto(request.kind()));
  if (!request.tftp_server().empty()) filter.tftp_server = request.tftp_server();
  if (!request.device().empty()) {
    ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(request.device()));
    filter.device = device.text();
  }
  const int32_t page_size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  if (page_size < 1 || page_size > kLargestPageSize) {
    return InvalidArgument("a page has 1 to {} generations", kLargestPageSize);
  }
  ASSIGN_OR_RETURN(const ListStore::Position after, ReadPageToken(request.page_token()));
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
  ASSIGN_OR_RETURN(const std::vector<ListStore::Past> page,
                   ListStore(*lease, caller.cluster_id).History(filter, after, page_size));
  for (const ListStore::Past& past : page) {
    *response.add_generations() = ToProto(past.list, past.generation, past.is_current);
  }
  if (page.size() == static_cast<size_t>(page_size)) {
    response.set_next_page_token(fmt::format("{} {}", page.back().list.list_id, page.back().generation.number));
  }
  return absl::OkStatus();
}

absl::Status TrustListService::FetchOne(const Caller& caller, const v1::FetchGenerationRequest& request,
                                        v1::FetchGenerationResponse& response) {
  const auto find = [&](Connection& connection) -> absl::StatusOr<ListStore::Found> {
    ListStore store(connection, caller.cluster_id);
    if (!request.hash().empty()) return store.FindByHash(AsBytes(request.hash()));
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, store.ReadPolicy());
    if (!policy) return HasNoLists(caller.cluster);
    ASSIGN_OR_RETURN(const std::optional<ListKind> kind, FromProto(request.kind()));
    ListFilter filter = {.kind = kind.value_or(ListKind::kItl), .tftp_server = "", .device = ""};
    if (filter.kind == ListKind::kItl) {
      ASSIGN_OR_RETURN(filter.tftp_server, ServerOf(store, request.tftp_server()));
    }
    if (!request.device().empty()) {
      ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(request.device()));
      filter.device = device.text();
    }
    ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store.Lists(filter));
    if (lists.empty() && filter.kind == ListKind::kCtl) {
      return NotFound("the cluster {} has no CTL: it gets one with `trustctl ctl mixed-mode on`", caller.cluster);
    }
    if (lists.empty()) {
      return NotFound("{} has no trust list of its own: it takes that of all phones (leave out --device)",
                      *filter.device);
    }
    return store.FindGeneration(lists.front(), request.number());
  };
  ASSIGN_OR_RETURN(const ListStore::Found found, RunInTransaction(parts_.pool, kOneState, find));
  const bool is_current = found.list.current && found.list.current->number == found.generation.number;
  *response.mutable_generation() = ToProto(found.list, found.generation, is_current);
  response.set_file(found.file);
  response.set_file_name(ListFileName(found.list.form.kind, found.list.form.device));
  return absl::OkStatus();
}

grpc::Status TrustListService::ListTrustLists(grpc::ServerContext* context, const v1::ListTrustListsRequest* request,
                                              v1::ListTrustListsResponse* response) {
  const auto caller = Admit(*context, "ListTrustLists", *request);
  return ToGrpc(caller.ok() ? ListAll(*caller, *request, *response) : caller.status());
}
grpc::Status TrustListService::ListGenerations(grpc::ServerContext* context, const v1::ListGenerationsRequest* request,
                                               v1::ListGenerationsResponse* response) {
  const auto caller = Admit(*context, "ListGenerations", *request);
  return ToGrpc(caller.ok() ? ListPast(*caller, *request, *response) : caller.status());
}
grpc::Status TrustListService::FetchGeneration(grpc::ServerContext* context, const v1::FetchGenerationRequest* request,
                                               v1::FetchGenerationResponse* response) {
  const auto caller = Admit(*context, "FetchGeneration", *request);
  return ToGrpc(caller.ok() ? FetchOne(*caller, *request, *response) : caller.status());
}

}  // namespace trustline
