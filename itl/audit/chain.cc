#include "itl/audit/chain.h"

#include <string_view>

#include "common/bytes/bytes.h"

namespace trustline {

void AppendNumber(ByteWriter& writer, int64_t value) {
  const auto bits = static_cast<uint64_t>(value);
  writer.U32(static_cast<uint32_t>(bits >> 32)).U32(static_cast<uint32_t>(bits));
}

namespace {

void AppendNumberField(ByteWriter& writer, int64_t value) {
  writer.U32(8);
  AppendNumber(writer, value);
}

void AppendTextField(ByteWriter& writer, std::string_view text) {
  writer.U32(static_cast<uint32_t>(text.size())).Bytes(AsBytes(text));
}

}  // namespace

Sha256Digest ChainHash(const Sha256Digest& previous, int64_t number, const AuditRow& row) {
  ByteWriter writer(256 + row.actor.size() + row.action.size() + row.subject.size() + row.detail.size());
  writer.Bytes(previous);
  AppendNumber(writer, number);
  AppendNumberField(writer, row.event_id);
  AppendNumberField(writer, row.cluster_id);
  AppendNumberField(writer, absl::ToUnixMicros(row.at));
  AppendNumberField(writer, absl::ToUnixMicros(row.occurred_at));
  AppendTextField(writer, row.actor);
  AppendTextField(writer, row.action);
  AppendTextField(writer, row.subject);
  AppendTextField(writer, row.outcome);
  AppendTextField(writer, row.detail);
  return Sha256(AsBytes(writer.Take()));
}

}  // namespace trustline
