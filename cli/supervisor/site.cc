#include "cli/supervisor/site.h"

#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>

#include "absl/time/clock.h"
#include "cli/supervisor/daemon_files.h"
#include "cli/supervisor/identities.h"
#include "cli/supervisor/node_join.h"
#include "cli/supervisor/private_file.h"
#include "common/net/http_client.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kReadyTimeout = absl::Seconds(60);
constexpr auto kHealthTimeout = std::chrono::seconds(2);

absl::StatusOr<HttpResponse> AskReady(uint16_t metrics_port) {
  return HttpGet("127.0.0.1", metrics_port, "/health/ready", kHealthTimeout);
}

bool IsReady(uint16_t metrics_port) {
  const absl::StatusOr<HttpResponse> answer = AskReady(metrics_port);
  return answer.ok() && answer->status == 200;
}

constexpr std::string_view kFirstThings =
    "the LSC authority, the certificates of CAPF and provisiond or the first trust list";

std::string UserName() {
  const passwd* user = getpwuid(geteuid());
  return user == nullptr ? fmt::format("user {}", geteuid()) : std::string(user->pw_name);
}

}  // namespace

void Say(std::string_view line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

absl::Status Site::Start(Supervisor& supervisor) {
  if (geteuid() != 0) Say(fmt::format("started by {}: everything runs as {}", UserName(), UserName()));
  Say(fmt::format("data directory {}", paths_.root));
  if (!joined_) {
    RETURN_IF_ERROR(postgres_.CreateCluster(Say));
    RETURN_IF_ERROR(StartPostgres(supervisor));
    RETURN_IF_ERROR(PrepareDatabase());
    RETURN_IF_ERROR(StartItld(supervisor));
    if (!FileExists(paths_.tvsd())) {
      RETURN_IF_ERROR(JoinLocalNode());
    } else if (const absl::Status joined = JoinLocalNodeAgain(); !joined.ok()) {
      // Phones are served without it.
      Say(fmt::format("tvsd has no valid identity: {}", joined.message()));
    }
    if (const absl::Status approved = ApproveLocalNode(); !approved.ok()) {
      if (is_first_start_) return approved;
      Say(fmt::format("the approval of {} for the phones' trust lists is left to administrators: {}", kLocalNode,
                      approved.message()));
    }
  }
  RETURN_IF_ERROR(StartTvsd(supervisor));
  absl::Status with_cad, with_capfd, with_provisiond;
  if (!joined_) {
    with_cad = StartCad(supervisor);
    RETURN_IF_ERROR(EndsStart(with_cad, supervisor));
    with_capfd = StartOptional(supervisor, Capfd(), capfd_);
    RETURN_IF_ERROR(EndsStart(with_capfd, supervisor));
    with_provisiond = StartOptional(supervisor, Provisiond(), provisiond_);
    RETURN_IF_ERROR(EndsStart(with_provisiond, supervisor));
  }
  PrintAddresses();
  if (!with_cad.ok()) {
    authorities_failure_ = StatusMessage(with_cad);
    Say(fmt::format("ready, but without {}: {}; phones are served without it, and it is tried again until it comes",
                    cad_is_up_ ? kFirstThings : "cad", with_cad.message()));
  }
  if (!with_capfd.ok()) {
    Say(
        fmt::format("ready, but without capfd: {}; phones are served without it, but not enrolled, and it is tried "
                    "again until it comes",
                    with_capfd.message()));
  }
  if (!with_provisiond.ok()) {
    Say(
        fmt::format("ready, but without provisiond: {}; phones are served without it, but their reports are not taken, "
                    "and it is tried again until it comes",
                    with_provisiond.message()));
  }
  Say("ready");
  return absl::OkStatus();
}

absl::Status Site::EndsStart(const absl::Status& failure, const Supervisor& supervisor) const {
  if (failure.ok() || is_first_start_) return failure;
  // What ended the step may be a signal, or another child's end.
  return supervisor.StartFailure();
}

bool Site::FinishStart(Supervisor& supervisor) {
  if (joined_) return true;
  if (!authorities_are_made_ && FinishCad()) SayIsReady("cad");
  if (FinishOptional(supervisor, Capfd(), capfd_)) SayIsReady("capfd");
  if (FinishOptional(supervisor, Provisiond(), provisiond_)) SayIsReady("provisiond");
  return IsComplete();
}

bool Site::IsComplete() const {
  return authorities_are_made_ && (capfd_.is_up || !FileExists(paths_.capfd())) &&
         (provisiond_.is_up || !FileExists(paths_.provisiond()));
}

void Site::SayIsReady(std::string_view daemon) const {
  Say(fmt::format("{} is ready{}", daemon, IsComplete() ? ", and nothing is missing any more" : ""));
}

bool Site::FinishCad() {
  cad_is_up_ = cad_is_up_ || IsReady(ports_.cad_metrics);
  if (!cad_is_up_ || absl::Now() < next_authorities_) return false;
  const absl::Status made = MakeAuthorities();
  authorities_are_made_ = made.ok();
  if (made.ok()) return true;
  next_authorities_ = absl::Now() + authorities_back_off_.AfterDeath(absl::ZeroDuration());
  if (authorities_failure_ != StatusMessage(made)) {
    authorities_failure_ = StatusMessage(made);
    Say(fmt::format("cad is ready, but without {}: {}", kFirstThings, made.message()));
  }
  return false;
}

bool Site::FinishOptional(Supervisor& supervisor, const Daemon& daemon, Progress& progress) const {
  if (progress.is_up || !FileExists(daemon.directory)) return false;
  if (!progress.is_launched) {
    // Its certificate has come only now.
    progress.is_launched = true;
    if (const absl::Status launched = LaunchDaemon(supervisor, daemon); !launched.ok()) {
      Say(fmt::format("without {} until the next start: {}", daemon.name, launched.message()));
    }
  }
  progress.is_up = IsReady(daemon.metrics_port);
  return progress.is_up;
}

absl::Status Site::StartPostgres(Supervisor& supervisor) const {
  Say("starting PostgreSQL");
  RETURN_IF_ERROR(supervisor.Start({.name = "postgres",
                                    .command = postgres_.ServerCommand(),
                                    .stop_signal = SIGINT,
                                    .patience = absl::Seconds(60),
                                    .log_path = paths_.log("postgres"),
                                    .pid_path = paths_.pid("postgres"),
                                    .is_important = IsImportantPostgresLine,
                                    // After a crash its old processes may hold on for a moment.
                                    .must_survive_start = false,
                                    .prepare = [this] { return postgres_.PrepareStart(); }}));
  return supervisor.WaitUntil(fmt::format("PostgreSQL did not answer (log: {})", paths_.log("postgres")),
                              absl::Minutes(2), [this] { return postgres_.Answers(); });
}

absl::Status Site::PrepareDatabase() const {
  RETURN_IF_ERROR(postgres_.CreateDatabase());
  RETURN_IF_ERROR(postgres_.ApplyMigrations(settings_.migrations, Say));
  if (!FileExists(paths_.itld())) Say("making the identity authority");
  RETURN_IF_ERROR(EnsureItldDirectory(paths_, users_, absl::Now()));
  RETURN_IF_ERROR(EnsureAdminDirectory(paths_, users_, absl::Now()));
  RETURN_IF_ERROR(RenewDueIdentities(paths_, users_, absl::Now()));
  RETURN_IF_ERROR(postgres_.GrantFirstAdministrator());
  return WriteAdministratorContext(paths_, settings_, ports_);
}

absl::Status Site::Renew() const {
  if (joined_) return absl::OkStatus();
  absl::Status renewed = RenewDueIdentities(paths_, users_, absl::Now());
  renewed.Update(RenewDueCadIdentity(paths_, users_, absl::Now()));
  if (FileExists(paths_.capfd())) renewed.Update(RenewDueCapfdIdentity(paths_, users_, absl::Now()));
  if (FileExists(paths_.provisiond())) renewed.Update(RenewDueProvisiondIdentity(paths_, users_, absl::Now()));
  return renewed;
}

absl::Status Site::JoinLocalNode() const {
  Say(fmt::format("joining this machine as {}", kLocalNode));
  const std::string server = LocalItld();
  const std::string unfinished = paths_.tvsd() + ".new";
  RETURN_IF_ERROR(RemoveTree(unfinished));
  RETURN_IF_ERROR(EnsureDirectory(unfinished, 0700, users_.tvsd));
  {
    const ActAs scope(users_.tvsd);
    RETURN_IF_ERROR(scope.status());
    RETURN_IF_ERROR(WriteFileWhole(unfinished + "/database.pgpass", NewPasswordFile("trustline_tvsd").ExposeSecret()));
  }
  ASSIGN_OR_RETURN(const JoinToken token, CreateLocalToken(server, IdentityFilesIn(paths_.admin()), kLocalNode));
  RETURN_IF_ERROR(JoinNode({.server = server,
                            .node = kLocalNode,
                            .directory = unfinished,
                            .owner = users_.tvsd,
                            .organization = site_settings_.organization,
                            .organizational_unit = site_settings_.organizational_unit},
                           token, absl::Now()));
  return RenameDurably(unfinished, paths_.tvsd());
}

absl::Status Site::JoinLocalNodeAgain() const {
  // To join again the node is removed first. The mark tells a start after a crash that it was not an administrator who
  // removed it, and with which TVS certificate it may join.
  const std::string mark = paths_.tvsd() + ".rejoin";
  ASSIGN_OR_RETURN(const bool has_ended, IdentityHasEnded(paths_.tvsd(), users_.tvsd, absl::Now()));
  if (!has_ended) return RemoveTree(mark);
  Say(fmt::format("the identity of {} is past its end: joining again", kLocalNode));
  ASSIGN_OR_RETURN(const Certificate tvs, ReadTvsCertificate(paths_.tvsd(), users_.tvsd));
  const IdentityFiles administrator = IdentityFilesIn(paths_.admin());
  const std::string fingerprint = ToHex(tvs.sha256());
  if (ReadSmallFile(mark).value_or("") != fingerprint) {
    RETURN_IF_ERROR(CheckIsMember(LocalItld(), administrator, kLocalNode, tvs));
    RETURN_IF_ERROR(WriteFileWhole(mark, fingerprint));
  }
  ASSIGN_OR_RETURN(const JoinToken token, CreateLocalToken(LocalItld(), administrator, kLocalNode));
  RETURN_IF_ERROR(JoinNode({.server = LocalItld(),
                            .node = kLocalNode,
                            .directory = paths_.tvsd(),
                            .owner = users_.tvsd,
                            .tvs_certificate = tvs},
                           token, absl::Now()));
  return RemoveTree(mark);
}

absl::Status Site::ApproveLocalNode() const {
  ASSIGN_OR_RETURN(const Certificate tvs, ReadTvsCertificate(paths_.tvsd(), users_.tvsd));
  return ApproveNewNode(LocalItld(), IdentityFilesIn(paths_.admin()), kLocalNode, tvs, Say);
}

absl::Status Site::LaunchDaemon(Supervisor& supervisor, const Daemon& daemon) const {
  const std::string& name = daemon.name;
  Say(fmt::format("starting {}", name));
  return supervisor.Start({.name = name,
                           .command = {.program = settings_.bin_dir + "/" + name,
                                       .arguments = {"--config", daemon.directory + "/" + name + ".toml"},
                                       .user = daemon.user},
                           .log_path = paths_.log(name),
                           .pid_path = paths_.pid(name),
                           .is_important = IsImportantDaemonLine,
                           .is_optional = daemon.is_optional,
                           .prepare = daemon.prepare});
}

absl::Status Site::StartDaemon(Supervisor& supervisor, const Daemon& daemon) const {
  RETURN_IF_ERROR(LaunchDaemon(supervisor, daemon));
  const std::string& name = daemon.name;
  std::string last_answer = "it does not answer";
  absl::Status ready =
      supervisor.WaitUntil(fmt::format("{} did not become ready", name), kReadyTimeout, [&]() -> absl::StatusOr<bool> {
        if (daemon.is_optional) RETURN_IF_ERROR(supervisor.LastEnd(name));
        const absl::StatusOr<HttpResponse> answer = AskReady(daemon.metrics_port);
        if (answer.ok() && answer->status == 200) return true;
        if (answer.ok()) last_answer = answer->body;
        return false;
      });
  if (!absl::IsDeadlineExceeded(ready)) return ready;
  while (!last_answer.empty() && last_answer.back() == '\n') last_answer.pop_back();
  return DeadlineExceeded("{}: {} (log: {})", ready.message(), last_answer, paths_.log(name));
}

void Site::PrintAddresses() const {
  for (const ListenerAddress& listener : listeners_) {
    Say(fmt::format("  {:<33}{}", listener.what, HostPort(listener.address, listener.port)));
  }
  if (!joined_) Say(fmt::format("  {:<33}trustctl --context {}/context.toml --help", "administration", paths_.admin()));
  Say(fmt::format("  {:<33}{}", "logs", paths_.logs()));
}

}  // namespace trustline
