#include "itl/plan/migration.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/postgres/transaction.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/identity.h"
#include "common/status/status.h"
#include "itl/list/list_store.h"
#include "itl/move/cluster_trust.h"
#include "itl/move/cluster_trust_store.h"
#include "itl/move/move_readiness.h"
#include "itl/plan/lscs_before_move.h"
#include "itl/plan/rollback.h"
#include "itl/preflight/preflight_report.h"
#include "proto/migration.pb.h"

namespace trustline {
namespace {

constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};

constexpr Statement kAdministered = {"migration_target",
                                     "SELECT c.cluster_id FROM cluster c JOIN access_grant g ON g.cluster_id = "
                                     "c.cluster_id WHERE c.name = $1 AND g.person "
                                     "= $2 AND g.role = 'administrator'"};

// Which steps a plan has: those of its way, and those of where it goes.
using Actions = std::span<const std::string_view>;
constexpr std::array<std::string_view, 5> kBlankActions = {"blank ready", "blank on", "blank reset", "blank held",
                                                           "blank off"};
constexpr std::array<std::string_view, 9> kSignerActions = {
    "ready", "compare", "vouch", "vouch there", "import there", "nodes", "ready again", "take back", "take back there"};
constexpr std::array<std::string_view, 2> kOwnSystemActions = {"devices", "vouch there"};
constexpr std::array<std::string_view, 3> kExportActions = {"compare", "import there", "take back there"};

bool IsOneOf(Actions actions, std::string_view action) {
  return std::find(actions.begin(), actions.end(), action) != actions.end();
}

// What the plan keeps, read.
struct Target {
  int32_t cluster_id = 0;  // 0: of another system
  ClusterTrust trust;
  TrustedRoles before_here;
  ClusterTrust own;
  TrustedRoles before_there;
};

using Entries = google::protobuf::RepeatedPtrField<v1::MigrationTarget::Entry>;

void ToProto(const TrustedRoles& trusted, Entries& entries) {
  for (const auto& [sha256, role] : trusted) {
    v1::MigrationTarget::Entry& entry = *entries.Add();
    entry.set_sha256(std::string(AsText(sha256)));
    entry.set_role(trustline::ToProto(role));
  }
}

absl::StatusOr<TrustedRoles> FromProto(const Entries& entries) {
  TrustedRoles trusted;
  for (const v1::MigrationTarget::Entry& entry : entries) {
    Sha256Digest sha256;
    const std::optional<CertificateRole> role = trustline::FromProto(entry.role());
    if (entry.sha256().size() != sha256.size() || !role)
      return Internal("the plan's record of what was trusted is broken");
    std::copy(entry.sha256().begin(), entry.sha256().end(), sha256.begin());
    trusted.emplace(sha256, *role);
  }
  return trusted;
}

absl::StatusOr<Target> ReadTarget(const StoredPlan& plan) {
  v1::MigrationTarget kept;
  if (!kept.ParseFromString(plan.detail)) return Internal("what plan {} keeps of its target is broken", plan.number);
  Target target;
  target.cluster_id = kept.cluster_id();
  ASSIGN_OR_RETURN(target.trust, DecodeClusterTrust(kept.file()));
  ASSIGN_OR_RETURN(target.before_here, FromProto(kept.before_here()));
  ASSIGN_OR_RETURN(target.own, DecodeClusterTrust(kept.own_file()));
  ASSIGN_OR_RETURN(target.before_there, FromProto(kept.before_there()));
  return target;
}

TrustStoreCaller CallerHere(const StoredPlan& plan) { return {plan.cluster_id, plan.cluster, plan.made_by}; }
TrustStoreCaller CallerThere(const StoredPlan& plan, const Target& target) {
  return {target.cluster_id, target.trust.cluster, plan.made_by};
}

// Lists that the other cluster has now. FailedPrecondition when they are signed with a key that is not vouched for.
absl::StatusOr<ClusterTrust> Present(Connection& connection, const Target& target) {
  if (target.cluster_id == 0) return target.trust;
  absl::StatusOr<ClusterTrust> read = ReadClusterTrust(connection, target.cluster_id, target.trust.cluster);
  // Its lists follow a change of its own just now, or wait for its administrator.
  if (absl::IsFailedPrecondition(read.status())) {
    return Waits(fmt::format("the cluster {}: {}", target.trust.cluster, StatusMessage(read.status())));
  }
  ASSIGN_OR_RETURN(ClusterTrust now, std::move(read));
  std::set<std::pair<Sha256Digest, CertificateRole>> known;
  for (const MovedCertificate& one : target.trust.certificates) {
    for (const CertificateRole role : one.roles) known.emplace(one.certificate.sha256(), role);
  }
  for (const MovedCertificate& one : now.certificates) {
    for (const CertificateRole role : one.roles) {
      if (role == CertificateRole::kTvs || known.contains({one.certificate.sha256(), role})) continue;
      return FailedPrecondition(
          "the cluster {} signs with another certificate than when the plan was made ({}, {}): abort this plan, and "
          "make "
          "another",
          now.cluster, one.of, ToHex(one.certificate.sha256()).substr(0, 16));
    }
  }
  return now;
}

absl::Status Ready(const StepRun& run) {
  ASSIGN_OR_RETURN(const Target target, ReadTarget(run.plan));
  return RunInTransaction(run.parts.pool, kOneState, [&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(const ClusterTrust present, Present(connection, target));
    return JudgeReadiness(connection, run.plan.cluster_id, run.parts.keys, present, run.parts.clock.Now(),
                          {run.caution, *run.report, run.unproven});
  });
}

absl::Status Vouch(const StepRun& run) {
  ASSIGN_OR_RETURN(const Target target, ReadTarget(run.plan));
  return ChangeGuarded(run, [&](Connection& connection, ListStore&) {
    return ImportClusterTrust(connection, CallerHere(run.plan), target.trust, run.parts.clock.Now()).status();
  });
}

absl::Status TakeVouchBack(const StepRun& run) {
  ASSIGN_OR_RETURN(const Target target, ReadTarget(run.plan));
  return ChangeGuarded(run, [&](Connection& connection, ListStore&) {
    return RemoveClusterTrust(connection, CallerHere(run.plan), target.trust, target.before_here);
  });
}

// In the other cluster's trust store, under its guard; `finish` with it.
absl::Status ChangeThere(const StepRun& run, const Target& target, Connection& connection, const Caution& caution,
                         v1::PreFlight* report, UnprovenPhones* unproven, const std::function<absl::Status()>& change) {
  return run.parts.guard.Run(connection,
                             {.cluster_id = target.cluster_id,
                              .actor = run.plan.made_by,
                              .action = run.action,
                              .subject = fmt::format("plan {} of the cluster {}", run.plan.number, run.plan.cluster),
                              .caution = caution,
                              .report = report,
                              .unproven = unproven,
                              .is_retried = true},
                             change);
}

// On whose terms phones of the other cluster are judged: what was accepted are phones of this one.
Caution CautionThere(const StepRun& run) {
  Caution there;
  there.plan = run.caution.plan;
  return there;
}

absl::Status VouchThere(const StepRun& run) {
  ASSIGN_OR_RETURN(const Target target, ReadTarget(run.plan));
  return RunInTransaction(run.parts.pool, {}, [&](Connection& connection) {
    return ChangeThere(run, target, connection, CautionThere(run), run.report, run.unproven, [&]() -> absl::Status {
      RETURN_IF_ERROR(
          ImportClusterTrust(connection, CallerThere(run.plan, target), target.own, run.parts.clock.Now()).status());
      return run.finish(connection);
    });
  });
}

// Phones that have moved come back only while the other cluster vouches for this one's signers.
absl::Status CheckNobodyIsThere(const StepRun& run, const Target& target, Connection& connection) {
  v1::PreFlight report;
  const absl::Status all =
      JudgeArrival(connection, run.plan.cluster_id, target.cluster_id, target.trust, {.caution = {}, .report = report});
  if (!all.ok() && !IsPreFlightRefusal(all)) return all;
  for (const v1::PreFlight::Count& count : report.counts()) {
    if (count.verdict() != v1::PHONE_VERDICT_SAFE_BY_LIST) continue;
    return FailedPrecondition(
        "{} a list of the cluster {}, and {} back only while that trusts this cluster's signers: point "
        "them "
        "back and reset them, then remove the signers there (`trustctl trust remove --cluster {}`)",
        count.phones() == 1 ? "1 phone holds" : fmt::format("{} phones hold", count.phones()), target.trust.cluster,
        count.phones() == 1 ? "comes" : "come", target.trust.cluster);
  }
  return absl::OkStatus();
}

absl::Status TakeVouchThereBack(const StepRun& run) {
  ASSIGN_OR_RETURN(const Target target, ReadTarget(run.plan));
  return RunInTransaction(run.parts.pool, {}, [&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(CheckNobodyIsThere(run, target, connection));
    return ChangeThere(run, target, connection, CautionThere(run), run.report, run.unproven, [&]() -> absl::Status {
      RETURN_IF_ERROR(RemoveClusterTrust(connection, CallerThere(run.plan, target), target.own, target.before_there));
      return run.finish(connection);
    });
  });
}

absl::Status AskAll(const StepRun& run, const std::string& cluster, const ClusterTrust& trust) {
  for (const MovedCertificate& one : trust.certificates) {
    for (const CertificateRole role : one.roles) {
      const absl::Status answer = run.parts.nodes(cluster, one.certificate, role);
      if (absl::IsFailedPrecondition(answer)) {
        return Waits(fmt::format("{} of {} as {} in the cluster {}: {}", one.of, trust.cluster,
                                 CertificateRoleName(role), cluster, StatusMessage(answer)));
      }
      RETURN_IF_ERROR(answer);
    }
  }
  return absl::OkStatus();
}

absl::Status AskNodes(const StepRun& run) {
  ASSIGN_OR_RETURN(const Target target, ReadTarget(run.plan));
  RETURN_IF_ERROR(AskAll(run, run.plan.cluster, target.trust));
  return target.cluster_id == 0 ? absl::OkStatus() : AskAll(run, target.trust.cluster, target.own);
}

// They must answer still: the pre-flight believes that they do.
absl::Status ReadyAgain(const StepRun& run) {
  ASSIGN_OR_RETURN(const Target target, ReadTarget(run.plan));
  RETURN_IF_ERROR(AskAll(run, run.plan.cluster, target.trust));
  return Ready(run);
}

std::string NamesText(const NamedDevices& devices) { return FirstNames(devices.first, devices.count); }

// Otherwise phones that have moved would be in nobody's pre-flight: a cluster's watches over its own devices alone.
absl::Status LookForDevicesThere(const StepRun& run) {
  ASSIGN_OR_RETURN(const Target target, ReadTarget(run.plan));
  ASSIGN_OR_RETURN(const Pool::Lease lease, run.parts.pool.Acquire());
  ASSIGN_OR_RETURN(const NamedDevices devices, FindDevicesNotIn(*lease, run.plan.cluster_id, target.cluster_id));
  if (devices.count == 0) return absl::OkStatus();
  return Waits(fmt::format(
      "{} of this cluster {} none of {} yet, so that nobody would watch over them there: {}; `trustctl device "
      "list --state in-service --output csv > devices.csv`, `trustctl --cluster {} device import devices.csv`",
      devices.count == 1 ? "1 device" : fmt::format("{} devices", devices.count), devices.count == 1 ? "is" : "are",
      target.trust.cluster, NamesText(devices), target.trust.cluster));
}

absl::Status Arrived(const StepRun& run) {
  ASSIGN_OR_RETURN(const Target target, ReadTarget(run.plan));
  return RunInTransaction(run.parts.pool, kOneState, [&](Connection& connection) -> absl::Status {
    // A new signer there would be refused by whoever has not moved yet; with blank lists anything is taken.
    if (!run.plan.blank) RETURN_IF_ERROR(Present(connection, target).status());
    return JudgeArrival(connection, run.plan.cluster_id, target.cluster_id, target.trust,
                        {run.caution, *run.report, run.unproven});
  });
}

absl::StatusOr<std::string> LeftByAbort(const PlanParts& parts, const StoredPlan& plan) {
  ASSIGN_OR_RETURN(const std::string lscs, LeftWithoutLsc(parts, plan));
  // With signers the other cluster goes on trusting these while phones are there.
  if (!plan.blank) return lscs;
  ASSIGN_OR_RETURN(const Target target, ReadTarget(plan));
  ASSIGN_OR_RETURN(const NamedDevices arrived, RunInTransaction(parts.pool, kOneState, [&](Connection& connection) {
                     return FindArrived(connection, plan.cluster_id, target.cluster_id, target.trust);
                   }));
  ASSIGN_OR_RETURN(std::string left, LeftBlank(parts, plan));
  if (!lscs.empty()) left = left.empty() ? lscs : left + "; " + lscs;
  if (arrived.count == 0) return left;
  if (!left.empty()) left += "; ";
  return left + fmt::format(
                    "{} a list of the cluster {}, and {} back by another such plan of that cluster alone, or when "
                    "somebody deletes their lists at the phone: {}",
                    arrived.count == 1 ? "1 phone holds" : fmt::format("{} phones hold", arrived.count),
                    target.trust.cluster, arrived.count == 1 ? "comes" : "come", NamesText(arrived));
}

// Of both clusters at once, each under its guard.
absl::Status TakeBack(const StepRun& run) {
  ASSIGN_OR_RETURN(const Target target, ReadTarget(run.plan));
  return ChangeGuarded(run, [&](Connection& connection, ListStore&) -> absl::Status {
    RETURN_IF_ERROR(RemoveClusterTrust(connection, CallerHere(run.plan), target.trust, target.before_here));
    if (target.cluster_id == 0) return absl::OkStatus();
    // This cluster's guard decides last, also when it is only asked.
    v1::PreFlight there;
    const absl::Status removed = ChangeThere(run, target, connection, {}, &there, /*unproven=*/nullptr, [&] {
      return RemoveClusterTrust(connection, CallerThere(run.plan, target), target.own, target.before_there);
    });
    if (!IsPreFlightRefusal(removed)) return removed;
    return Waits(fmt::format("phones of the cluster {}: {}", target.trust.cluster, StatusMessage(removed)));
  });
}

// The cluster, when whoever makes the plan is its administrator too; whether another one is there is not told.
absl::StatusOr<int32_t> FindTarget(Connection& connection, const std::string& name, const StoredPlan& plan) {
  if (name == plan.cluster) return InvalidArgument("the phones are in the cluster {} already", name);
  const absl::StatusOr<Identity> maker = Identity::Parse(plan.made_by);
  if (maker.ok() && maker->is_person()) {
    ASSIGN_OR_RETURN(const Result found, connection.Execute(kAdministered, Parameters().Text(name).Text(maker->name)));
    if (!found.empty()) return found.Value<int32_t>();
  }
  return PermissionDenied(
      "you are no administrator of a cluster {}: phones are moved by who administers both clusters (`trustctl access "
      "grant`)",
      name);
}

// Of clusters of one system: their TVS certificates are of nodes of this system, and what counts as a TVS node for the
// phones of a cluster must not change with a move. Phones learn them from their new lists.
ClusterTrust WithoutTvs(ClusterTrust trust) {
  for (MovedCertificate& one : trust.certificates) std::erase(one.roles, CertificateRole::kTvs);
  std::erase_if(trust.certificates, [](const MovedCertificate& one) { return one.roles.empty(); });
  return trust;
}

absl::Status MakeMigration(Connection& connection, const PlanParts&, const v1::MakePlanRequest& request,
                           StoredPlan& plan) {
  const bool is_own_system = !request.to_cluster().empty();
  if (is_own_system == !request.export_file().empty()) {
    return InvalidArgument(
        "say where the phones go: to a cluster of this system (--to-cluster), or to that of an export "
        "(--export)");
  }
  plan.blank = request.blank();
  if (plan.blank) RETURN_IF_ERROR(CheckCanBeBlanked(connection, plan));

  // 1. Both clusters as they are now.
  v1::MigrationTarget kept;
  ClusterTrust target;
  if (is_own_system) {
    ASSIGN_OR_RETURN(const int32_t target_id, FindTarget(connection, request.to_cluster(), plan));
    ASSIGN_OR_RETURN(target, ReadClusterTrust(connection, target_id, request.to_cluster()));
    target = WithoutTvs(std::move(target));
    kept.set_cluster_id(target_id);
    kept.set_file(EncodeClusterTrust(target));
    plan.subject = target.cluster;
  } else {
    ASSIGN_OR_RETURN(target, DecodeClusterTrust(request.export_file()));
    RETURN_IF_ERROR(CheckIsOther(connection, plan.cluster_id, plan.cluster, target));
    kept.set_file(request.export_file());
    plan.subject =
        fmt::format("{} (export with the SHA-256 {})", target.cluster, ToHex(Sha256(AsBytes(request.export_file()))));
  }
  ASSIGN_OR_RETURN(ClusterTrust own, ReadClusterTrust(connection, plan.cluster_id, plan.cluster));
  own = WithoutTvs(std::move(own));
  kept.set_own_file(EncodeClusterTrust(own));

  // 2. What was trusted before stays so.
  ASSIGN_OR_RETURN(const TrustedRoles here, FindTrusted(connection, plan.cluster_id, target));
  ToProto(here, *kept.mutable_before_here());
  if (is_own_system) {
    ASSIGN_OR_RETURN(const TrustedRoles there, FindTrusted(connection, kept.cluster_id(), own));
    ToProto(there, *kept.mutable_before_there());
  }
  plan.detail = kept.SerializeAsString();

  // 3. The steps of this way.
  std::erase_if(plan.steps, [&](const StoredStep& step) {
    if (IsOneOf(plan.blank ? Actions(kSignerActions) : Actions(kBlankActions), step.action)) return true;
    return is_own_system ? IsOneOf(kExportActions, step.action) : IsOneOf(kOwnSystemActions, step.action);
  });
  for (size_t i = 0; i < plan.steps.size(); ++i) plan.steps[i].number = static_cast<int32_t>(i) + 1;
  return absl::OkStatus();
}

PlanStep ReadyStep(std::string action, StepFunction change) {
  return {.action = std::move(action),
          .kind = StepKind::kGate,
          .words = {.title = "Judge whether every phone would follow",
                    .gate = "each phone would accept the other cluster's lists and configuration files, by what it "
                            "may hold and the TVS nodes that it was seen to ask",
                    .way_back = "nothing was changed"},
          .change = std::move(change),
          .take_back = nullptr};
}

// The words of a step in which an administrator does something.
PlanStep ConfirmStep(std::string action, std::string title, std::string gate, std::string way_back) {
  return {.action = std::move(action),
          .kind = StepKind::kConfirm,
          .words = {.title = std::move(title),
                    .gate = std::move(gate) + "; then `trustctl plan resume` goes on",
                    .way_back = std::move(way_back)},
          .change = nullptr,
          .take_back = nullptr};
}

std::vector<PlanStep> Steps() {
  std::vector<PlanStep> steps = {
      ReadyStep("ready", Ready),
      ConfirmStep(
          "compare", "Compare the export with the other side",
          "the SHA-256 of the export, which is shown with the plan, is what `trustctl cluster export` printed "
          "there: compare it over another channel, a telephone or a meeting, because whoever can change the file "
          "can take the phones over",
          "nothing was changed"),
      {.action = "vouch",
       .kind = StepKind::kChange,
       .words =
           {.title =
                "Trust the other cluster's signers here, and the TVS certificates of an export; no list names them",
            .gate = "the pre-flight is clean",
            .way_back = "they are trusted no longer, but for those that were before"},
       .change = Vouch,
       .take_back = TakeVouchBack},
      {.action = "vouch there",
       .kind = StepKind::kChange,
       .words = {.title = "Trust this cluster's signers in the other one, so that phones can come back",
                 .gate = "that cluster's pre-flight is clean",
                 .way_back = "they are trusted there no longer, but for those that were before, and unless phones are "
                             "there already, which come back only by them"},
       .change = VouchThere,
       .take_back = TakeVouchThereBack},
      ConfirmStep("import there", "Let the other cluster trust this one's signers, so that phones can come back",
                  "export this cluster (`trustctl cluster export --out FILE`), and import the file there (`trustctl "
                  "cluster import FILE --sha256 ...`, or, for another system, its certificates as a trusted "
                  "verification source)",
                  "remove them there (`trustctl trust remove`)"),
      {.action = "nodes",
       .kind = StepKind::kCheck,
       .words = {.title = "Wait until every TVS node answers for them",
                 .gate = "each approved node says that each is valid in its roles",
                 .way_back = "nothing was changed"},
       .change = AskNodes,
       .take_back = nullptr},
      LscStep(),
      {.action = "devices",
       .kind = StepKind::kCheck,
       .words = {.title = "Wait until the phones are devices of the other cluster",
                 .gate = "each device in service is one there",
                 .way_back = "nothing was changed"},
       .change = LookForDevicesThere,
       .take_back = nullptr},
      ReadyStep("ready again", ReadyAgain)};
  for (PlanStep& step : BlankSteps()) steps.push_back(std::move(step));
  steps.push_back(ConfirmStep(
      "move", "Point the phones to the other cluster's TFTP servers",
      "change what tells phones their TFTP servers (DHCP option 150 or 66, or the call manager) "
      "to those of the other cluster, whose configuration files name its call manager and TVS "
      "nodes; keep the TVS nodes of this cluster up; reset the phones (`trustctl phones reset`)",
      "point the phones to these TFTP servers again, and reset them; with blank lists those that hold a list "
      "of the other cluster come back by such a plan of that one alone"));
  steps.push_back({.action = "arrived",
                   .kind = StepKind::kGate,
                   .words = {.title = "Wait until the phones hold a list of the other cluster",
                             .gate = "each phone in service was seen to hold one, by its report here or there",
                             .way_back = "nothing was changed"},
                   .change = Arrived,
                   .take_back = nullptr});
  steps.push_back(WholeStep());
  steps.push_back({.action = "take back",
                   .kind = StepKind::kChange,
                   .words = {.title = "Trust the other cluster's signers here no longer, and, where it is of this "
                                      "system, this one's there: phones that have not followed could not any more",
                             .gate = "the pre-flight is clean",
                             .way_back = "none: the plan is done with it. `trustctl cluster import` trusts them again"},
                   .change = TakeBack,
                   .take_back = nullptr});
  steps.push_back(ConfirmStep("take back there", "Let the other cluster trust this one's signers no longer",
                              "remove them there (`trustctl trust remove`)", "none: the phones have moved"));
  return steps;
}

}  // namespace

PlanKindSteps Migration() {
  return {.kind = PlanKind::kMigrate, .make = MakeMigration, .steps = Steps(), .left_by_abort = LeftByAbort};
}

}  // namespace trustline
