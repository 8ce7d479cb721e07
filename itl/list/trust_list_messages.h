// Trust lists as the messages of proto/trust_list.proto.
#pragma once

#include "absl/status/statusor.h"
#include "itl/list/list_order.h"
#include "itl/list/list_store.h"
#include "proto/trust_list.pb.h"

namespace trustline {

v1::TrustListPolicy ToProto(const StoredPolicy& policy);
v1::TftpServer ToProto(const StoredServer& server);
v1::ListSigner ToProto(const StoredSigner& signer);
v1::Generation ToProto(const StoredList& list, const StoredGeneration& generation, bool is_current);
v1::TrustListInfo ToProto(const StoredList& list);
v1::PublishResponse ToProto(const PublishResult& result);

// InvalidArgument for a number that the format has no name for; empty when it was not given.
absl::StatusOr<std::optional<ListKind>> FromProto(v1::TrustListKind kind);
absl::StatusOr<std::optional<DigestAlgorithm>> FromProto(v1::ListDigest digest);
absl::StatusOr<std::optional<FileVersion>> FromProto(v1::SignerVersion version);
// CCM+TFTP or TFTP.
absl::StatusOr<std::optional<CertificateRole>> TftpRoleFromProto(v1::CertificateRole role);

}  // namespace trustline
