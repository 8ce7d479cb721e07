// The rollover of a certificate whose key somebody else holds and which stands in lists by the trust store: that of a
// node's TVS, or CAPF's. The new one is listed beside the old; then its owner presents it; then the old one goes.
#include <algorithm>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/list/list_store.h"
#include "itl/plan/plan_steps.h"
#include "itl/trust_store/presenting_listeners.h"
#include "itl/trust_store/trust_editor.h"
#include "itl/trust_store/trust_import.h"
#include "itl/trust_store/trust_store_reader.h"

namespace trustline {
namespace {

// In StoredPlan.detail: an administrator trusted the new one before, so that an abort leaves it.
constexpr char kTrustedBefore[] = "trusted before";

constexpr Statement kNoLongerPresented = {"plan_no_longer_presented",
                                          "DELETE FROM tvs_node_certificate WHERE cluster_id = $1 AND node = $2"};
constexpr Statement kPresentedInstead = {
    "plan_presented_instead",
    "INSERT INTO tvs_node_certificate (cluster_id, node, sha256, said_at) VALUES ($1, $2, $3, $4)"};
constexpr Statement kListed = {"plan_listed",
                               "SELECT sha256 FROM trust_entry WHERE cluster_id = $1 AND role = $2 AND listed AND "
                               "removed_at IS NULL AND sha256 <> $3 ORDER BY sha256"};

CertificateRole RoleOf(const StoredPlan& plan) {
  return plan.kind == PlanKind::kRolloverTvs ? CertificateRole::kTvs : CertificateRole::kCapf;
}

TrustStoreCaller CallerOf(const StoredPlan& plan) { return {plan.cluster_id, plan.cluster, plan.made_by}; }

std::string ShortText(const Sha256Digest& sha256) { return ToHex(sha256).substr(0, 16); }

FingerprintPrefix PrefixOf(const Sha256Digest& sha256) { return *FingerprintPrefix::Parse(ToHex(sha256)); }

absl::StatusOr<Certificate> NewCertificate(const StoredPlan& plan) {
  return Certificate::FromDer(AsBytes(plan.new_certificate));
}

// Its entry of that role; NotFound when it is not trusted so.
absl::StatusOr<TrustEntry> EntryOf(Connection& connection, int32_t cluster_id, const Sha256Digest& sha256,
                                   CertificateRole role) {
  ASSIGN_OR_RETURN(const std::vector<TrustedCertificate> found,
                   TrustStoreReader(connection, cluster_id).Load(std::span(&sha256, 1), false));
  for (const TrustedCertificate& certificate : found) {
    for (const TrustEntry& entry : certificate.entries) {
      if (entry.role == role) return entry;
    }
  }
  return NotFound("the certificate {} is not trusted as {}: `trustctl trust list --role {}`", ShortText(sha256),
                  CertificateRoleName(role), CertificateRoleName(role));
}

absl::StatusOr<std::set<Sha256Digest>> Presented(Connection& connection, int32_t cluster_id, const std::string& node) {
  ASSIGN_OR_RETURN(const std::vector<TvsNodeCertificate> all, TvsNodeCertificates(connection, cluster_id));
  std::set<Sha256Digest> presented;
  for (const TvsNodeCertificate& one : all) {
    if (one.node == node) presented.insert(one.sha256);
  }
  if (presented.empty()) return NotFound("there is no TVS node {}: `trustctl node list` shows them", node);
  return presented;
}

absl::StatusOr<Certificate> Signer(const StepRun& run) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, run.parts.pool.Acquire());
  ASSIGN_OR_RETURN(std::vector<StoredSigner> signers, ListStore(*lease, run.plan.cluster_id).Signers());
  if (signers.empty() || !signers.front().tftp_server.empty()) {
    return FailedPrecondition("the cluster {} has no trust lists any more", run.plan.cluster);
  }
  return std::move(signers.front().certificate);
}

absl::Status Trust(const StepRun& run) {
  const CertificateRole role = RoleOf(run.plan);
  return ChangeGuarded(run, [&](Connection& connection, ListStore&) -> absl::Status {
    ASSIGN_OR_RETURN(const TrustEntry old, EntryOf(connection, run.plan.cluster_id, *run.plan.old_sha256, role));
    ASSIGN_OR_RETURN(TrustImport import, TrustImport::Begin(connection, CallerOf(run.plan),
                                                            {.roles = {role}, .ttl = old.ttl, .keeps_present = true},
                                                            run.parts.clock.Now()));
    const ImportCandidate candidate{run.plan.new_certificate, fmt::format("plan {}", run.plan.number)};
    RETURN_IF_ERROR(import.AddBatch(std::span(&candidate, 1)));
    return import.Finish().status();
  });
}

absl::Status TakeTrustBack(const StepRun& run) {
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  if (run.plan.detail == kTrustedBefore) {
    return FailedPrecondition("the new certificate was trusted before the plan, and stays so");
  }
  const CertificateRole role = RoleOf(run.plan);
  return ChangeGuarded(run, [&](Connection& connection, ListStore&) -> absl::Status {
    if (role == CertificateRole::kTvs) {
      ASSIGN_OR_RETURN(const auto presented, Presented(connection, run.plan.cluster_id, run.plan.subject));
      if (presented.contains(made.sha256())) {
        return FailedPrecondition("{} presents the new certificate, which stays trusted", run.plan.subject);
      }
    }
    return TrustEditor(connection, CallerOf(run.plan))
        .RemoveEntries(made.sha256(), [&](const TrustEntry& entry) { return entry.role == role; })
        .status();
  });
}

absl::Status AskNodes(const StepRun& run) {
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  const absl::Status answer = run.parts.nodes(run.plan.cluster, made, RoleOf(run.plan));
  return absl::IsFailedPrecondition(answer) ? Waits(std::string(StatusMessage(answer))) : answer;
}

absl::Status PublishBoth(const StepRun& run) {
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  ASSIGN_OR_RETURN(const Certificate signer, Signer(run));
  const CertificateRole role = RoleOf(run.plan);
  return ChangeAndPublishGuarded(run, signer, [&](Connection& connection, ListStore&) -> absl::Status {
    RETURN_IF_ERROR(EntryOf(connection, run.plan.cluster_id, made.sha256(), role).status());
    return TrustEditor(connection, CallerOf(run.plan))
        .ListEntries(made.sha256(), [&](const TrustEntry& entry) { return entry.role == role; })
        .status();
  });
}

absl::Status TakePublishBack(const StepRun& run) {
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  if (run.plan.detail == kTrustedBefore) {
    return FailedPrecondition("the new certificate was trusted before the plan, and stays listed");
  }
  ASSIGN_OR_RETURN(const Certificate signer, Signer(run));
  return ChangeAndPublishGuarded(run, signer, [&](Connection& connection, ListStore&) -> absl::Status {
    if (RoleOf(run.plan) == CertificateRole::kTvs) {
      // Phones know the node by it alone.
      ASSIGN_OR_RETURN(const auto presented, Presented(connection, run.plan.cluster_id, run.plan.subject));
      if (presented.contains(made.sha256())) {
        return FailedPrecondition("{} presents the new certificate, which stays in the lists", run.plan.subject);
      }
    }
    TrustChange change;
    change.listed = false;
    return TrustEditor(connection, CallerOf(run.plan)).Set(PrefixOf(made.sha256()), change).status();
  });
}

absl::Status RetireOld(const StepRun& run, const std::function<absl::Status(Connection&)>& before) {
  ASSIGN_OR_RETURN(const Certificate signer, Signer(run));
  const CertificateRole role = RoleOf(run.plan);
  return ChangeAndPublishGuarded(run, signer, [&](Connection& connection, ListStore&) -> absl::Status {
    RETURN_IF_ERROR(before(connection));
    return TrustEditor(connection, CallerOf(run.plan))
        .RemoveEntries(*run.plan.old_sha256, [&](const TrustEntry& entry) { return entry.role == role; })
        .status();
  });
}

// Of this system's CAPF; what another one presents its administrator says.
absl::Status CheckCapfPresents(Connection& connection, const StoredPlan& plan, absl::Time now) {
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(plan));
  ASSIGN_OR_RETURN(const std::vector<CapfListenerName> listeners,
                   PresentingCapfListeners(connection, plan.cluster_id, *plan.old_sha256, now));
  if (listeners.empty()) return absl::OkStatus();
  return Waits(
      fmt::format("capfd of {} presents the old certificate: `trustctl listener import-cert --listener '{}' FILE` "
                  "gives it the new one, {}",
                  listeners.front().node, listeners.front().listener, ShortText(made.sha256())));
}

absl::Status CheckPresents(Connection& connection, const StoredPlan& plan, absl::Time now) {
  if (plan.kind == PlanKind::kRolloverCapf) return CheckCapfPresents(connection, plan, now);
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(plan));
  ASSIGN_OR_RETURN(const std::set<Sha256Digest> presented, Presented(connection, plan.cluster_id, plan.subject));
  if (presented.contains(made.sha256()) && !presented.contains(*plan.old_sha256)) return absl::OkStatus();
  return Waits(
      fmt::format("{0} presents {1}: `trustctl listener import-cert --listener PORT FILE` at its tvsd presents the new "
                  "one, {2}",
                  plan.subject, presented.contains(*plan.old_sha256) ? "the old certificate" : "another certificate",
                  ShortText(made.sha256())));
}

absl::Status Retire(const StepRun& run) {
  // A node that went back to the old one meanwhile would be reached by nobody.
  return RetireOld(run,
                   [&](Connection& connection) { return CheckPresents(connection, run.plan, run.parts.clock.Now()); });
}

// Before the node presents the new certificate: as if it did already, and the old one were gone. Asked only.
absl::Status TryPresenting(const StepRun& run) {
  if (!run.caution.plan) return Internal("what a node presents is the node's");
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  return RetireOld(run, [&](Connection& connection) -> absl::Status {
    if (run.plan.kind != PlanKind::kRolloverTvs) return absl::OkStatus();
    const Parameters of_node = Parameters().Int64(run.plan.cluster_id).Text(run.plan.subject);
    RETURN_IF_ERROR(connection.Execute(kNoLongerPresented, of_node).status());
    return connection
        .Execute(kPresentedInstead, Parameters()
                                        .Int64(run.plan.cluster_id)
                                        .Text(run.plan.subject)
                                        .Bytes(made.sha256())
                                        .Time(run.parts.clock.Now()))
        .status();
  });
}

absl::Status LookWhatIsPresented(const StepRun& run) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, run.parts.pool.Acquire());
  return CheckPresents(*lease, run.plan, run.parts.clock.Now());
}

absl::StatusOr<Sha256Digest> ChooseOld(Connection& connection, const v1::MakePlanRequest& request,
                                       const StoredPlan& plan, const Sha256Digest& made) {
  const std::string& named = request.old_certificate_sha256();
  Sha256Digest old;
  if (!named.empty()) {
    if (named.size() != old.size()) return InvalidArgument("a certificate is named by its SHA-256, 32 bytes");
    std::copy(named.begin(), named.end(), old.begin());
    return old;
  }
  std::set<Sha256Digest> found;
  if (plan.kind == PlanKind::kRolloverTvs) {
    ASSIGN_OR_RETURN(found, Presented(connection, plan.cluster_id, plan.subject));
    found.erase(made);
  } else {
    ASSIGN_OR_RETURN(
        const Result rows,
        connection.Execute(
            kListed, Parameters().Int64(plan.cluster_id).Int64(static_cast<int>(CertificateRole::kCapf)).Bytes(made)));
    for (const Row row : rows) {
      ASSIGN_OR_RETURN(const Sha256Digest sha256, row.Get<Sha256Digest>(0));
      found.insert(sha256);
    }
  }
  if (found.size() == 1) return *found.begin();
  if (found.empty()) {
    return InvalidArgument(
        "nothing but the new certificate itself is there to be replaced: make a new one first "
        "(`trustctl listener renew`, `csr`), or say which one it replaces (--replaces)");
  }
  return InvalidArgument("say which certificate is replaced (--replaces): {} could be meant", found.size());
}

absl::StatusOr<std::string> OnlyTvsNode(Connection& connection, int32_t cluster_id) {
  ASSIGN_OR_RETURN(const std::vector<TvsNodeCertificate> presented, TvsNodeCertificates(connection, cluster_id));
  std::set<std::string> nodes;
  for (const TvsNodeCertificate& one : presented) nodes.insert(one.node);
  if (nodes.size() == 1) return *nodes.begin();
  if (nodes.empty()) return FailedPrecondition("there is no TVS node: `trustctl node list` shows what there is");
  return InvalidArgument("say whose TVS certificate it is (--node): {}", absl::StrJoin(nodes, ", "));
}

absl::Status MakeRollover(Connection& connection, const PlanParts& parts, const v1::MakePlanRequest& request,
                          StoredPlan& plan) {
  const CertificateRole role = RoleOf(plan);
  ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, ListStore(connection, plan.cluster_id).LockPolicy());
  if (!policy) {
    return FailedPrecondition(
        "the cluster {} has no trust lists: `trustctl itl server add NAME --host HOST` makes the first", plan.cluster);
  }
  if (request.certificate().empty()) return InvalidArgument("the new certificate is missing (--certificate FILE)");
  const absl::StatusOr<Certificate> made = Certificate::FromDer(AsBytes(request.certificate()));
  if (!made.ok()) return InvalidArgument("the new certificate cannot be read: {}", StatusMessage(made.status()));
  if (made->not_after() <= parts.clock.Now()) {
    return InvalidArgument("the new certificate has expired ({})", TimeTextSeconds(made->not_after()));
  }
  if (role == CertificateRole::kTvs) {
    plan.subject = request.node();
    if (plan.subject.empty()) {
      ASSIGN_OR_RETURN(plan.subject, OnlyTvsNode(connection, plan.cluster_id));
    }
    RETURN_IF_ERROR(Presented(connection, plan.cluster_id, plan.subject).status());
  }
  ASSIGN_OR_RETURN(const Sha256Digest old, ChooseOld(connection, request, plan, made->sha256()));
  if (old == made->sha256()) return InvalidArgument("the new certificate is the old one");
  RETURN_IF_ERROR(EntryOf(connection, plan.cluster_id, old, role).status());
  if (EntryOf(connection, plan.cluster_id, made->sha256(), role).ok()) plan.detail = kTrustedBefore;
  plan.old_sha256 = old;
  plan.new_certificate = request.certificate();
  return absl::OkStatus();
}

std::vector<PlanStep> Steps(const std::string& what, PlanStep present) {
  PlanStep gate = PhonesStep("wait", fmt::format("{} presents the new certificate, and the old one is gone", what));
  gate.change = TryPresenting;
  return {{.action = "trust",
           .kind = StepKind::kChange,
           .words = {.title = fmt::format("Trust the new certificate of {}; no list names it yet", what),
                     .gate = "the old one is still trusted",
                     .way_back = "it is trusted no longer, unless it was before",
                     .by_hand = "`trustctl trust remove` of the new certificate, with --plan first"},
           .change = Trust,
           .take_back = TakeTrustBack},
          {.action = "nodes",
           .kind = StepKind::kCheck,
           .words = {.title = "Wait until every TVS node answers for it",
                     .gate = "each approved node says that it is valid in its role",
                     .way_back = "nothing was changed"},
           .change = AskNodes,
           .take_back = nullptr},
          {.action = "publish",
           .kind = StepKind::kChange,
           .words = {.title = "Publish lists that name both",
                     .gate = "the pre-flight is clean, and no other change of the lists waits for an administrator",
                     .way_back = "lists without the new one are published",
                     .by_hand = "`trustctl trust set` of the new certificate with --unlisted, then `trustctl itl "
                                "publish`, each with --plan first"},
           .change = PublishBoth,
           .take_back = TakePublishBack},
          ResetStep("reset"),
          std::move(gate),
          std::move(present),
          {.action = "retire",
           .kind = StepKind::kChange,
           .words = {.title = "Publish lists without the old certificate, and trust it no longer",
                     .gate = "the pre-flight is clean",
                     .way_back = "none: the plan is done with it. `trustctl trust add` trusts it again"},
           .change = Retire,
           .take_back = nullptr}};
}

}  // namespace

PlanKindSteps TvsRollover() {
  return {.kind = PlanKind::kRolloverTvs,
          .make = MakeRollover,
          .steps = Steps("the TVS node", {.action = "present",
                                          .kind = StepKind::kCheck,
                                          .words = {.title = "Wait until the node's TVS presents the new certificate",
                                                    .gate = "the node says that it presents the new one, and the old "
                                                            "one no longer",
                                                    .way_back = "give the node the old certificate again"},
                                          .change = LookWhatIsPresented,
                                          .take_back = nullptr})};
}

PlanKindSteps CapfRollover() {
  return {.kind = PlanKind::kRolloverCapf,
          .make = MakeRollover,
          .steps = Steps("CAPF", {.action = "present",
                                  .kind = StepKind::kConfirm,
                                  .words = {.title = "Give CAPF the new certificate",
                                            .gate = "give capfd the new certificate (`trustctl listener import-cert "
                                                    "--listener PORT FILE`), or another system's CAPF by "
                                                    "its own means; then `trustctl plan resume` goes on",
                                            .way_back = "give CAPF the old certificate again"},
                                  .change = nullptr,
                                  .take_back = nullptr})};
}

}  // namespace trustline
