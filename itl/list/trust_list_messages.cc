#include "itl/list/trust_list_messages.h"

#include "absl/strings/str_split.h"
#include "common/bytes/bytes.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace trustline {
namespace {

v1::TrustListKind ToProto(ListKind kind) {
  return kind == ListKind::kItl ? v1::TRUST_LIST_KIND_ITL : v1::TRUST_LIST_KIND_CTL;
}

v1::ListDigest ToProto(DigestAlgorithm digest) {
  return digest == DigestAlgorithm::kSha1 ? v1::LIST_DIGEST_SHA1 : v1::LIST_DIGEST_SHA512;
}

v1::SignerVersion ToProto(FileVersion version) {
  return version == kSignerVersionWithEc ? v1::SIGNER_VERSION_1_1 : v1::SIGNER_VERSION_1_0;
}

v1::CandidateState ToProto(CandidateState state) {
  switch (state) {
    case CandidateState::kApproval:
      return v1::CANDIDATE_STATE_WAITS_FOR_APPROVAL;
    case CandidateState::kNodes:
      return v1::CANDIDATE_STATE_WAITS_FOR_NODES;
    case CandidateState::kRefused:
      return v1::CANDIDATE_STATE_REFUSED;
  }
  return v1::CANDIDATE_STATE_UNSPECIFIED;
}

v1::PublishResponse::Outcome ToProto(ListOutcome outcome) {
  switch (outcome) {
    case ListOutcome::kUnchanged:
      return v1::PublishResponse::OUTCOME_UNCHANGED;
    case ListOutcome::kPublished:
      return v1::PublishResponse::OUTCOME_PUBLISHED;
    case ListOutcome::kWaits:
      return v1::PublishResponse::OUTCOME_WAITS;
    case ListOutcome::kRefused:
      return v1::PublishResponse::OUTCOME_REFUSED;
  }
  return v1::PublishResponse::OUTCOME_UNSPECIFIED;
}

std::string Bytes(ByteView bytes) { return std::string(AsText(bytes)); }

}  // namespace

v1::TrustListPolicy ToProto(const StoredPolicy& stored) {
  const ListPolicy& policy = stored.policy;
  v1::TrustListPolicy message;
  message.set_tftp_role(policy.tftp_role == CertificateRole::kTftp ? v1::CERTIFICATE_ROLE_TFTP
                                                                   : v1::CERTIFICATE_ROLE_CCM_TFTP);
  message.set_recovery_years(policy.recovery_years);
  message.set_digest(ToProto(policy.digest));
  message.set_signer_version(ToProto(policy.signer_version));
  message.set_vendor_names(policy.name_form == NameForm::kVendor);
  message.set_mixed_mode(policy.mixed_mode);
  message.set_blank(policy.blank);
  if (stored.blank_since) *message.mutable_blank_since() = ToProtoTime(*stored.blank_since);
  message.set_blank_by(stored.blank_by);
  message.set_organization(policy.organization);
  message.set_organizational_unit(policy.organizational_unit);
  return message;
}

v1::TftpServer ToProto(const StoredServer& server) {
  v1::TftpServer message;
  message.set_name(server.name);
  message.set_host(server.host);
  message.set_added_by(server.added_by);
  *message.mutable_added_at() = ToProtoTime(server.added_at);
  return message;
}

v1::ListSigner ToProto(const StoredSigner& signer) {
  v1::ListSigner message;
  message.set_tftp_server(signer.tftp_server);
  *message.mutable_certificate() = SummaryOf(signer.certificate);
  *message.mutable_created_at() = ToProtoTime(signer.created_at);
  message.set_reason(signer.reason);
  return message;
}

v1::Generation ToProto(const StoredList& list, const StoredGeneration& generation, bool is_current) {
  v1::Generation message;
  message.set_kind(ToProto(list.form.kind));
  message.set_tftp_server(list.form.tftp_server);
  message.set_device(list.form.device);
  message.set_number(generation.number);
  message.set_sha1(Bytes(generation.sha1));
  message.set_md5(Bytes(generation.md5));
  message.set_sha256(Bytes(generation.sha256));
  message.set_size(generation.size);
  message.set_records(generation.records);
  message.set_digest(ToProto(generation.digest));
  message.set_signer_version(ToProto(generation.signer_version));
  message.set_signer_sha256(Bytes(generation.signer_sha256));
  message.set_reason(generation.reason);
  message.set_published_by(generation.published_by);
  *message.mutable_published_at() = ToProtoTime(generation.published_at);
  message.set_is_current(is_current);
  return message;
}

v1::TrustListInfo ToProto(const StoredList& list) {
  v1::TrustListInfo message;
  message.set_kind(ToProto(list.form.kind));
  message.set_tftp_server(list.form.tftp_server);
  message.set_device(list.form.device);
  message.set_file_name(ListFileName(list.form.kind, list.form.device));
  message.set_local_signer(list.form.local_signer);
  if (list.current) *message.mutable_current() = ToProto(list, *list.current, true);
  if (list.candidate) {
    v1::Candidate& candidate = *message.mutable_candidate();
    candidate.set_state(ToProto(list.candidate->state));
    candidate.set_reason(list.candidate->reason);
    const std::vector<std::string> changes = absl::StrSplit(list.candidate->changes, '\n', absl::SkipEmpty());
    candidate.mutable_changes()->Add(changes.begin(), changes.end());
    *candidate.mutable_since() = ToProtoTime(list.candidate->since);
    candidate.set_content_sha256(Bytes(list.candidate->content_sha256));
  }
  return message;
}

v1::PublishResponse ToProto(const PublishResult& result) {
  v1::PublishResponse message;
  for (const PublishedList& list : result.lists) {
    v1::PublishResponse::List& one = *message.add_lists();
    *one.mutable_list() = ToProto(list.list);
    one.set_outcome(ToProto(list.outcome));
    // Of what was published the changes are told, but nothing waits.
    if (list.outcome == ListOutcome::kPublished) {
      one.mutable_changes()->Swap(one.mutable_list()->mutable_candidate()->mutable_changes());
      one.mutable_list()->clear_candidate();
    }
  }
  for (const std::string& warning : result.warnings) message.add_notices(warning);
  return message;
}

absl::StatusOr<std::optional<ListKind>> FromProto(v1::TrustListKind kind) {
  switch (kind) {
    case v1::TRUST_LIST_KIND_UNSPECIFIED:
      return std::nullopt;
    case v1::TRUST_LIST_KIND_ITL:
      return ListKind::kItl;
    case v1::TRUST_LIST_KIND_CTL:
      return ListKind::kCtl;
    default:
      return InvalidArgument("{} is no kind of trust list", static_cast<int>(kind));
  }
}

absl::StatusOr<std::optional<DigestAlgorithm>> FromProto(v1::ListDigest digest) {
  switch (digest) {
    case v1::LIST_DIGEST_UNSPECIFIED:
      return std::nullopt;
    case v1::LIST_DIGEST_SHA1:
      return DigestAlgorithm::kSha1;
    case v1::LIST_DIGEST_SHA512:
      return DigestAlgorithm::kSha512;
    default:
      return InvalidArgument("{} is no digest of trust lists", static_cast<int>(digest));
  }
}

absl::StatusOr<std::optional<FileVersion>> FromProto(v1::SignerVersion version) {
  switch (version) {
    case v1::SIGNER_VERSION_UNSPECIFIED:
      return std::nullopt;
    case v1::SIGNER_VERSION_1_0:
      return kSignerVersion;
    case v1::SIGNER_VERSION_1_1:
      return kSignerVersionWithEc;
    default:
      return InvalidArgument("{} is no signer version", static_cast<int>(version));
  }
}

absl::StatusOr<std::optional<CertificateRole>> TftpRoleFromProto(v1::CertificateRole role) {
  switch (role) {
    case v1::CERTIFICATE_ROLE_UNSPECIFIED:
      return std::nullopt;
    case v1::CERTIFICATE_ROLE_CCM_TFTP:
      return CertificateRole::kCcmTftp;
    case v1::CERTIFICATE_ROLE_TFTP:
      return CertificateRole::kTftp;
    default:
      return InvalidArgument("the role of TFTP servers in trust lists is CCM+TFTP or TFTP");
  }
}

}  // namespace trustline
