#include "itl/trust_store/trust_messages.h"

#include <string>

#include "common/bytes/bytes.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace trustline {
namespace {

v1::TrustEntry EntryToProto(const TrustEntry& entry) {
  v1::TrustEntry proto;
  if (entry.role) proto.set_role(ToProto(*entry.role));
  *proto.mutable_ttl() = ToProtoDuration(entry.ttl);
  proto.set_anchor(entry.anchor);
  proto.set_listed(entry.listed);
  proto.set_origin(entry.origin);
  proto.set_added_by(entry.added_by);
  *proto.mutable_added_at() = ToProtoTime(entry.added_at);
  if (entry.removed_at) *proto.mutable_removed_at() = ToProtoTime(*entry.removed_at);
  if (entry.removed_by) proto.set_removed_by(*entry.removed_by);
  return proto;
}

}  // namespace

v1::TrustedCertificate ToProto(const TrustedCertificate& certificate) {
  v1::TrustedCertificate proto;
  v1::CertificateSummary& summary = *proto.mutable_certificate();
  summary.set_sha256(std::string(AsText(certificate.sha256)));
  summary.set_subject(certificate.subject);
  summary.set_issuer(certificate.issuer);
  summary.set_serial(ToHex(AsBytes(certificate.serial)));
  *summary.mutable_not_before() = ToProtoTime(certificate.not_before);
  *summary.mutable_not_after() = ToProtoTime(certificate.not_after);
  summary.set_public_key(certificate.public_key);
  summary.set_is_ca(certificate.is_ca);
  for (const TrustEntry& entry : certificate.entries) *proto.add_entries() = EntryToProto(entry);
  return proto;
}

v1::Crl ToProto(const TrustedCrl& crl) {
  v1::Crl proto;
  proto.set_issuer(crl.issuer);
  proto.set_number(crl.number);
  *proto.mutable_this_update() = ToProtoTime(crl.this_update);
  if (crl.next_update) *proto.mutable_next_update() = ToProtoTime(*crl.next_update);
  proto.set_revoked(crl.revoked);
  proto.set_sha256(std::string(AsText(crl.sha256)));
  proto.set_added_by(crl.added_by);
  *proto.mutable_added_at() = ToProtoTime(crl.added_at);
  return proto;
}

absl::StatusOr<std::vector<CertificateRole>> RolesFromProto(const google::protobuf::RepeatedField<int>& roles) {
  std::vector<CertificateRole> result;
  for (const int number : roles) {
    const std::optional<CertificateRole> role = FromProto(static_cast<v1::CertificateRole>(number));
    if (!role) return InvalidArgument("there is no certificate role with the number {}", number);
    result.push_back(*role);
  }
  return result;
}

}  // namespace trustline
