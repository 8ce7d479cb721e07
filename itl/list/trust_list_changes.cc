// The methods of TrustLists that change what lists are made of. Those that publish are in trust_list_orders.cc.
#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "common/bytes/bytes.h"
#include "common/device/device_name.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/service/audit.h"
#include "common/status/status.h"
#include "itl/list/list_signers.h"
#include "itl/list/phone_reading.h"
#include "itl/list/trust_list_messages.h"
#include "itl/list/trust_list_service.h"
#include "itl/trust_store/trust_import.h"

namespace trustline {
namespace {

// How long a new TFTP server's first list is waited for: the TVS nodes hear of its signer within a second.
constexpr absl::Duration kFirstListPatience = absl::Seconds(15);
constexpr absl::Duration kFirstListInterval = absl::Milliseconds(200);
constexpr size_t kLongestHost = 64;
constexpr size_t kMostNamedUnable = 20'000;  // in an answer

TrustStoreCaller StoreCaller(const Caller& caller) { return {caller.cluster_id, caller.cluster, caller.actor()}; }

absl::Status CheckServerName(std::string_view name) {
  const auto outer = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const auto inner = [&](char c) { return outer(c) || c == '-' || c == '.'; };
  if (!name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), inner) && outer(name.front()) &&
      outer(name.back())) {
    return absl::OkStatus();
  }
  return InvalidArgument(
      "the name of a TFTP server is 1 to 63 lower-case letters, digits, '-' and '.', and begins and ends with a letter "
      "or digit");
}

absl::Status CheckHost(std::string_view host) {
  const auto known = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  };
  if (!host.empty() && host.size() <= kLongestHost && std::all_of(host.begin(), host.end(), known)) {
    return absl::OkStatus();
  }
  return InvalidArgument("a host is a DNS name of 1 to {} letters, digits, '-' and '.': it stands in the certificate",
                         kLongestHost);
}

bool NamesHost(const Certificate& certificate, const std::string& host) {
  const std::vector<std::string> names = certificate.dns_names();
  return std::find(names.begin(), names.end(), host) != names.end();
}

// Of phones that nobody has recorded nothing is known.
absl::Status CheckFormCanBeRead(Connection& connection, const Caller& caller, const ListPolicy& policy) {
  if (policy.digest == DigestAlgorithm::kSha1 && policy.signer_version == kSignerVersion) return absl::OkStatus();
  PhoneReading reading(connection, caller.cluster_id);
  ASSIGN_OR_RETURN(const ReadingCount count, reading.Count());
  if (count.devices == 0) {
    return FailedPrecondition(
        "no phone is on record, so that nothing is known of what they can read: add them first (`trustctl device add`, "
        "`trustctl itl able`), or give single devices a list of their own (`trustctl itl device set`)");
  }
  return reading.CheckAll(policy.digest, policy.signer_version);
}

// Into the plan of a change of form that is refused: who is not recorded to read it.
absl::Status NameUnable(Connection& connection, const Caller& caller, const ListPolicy& policy, v1::PreFlight& report) {
  PhoneReading reading(connection, caller.cluster_id);
  ASSIGN_OR_RETURN(const ReadingCount all, reading.Count());
  ASSIGN_OR_RETURN(const std::vector<std::string> unable, reading.Unable(policy.digest, policy.signer_version));
  report.Clear();
  report.set_phones(all.devices);
  const auto count = [&](v1::PhoneVerdict verdict, int64_t phones) {
    if (phones == 0) return;
    v1::PreFlight::Count& one = *report.add_counts();
    one.set_verdict(verdict);
    one.set_phones(phones);
  };
  count(v1::PHONE_VERDICT_LOCKED, std::ssize(unable));
  count(v1::PHONE_VERDICT_SAFE_BY_LIST, all.devices - std::ssize(unable));
  if (unable.empty()) return absl::OkStatus();
  const std::string reason = "it is not recorded to read such a list, and would refuse it if it cannot";
  report.mutable_counts(0)->set_reason(reason);
  report.mutable_counts(0)->set_remedy(
      "record what its model can read (trustctl itl able), or give it a list of its own (trustctl itl device set)");
  for (const std::string& device : unable) {
    if (static_cast<size_t>(report.named_size()) >= kMostNamedUnable) break;
    v1::PreFlight::Named& one = *report.add_named();
    one.set_device(device);
    one.set_verdict(v1::PHONE_VERDICT_LOCKED);
    one.set_reason(reason);
  }
  report.set_not_named(std::ssize(unable) - report.named_size());
  return absl::OkStatus();
}

// What only the cluster's first server decides is not passed over when a later one asks for something else.
absl::Status CheckSamePolicy(const v1::AddTftpServerRequest& request, const ListPolicy& wanted,
                             const ListPolicy& present) {
  const auto refuse = [](const char* what, std::string_view is, const char* way_out) {
    return FailedPrecondition("the cluster's lists are made already with {} {}: leave it out{}", what, is, way_out);
  };
  constexpr char kSettings[] = ", or change it for all servers with `trustctl itl settings`";
  if (wanted.tftp_role != present.tftp_role && request.tftp_role() != v1::CERTIFICATE_ROLE_UNSPECIFIED) {
    return refuse("the role", CertificateRoleName(present.tftp_role), kSettings);
  }
  if (wanted.recovery_years != present.recovery_years && request.recovery_years() != 0) {
    return refuse("ITLRecovery years", fmt::format("{}", present.recovery_years), kSettings);
  }
  if (wanted.organization != present.organization && !request.organization().empty()) {
    return refuse("the organization", present.organization, "");
  }
  if (wanted.organizational_unit != present.organizational_unit && !request.organizational_unit().empty()) {
    return refuse("the organizational unit", present.organizational_unit, "");
  }
  return absl::OkStatus();
}

bool IsRecoveryYears(int years) { return years == 5 || years == 10 || years == 15 || years == 20; }

bool WaitsForNodes(const PublishResult& result) {
  return std::any_of(result.lists.begin(), result.lists.end(), [](const PublishedList& list) {
    return list.outcome == ListOutcome::kWaits && list.list.candidate->state == CandidateState::kNodes;
  });
}

}  // namespace

absl::Status TrustListService::AddServer(const Caller& caller, const v1::AddTftpServerRequest& request,
                                         v1::AddTftpServerResponse& response) {
  const std::string host = request.host().empty() ? request.name() : request.host();
  RETURN_IF_ERROR(CheckServerName(request.name()));
  RETURN_IF_ERROR(CheckHost(host));
  ListPolicy first;
  ASSIGN_OR_RETURN(const std::optional<CertificateRole> role, TftpRoleFromProto(request.tftp_role()));
  first.tftp_role = role.value_or(first.tftp_role);
  if (request.recovery_years() != 0) first.recovery_years = request.recovery_years();
  if (!IsRecoveryYears(first.recovery_years)) {
    return InvalidArgument("an ITLRecovery certificate lasts 5, 10, 15 or 20 years");
  }
  first.organization = request.organization().empty() ? "Trustline" : request.organization();
  first.organizational_unit = request.organizational_unit().empty() ? "Voice" : request.organizational_unit();

  // 1. The server, its certificate, its list; the ITLRecovery certificate with the first one.
  const TrustStoreCaller store_caller = StoreCaller(caller);
  const auto add = [&](Connection& connection) -> absl::StatusOr<bool> {
    ListStore store(connection, caller.cluster_id);
    RETURN_IF_ERROR(store.CreatePolicy(first).status());
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, store.LockPolicy());
    if (!policy) return Internal("the policy of cluster {} has gone", caller.cluster);
    ASSIGN_OR_RETURN(const bool added, store.AddServer(request.name(), host, caller.actor()));
    if (!added) return false;
    RETURN_IF_ERROR(CheckSamePolicy(request, first, policy->policy));
    ListSigners signers(connection, store_caller, *parts_.keys, parts_.clock.Now());
    ASSIGN_OR_RETURN(const std::vector<StoredSigner> present, store.Signers());
    const auto signer_of = [&](const std::string& server) {
      return std::find_if(present.begin(), present.end(),
                          [&](const StoredSigner& signer) { return signer.tftp_server == server; });
    };
    if (signer_of("") == present.end())
      RETURN_IF_ERROR(signers.MakeRecovery(policy->policy, "the cluster's first").status());
    // One that was removed and comes again keeps its key, because phones may hold its lists; unless its certificate
    // names another host, or has expired.
    const auto before = signer_of(request.name());
    if (before == present.end() || !NamesHost(before->certificate, host) ||
        before->certificate.not_after() <= parts_.clock.Now()) {
      RETURN_IF_ERROR(signers.MakeCallManager(policy->policy, request.name(), host, "a new TFTP server").status());
    }
    RETURN_IF_ERROR(
        store.PutList({.kind = ListKind::kItl, .tftp_server = request.name(), .device = ""}, caller.actor()));
    // A CTL names all servers, also one whose certificate was there before.
    RETURN_IF_ERROR(store.MarkConsidered(-1));
    RETURN_IF_ERROR(AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                             .actor = caller.actor(),
                                             .action = "itl.server.add",
                                             .subject = request.name(),
                                             .detail = {{"host", host}}}));
    return true;
  };
  ASSIGN_OR_RETURN(const bool added, RunInTransaction(parts_.pool, {}, add));
  response.set_added(added);

  // 2. The list, as soon as the TVS nodes have heard of its signer.
  const PublishOrder order = {.filter = {.kind = ListKind::kItl, .tftp_server = request.name(), .device = {}},
                              .actor = caller.actor(),
                              .reason = "a new TFTP server",
                              .without_nodes = {}};
  const absl::Time deadline = absl::Now() + kFirstListPatience;
  while (true) {
    ASSIGN_OR_RETURN(const PublishResult result, parts_.publisher->Publish(caller.cluster_id, caller.cluster, order));
    if (!WaitsForNodes(result) || absl::Now() >= deadline) {
      *response.mutable_published() = ToProto(result);
      return absl::OkStatus();
    }
    std::this_thread::sleep_for(absl::ToChronoMilliseconds(kFirstListInterval));
  }
}

absl::Status TrustListService::RemoveServer(const Caller& caller, const v1::RemoveTftpServerRequest& request,
                                            v1::RemoveTftpServerResponse& response) {
  RETURN_IF_ERROR(CheckReason(request.reason()));
  GuardedChange guarded = {.cluster_id = caller.cluster_id,
                           .actor = caller.actor(),
                           .action = "itl.server.remove",
                           .subject = request.name(),
                           .reason = request.reason()};
  ASSIGN_OR_RETURN(guarded.caution, FromProto(request.caution()));
  if (parts_.guard != nullptr) guarded.report = response.mutable_preflight();
  return RunGuarded(parts_.pool, parts_.guard, guarded, [&](Connection& connection) -> absl::Status {
    ListStore store(connection, caller.cluster_id);
    RETURN_IF_ERROR(store.LockPolicy().status());
    ASSIGN_OR_RETURN(const bool removed, store.RemoveServer(request.name()));
    if (!removed) return NotFound("no TFTP server {} is there: `trustctl itl server list`", request.name());
    // A CTL names all servers.
    RETURN_IF_ERROR(store.MarkConsidered(-1));
    return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                    .actor = caller.actor(),
                                    .action = "itl.server.remove",
                                    .subject = request.name(),
                                    .detail = {{"reason", request.reason()}}});
  });
}

absl::Status TrustListService::ChangePolicy(const Caller& caller, const v1::ChangeTrustListPolicyRequest& request,
                                            v1::ChangeTrustListPolicyResponse& response) {
  ASSIGN_OR_RETURN(const std::optional<CertificateRole> role, TftpRoleFromProto(request.tftp_role()));
  ASSIGN_OR_RETURN(const std::optional<DigestAlgorithm> digest, FromProto(request.digest()));
  ASSIGN_OR_RETURN(const std::optional<FileVersion> version, FromProto(request.signer_version()));
  if (request.recovery_years() != 0 && !IsRecoveryYears(request.recovery_years())) {
    return InvalidArgument("an ITLRecovery certificate lasts 5, 10, 15 or 20 years");
  }
  const TrustStoreCaller store_caller = StoreCaller(caller);
  GuardedChange guarded = {
      .cluster_id = caller.cluster_id, .actor = caller.actor(), .action = "itl.policy", .subject = caller.cluster};
  ASSIGN_OR_RETURN(guarded.caution, FromProto(request.caution()));
  if (parts_.guard != nullptr) guarded.report = response.mutable_preflight();
  return RunGuarded(parts_.pool, parts_.guard, guarded, [&](Connection& connection) -> absl::Status {
    ListStore store(connection, caller.cluster_id);
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> before, store.LockPolicy());
    if (!before)
      return FailedPrecondition("the cluster {} has no trust lists: add a TFTP server first", caller.cluster);
    ListPolicy policy = before->policy;
    policy.digest = digest.value_or(policy.digest);
    policy.signer_version = version.value_or(policy.signer_version);
    policy.tftp_role = role.value_or(policy.tftp_role);
    if (request.recovery_years() != 0) policy.recovery_years = request.recovery_years();
    if (request.has_vendor_names()) policy.name_form = request.vendor_names() ? NameForm::kVendor : NameForm::kComma;
    if (digest || version) {
      const absl::Status readable = CheckFormCanBeRead(connection, caller, policy);
      if (!readable.ok() && guarded.caution.plan && guarded.report != nullptr) {
        RETURN_IF_ERROR(NameUnable(connection, caller, policy, *guarded.report));
      }
      if (!readable.ok() && !guarded.caution.override_reason.empty()) {
        return FailedPrecondition(
            "{}. --override does not help: such lists would not be published while somebody is not recorded to read "
            "them",
            StatusMessage(readable));
      }
      RETURN_IF_ERROR(readable);
    }
    if (policy.tftp_role != before->policy.tftp_role) {
      // TVS must answer with the role that the lists will say.
      ASSIGN_OR_RETURN(std::vector<StoredSigner> signers, store.Signers());
      ASSIGN_OR_RETURN(const std::vector<StoredSigner> overlapping, store.OverlappingSigners());
      signers.insert(signers.end(), overlapping.begin(), overlapping.end());
      ASSIGN_OR_RETURN(TrustImport import,
                       TrustImport::Begin(connection, store_caller,
                                          {.roles = {policy.tftp_role}, .origin = "system", .keeps_present = true},
                                          parts_.clock.Now()));
      std::vector<ImportCandidate> call_managers;
      for (const StoredSigner& signer : signers) {
        if (signer.tftp_server.empty()) continue;
        call_managers.push_back({std::string(AsText(signer.certificate.der())), signer.tftp_server});
      }
      RETURN_IF_ERROR(import.AddBatch(call_managers));
      RETURN_IF_ERROR(import.Finish().status());
    }
    RETURN_IF_ERROR(store.WritePolicy(policy, caller.actor()));
    // The lists are compared with it as with a change of the trust store.
    RETURN_IF_ERROR(store.MarkConsidered(-1));
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> after, store.ReadPolicy());
    if (after) *response.mutable_policy() = ToProto(*after);
    return AppendAudit(connection,
                       {.cluster_id = caller.cluster_id,
                        .actor = caller.actor(),
                        .action = "itl.policy",
                        .subject = caller.cluster,
                        .detail = {{"tftp_role", std::string(CertificateRoleName(policy.tftp_role))},
                                   {"recovery_years", fmt::format("{}", policy.recovery_years)},
                                   {"digest", policy.digest == DigestAlgorithm::kSha1 ? "SHA-1" : "SHA-512"},
                                   {"signer_version", fmt::format("1.{}", policy.signer_version.minor)},
                                   {"names", policy.name_form == NameForm::kVendor ? "vendor" : "comma"}}});
  });
}

absl::Status TrustListService::RecordOne(const Caller& caller, const v1::RecordReadingRequest& request,
                                         v1::RecordReadingResponse& response) {
  ASSIGN_OR_RETURN(const ReadingCount count,
                   RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::StatusOr<ReadingCount> {
                     PhoneReading reading(connection, caller.cluster_id);
                     RETURN_IF_ERROR(reading.Record(request.device(), request.model(),
                                                    {request.sha512(), request.version_1_1()}, caller.actor()));
                     // What was refused for want of it is looked at again.
                     RETURN_IF_ERROR(ListStore(connection, caller.cluster_id).MarkConsidered(-1));
                     return reading.Count();
                   }));
  response.set_devices(count.devices);
  response.set_not_able_sha512(count.without_sha512);
  response.set_not_able_version_1_1(count.without_version_1_1);
  return absl::OkStatus();
}

absl::StatusOr<PublishResult> TrustListService::SetDevice(const Caller& caller, const v1::SetDeviceListRequest& request,
                                                          v1::PreFlight& preflight) {
  ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(request.device()));
  ListForm form = {.kind = ListKind::kItl, .tftp_server = "", .device = device.text()};
  ASSIGN_OR_RETURN(form.digest, FromProto(request.digest()));
  ASSIGN_OR_RETURN(form.signer_version, FromProto(request.signer_version()));
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
    ListStore store(*lease, caller.cluster_id);
    ASSIGN_OR_RETURN(form.tftp_server, ServerOf(store, request.tftp_server()));
  }
  ASSIGN_OR_RETURN(const Caution caution, FromProto(request.caution()));
  const PublishOrder order = {
      .filter = {ListKind::kItl, form.tftp_server, form.device},
      .actor = caller.actor(),
      .reason = request.remove() ? "the device takes the list of all phones again" : "a list for one device",
      .approved = true,
      .must_publish = true,
      .without_nodes = {},
      .action = request.remove() ? "itl.device.remove" : "itl.device.set",
      .caution = caution,
      .report = &preflight};
  return parts_.publisher->ChangeAndPublish(
      caller.cluster_id, caller.cluster, order,
      [&, form](Connection& connection, ListStore& store, const StoredPolicy&) mutable -> absl::Status {
        if (request.remove()) {
          ASSIGN_OR_RETURN(const bool removed, store.RemoveDeviceList(form.tftp_server, form.device));
          if (!removed) return NotFound("{} has no trust list of its own", form.device);
        } else {
          ASSIGN_OR_RETURN(const PhoneReads able, PhoneReading(connection, caller.cluster_id).Of(form.device));
          const bool wants_sha512 = form.digest == DigestAlgorithm::kSha512;
          const bool wants_version = form.signer_version == kSignerVersionWithEc;
          if ((wants_sha512 && !able.sha512) || (wants_version && !able.version_1_1)) {
            return FailedPrecondition(
                "{} is not recorded to read this: a phone that cannot refuses the list and stays with the one it "
                "holds. "
                "If it can: `trustctl itl able --device {}{}{}`",
                form.device, form.device, wants_sha512 ? " --sha512" : "",
                wants_version ? " --signer-version-1.1" : "");
          }
          // Signed as that of all phones is.
          ASSIGN_OR_RETURN(const std::vector<StoredList> common, store.Lists({ListKind::kItl, form.tftp_server, ""}));
          form.local_signer = !common.empty() && common.front().form.local_signer;
          RETURN_IF_ERROR(store.PutList(form, caller.actor()));
        }
        return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                        .actor = caller.actor(),
                                        .action = request.remove() ? "itl.device.remove" : "itl.device.set",
                                        .subject = form.device,
                                        .detail = {{"tftp_server", form.tftp_server}}});
      });
}

grpc::Status TrustListService::AddTftpServer(grpc::ServerContext* context, const v1::AddTftpServerRequest* request,
                                             v1::AddTftpServerResponse* response) {
  return AnswerChange(*context, "AddTftpServer", *request,
                      [&](const Caller& caller) { return AddServer(caller, *request, *response); });
}
grpc::Status TrustListService::RemoveTftpServer(grpc::ServerContext* context,
                                                const v1::RemoveTftpServerRequest* request,
                                                v1::RemoveTftpServerResponse* response) {
  return AnswerChange(*context, "RemoveTftpServer", *request,
                      [&](const Caller& caller) { return RemoveServer(caller, *request, *response); });
}
grpc::Status TrustListService::ChangeTrustListPolicy(grpc::ServerContext* context,
                                                     const v1::ChangeTrustListPolicyRequest* request,
                                                     v1::ChangeTrustListPolicyResponse* response) {
  return AnswerChange(*context, "ChangeTrustListPolicy", *request,
                      [&](const Caller& caller) { return ChangePolicy(caller, *request, *response); });
}
grpc::Status TrustListService::RecordReading(grpc::ServerContext* context, const v1::RecordReadingRequest* request,
                                             v1::RecordReadingResponse* response) {
  return AnswerChange(*context, "RecordReading", *request,
                      [&](const Caller& caller) { return RecordOne(caller, *request, *response); });
}
grpc::Status TrustListService::SetDeviceList(grpc::ServerContext* context, const v1::SetDeviceListRequest* request,
                                             v1::PublishResponse* response) {
  return AnswerLists(
      *context, "SetDeviceList", *request, *response,
      [&](const Caller& caller, v1::PreFlight& preflight) { return SetDevice(caller, *request, preflight); });
}

}  // namespace trustline
