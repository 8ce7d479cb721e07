// The methods of TrustLists that publish, and those about the ITLRecovery key.
#include <algorithm>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/bytes/secret_bytes.h"
#include "common/device/device_name.h"
#include "common/postgres/transaction.h"
#include "common/rpc/certificate_summary.h"
#include "common/service/audit.h"
#include "common/status/status.h"
#include "common/x509/pkcs12.h"
#include "itl/list/list_signers.h"
#include "itl/list/trust_list_messages.h"
#include "itl/list/trust_list_service.h"

namespace trustline {
namespace {

template <typename Repeated>
std::vector<std::string> Texts(const Repeated& texts) {
  return {texts.begin(), texts.end()};
}

// The only SAST of a CTL is ITLRecovery. Phones that hold nothing take the CTL first, and look for the ITL's signer
// there.
absl::Status CheckSignedByRecovery(ListStore& store) {
  ASSIGN_OR_RETURN(const std::vector<StoredList> itls, store.Lists({.kind = ListKind::kItl}));
  for (const StoredList& itl : itls) {
    if (!itl.form.local_signer) continue;
    return FailedPrecondition(
        "the {} is signed with its server's key, which a CTL does not have: new phones would take the CTL and then "
        "refuse the ITL. Sign it with ITLRecovery first: `trustctl itl reset --recovery --reason ...`",
        ListText(itl.form));
  }
  return absl::OkStatus();
}

// A key that no list is signed with yet is not replaced: the one before it, which phones know, would be out of reach.
absl::Status CheckIsInUse(ListStore& store, const Certificate& recovery) {
  ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store.Lists({}));
  for (const StoredList& list : lists) {
    if (!list.current || list.form.local_signer || list.current->signer_sha256 == recovery.sha256()) continue;
    return FailedPrecondition(
        "the {} is not signed with the present ITLRecovery key ({}) yet: publish it first (`trustctl itl publish`, "
        "`trustctl ctl publish`), or take the key back (`trustctl itl recovery restore`)",
        ListText(list.form), recovery.subject().ToText());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TrustListService::ChooseServer(const Caller& caller, const std::string& named, PublishOrder& order) {
  if (named.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
  ListStore store(*lease, caller.cluster_id);
  ASSIGN_OR_RETURN(order.filter.tftp_server, ServerOf(store, named));
  return absl::OkStatus();
}

absl::StatusOr<PublishResult> TrustListService::PublishWaiting(const Caller& caller, const v1::PublishRequest& request,
                                                               v1::PreFlight& preflight) {
  PublishOrder order = {.filter = {},
                        .actor = caller.actor(),
                        .reason = request.reason().empty() ? "published by an administrator" : request.reason(),
                        .approved = true,
                        .without_nodes = Texts(request.without_nodes()),
                        .report = &preflight};
  ASSIGN_OR_RETURN(order.caution, FromProto(request.caution()));
  ASSIGN_OR_RETURN(order.filter.kind, FromProto(request.kind()));
  RETURN_IF_ERROR(ChooseServer(caller, request.tftp_server(), order));
  // All lists are looked at, because what is approved may go out together with others; the order is about these.
  std::swap(order.approves, order.filter);
  for (const std::string& content : request.contents()) {
    Sha256Digest& digest = order.approved_contents.emplace_back();
    if (content.size() != digest.size()) return InvalidArgument("a content is named by its SHA-256, 32 bytes");
    std::copy(content.begin(), content.end(), digest.begin());
  }
  ASSIGN_OR_RETURN(PublishResult result, parts_.publisher->Publish(caller.cluster_id, caller.cluster, order));
  std::erase_if(result.lists, [&](const PublishedList& list) {
    return list.outcome != ListOutcome::kPublished && !order.approves.Chooses(list.list.form);
  });
  return result;
}

absl::StatusOr<PublishResult> TrustListService::SetMixed(const Caller& caller, const v1::SetMixedModeRequest& request,
                                                         v1::PreFlight& preflight) {
  ASSIGN_OR_RETURN(const Caution caution, FromProto(request.caution()));
  const PublishOrder order = {
      .filter = {.kind = ListKind::kCtl, .tftp_server = {}, .device = {}},
      .actor = caller.actor(),
      .reason = request.reason().empty() ? (request.on() ? "mixed mode on" : "mixed mode off") : request.reason(),
      .approved = true,
      .must_publish = true,
      .without_nodes = Texts(request.without_nodes()),
      .action = request.on() ? "ctl.mixed_mode.on" : "ctl.mixed_mode.off",
      .caution = caution,
      .report = &preflight};
  return parts_.publisher->ChangeAndPublish(
      caller.cluster_id, caller.cluster, order,
      [&](Connection& connection, ListStore& store, const StoredPolicy& before) -> absl::Status {
        if (!request.on() && !before.policy.mixed_mode) {
          return FailedPrecondition("mixed mode is off already");
        }
        if (request.on() && !before.policy.mixed_mode) RETURN_IF_ERROR(CheckSignedByRecovery(store));
        ListPolicy policy = before.policy;
        policy.mixed_mode = request.on();
        RETURN_IF_ERROR(store.WritePolicy(policy, caller.actor()));
        RETURN_IF_ERROR(store.PutList({.kind = ListKind::kCtl, .tftp_server = "", .device = ""}, caller.actor()));
        return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                        .actor = caller.actor(),
                                        .action = request.on() ? "ctl.mixed_mode.on" : "ctl.mixed_mode.off",
                                        .subject = caller.cluster,
                                        .detail = {{"reason", order.reason}}});
      });
}

absl::StatusOr<PublishResult> TrustListService::Blank(const Caller& caller, const v1::SetBlankRequest& request,
                                                      v1::PreFlight& preflight) {
  RETURN_IF_ERROR(CheckReason(request.reason()));
  ASSIGN_OR_RETURN(const Caution caution, FromProto(request.caution()));
  const PublishOrder order = {.filter = {},
                              .actor = caller.actor(),
                              .reason = request.reason(),
                              .approved = true,
                              .must_publish = true,
                              .without_nodes = Texts(request.without_nodes()),
                              .action = request.on() ? "itl.blank.on" : "itl.blank.off",
                              .caution = caution,
                              .report = &preflight};
  return parts_.publisher->ChangeAndPublish(
      caller.cluster_id, caller.cluster, order,
      [&](Connection& connection, ListStore& store, const StoredPolicy& before) -> absl::Status {
        ListPolicy policy = before.policy;
        policy.blank = request.on();
        RETURN_IF_ERROR(store.WritePolicy(policy, caller.actor()));
        return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                        .actor = caller.actor(),
                                        .action = request.on() ? "itl.blank.on" : "itl.blank.off",
                                        .subject = caller.cluster,
                                        .detail = {{"reason", request.reason()}}});
      });
}

absl::StatusOr<PublishResult> TrustListService::Reset(const Caller& caller, const v1::ResetWithLocalKeyRequest& request,
                                                      v1::PreFlight& preflight) {
  RETURN_IF_ERROR(CheckReason(request.reason()));
  ASSIGN_OR_RETURN(const std::optional<ListKind> named, FromProto(request.kind()));
  const ListKind kind = named.value_or(ListKind::kItl);
  if (kind == ListKind::kCtl && !request.recovery()) {
    return InvalidArgument("the only SAST of a CTL is ITLRecovery: sign it with that");
  }
  PublishOrder order = {.filter = {.kind = kind, .tftp_server = {}, .device = {}},
                        .actor = caller.actor(),
                        .reason = request.reason(),
                        .approved = true,
                        .must_publish = true,
                        .without_nodes = Texts(request.without_nodes()),
                        .to_local_signer = !request.recovery(),
                        .action = kind == ListKind::kItl ? "itl.reset" : "ctl.reset",
                        .report = &preflight};
  ASSIGN_OR_RETURN(order.caution, FromProto(request.caution()));
  RETURN_IF_ERROR(ChooseServer(caller, request.tftp_server(), order));
  return parts_.publisher->Resign(
      caller.cluster_id, caller.cluster, !request.recovery(), order,
      [&](Connection& connection, ListStore&, const StoredPolicy&) {
        return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                        .actor = caller.actor(),
                                        .action = kind == ListKind::kItl ? "itl.reset" : "ctl.reset",
                                        .subject = request.tftp_server().empty() ? "all" : request.tftp_server(),
                                        .detail = {{"signer", request.recovery() ? "ITLRecovery" : "CallManager"},
                                                   {"reason", request.reason()}}});
      });
}

absl::Status TrustListService::Export(const Caller& caller, const v1::ExportRecoveryRequest& request,
                                      v1::ExportRecoveryResponse& response) {
  const SecretBytes passphrase(request.passphrase());
  return RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<StoredSigner> signers, ListStore(connection, caller.cluster_id).Signers());
    if (signers.empty() || !signers.front().tftp_server.empty()) {
      return NotFound("the cluster {} has no ITLRecovery certificate yet: it comes with its first TFTP server",
                      caller.cluster);
    }
    const StoredSigner& recovery = signers.front();
    ASSIGN_OR_RETURN(const KeyFolder::Key key, parts_.keys->Find(recovery.key_name));
    ASSIGN_OR_RETURN(*response.mutable_file(), WritePkcs12(recovery.certificate, *key, passphrase, "ITLRecovery"));
    *response.mutable_certificate() = SummaryOf(recovery.certificate);
    return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                    .actor = caller.actor(),
                                    .action = "itl.recovery.export",
                                    .subject = ToHex(recovery.certificate.sha256()),
                                    .detail = {{"certificate", recovery.certificate.subject().ToText()}}});
  });
}

absl::Status TrustListService::BringBackKey(Connection& connection, const Caller& caller, const StoredSigner& recovery,
                                            CertifiedKey imported, const v1::ReplaceRecoveryRequest& request) {
  if (parts_.keys->Find(recovery.key_name).ok()) {
    return FailedPrecondition("this is the ITLRecovery certificate already, and its key is here");
  }
  // What is left of its file cannot be used, or it would have been found.
  RETURN_IF_ERROR(parts_.keys->Discard(recovery.key_name));
  RETURN_IF_ERROR(parts_.keys->Keep(std::move(imported.key)).status());
  return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                  .actor = caller.actor(),
                                  .action = "itl.recovery.key",
                                  .subject = ToHex(recovery.certificate.sha256()),
                                  .detail = {{"reason", request.reason()}}});
}

absl::Status TrustListService::Replace(const Caller& caller, const v1::ReplaceRecoveryRequest& request,
                                       v1::ReplaceRecoveryResponse& response) {
  RETURN_IF_ERROR(CheckReason(request.reason()));
  const SecretBytes passphrase(request.passphrase());
  const TrustStoreCaller store_caller = {caller.cluster_id, caller.cluster, caller.actor()};
  const bool is_import = !request.file().empty();
  if (is_import && request.previous()) return InvalidArgument("either a file, or the one before");
  GuardedChange guarded = {.cluster_id = caller.cluster_id,
                           .actor = caller.actor(),
                           .action = request.previous() ? "itl.recovery.restore"
                                     : is_import        ? "itl.recovery.import"
                                                        : "itl.recovery.regenerate",
                           .subject = fmt::format("ITLRecovery of {}", caller.cluster),
                           .reason = request.reason()};
  ASSIGN_OR_RETURN(guarded.caution, FromProto(request.caution()));
  if (parts_.guard != nullptr) guarded.report = response.mutable_preflight();
  RETURN_IF_ERROR(RunGuarded(parts_.pool, parts_.guard, guarded, [&](Connection& connection) -> absl::Status {
    ListStore store(connection, caller.cluster_id);
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, store.LockPolicy());
    if (!policy)
      return FailedPrecondition("the cluster {} has no trust lists: add a TFTP server first", caller.cluster);
    ASSIGN_OR_RETURN(const std::vector<StoredSigner> before, store.Signers());
    if (before.empty()) return Internal("the cluster {} has no ITLRecovery certificate", caller.cluster);
    *response.mutable_replaced() = *response.mutable_certificate() = SummaryOf(before.front().certificate);
    ListSigners signers(connection, store_caller, *parts_.keys, parts_.clock.Now());
    Certificate made = before.front().certificate;
    if (request.previous()) {
      ASSIGN_OR_RETURN(const std::optional<StoredSigner> previous, store.PreviousRecovery());
      if (!previous) return FailedPrecondition("the ITLRecovery key was never replaced");
      made = previous->certificate;
      RETURN_IF_ERROR(signers.RestoreRecovery(*previous, request.reason()));
    } else if (is_import) {
      ASSIGN_OR_RETURN(CertifiedKey imported, ReadPkcs12(AsBytes(request.file()), passphrase));
      if (imported.certificate == before.front().certificate)
        return BringBackKey(connection, caller, before.front(), std::move(imported), request);
      made = imported.certificate;
      RETURN_IF_ERROR(signers.ImportRecovery(std::move(imported), request.reason()));
    } else {
      RETURN_IF_ERROR(CheckIsInUse(store, before.front().certificate));
      ASSIGN_OR_RETURN(made, signers.MakeRecovery(policy->policy, request.reason()));
    }
    RETURN_IF_ERROR(signers.ForgetUnused(before.front().certificate));
    *response.mutable_certificate() = SummaryOf(made);
    return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                    .actor = caller.actor(),
                                    .action = guarded.action,
                                    .subject = ToHex(made.sha256()),
                                    .detail = {{"reason", request.reason()},
                                               {"replaced", ToHex(before.front().certificate.sha256())}}});
  }));
  if (guarded.caution.plan) return absl::OkStatus();
  const PublishOrder order = {.filter = {}, .actor = caller.actor(), .reason = request.reason(), .without_nodes = {}};
  const auto published = parts_.publisher->Publish(caller.cluster_id, caller.cluster, order);
  if (published.ok()) {
    *response.mutable_published() = ToProto(*published);
  } else {
    // The key is replaced, whatever became of the lists.
    response.mutable_published()->add_notices(
        fmt::format("the lists could not be compared with it yet: {}", StatusMessage(published.status())));
  }
  return absl::OkStatus();
}

absl::StatusOr<PublishResult> TrustListService::TakeSigned(const Caller& caller,
                                                           const v1::PublishSignedRequest& request,
                                                           v1::PreFlight& preflight) {
  RETURN_IF_ERROR(CheckReason(request.reason()));
  ASSIGN_OR_RETURN(const std::optional<ListKind> kind, FromProto(request.kind()));
  ListForm which = {.kind = kind.value_or(ListKind::kItl), .tftp_server = "", .device = ""};
  if (which.kind == ListKind::kItl) {
    ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
    ListStore store(*lease, caller.cluster_id);
    ASSIGN_OR_RETURN(which.tftp_server, ServerOf(store, request.tftp_server()));
  }
  if (which.kind == ListKind::kItl && !request.device().empty()) {
    ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(request.device()));
    which.device = device.text();
  }
  ASSIGN_OR_RETURN(const Caution caution, FromProto(request.caution()));
  return parts_.publisher->PublishSigned(caller.cluster_id, caller.cluster, which, request.file(),
                                         {.filter = {which.kind, which.tftp_server, which.device},
                                          .actor = caller.actor(),
                                          .reason = request.reason(),
                                          .approved = true,
                                          .must_publish = true,
                                          .without_nodes = Texts(request.without_nodes()),
                                          .action = "itl.publish_signed",
                                          .caution = caution,
                                          .report = &preflight});
}

absl::StatusOr<PublishResult> TrustListService::GenerateNow(const Caller& caller, const v1::GenerateRequest& request) {
  PublishOrder order = {.filter = {}, .actor = caller.actor(), .reason = "generated by hand", .without_nodes = {}};
  ASSIGN_OR_RETURN(order.filter.kind, FromProto(request.kind()));
  RETURN_IF_ERROR(ChooseServer(caller, request.tftp_server(), order));
  return parts_.publisher->Publish(caller.cluster_id, caller.cluster, order);
}

grpc::Status TrustListService::Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                                        v1::PublishResponse* response) {
  return AnswerChange(*context, "Generate", *request,
                      [&](const Caller& caller) { return PutLists(GenerateNow(caller, *request), *response); });
}
grpc::Status TrustListService::Publish(grpc::ServerContext* context, const v1::PublishRequest* request,
                                       v1::PublishResponse* response) {
  return AnswerLists(*context, "Publish", *request, *response, [&](const Caller& caller, v1::PreFlight& preflight) {
    return PublishWaiting(caller, *request, preflight);
  });
}
grpc::Status TrustListService::SetMixedMode(grpc::ServerContext* context, const v1::SetMixedModeRequest* request,
                                            v1::PublishResponse* response) {
  return AnswerLists(
      *context, "SetMixedMode", *request, *response,
      [&](const Caller& caller, v1::PreFlight& preflight) { return SetMixed(caller, *request, preflight); });
}
grpc::Status TrustListService::SetBlank(grpc::ServerContext* context, const v1::SetBlankRequest* request,
                                        v1::PublishResponse* response) {
  return AnswerLists(*context, "SetBlank", *request, *response, [&](const Caller& caller, v1::PreFlight& preflight) {
    return Blank(caller, *request, preflight);
  });
}
grpc::Status TrustListService::ResetWithLocalKey(grpc::ServerContext* context,
                                                 const v1::ResetWithLocalKeyRequest* request,
                                                 v1::PublishResponse* response) {
  return AnswerLists(
      *context, "ResetWithLocalKey", *request, *response,
      [&](const Caller& caller, v1::PreFlight& preflight) { return Reset(caller, *request, preflight); });
}
grpc::Status TrustListService::PublishSigned(grpc::ServerContext* context, const v1::PublishSignedRequest* request,
                                             v1::PublishResponse* response) {
  return AnswerLists(
      *context, "PublishSigned", *request, *response,
      [&](const Caller& caller, v1::PreFlight& preflight) { return TakeSigned(caller, *request, preflight); });
}
grpc::Status TrustListService::ExportRecovery(grpc::ServerContext* context, const v1::ExportRecoveryRequest* request,
                                              v1::ExportRecoveryResponse* response) {
  return AnswerChange(*context, "ExportRecovery", *request,
                      [&](const Caller& caller) { return Export(caller, *request, *response); });
}
grpc::Status TrustListService::ReplaceRecovery(grpc::ServerContext* context, const v1::ReplaceRecoveryRequest* request,
                                               v1::ReplaceRecoveryResponse* response) {
  return AnswerChange(*context, "ReplaceRecovery", *request,
                      [&](const Caller& caller) { return Replace(caller, *request, *response); });
}

}  // namespace trustline
