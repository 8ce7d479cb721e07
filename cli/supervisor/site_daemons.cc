// What each daemon of a site needs before it runs.
#include "absl/time/clock.h"
#include "cli/supervisor/daemon_files.h"
#include "cli/supervisor/first_trust_list.h"
#include "cli/supervisor/identities.h"
#include "cli/supervisor/listener_certificate.h"
#include "cli/supervisor/lsc_authority.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/server_names.h"
#include "cli/supervisor/site.h"
#include "common/status/status.h"

namespace trustline {

absl::Status Site::StartItld(Supervisor& supervisor) const {
  const std::string password_file = paths_.itld() + "/database.pgpass";
  RETURN_IF_ERROR(postgres_.SetPassword("trustline_itld", password_file, users_.itld));
  RETURN_IF_ERROR(WriteItldConfiguration(paths_, users_.itld, postgres_.RoleConnection("trustline_itld", password_file),
                                         settings_, ports_));
  return StartDaemon(
      supervisor,
      {.name = "itld", .directory = paths_.itld(), .user = users_.itld, .metrics_port = ports_.itld_metrics});
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
  if (made.ok()) {
    made = EnsureProvisiondDirectory(paths_, users_, subject, LocalItld(), administrator, absl::Now(), Say);
  }
  // After what it names.
  if (made.ok()) made = EnsureFirstTrustList(subject, site_settings_, LocalItld(), administrator, Say);
  if (made.ok()) made = EnsureServerNames(subject.node, MachineNames(subject.host), LocalItld(), administrator);
  if (!absl::IsPermissionDenied(made)) return made;
  // Others administer this site, and phones are served without it.
  Say(fmt::format(
      "LSC authority, certificates of CAPF and provisiond, and trust lists are left to its administrators: {}",
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

absl::Status Site::PrepareProvisiond() const {
  const std::string password_file = paths_.provisiond() + "/database.pgpass";
  RETURN_IF_ERROR(CompleteProvisiondDirectory(paths_, users_, absl::Now()));
  RETURN_IF_ERROR(CheckPrivateFiles(
      paths_.provisiond(), {"provisiond.key", "passphrase", "identity.key", "database.pgpass"}, users_.provisiond));
  RETURN_IF_ERROR(RenewDueProvisiondIdentity(paths_, users_, absl::Now()));
  RETURN_IF_ERROR(postgres_.SetPassword("trustline_provisiond", password_file, users_.provisiond));
  const std::string tvsd = HostPort(LocalAddress(settings_.grpc_listen), ports_.tvsd_grpc);
  return WriteProvisiondConfiguration(paths_, users_.provisiond,
                                      postgres_.RoleConnection("trustline_provisiond", password_file), LocalItld(),
                                      tvsd, settings_, ports_);
}

Site::Daemon Site::Capfd() const {
  return {.name = "capfd",
          .directory = paths_.capfd(),
          .user = users_.capfd,
          .metrics_port = ports_.capfd_metrics,
          .is_optional = !is_first_start_,
          .prepare = [this] { return capfd_.is_up ? absl::OkStatus() : PrepareCapfd(); }};
}

Site::Daemon Site::Provisiond() const {
  return {.name = "provisiond",
          .directory = paths_.provisiond(),
          .user = users_.provisiond,
          .metrics_port = ports_.provisiond_metrics,
          .is_optional = !is_first_start_,
          .prepare = [this] { return provisiond_.is_up ? absl::OkStatus() : PrepareProvisiond(); }};
}

absl::Status Site::StartOptional(Supervisor& supervisor, const Daemon& daemon, Progress& progress) const {
  // Without its certificate there is nothing to start.
  if (!FileExists(daemon.directory)) return absl::OkStatus();
  progress.is_launched = true;
  RETURN_IF_ERROR(StartDaemon(supervisor, daemon));
  progress.is_up = true;
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

}  // namespace trustline
