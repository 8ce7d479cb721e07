#include "itl/preflight/list_memory.h"

#include <optional>
#include <string>
#include <utility>

#include "common/status/status.h"
#include "itl/trust_list/phone_list.h"
#include "itl/trust_list/reader.h"

namespace trustline {
namespace {

constexpr size_t kMostLists = 20'000;

constexpr Statement kFiles = {"preflight_files",
                              "SELECT sha256, file FROM trust_list_generation WHERE cluster_id = $1 AND sha256 = "
                              "ANY($2)"};
constexpr Statement kAdopted = {"preflight_adopted_files",
                                "SELECT adopted_id::bigint, sha256, file FROM adopted_list WHERE cluster_id = $1 AND "
                                "adopted_id = ANY($2)"};

}  // namespace

absl::StatusOr<PhoneList> ReadPhoneList(ByteView file) {
  ASSIGN_OR_RETURN(const TrustList read, DecodeTrustList(file));
  const absl::StatusOr<Certificate> signer = VerifyTrustList(read);
  return ToPhoneList(read, signer.ok() ? std::optional(signer->sha256()) : std::nullopt);
}

PhoneList ToPhoneList(const ListContent& content) {
  PhoneList list{.signer = content.signer.sha256(),
                 .digest = content.form.digest,
                 .signer_version = content.form.signer_version.value_or(kSignerVersion),
                 .size = content.records.size(),
                 .largest_rsa_bits = 0};
  for (const ListRecord& record : content.listed) {
    list.records.push_back({.certificate = record.blank ? Sha256Digest{} : record.certificate.sha256(),
                            .role = record.role,
                            .blank = record.blank});
    if (!record.blank) CountKey(record.certificate, list);
  }
  return list;
}

SharedPhoneList ListMemory::Find(const Sha256Digest& file) {
  const std::lock_guard lock(mutex_);
  const auto found = lists_.find(file);
  return found == lists_.end() ? nullptr : found->second;
}

SharedPhoneList ListMemory::Keep(const Sha256Digest& file, ByteView content) {
  absl::StatusOr<PhoneList> list = ReadPhoneList(content);
  if (!list.ok()) return nullptr;
  const std::lock_guard lock(mutex_);
  if (lists_.size() >= kMostLists) lists_.clear();
  return lists_[file] = std::make_shared<const PhoneList>(*std::move(list));
}

absl::StatusOr<std::map<Sha256Digest, SharedPhoneList>> ListMemory::Generations(
    Connection& connection, int32_t cluster_id, const std::vector<Sha256Digest>& files) {
  std::map<Sha256Digest, SharedPhoneList> lists;
  std::vector<std::string> missing;
  for (const Sha256Digest& file : files) {
    if (lists.contains(file)) continue;
    lists[file] = Find(file);
    if (!lists[file]) missing.emplace_back(AsText(file));
  }
  if (!missing.empty()) {
    RETURN_IF_ERROR(connection.ForEachRow(kFiles, Parameters().Int64(cluster_id).BytesArray(missing),
                                          [&](const Row& row) -> absl::Status {
                                            Sha256Digest file;
                                            std::string content;
                                            RETURN_IF_ERROR(row.Scan(file, content));
                                            lists[file] = Keep(file, AsBytes(content));
                                            return absl::OkStatus();
                                          }));
  }
  std::erase_if(lists, [](const auto& entry) { return entry.second == nullptr; });
  return lists;
}

absl::StatusOr<std::map<int64_t, SharedPhoneList>> ListMemory::Adopted(Connection& connection, int32_t cluster_id,
                                                                       const std::vector<int64_t>& adopted_ids) {
  std::map<int64_t, SharedPhoneList> lists;
  if (adopted_ids.empty()) return lists;
  RETURN_IF_ERROR(connection.ForEachRow(kAdopted, Parameters().Int64(cluster_id).Int64Array(adopted_ids),
                                        [&](const Row& row) -> absl::Status {
                                          int64_t adopted_id = 0;
                                          Sha256Digest file;
                                          std::string content;
                                          RETURN_IF_ERROR(row.Scan(adopted_id, file, content));
                                          SharedPhoneList list = Find(file);
                                          if (!list) list = Keep(file, AsBytes(content));
                                          if (list) lists[adopted_id] = std::move(list);
                                          return absl::OkStatus();
                                        }));
  return lists;
}

}  // namespace trustline
