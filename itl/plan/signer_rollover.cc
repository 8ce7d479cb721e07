// The rollover of a key that itld holds: ITLRecovery, which signs lists, or the CallManager key of a TFTP server, which
// signs configuration files. The old and the new certificate stand in the lists together, so that a phone that holds
// any list of the rollover knows both, and each step can be taken back until the old one is retired.
#include <algorithm>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "itl/list/list_signers.h"
#include "itl/list/list_store.h"
#include "itl/plan/plan_steps.h"
#include "itl/plan/plan_store.h"
#include "itl/trust_store/trust_editor.h"

namespace trustline {
namespace {

// Whose signer a plan is about, as tables have it.
std::string ServerOf(const StoredPlan& plan) {
  return plan.kind == PlanKind::kRolloverItlRecovery ? std::string() : plan.subject;
}

std::string SignerName(std::string_view server) {
  return server.empty() ? std::string("ITLRecovery") : fmt::format("the CallManager of {}", server);
}

TrustStoreCaller CallerOf(const StoredPlan& plan) { return {plan.cluster_id, plan.cluster, plan.made_by}; }

absl::StatusOr<Certificate> NewCertificate(const StoredPlan& plan) {
  if (plan.new_certificate.empty()) return Internal("plan {} has no new certificate", plan.number);
  return Certificate::FromDer(AsBytes(plan.new_certificate));
}

std::optional<StoredSigner> SignerOf(std::vector<StoredSigner> signers, std::string_view server) {
  const auto found = std::find_if(signers.begin(), signers.end(),
                                  [&](const StoredSigner& signer) { return signer.tftp_server == server; });
  if (found == signers.end()) return std::nullopt;
  return std::move(*found);
}

// As transactions see them.
struct Standing {
  StoredSigner present;
  std::optional<StoredSigner> overlapping;

  bool Overlaps(const Sha256Digest& sha256) const { return overlapping && overlapping->certificate.sha256() == sha256; }
};

absl::StatusOr<Standing> ReadStanding(ListStore& store, const std::string& server) {
  ASSIGN_OR_RETURN(std::vector<StoredSigner> signers, store.Signers());
  std::optional<StoredSigner> present = SignerOf(std::move(signers), server);
  if (!present) return FailedPrecondition("{} has no certificate any more", SignerName(server));
  ASSIGN_OR_RETURN(std::vector<StoredSigner> overlapping, store.OverlappingSigners());
  return Standing{*std::move(present), SignerOf(std::move(overlapping), server)};
}

absl::Status CheckIs(const Standing& standing, const Sha256Digest& expected, const std::string& server) {
  if (standing.present.certificate.sha256() == expected) return absl::OkStatus();
  const char* const back =
      server.empty() ? "; `trustctl itl recovery restore --plan` shows what it means to go back to the key before it"
                     : "";
  return FailedPrecondition(
      "somebody changed {} meanwhile: it is {} ({}) now. A plan that begins with that can be made when this one has "
      "been aborted and the lists are published (`trustctl itl publish`, `trustctl ctl publish`){}",
      SignerName(server), standing.present.certificate.subject().ToText(),
      ToHex(standing.present.certificate.sha256()).substr(0, 16), back);
}

absl::Status CheckOverlaps(const Standing& standing, const Sha256Digest& expected, const std::string& server) {
  if (standing.Overlaps(expected)) return absl::OkStatus();
  return FailedPrecondition(
      "somebody changed the lists meanwhile: the other certificate of {} does not stand in them any more. Abort the "
      "plan",
      SignerName(server));
}

absl::StatusOr<Certificate> Recovery(const StepRun& run) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, run.parts.pool.Acquire());
  ListStore store(*lease, run.plan.cluster_id);
  ASSIGN_OR_RETURN(const Standing standing, ReadStanding(store, ""));
  return standing.present.certificate;
}

// Who signs the lists of a step in which `recovery` is ITLRecovery, if that is whose plan it is.
absl::StatusOr<Certificate> ListSigner(const StepRun& run, const Certificate& own) {
  if (run.plan.kind == PlanKind::kRolloverItlRecovery) return own;
  return Recovery(run);
}

absl::StatusOr<Certificate> OldCertificate(const StepRun& run) {
  static constexpr Statement kDer = {"plan_certificate", "SELECT der FROM certificate WHERE sha256 = $1"};
  if (!run.plan.old_sha256) return Internal("plan {} has no old certificate", run.plan.number);
  ASSIGN_OR_RETURN(const Pool::Lease lease, run.parts.pool.Acquire());
  ASSIGN_OR_RETURN(const Result found, lease->Execute(kDer, Parameters().Bytes(*run.plan.old_sha256)));
  ASSIGN_OR_RETURN(const std::string der, found.Value<std::string>());
  return Certificate::FromDer(AsBytes(der));
}

absl::Status Make(const StepRun& run) {
  const std::string server = ServerOf(run.plan);
  return ChangeGuarded(run, [&](Connection& connection, ListStore& store) -> absl::Status {
    ASSIGN_OR_RETURN(const Standing standing, ReadStanding(store, server));
    RETURN_IF_ERROR(CheckIs(standing, *run.plan.old_sha256, server));
    ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, store.ReadPolicy());
    if (!policy) return FailedPrecondition("the cluster has no trust lists any more");
    ASSIGN_OR_RETURN(const std::vector<StoredServer> servers, store.Servers());
    const TrustStoreCaller caller = CallerOf(run.plan);
    ListSigners signers(connection, caller, run.parts.keys, run.parts.clock.Now());
    const auto own =
        std::find_if(servers.begin(), servers.end(), [&](const StoredServer& one) { return one.name == server; });
    if (!server.empty() && own == servers.end()) return FailedPrecondition("the TFTP server {} was removed", server);
    ASSIGN_OR_RETURN(const ListSigners::Prepared made,
                     server.empty() ? signers.PrepareRecovery(policy->policy)
                                    : signers.PrepareCallManager(policy->policy, server, own->host));
    return PlanStore(connection, run.plan.cluster_id).SetNew(run.plan.number, made.certificate, made.key_name);
  });
}

absl::Status TakeMakeBack(const StepRun& run) {
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  const std::string server = ServerOf(run.plan);
  return ChangeGuarded(run, [&](Connection& connection, ListStore& store) -> absl::Status {
    ASSIGN_OR_RETURN(const Standing standing, ReadStanding(store, server));
    if (standing.present.certificate == made || standing.Overlaps(made.sha256())) {
      return FailedPrecondition("the new certificate stands in the lists, and stays trusted");
    }
    const TrustStoreCaller caller = CallerOf(run.plan);
    return ListSigners(connection, caller, run.parts.keys, run.parts.clock.Now()).ForgetUnused(made);
  });
}

absl::Status AskNodes(const StepRun& run) {
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  const absl::Status answer = run.parts.nodes(run.plan.cluster, made, CertificateRole::kSast);
  return absl::IsFailedPrecondition(answer) ? Waits(std::string(StatusMessage(answer))) : answer;
}

absl::Status PublishBoth(const StepRun& run) {
  const std::string server = ServerOf(run.plan);
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  ASSIGN_OR_RETURN(const Certificate signer, Recovery(run));
  return ChangeAndPublishGuarded(run, signer, [&](Connection&, ListStore& store) -> absl::Status {
    ASSIGN_OR_RETURN(const Standing standing, ReadStanding(store, server));
    RETURN_IF_ERROR(CheckIs(standing, *run.plan.old_sha256, server));
    return store.AddOverlap(server, made, run.plan.new_key_name,
                            fmt::format("plan {}: {}", run.plan.number, run.plan.reason), run.plan.made_by);
  });
}

absl::Status TakePublishBothBack(const StepRun& run) {
  const std::string server = ServerOf(run.plan);
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  ASSIGN_OR_RETURN(const Certificate signer, Recovery(run));
  return ChangeAndPublishGuarded(run, signer, [&](Connection&, ListStore& store) -> absl::Status {
    ASSIGN_OR_RETURN(const Standing standing, ReadStanding(store, server));
    if (standing.present.certificate == made) {
      return FailedPrecondition("the new certificate is in use, and the old one stays in the lists beside it");
    }
    return standing.Overlaps(made.sha256()) ? store.EndOverlap(server).status() : absl::OkStatus();
  });
}

// `to` takes the place of `from`; both stay in the lists.
absl::Status SwitchSigners(const StepRun& run, const Certificate& from, const Certificate& to) {
  const std::string server = ServerOf(run.plan);
  ASSIGN_OR_RETURN(const Certificate signer, ListSigner(run, to));
  return ChangeAndPublishGuarded(run, signer, [&](Connection&, ListStore& store) -> absl::Status {
    ASSIGN_OR_RETURN(const Standing standing, ReadStanding(store, server));
    RETURN_IF_ERROR(CheckIs(standing, from.sha256(), server));
    RETURN_IF_ERROR(CheckOverlaps(standing, to.sha256(), server));
    return store.SwitchToOverlap(server, to);
  });
}

absl::Status Switch(const StepRun& run) {
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  ASSIGN_OR_RETURN(const Certificate old, OldCertificate(run));
  return SwitchSigners(run, old, made);
}

absl::Status SwitchBack(const StepRun& run) {
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  ASSIGN_OR_RETURN(const Certificate old, OldCertificate(run));
  return SwitchSigners(run, made, old);
}

absl::Status Retire(const StepRun& run) {
  const std::string server = ServerOf(run.plan);
  ASSIGN_OR_RETURN(const Certificate made, NewCertificate(run.plan));
  ASSIGN_OR_RETURN(const Certificate signer, ListSigner(run, made));
  return ChangeAndPublishGuarded(run, signer, [&](Connection& connection, ListStore& store) -> absl::Status {
    ASSIGN_OR_RETURN(const Standing standing, ReadStanding(store, server));
    RETURN_IF_ERROR(CheckIs(standing, made.sha256(), server));
    RETURN_IF_ERROR(CheckOverlaps(standing, *run.plan.old_sha256, server));
    RETURN_IF_ERROR(store.EndOverlap(server).status());
    // What an administrator trusted stays. So does the key, which can rescue phones that slept through all of this.
    return TrustEditor(connection, CallerOf(run.plan))
        .RemoveEntries(*run.plan.old_sha256, [](const TrustEntry& entry) { return entry.origin == "system"; })
        .status();
  });
}

absl::StatusOr<std::string> ChooseServer(const std::vector<StoredServer>& servers, const std::string& named) {
  if (!named.empty()) {
    const bool is_there =
        std::any_of(servers.begin(), servers.end(), [&](const StoredServer& server) { return server.name == named; });
    if (is_there) return named;
    return NotFound("no TFTP server {} is there: `trustctl itl server list` shows them", named);
  }
  if (servers.size() == 1) return servers.front().name;
  return InvalidArgument("say which TFTP server is meant (--server): there are {}", servers.size());
}

// What phones hold must name the key that is replaced, and they must be able to follow it.
absl::Status CheckLists(ListStore& store, const std::string& server, const Certificate& present) {
  ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store.Lists({}));
  for (const StoredList& list : lists) {
    if (list.form.local_signer && (server.empty() || list.form.tftp_server == server)) {
      return FailedPrecondition(
          "the {} is signed with its server's own key, which lists that name two {} keys have no room for: sign it "
          "with "
          "ITLRecovery first (`trustctl itl reset --recovery --reason ...`)",
          ListText(list.form), server.empty() ? "ITLRecovery" : "CallManager");
    }
    if (server.empty() && list.current && list.current->signer_sha256 != present.sha256()) {
      return FailedPrecondition(
          "the {} is not signed with the present ITLRecovery key ({}) yet: publish it first (`trustctl itl publish`, "
          "`trustctl ctl publish`)",
          ListText(list.form), present.subject().ToText());
    }
  }
  return absl::OkStatus();
}

absl::Status MakeRollover(Connection& connection, const PlanParts& parts, const v1::MakePlanRequest& request,
                          StoredPlan& plan) {
  ListStore store(connection, plan.cluster_id);
  ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, store.LockPolicy());
  if (!policy) {
    return FailedPrecondition(
        "the cluster {} has no trust lists: `trustctl itl server add NAME --host HOST` makes the first", plan.cluster);
  }
  if (plan.kind == PlanKind::kRolloverCallManager) {
    ASSIGN_OR_RETURN(const std::vector<StoredServer> servers, store.Servers());
    ASSIGN_OR_RETURN(plan.subject, ChooseServer(servers, request.tftp_server()));
  }
  const std::string server = ServerOf(plan);
  ASSIGN_OR_RETURN(const Standing standing, ReadStanding(store, server));
  RETURN_IF_ERROR(CheckLists(store, server, standing.present.certificate));
  ASSIGN_OR_RETURN(const Standing recovery, ReadStanding(store, ""));
  RETURN_IF_ERROR(Annotate(parts.keys.Find(recovery.present.key_name).status(),
                           "the lists that name both keys are signed with the present ITLRecovery key"));
  plan.old_sha256 = standing.present.certificate.sha256();
  return absl::OkStatus();
}

std::vector<PlanStep> Steps(const std::string& what, const std::string& switched, const std::string& switch_gate) {
  return {
      {.action = "make",
       .kind = StepKind::kChange,
       .words = {.title = fmt::format("Make the new {} key and trust it; no list names it yet", what),
                 .gate = "the present key is still the one that the plan was made for",
                 .way_back = "the new key is forgotten, unless lists were signed with it"},
       .change = Make,
       .take_back = TakeMakeBack},
      {.action = "nodes",
       .kind = StepKind::kCheck,
       .words = {.title = "Wait until every TVS node answers for the new key",
                 .gate = "each approved node says that it is valid, with role SAST",
                 .way_back = "nothing was changed"},
       .change = AskNodes,
       .take_back = nullptr},
      {.action = "publish",
       .kind = StepKind::kChange,
       .words = {.title = "Publish lists that name both keys, signed as before",
                 .gate = "the pre-flight is clean, and no other change of the lists waits for an administrator",
                 .way_back = "lists that name the old one alone are published"},
       .change = PublishBoth,
       .take_back = TakePublishBothBack},
      ResetStep("reset"),
      PhonesStep("wait", switch_gate),
      {.action = "switch",
       .kind = StepKind::kChange,
       .words = {.title = fmt::format("{}; the lists name both", switched),
                 .gate = "the pre-flight is clean, and every TVS node answers for the signer",
                 .way_back = "the old key signs again; phones know both"},
       .change = Switch,
       .take_back = SwitchBack},
      ResetStep("reset again"),
      PhonesStep("wait again", "the old key leaves the lists and the trust store"),
      {.action = "retire",
       .kind = StepKind::kChange,
       .words = {.title =
                     "Publish lists that name the new key alone, and trust the old one no longer; phones drop it with "
                     "their next start",
                 .gate = "the pre-flight is clean",
                 .way_back = "none: the plan is done with it. The old key's file stays, and can still rescue phones"},
       .change = Retire,
       .take_back = nullptr}};
}

}  // namespace

PlanKindSteps ItlRecoveryRollover() {
  return {.kind = PlanKind::kRolloverItlRecovery,
          .make = MakeRollover,
          .steps = Steps("ITLRecovery", "Sign the lists with the new key", "the lists are signed with the new key")};
}

PlanKindSteps CallManagerRollover() {
  return {.kind = PlanKind::kRolloverCallManager,
          .make = MakeRollover,
          .steps = Steps("CallManager", "Sign configuration files with the new key",
                         "configuration files are signed with the new key")};
}

}  // namespace trustline
