#include "cli/supervisor/site.h"

#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>

#include "absl/time/clock.h"
#include "cli/supervisor/capf_certificate.h"
#include "cli/supervisor/daemon_files.h"
#include "cli/supervisor/first_trust_list.h"
#include "cli/supervisor/identities.h"
#include "cli/supervisor/lsc_authority.h"
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
  absl::Status with_cad, with_capfd;
  if (!joined_) {
    with_cad = StartCad(supervisor);
    RETURN_IF_ERROR(EndsStart(with_cad, supervisor));
    with_capfd = StartCapfd(supervisor);
    RETURN_IF_ERROR(EndsStart(with_capfd, supervisor));
  }
  PrintAddresses();
  if (!with_cad.ok()) {
    authorities_failure_ = StatusMessage(with_cad);
    Say(fmt::format("ready, but without {}: {}; phones are served without it, and it is tried again until it comes",
                    cad_is_up_ ? "the LSC authority, the CAPF certificate or the first trust list" : "cad",
                    with_cad.message()));
  }
  if (!with_capfd.ok()) {
    Say(
        fmt::format("ready, but without capfd: {}; phones are served without it, but not enrolled, and it is tried "
                    "again until it comes",
                    with_capfd.message()));
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
  if (!capfd_is_up_ && FileExists(paths_.capfd()) && FinishCapfd(supervisor)) SayIsReady("capfd");
  return IsComplete();
}

bool Site::IsComplete() const { return authorities_are_made_ && (capfd_is_up_ || !FileExists(paths_.capfd())); }

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
    Say(fmt::format("cad is ready, but without the LSC authority, the CAPF certificate or the first trust list: {}",
                    made.message()));
  }
  return false;
}

bool Site::FinishCapfd(Supervisor& supervisor) {
  if (!capfd_is_launched_) {
    // Its certificate has come only now.
    capfd_is_launched_ = true;
    if (const absl::Status launched = LaunchDaemon(supervisor, Capfd()); !launched.ok()) {
      Say(fmt::format("without capfd until the next start: {}", launched.message()));
    }
  }
  capfd_is_up_ = IsReady(ports_.capfd_metrics);
  return capfd_is_up_;
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
  return renewed;
}

absl::Status Site::StartItld(Supervisor& supervisor) const {
  const std::string password_file = paths_.itld() + "/database.pgpass";
  RETURN_IF_ERROR(postgres_.SetPassword("trustline_itld", password_file, users_.itld));
  RETURN_IF_ERROR(WriteItldConfiguration(paths_, users_.itld, postgres_.RoleConnection("trustline_itld", password_file),
                                         settings_, ports_));
  return StartDaemon(
      supervisor,
      {.name = "itld", .directory = paths_.itld(), .user = users_.itld, .metrics_port = ports_.itld_metrics});
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

std::string Site::LocalItld() const { return HostPort(LocalAddress(settings_.grpc_listen), ports_.itld_grpc); }
std::string Site::LocalCad() const { return HostPort(LocalAddress(settings_.grpc_listen), ports_.cad_grpc); }

absl::Status Site::PrepareCad() const {
  const std::string password_file = paths_.cad() + "/database.pgpass";
  RETURN_IF_ERROR(EnsureCadDirectory(paths_, users_, absl::Now()));
  // cad looks at its passphrase itself, so that the audit log has what it refuses.
  RETURN_IF_ERROR(CheckPrivateFiles(paths_.cad(), {"identity.key", "database.pgpass"}, users_.cad));
  RETURN_IF_ERROR(RenewDueCadIdentity(paths_, users_, absl::Now()));
  RETURN_IF_ERROR(postgres_.SetPassword("trustline_cad", password_file, users_.cad));
  return WriteCadConfiguration(paths_, users_.cad, postgres_.RoleConnection("trustline_cad", password_file),
                               LocalItld(), site_settings_, settings_, ports_);
}

absl::Status Site::StartCad(Supervisor& supervisor) {
  const auto prepare = [this] { return cad_is_up_ ? absl::OkStatus() : PrepareCad(); };
  RETURN_IF_ERROR(StartDaemon(supervisor, {.name = "cad",
                                           .directory = paths_.cad(),
                                           .user = users_.cad,
                                           .metrics_port = ports_.cad_metrics,
                                           .is_optional = !is_first_start_,
                                           .prepare = prepare}));
  cad_is_up_ = true;
  RETURN_IF_ERROR(MakeAuthorities());
  authorities_are_made_ = true;
  return absl::OkStatus();
}

absl::Status Site::MakeAuthorities() const {
  const IdentityFiles administrator = IdentityFilesIn(paths_.admin());
  const PhoneFacingSubject subject = {.node = kLocalNode,
                                      .host = HostName(),
                                      .organization = site_settings_.organization,
                                      .organizational_unit = site_settings_.organizational_unit};
  absl::Status made = EnsureLscAuthority(LocalCad(), administrator, Say);
  if (made.ok()) made = EnsureCapfDirectory(paths_, users_, subject, LocalItld(), administrator, absl::Now(), Say);
  // Last, because the first list names what was made before.
  if (made.ok()) made = EnsureFirstTrustList(subject, site_settings_, LocalItld(), administrator, Say);
  if (!absl::IsPermissionDenied(made)) return made;
  // Others administer this site, and phones are served without it.
  Say(fmt::format("LSC authority, CAPF certificate and trust lists are left to its administrators: {}",
                  made.message()));
  return absl::OkStatus();
}

absl::Status Site::PrepareCapfd() const {
  const std::string password_file = paths_.capfd() + "/database.pgpass";
  RETURN_IF_ERROR(CompleteCapfdDirectory(paths_, users_, absl::Now()));
  RETURN_IF_ERROR(
      CheckPrivateFiles(paths_.capfd(), {"capf.key", "passphrase", "identity.key", "database.pgpass"}, users_.capfd));
  RETURN_IF_ERROR(RenewDueCapfdIdentity(paths_, users_, absl::Now()));
  RETURN_IF_ERROR(postgres_.SetPassword("trustline_capfd", password_file, users_.capfd));
  return WriteCapfdConfiguration(paths_, users_.capfd, postgres_.RoleConnection("trustline_capfd", password_file),
                                 LocalItld(), LocalCad(), settings_, ports_);
}

Site::Daemon Site::Capfd() const {
  return {.name = "capfd",
          .directory = paths_.capfd(),
          .user = users_.capfd,
          .metrics_port = ports_.capfd_metrics,
          .is_optional = !is_first_start_,
          .prepare = [this] { return capfd_is_up_ ? absl::OkStatus() : PrepareCapfd(); }};
}

absl::Status Site::StartCapfd(Supervisor& supervisor) {
  // Without the CAPF certificate, which comes with cad, there is nothing to start.
  if (!FileExists(paths_.capfd())) return absl::OkStatus();
  capfd_is_launched_ = true;
  RETURN_IF_ERROR(StartDaemon(supervisor, Capfd()));
  capfd_is_up_ = true;
  return absl::OkStatus();
}

absl::Status Site::StartTvsd(Supervisor& supervisor) const {
  const std::string password_file = paths_.tvsd() + "/database.pgpass";
  std::string node = kLocalNode;
  std::string connection = postgres_.RoleConnection("trustline_tvsd", password_file);
  std::string itld = LocalItld();
  if (joined_) {
    node = joined_->node;
    connection = joined_->database;
    itld = joined_->server;
  } else {
    RETURN_IF_ERROR(postgres_.SetPassword("trustline_tvsd", password_file, users_.tvsd));
  }
  RETURN_IF_ERROR(WriteTvsdConfiguration(paths_, users_.tvsd, node, connection, itld, settings_, ports_));
  return StartDaemon(
      supervisor,
      {.name = "tvsd", .directory = paths_.tvsd(), .user = users_.tvsd, .metrics_port = ports_.tvsd_metrics});
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
    Say(fmt::format("  {:<28}{}", listener.what, HostPort(listener.address, listener.port)));
  }
  if (!joined_) Say(fmt::format("  {:<28}trustctl --context {}/context.toml --help", "administration", paths_.admin()));
  Say(fmt::format("  {:<28}{}", "logs", paths_.logs()));
}

}  // namespace trustline
