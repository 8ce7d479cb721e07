#include "cli/supervisor/capf_certificate.h"

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

// What a start that was ended left in `directory`, if it is complete and holds at `now`.
absl::StatusOr<Certificate> ReadLeftOver(const std::string& directory, absl::Time now) {
  ASSIGN_OR_RETURN(const std::string pem, ReadSmallFile(directory + "/capf.crt"));
  ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromPem(pem));
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::ReadKeyFile(directory + "/capf.key", PassphraseFileIn(directory)));
  if (!key.MatchesCertificate(certificate) || certificate.not_after() <= now) {
    return DataLoss("{} holds no usable certificate", directory);
  }
  return certificate;
}

absl::StatusOr<Certificate> MakeIn(const std::string& directory, const std::optional<SystemUser>& owner,
                                   const PhoneFacingSubject& subject, absl::Time now) {
  RETURN_IF_ERROR(RemoveTree(directory));
  RETURN_IF_ERROR(EnsureDirectory(directory, 0700, owner));
  const ActAs scope(owner);
  RETURN_IF_ERROR(scope.status());
  ASSIGN_OR_RETURN(const SecretBytes passphrase, WriteNewPassphrase(directory));
  return WriteNewPhoneFacing(NewPhoneFacingProfile(PhoneFacingKind::kCapf, subject), directory, "capf", passphrase,
                             now);
}

absl::StatusOr<Certificate> TakeUpOrMake(const std::string& directory, const std::optional<SystemUser>& owner,
                                         const PhoneFacingSubject& subject, absl::Time now) {
  const auto left_over = [&]() -> absl::StatusOr<Certificate> {
    const ActAs scope(owner);
    RETURN_IF_ERROR(scope.status());
    return ReadLeftOver(directory, now);
  }();
  if (left_over.ok()) return left_over;
  return MakeIn(directory, owner, subject, now);
}

// A certificate that is trusted already stays as it is.
absl::Status Trust(const Certificate& certificate, const std::string& itld, const IdentityFiles& administrator) {
  using Client = ServiceClient<v1::TrustStore>;
  ASSIGN_OR_RETURN(const Client client, Client::Open("itld", itld, administrator));
  grpc::ClientContext context;
  Client::SetDeadline(context);
  const auto stream = client.stub().Add(&context);
  v1::AddRequest options, batch;
  options.mutable_options()->set_cluster(std::string(kSystemCluster));
  options.mutable_options()->add_roles(v1::CERTIFICATE_ROLE_CAPF);
  options.mutable_options()->set_listed(true);
  options.mutable_options()->set_expected_certificates(1);
  v1::AddRequest::Certificate& added = *batch.mutable_batch()->add_certificates();
  added.set_der(std::string(AsText(certificate.der())));
  added.set_source("the CAPF certificate of this site");
  // A write that fails says why at the call's end.
  if (stream->Write(options) && stream->Write(batch)) stream->WritesDone();
  bool has_result = false;
  for (v1::AddResponse response; stream->Read(&response);) has_result = has_result || response.has_result();
  RETURN_IF_ERROR(client.End(stream->Finish()));
  if (!has_result) return Internal("itld at {} ended the import without a result: look at its log", itld);
  return absl::OkStatus();
}

}  // namespace

absl::Status EnsureCapfDirectory(const DataPaths& paths, const SystemUsers& users, const PhoneFacingSubject& subject,
                                 const std::string& itld, const IdentityFiles& administrator, absl::Time now,
                                 const std::function<void(std::string_view)>& progress) {
  if (FileExists(paths.capfd())) return absl::OkStatus();
  progress("making the CAPF certificate");
  const std::string unfinished = paths.capfd() + ".new";
  ASSIGN_OR_RETURN(const Certificate certificate, TakeUpOrMake(unfinished, users.capfd, subject, now));
  RETURN_IF_ERROR(Trust(certificate, itld, administrator));
  return RenameDurably(unfinished, paths.capfd());
}

}  // namespace trustline
