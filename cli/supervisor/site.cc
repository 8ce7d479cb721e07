#include "cli/supervisor/site.h"

#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "absl/time/clock.h"
#include "cli/supervisor/capf_certificate.h"
#include "cli/supervisor/daemon_files.h"
#include "cli/supervisor/identities.h"
#include "cli/supervisor/lsc_authority.h"
#include "cli/supervisor/node_join.h"
#include "cli/supervisor/preconditions.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/process_record.h"
#include "common/net/http_client.h"
#include "common/postgres/migration.h"
#include "common/service/config.h"
#include "common/status/status.h"
#include "common/x509/private_key.h"

namespace trustline {
namespace {

constexpr absl::Duration kReadyTimeout = absl::Seconds(60);
constexpr auto kHealthTimeout = std::chrono::seconds(2);

// Daemons of an earlier start whose supervisor was killed. PostgreSQL last, and by the signal that ends it cleanly.
absl::Status EndOrphans(const DataPaths& paths) {
  for (const char* name : {"tvsd", "cad", "itld", "postgres"}) {
    const bool is_postgres = std::string_view(name) == "postgres";
    ASSIGN_OR_RETURN(const bool ended, EndRecordedProcess(paths.pid(name), is_postgres ? SIGINT : SIGTERM,
                                                          absl::Seconds(is_postgres ? 30 : 10)));
    if (ended) Say(fmt::format("ended {}, which an earlier start had left running", name));
  }
  return absl::OkStatus();
}

absl::Status CheckKeyOpens(const std::string& directory, const std::string& name,
                           const std::optional<SystemUser>& user) {
  if (!FileExists(directory)) return absl::OkStatus();
  const ActAs scope(user);
  RETURN_IF_ERROR(scope.status());
  return PrivateKey::ReadKeyFile(directory + "/" + name, directory + "/passphrase").status();
}

// The secrets of a part that was made completely (its directory exists). Those of cad are checked when it starts:
// phones are served without it.
absl::Status CheckKeys(const DataPaths& paths, const SystemUsers& users, bool joined) {
  const auto check = [](const std::string& directory, const std::vector<std::string>& names,
                        const std::optional<SystemUser>& user) {
    return FileExists(directory) ? CheckPrivateFiles(directory, names, user) : absl::OkStatus();
  };
  std::vector<std::string> tvsd = {"identity.key", "tvs.key", "passphrase"};
  if (!joined) tvsd.push_back("database.pgpass");
  RETURN_IF_ERROR(check(paths.tvsd(), tvsd, users.tvsd));
  RETURN_IF_ERROR(
      check(paths.itld(), {"identity.key", "identity-authority.key", "passphrase", "database.pgpass"}, users.itld));
  RETURN_IF_ERROR(check(paths.capfd(), {"capf.key", "passphrase"}, users.capfd));
  RETURN_IF_ERROR(check(paths.admin(), {"identity.key"}, {}));
  RETURN_IF_ERROR(CheckKeyOpens(paths.tvsd(), "tvs.key", users.tvsd));
  RETURN_IF_ERROR(CheckKeyOpens(paths.itld(), "identity-authority.key", users.itld));
  RETURN_IF_ERROR(CheckKeyOpens(paths.capfd(), "capf.key", users.capfd));
  if (!FileExists(paths.postgres())) return absl::OkStatus();
  return CheckPrivateFiles(paths.root, {"postgres-superuser.pgpass"}, {});
}

// A server of another major version cannot read the files.
absl::Status CheckPostgresData(const DataPaths& paths, const std::string& bin_dir, const SystemUsers& users) {
  ASSIGN_OR_RETURN(const int program, PostgresVersion(bin_dir));
  if (!FileExists(paths.postgres())) return absl::OkStatus();
  const ActAs scope(users.postgres);
  RETURN_IF_ERROR(scope.status());
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(paths.postgres() + "/PG_VERSION"));
  const int data = std::atoi(text.c_str());
  if (data == program) return absl::OkStatus();
  return FailedPrecondition(
      "the database in {} was made by PostgreSQL {}, but {} is PostgreSQL {}: name the folder of version {} with "
      "--postgres-bin-dir",
      paths.postgres(), data, bin_dir, program, data);
}

absl::Status CheckPrograms(const Settings& settings, bool other_users, bool joined) {
  RETURN_IF_ERROR(CheckProgram(settings.bin_dir + "/tvsd", other_users));
  if (joined) return absl::OkStatus();
  RETURN_IF_ERROR(CheckProgram(settings.bin_dir + "/itld", other_users));
  return CheckProgram(settings.bin_dir + "/cad", other_users);
}

absl::StatusOr<HttpResponse> AskReady(uint16_t metrics_port) {
  return HttpGet("127.0.0.1", metrics_port, "/health/ready", kHealthTimeout);
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

absl::StatusOr<JoinedNode> JoinedNode::Read(const std::string& path) {
  ASSIGN_OR_RETURN(const ConfigFile file, ConfigFile::Load(path));
  ConfigTable root = file.root();
  JoinedNode joined;
  ASSIGN_OR_RETURN(joined.node, root.Text("node"));
  ASSIGN_OR_RETURN(joined.server, root.Text("server"));
  ASSIGN_OR_RETURN(joined.database, root.Text("database"));
  RETURN_IF_ERROR(file.RefuseUnknownKeys());
  return joined;
}

absl::Status JoinedNode::Write(const std::string& path) const {
  return WriteFileWhole(path, fmt::format("# Written by trustline join.\nnode = {}\nserver = {}\ndatabase = {}\n",
                                          TomlText(node), TomlText(server), TomlText(database)));
}

absl::StatusOr<Site> Site::Open(const Settings& asked) {
  // 1. What needs no data directory.
  ASSIGN_OR_RETURN(const Settings settings, CompleteSettings(asked));
  ASSIGN_OR_RETURN(const Ports ports, Ports::WithOffset(settings.port_offset));
  ASSIGN_OR_RETURN(const SystemUsers users, SystemUsers::Find());
  const DataPaths paths(settings.data);

  // 2. The data directory as it is.
  ASSIGN_OR_RETURN(const DataState state, InspectDataDirectory(paths));
  if (geteuid() == 0) RETURN_IF_ERROR(CheckReachable(paths.root, users));
  std::optional<JoinedNode> joined;
  if (state == DataState::kOurs && FileExists(paths.joined())) {
    ASSIGN_OR_RETURN(joined, JoinedNode::Read(paths.joined()));
  }
  if (joined && settings.site.any()) {
    return InvalidArgument(
        "--public-url, --organization and --organizational-unit belong to the machine with itld and cad ({}), which {} "
        "has joined",
        joined->server, joined->node);
  }
  DecidedSiteSettings site_settings;
  if (!joined) {
    ASSIGN_OR_RETURN(site_settings, DecideSiteSettings(paths.site(), settings.site, ports.crl));
  }
  RETURN_IF_ERROR(CheckPrograms(settings, geteuid() == 0, joined.has_value()));
  std::string postgres_bin_dir;
  if (!joined) {
    ASSIGN_OR_RETURN(postgres_bin_dir, FindPostgres(settings.postgres_bin_dir));
    RETURN_IF_ERROR(CheckPostgresData(paths, postgres_bin_dir, users));
    RETURN_IF_ERROR(Migrator::Create(settings.migrations).status());
  }
  RETURN_IF_ERROR(CheckKeys(paths, users, joined.has_value()));

  // 3. The ports, but only when nothing of an earlier start can hold them.
  std::vector<ListenerAddress> listeners = Listeners(settings, ports, !joined);
  ASSIGN_OR_RETURN(const std::vector<ListenerAddress> local, LocalListeners(paths));
  listeners.insert(listeners.end(), local.begin(), local.end());
  if (state == DataState::kAbsent) {
    RETURN_IF_ERROR(CheckPortsFree(listeners, users));
    RETURN_IF_ERROR(MakeDataDirectory(paths));
  }
  ASSIGN_OR_RETURN(DataLock lock, DataLock::Take(paths));
  RETURN_IF_ERROR(EndOrphans(paths));
  if (state == DataState::kOurs) RETURN_IF_ERROR(CheckPortsFree(listeners, users));

  // 4. From here on the directory is ours.
  RETURN_IF_ERROR(WriteVersion(paths));
  if (site_settings.must_be_written) RETURN_IF_ERROR(site_settings.settings.Write(paths.site()));
  for (const std::string& change : site_settings.changes) Say(change);
  return Site(settings, std::move(site_settings.settings), ports, paths, users, std::move(lock), std::move(joined),
              std::move(listeners), std::move(postgres_bin_dir), state == DataState::kAbsent);
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
  }
  RETURN_IF_ERROR(StartTvsd(supervisor));
  const absl::Status with_cad = joined_ ? absl::OkStatus() : StartCad(supervisor);
  if (!with_cad.ok()) {
    if (is_first_start_) return with_cad;
    // What ended the start may be a signal, or another child's end.
    RETURN_IF_ERROR(supervisor.StartFailure());
  }
  PrintAddresses();
  if (!with_cad.ok()) {
    authorities_failure_ = StatusMessage(with_cad);
    Say(fmt::format("ready, but without {}: {}; phones are served without it, and it is tried again until it comes",
                    cad_is_up_ ? "the LSC authority or the CAPF certificate" : "cad", with_cad.message()));
  }
  Say("ready");
  return absl::OkStatus();
}

bool Site::FinishStart() {
  if (joined_ || authorities_are_made_) return true;
  if (!cad_is_up_) {
    const absl::StatusOr<HttpResponse> answer = AskReady(ports_.cad_metrics);
    cad_is_up_ = answer.ok() && answer->status == 200;
  }
  if (!cad_is_up_ || absl::Now() < next_authorities_) return false;
  const absl::Status made = MakeAuthorities();
  authorities_are_made_ = made.ok();
  if (made.ok()) {
    Say("cad is ready, and nothing is missing any more");
    return true;
  }
  next_authorities_ = absl::Now() + authorities_back_off_.AfterDeath(absl::ZeroDuration());
  if (authorities_failure_ != StatusMessage(made)) {
    authorities_failure_ = StatusMessage(made);
    Say(fmt::format("cad is ready, but without the LSC authority or the CAPF certificate: {}", made.message()));
  }
  return false;
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

std::string Site::LocalItld() const { return HostPort(LocalAddress(settings_.grpc_listen), ports_.itld_grpc); }

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
  // Prepared until it was ready once; later restarts must not wait for a database that is away.
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
  const std::string cad = HostPort(LocalAddress(settings_.grpc_listen), ports_.cad_grpc);
  absl::Status made = EnsureLscAuthority(cad, administrator, Say);
  if (made.ok()) {
    made = EnsureCapfDirectory(paths_, users_,
                               {.node = kLocalNode,
                                .host = HostName(),
                                .organization = site_settings_.organization,
                                .organizational_unit = site_settings_.organizational_unit},
                               LocalItld(), administrator, absl::Now(), Say);
  }
  if (!absl::IsPermissionDenied(made)) return made;
  // Others administer this site, and phones are served without it.
  Say(fmt::format("the LSC authority and the CAPF certificate are left to its administrators: {}", made.message()));
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

absl::Status Site::StartDaemon(Supervisor& supervisor, const Daemon& daemon) const {
  const std::string& name = daemon.name;
  Say(fmt::format("starting {}", name));
  RETURN_IF_ERROR(supervisor.Start({.name = name,
                                    .command = {.program = settings_.bin_dir + "/" + name,
                                                .arguments = {"--config", daemon.directory + "/" + name + ".toml"},
                                                .user = daemon.user},
                                    .log_path = paths_.log(name),
                                    .pid_path = paths_.pid(name),
                                    .is_important = IsImportantDaemonLine,
                                    .is_optional = daemon.is_optional,
                                    .prepare = daemon.prepare}));
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
