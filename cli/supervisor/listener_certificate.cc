#include "cli/supervisor/listener_certificate.h"

#include "cli/supervisor/identities.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/service_call.h"
#include "common/bytes/bytes.h"
#include "common/rpc/identity.h"
#include "common/status/status.h"
#include "common/x509/private_key.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {
namespace {

// One of this site's.
struct ListenerCertificate {
  std::string what;       // "CAPF certificate"
  std::string directory;  // where it will stand
  std::string name;       // of its files
  const std::optional<SystemUser>& owner;
  PhoneFacingKind kind;
  v1::CertificateRole role;
  bool is_listed;
};

// What a start that was ended left in `directory`, if it is complete and holds at `now`.
absl::StatusOr<Certificate> ReadLeftOver(const ListenerCertificate& form, const std::string& directory,
                                         absl::Time now) {
  const std::string path = directory + "/" + form.name;
  ASSIGN_OR_RETURN(const std::string pem, ReadSmallFile(path + ".crt"));
  ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromPem(pem));
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::ReadKeyFile(path + ".key", PassphraseFileIn(directory)));
  if (!key.MatchesCertificate(certificate) || certificate.not_after() <= now) {
    return DataLoss("{} holds no usable certificate", directory);
  }
  return certificate;
}

absl::StatusOr<Certificate> MakeIn(const ListenerCertificate& form, const std::string& directory,
                                   const PhoneFacingSubject& subject, absl::Time now) {
  RETURN_IF_ERROR(RemoveTree(directory));
  RETURN_IF_ERROR(EnsureDirectory(directory, 0700, form.owner));
  const ActAs scope(form.owner);
  RETURN_IF_ERROR(scope.status());
  ASSIGN_OR_RETURN(const SecretBytes passphrase, WriteNewPassphrase(directory));
  return WriteNewPhoneFacing(NewPhoneFacingProfile(form.kind, subject), directory, form.name, passphrase, now);
}

absl::StatusOr<Certificate> TakeUpOrMake(const ListenerCertificate& form, const std::string& directory,
                                         const PhoneFacingSubject& subject, absl::Time now) {
  const auto left_over = [&]() -> absl::StatusOr<Certificate> {
    const ActAs scope(form.owner);
    RETURN_IF_ERROR(scope.status());
    return ReadLeftOver(form, directory, now);
  }();
  if (left_over.ok()) return left_over;
  return MakeIn(form, directory, subject, now);
}

// A certificate that is trusted already stays as it is.
absl::Status Trust(const ListenerCertificate& form, const Certificate& certificate, const std::string& itld,
                   const IdentityFiles& administrator) {
  using Client = ServiceClient<v1::TrustStore>;
  ASSIGN_OR_RETURN(const Client client, Client::Open("itld", itld, administrator));
  grpc::ClientContext context;
  Client::SetDeadline(context);
  const auto stream = client.stub().Add(&context);
  v1::AddRequest options, batch;
  options.mutable_options()->set_cluster(std::string(kSystemCluster));
  options.mutable_options()->add_roles(form.role);
  options.mutable_options()->set_listed(form.is_listed);
  options.mutable_options()->set_expected_certificates(1);
  v1::AddRequest::Certificate& added = *batch.mutable_batch()->add_certificates();
  added.set_der(std::string(AsText(certificate.der())));
  added.set_source(fmt::format("the {} of this site", form.what));
  // A write that fails says why at the call's end.
  if (stream->Write(options) && stream->Write(batch)) stream->WritesDone();
  bool has_result = false;
  for (v1::AddResponse response; stream->Read(&response);) has_result = has_result || response.has_result();
  RETURN_IF_ERROR(client.End(stream->Finish()));
  if (!has_result) return Internal("itld at {} ended the import without a result: look at its log", itld);
  return absl::OkStatus();
}

absl::Status Ensure(const ListenerCertificate& form, const PhoneFacingSubject& subject, const std::string& itld,
                    const IdentityFiles& administrator, absl::Time now,
                    const std::function<void(std::string_view)>& progress) {
  if (FileExists(form.directory)) return absl::OkStatus();
  progress("making the " + form.what);
  const std::string unfinished = form.directory + ".new";
  ASSIGN_OR_RETURN(const Certificate certificate, TakeUpOrMake(form, unfinished, subject, now));
  RETURN_IF_ERROR(Trust(form, certificate, itld, administrator));
  return RenameDurably(unfinished, form.directory);
}

}  // namespace

absl::Status EnsureCapfDirectory(const DataPaths& paths, const SystemUsers& users, const PhoneFacingSubject& subject,
                                 const std::string& itld, const IdentityFiles& administrator, absl::Time now,
                                 const std::function<void(std::string_view)>& progress) {
  return Ensure({.what = "CAPF certificate",
                 .directory = paths.capfd(),
                 .name = "capf",
                 .owner = users.capfd,
                 .kind = PhoneFacingKind::kCapf,
                 .role = v1::CERTIFICATE_ROLE_CAPF,
                 .is_listed = true},
                subject, itld, administrator, now, progress);
}

absl::Status EnsureProvisiondDirectory(const DataPaths& paths, const SystemUsers& users,
                                       const PhoneFacingSubject& subject, const std::string& itld,
                                       const IdentityFiles& administrator, absl::Time now,
                                       const std::function<void(std::string_view)>& progress) {
  return Ensure({.what = "certificate of provisiond",
                 .directory = paths.provisiond(),
                 .name = "provisiond",
                 .owner = users.provisiond,
                 .kind = PhoneFacingKind::kHttps,
                 .role = v1::CERTIFICATE_ROLE_APP_SERVER,
                 .is_listed = false},
                subject, itld, administrator, now, progress);
}

}  // namespace trustline
