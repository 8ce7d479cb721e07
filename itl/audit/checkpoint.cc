#include "itl/audit/checkpoint.h"

#include <utility>

#include "common/bytes/bytes.h"
#include "common/bytes/writer.h"
#include "common/status/status.h"
#include "itl/audit/chain.h"

namespace trustline {
namespace {

constexpr std::string_view kPurpose = "audit checkpoint";

std::string SignedContent(const AuditCheckpoint& checkpoint) {
  ByteWriter writer(128 + checkpoint.made_by.size());
  AppendNumber(writer, checkpoint.seal.number);
  writer.Bytes(checkpoint.seal.hash);
  AppendNumber(writer, checkpoint.first_number);
  AppendNumber(writer, absl::ToUnixMicros(checkpoint.retired_before));
  AppendNumber(writer, absl::ToUnixMicros(checkpoint.at));
  AppendNumber(writer, checkpoint.removed_rows);
  writer.Bytes(AsBytes(checkpoint.made_by));
  return writer.Take();
}

absl::StatusOr<std::vector<AuditCheckpoint>> FromRows(const Result& rows) {
  std::vector<AuditCheckpoint> checkpoints;
  for (const Row row : rows) {
    AuditCheckpoint& checkpoint = checkpoints.emplace_back();
    RETURN_IF_ERROR(row.Scan(checkpoint.seal.number, checkpoint.seal.hash, checkpoint.first_number,
                             checkpoint.retired_before, checkpoint.at, checkpoint.removed_rows, checkpoint.made_by,
                             checkpoint.signature, checkpoint.signer));
  }
  return checkpoints;
}

}  // namespace

bool AuditCheckpoint::StandsFor(const Seal& other) const {
  return other.number < seal.number || (other.number == seal.number && other.hash == seal.hash);
}

absl::Status SignCheckpoint(const IdentityAuthority& authority, AuditCheckpoint& checkpoint) {
  ASSIGN_OR_RETURN(checkpoint.signature, authority.Sign(kPurpose, AsBytes(SignedContent(checkpoint))));
  checkpoint.signer = std::string(AsText(authority.certificate().der()));
  return absl::OkStatus();
}

absl::Status CheckCheckpoint(const AuditCheckpoint& checkpoint, const Certificate& authority) {
  if (checkpoint.signer != AsText(authority.der())) {
    return DataLoss("the audit checkpoint at number {} names another signer than this system's identity authority",
                    checkpoint.seal.number);
  }
  if (!CheckAuthoritySignature(authority, kPurpose, AsBytes(SignedContent(checkpoint)), AsBytes(checkpoint.signature))
           .ok()) {
    return DataLoss(
        "the audit checkpoint at number {} was forged or altered: the identity authority did not sign it so",
        checkpoint.seal.number);
  }
  return absl::OkStatus();
}

absl::Status InsertCheckpoint(Connection& connection, const AuditCheckpoint& checkpoint) {
  static constexpr Statement kInsert = {
      "audit_checkpoint_insert",
      "INSERT INTO audit_checkpoint (number, hash, first_number, retired_before, at, removed_rows, made_by, signature, "
      "signer) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"};
  return connection
      .Execute(kInsert, Parameters()
                            .Int64(checkpoint.seal.number)
                            .Bytes(checkpoint.seal.hash)
                            .Int64(checkpoint.first_number)
                            .Time(checkpoint.retired_before)
                            .Time(checkpoint.at)
                            .Int64(checkpoint.removed_rows)
                            .Text(checkpoint.made_by)
                            .Bytes(AsBytes(checkpoint.signature))
                            .Bytes(AsBytes(checkpoint.signer)))
      .status();
}

absl::StatusOr<std::vector<AuditCheckpoint>> ReadCheckpoints(Connection& connection) {
  static constexpr Statement kAll = {
      "audit_checkpoints",
      "SELECT number, hash, first_number, retired_before, at, removed_rows, made_by, signature, signer "
      "FROM audit_checkpoint ORDER BY number"};
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kAll));
  return FromRows(rows);
}

absl::StatusOr<std::optional<AuditCheckpoint>> NewestCheckpoint(Connection& connection) {
  static constexpr Statement kNewest = {
      "audit_newest_checkpoint",
      "SELECT number, hash, first_number, retired_before, at, removed_rows, made_by, signature, signer "
      "FROM audit_checkpoint ORDER BY number DESC LIMIT 1"};
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kNewest));
  ASSIGN_OR_RETURN(std::vector<AuditCheckpoint> checkpoints, FromRows(rows));
  if (checkpoints.empty()) return std::optional<AuditCheckpoint>();
  return std::optional(std::move(checkpoints.front()));
}

}  // namespace trustline
