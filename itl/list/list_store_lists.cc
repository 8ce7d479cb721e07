// The lists, their generations and what waits.
#include <algorithm>
#include <utility>

#include "common/status/status.h"
#include "itl/list/list_store.h"

namespace trustline {
namespace {

#define GENERATION_COLUMNS                                                                               \
  "g.generation, g.sha1, g.md5, g.sha256, g.content_sha256, g.signer_sha256, length(g.file), g.digest, " \
  "g.signer_version, g.records, g.reason, g.published_by, g.published_at"
#define LIST_COLUMNS \
  "l.list_id, l.kind, l.tftp_server, l.device, l.digest, l.signer_version, l.local_signer, l.generation"

constexpr Statement kLists = {
    "trust_lists",
    "SELECT " LIST_COLUMNS ", " GENERATION_COLUMNS
    ", c.content_sha256, c.state, c.reason, c.changes, c.since, c.approved_by, c.approval_reason FROM trust_list l "
    "LEFT JOIN trust_list_generation g "
    "USING "
    "(cluster_id, list_id, generation) LEFT JOIN trust_list_candidate c ON c.cluster_id = l.cluster_id AND c.list_id = "
    "l.list_id WHERE l.cluster_id = $1 AND l.removed_at IS NULL AND ($2::text IS NULL OR l.kind = $2) AND ($3::text IS "
    "NULL OR l.tftp_server = $3) AND ($4::text IS NULL OR l.device = $4) ORDER BY l.kind DESC, l.tftp_server COLLATE "
    "\"C\", l.device COLLATE \"C\""};
constexpr Statement kPutList = {
    "trust_list_put",
    "INSERT INTO trust_list (cluster_id, kind, tftp_server, device, digest, signer_version, local_signer, added_by) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (cluster_id, kind, tftp_server, device) DO UPDATE SET digest "
    "= "
    "excluded.digest, signer_version = excluded.signer_version, local_signer = excluded.local_signer, removed_at = "
    "NULL"};
constexpr Statement kSetLocalSigner = {
    "trust_list_signer", "UPDATE trust_list SET local_signer = $3 WHERE cluster_id = $1 AND list_id = $2"};
constexpr Statement kRemoveDeviceList = {
    "trust_list_remove_device",
    "UPDATE trust_list SET removed_at = now() WHERE cluster_id = $1 AND kind = 'ITL' AND tftp_server = $2 AND device = "
    "$3 AND device <> '' AND removed_at IS NULL RETURNING list_id"};
constexpr Statement kAddGenerations = {
    "trust_list_generations_add",
    "INSERT INTO trust_list_generation (cluster_id, list_id, generation, file, sha1, md5, sha256, content_sha256, "
    "signer_sha256, digest, signer_version, records, reason, published_by, published_at) SELECT $1, n.list_id, "
    "n.generation, n.file, n.sha1, n.md5, n.sha256, n.content, n.signer, n.digest, n.version, n.records, n.reason, "
    "n.actor, $14 FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], "
    "$8::bytea[], $9::bytea[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $15::text[]) AS n(list_id, "
    "generation, file, sha1, md5, sha256, content, signer, digest, version, records, reason, actor)"};
constexpr Statement kPublishGenerations = {"trust_list_generations_publish",
                                           "UPDATE trust_list l SET generation = n.generation FROM "
                                           "unnest($2::bigint[], $3::bigint[]) AS n(list_id, generation) "
                                           "WHERE l.cluster_id = $1 AND l.list_id = n.list_id"};
constexpr Statement kPutCandidate = {
    "trust_list_candidate_put",
    "INSERT INTO trust_list_candidate AS c (cluster_id, list_id, content_sha256, state, reason, changes, since, "
    "approved_by, approval_reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (cluster_id, list_id) DO "
    "UPDATE SET content_sha256 = excluded.content_sha256, state = excluded.state, reason = excluded.reason, changes = "
    "excluded.changes, approved_by = excluded.approved_by, approval_reason = excluded.approval_reason, since = CASE "
    "WHEN c.content_sha256 = excluded.content_sha256 THEN c.since ELSE excluded.since END"};
constexpr Statement kHasCandidates = {"trust_list_has_candidates",
                                      "SELECT 1 FROM trust_list_candidate WHERE cluster_id = $1 LIMIT 1"};
constexpr Statement kDropCandidates = {"trust_list_candidates_drop",
                                       "DELETE FROM trust_list_candidate WHERE cluster_id = $1 AND list_id = ANY($2)"};
constexpr Statement kFile = {"trust_list_file",
                             "SELECT " GENERATION_COLUMNS
                             ", g.file FROM trust_list_generation g WHERE g.cluster_id = $1 AND g.list_id = $2 AND "
                             "g.generation = $3"};
constexpr Statement kCurrentFiles = {
    "trust_list_current_files",
    "SELECT g.list_id, g.file FROM trust_list l JOIN trust_list_generation g USING (cluster_id, list_id, generation) "
    "WHERE l.cluster_id = $1 AND l.list_id = ANY($2)"};
constexpr char kByHash[] =
    "SELECT " LIST_COLUMNS ", " GENERATION_COLUMNS
    ", g.file FROM trust_list_generation g JOIN trust_list l USING (cluster_id, list_id) WHERE g.cluster_id = $1 AND ";
constexpr Statement kHistory = {
    "trust_list_history",
    "SELECT " LIST_COLUMNS ", " GENERATION_COLUMNS
    " FROM trust_list l JOIN trust_list_generation g USING (cluster_id, list_id) WHERE l.cluster_id = $1 AND ($2::text "
    "IS NULL OR l.kind = $2) AND ($3::text IS NULL OR l.tftp_server = $3) AND ($4::text IS NULL OR l.device = $4) AND "
    "(l.list_id > $5 OR (l.list_id = $5 AND g.generation < $6)) ORDER BY l.list_id, g.generation DESC LIMIT $7"};

std::string_view StateName(CandidateState state) {
  switch (state) {
    case CandidateState::kApproval:
      return "approval";
    case CandidateState::kNodes:
      return "nodes";
    case CandidateState::kRefused:
      return "refused";
  }
  return "";
}

CandidateState StateFromName(std::string_view name) {
  for (const CandidateState state : {CandidateState::kApproval, CandidateState::kNodes}) {
    if (StateName(state) == name) return state;
  }
  return CandidateState::kRefused;
}

FileVersion VersionFromMinor(int64_t minor) { return minor == 1 ? kSignerVersionWithEc : kSignerVersion; }

// The columns of a row from one on, in the order of GENERATION_COLUMNS.
absl::StatusOr<StoredGeneration> ReadGeneration(const Row& row, int at) {
  StoredGeneration generation;
  ASSIGN_OR_RETURN(generation.number, row.Get<int64_t>(at));
  ASSIGN_OR_RETURN(generation.sha1, row.Get<Sha1Digest>(at + 1));
  ASSIGN_OR_RETURN(generation.md5, row.Get<Md5Digest>(at + 2));
  ASSIGN_OR_RETURN(generation.sha256, row.Get<Sha256Digest>(at + 3));
  ASSIGN_OR_RETURN(generation.content_sha256, row.Get<Sha256Digest>(at + 4));
  ASSIGN_OR_RETURN(generation.signer_sha256, row.Get<Sha256Digest>(at + 5));
  ASSIGN_OR_RETURN(generation.size, row.Get<int64_t>(at + 6));
  ASSIGN_OR_RETURN(const int digest, row.Get<int32_t>(at + 7));
  generation.digest = static_cast<DigestAlgorithm>(digest);
  ASSIGN_OR_RETURN(const int minor, row.Get<int32_t>(at + 8));
  generation.signer_version = VersionFromMinor(minor);
  ASSIGN_OR_RETURN(generation.records, row.Get<int32_t>(at + 9));
  ASSIGN_OR_RETURN(generation.reason, row.Get<std::string>(at + 10));
  ASSIGN_OR_RETURN(generation.published_by, row.Get<std::string>(at + 11));
  ASSIGN_OR_RETURN(generation.published_at, row.Get<absl::Time>(at + 12));
  return generation;
}

constexpr int kListColumns = 8;
constexpr int kGenerationColumns = 13;

// The number of the current generation comes with the list.
absl::StatusOr<std::pair<StoredList, int64_t>> ReadList(const Row& row) {
  StoredList list;
  ASSIGN_OR_RETURN(list.list_id, row.Get<int64_t>(0));
  ASSIGN_OR_RETURN(const std::string kind, row.Get<std::string>(1));
  list.form.kind = kind == "CTL" ? ListKind::kCtl : ListKind::kItl;
  ASSIGN_OR_RETURN(list.form.tftp_server, row.Get<std::string>(2));
  ASSIGN_OR_RETURN(list.form.device, row.Get<std::string>(3));
  ASSIGN_OR_RETURN(const std::optional<int32_t> digest, row.Get<std::optional<int32_t>>(4));
  if (digest) list.form.digest = static_cast<DigestAlgorithm>(*digest);
  ASSIGN_OR_RETURN(const std::optional<int32_t> minor, row.Get<std::optional<int32_t>>(5));
  if (minor) list.form.signer_version = VersionFromMinor(*minor);
  ASSIGN_OR_RETURN(list.form.local_signer, row.Get<bool>(6));
  ASSIGN_OR_RETURN(const int64_t generation, row.Get<int64_t>(7));
  return std::pair(std::move(list), generation);
}

std::optional<std::string> KindText(const std::optional<ListKind>& kind) {
  if (!kind) return std::nullopt;
  return std::string(ListKindName(*kind));
}

std::optional<int64_t> MinorOf(const std::optional<FileVersion>& version) {
  if (!version) return std::nullopt;
  return version->minor;
}

std::string Bytes(ByteView view) { return std::string(AsText(view)); }

}  // namespace

absl::StatusOr<std::vector<StoredList>> ListStore::Lists(const ListFilter& filter) {
  ASSIGN_OR_RETURN(
      const Result result,
      connection_.Execute(
          kLists,
          Parameters().Int64(cluster_id_).Text(KindText(filter.kind)).Text(filter.tftp_server).Text(filter.device)));
  std::vector<StoredList> lists;
  for (const Row row : result) {
    ASSIGN_OR_RETURN(auto read, ReadList(row));
    StoredList& list = lists.emplace_back(std::move(read.first));
    if (read.second > 0) {
      ASSIGN_OR_RETURN(list.current, ReadGeneration(row, kListColumns));
    }
    const int at = kListColumns + kGenerationColumns;
    ASSIGN_OR_RETURN(const std::optional<Sha256Digest> content, row.Get<std::optional<Sha256Digest>>(at));
    if (!content) continue;
    StoredCandidate& candidate = list.candidate.emplace();
    candidate.content_sha256 = *content;
    ASSIGN_OR_RETURN(const std::string state, row.Get<std::string>(at + 1));
    candidate.state = StateFromName(state);
    ASSIGN_OR_RETURN(candidate.reason, row.Get<std::string>(at + 2));
    ASSIGN_OR_RETURN(candidate.changes, row.Get<std::string>(at + 3));
    ASSIGN_OR_RETURN(candidate.since, row.Get<absl::Time>(at + 4));
    ASSIGN_OR_RETURN(candidate.approved_by, row.Get<std::optional<std::string>>(at + 5));
    ASSIGN_OR_RETURN(candidate.approval_reason, row.Get<std::optional<std::string>>(at + 6));
  }
  return lists;
}

absl::Status ListStore::PutList(const ListForm& form, std::string_view actor) {
  std::optional<int64_t> digest;
  if (form.digest) digest = static_cast<int64_t>(*form.digest);
  return connection_
      .Execute(kPutList, Parameters()
                             .Int64(cluster_id_)
                             .Text(ListKindName(form.kind))
                             .Text(form.tftp_server)
                             .Text(form.device)
                             .Int64(digest)
                             .Int64(MinorOf(form.signer_version))
                             .Bool(form.local_signer)
                             .Text(actor))
      .status();
}

absl::Status ListStore::SetLocalSigner(int64_t list_id, bool local_signer) {
  return connection_.Execute(kSetLocalSigner, Parameters().Int64(cluster_id_).Int64(list_id).Bool(local_signer))
      .status();
}

absl::StatusOr<bool> ListStore::RemoveDeviceList(std::string_view tftp_server, std::string_view device) {
  ASSIGN_OR_RETURN(
      const Result removed,
      connection_.Execute(kRemoveDeviceList, Parameters().Int64(cluster_id_).Text(tftp_server).Text(device)));
  if (removed.empty()) return false;
  ASSIGN_OR_RETURN(const int64_t list_id, removed.Value<int64_t>());
  RETURN_IF_ERROR(DropCandidates({list_id}));
  return true;
}

absl::Status ListStore::AddGenerations(const std::vector<NewGeneration>& generations, absl::Time now) {
  if (generations.empty()) return absl::OkStatus();
  std::vector<int64_t> lists, numbers, digests, versions, records;
  std::vector<std::string> files, sha1s, md5s, sha256s, contents, signers, reasons, actors;
  for (const NewGeneration& one : generations) {
    lists.push_back(one.list_id);
    numbers.push_back(one.record.number);
    files.push_back(one.file);
    sha1s.push_back(Bytes(one.record.sha1));
    md5s.push_back(Bytes(one.record.md5));
    sha256s.push_back(Bytes(one.record.sha256));
    contents.push_back(Bytes(one.record.content_sha256));
    signers.push_back(Bytes(one.record.signer_sha256));
    digests.push_back(static_cast<int64_t>(one.record.digest));
    versions.push_back(one.record.signer_version.minor);
    records.push_back(one.record.records);
    reasons.push_back(one.record.reason);
    actors.push_back(one.record.published_by);
  }
  RETURN_IF_ERROR(connection_
                      .Execute(kAddGenerations, Parameters()
                                                    .Int64(cluster_id_)
                                                    .Int64Array(lists)
                                                    .Int64Array(numbers)
                                                    .BytesArray(files)
                                                    .BytesArray(sha1s)
                                                    .BytesArray(md5s)
                                                    .BytesArray(sha256s)
                                                    .BytesArray(contents)
                                                    .BytesArray(signers)
                                                    .Int64Array(digests)
                                                    .Int64Array(versions)
                                                    .Int64Array(records)
                                                    .TextArray(reasons)
                                                    .Time(now)
                                                    .TextArray(actors))
                      .status());
  RETURN_IF_ERROR(
      connection_.Execute(kPublishGenerations, Parameters().Int64(cluster_id_).Int64Array(lists).Int64Array(numbers))
          .status());
  return DropCandidates(lists);
}

absl::Status ListStore::PutCandidate(int64_t list_id, const StoredCandidate& candidate, absl::Time now) {
  return connection_
      .Execute(kPutCandidate, Parameters()
                                  .Int64(cluster_id_)
                                  .Int64(list_id)
                                  .Bytes(candidate.content_sha256)
                                  .Text(StateName(candidate.state))
                                  .Text(candidate.reason)
                                  .Text(candidate.changes)
                                  .Time(now)
                                  .Text(candidate.approved_by)
                                  .Text(candidate.approval_reason))
      .status();
}

absl::Status ListStore::DropCandidates(const std::vector<int64_t>& list_ids) {
  if (list_ids.empty()) return absl::OkStatus();
  return connection_.Execute(kDropCandidates, Parameters().Int64(cluster_id_).Int64Array(list_ids)).status();
}

absl::StatusOr<bool> ListStore::HasCandidates() {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kHasCandidates, Parameters().Int64(cluster_id_)));
  return !result.empty();
}

absl::StatusOr<std::map<int64_t, std::string>> ListStore::CurrentFiles(const std::vector<int64_t>& list_ids) {
  std::map<int64_t, std::string> files;
  if (list_ids.empty()) return files;
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kCurrentFiles, Parameters().Int64(cluster_id_).Int64Array(list_ids)));
  for (const Row row : result) {
    int64_t list_id = 0;
    std::string file;
    RETURN_IF_ERROR(row.Scan(list_id, file));
    files.emplace(list_id, std::move(file));
  }
  return files;
}

absl::StatusOr<ListStore::Found> ListStore::FindGeneration(const StoredList& list, int64_t number) {
  const int64_t wanted = number != 0 ? number : list.current ? list.current->number : 0;
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kFile, Parameters().Int64(cluster_id_).Int64(list.list_id).Int64(wanted)));
  for (const Row row : result) {
    Found found = {.list = list, .generation = {}, .file = ""};
    ASSIGN_OR_RETURN(found.generation, ReadGeneration(row, 0));
    ASSIGN_OR_RETURN(found.file, row.Get<std::string>(kGenerationColumns));
    return found;
  }
  if (number == 0) return NotFound("nothing is published yet: `trustctl itl list` says what it waits for");
  return NotFound("there is no generation {}: `trustctl itl history` shows them", number);
}

absl::StatusOr<ListStore::Found> ListStore::FindByHash(ByteView hash) {
  static constexpr char kTail[] = " ORDER BY g.published_at DESC LIMIT 1";
  static const std::string kSha1 = std::string(kByHash) + "g.sha1 = $2" + kTail;
  static const std::string kMd5 = std::string(kByHash) + "g.md5 = $2" + kTail;
  static const std::string kSha256 = std::string(kByHash) + "g.sha256 = $2" + kTail;
  static const Statement kBySha1 = {"trust_list_by_sha1", kSha1.c_str()};
  static const Statement kByMd5 = {"trust_list_by_md5", kMd5.c_str()};
  static const Statement kBySha256 = {"trust_list_by_sha256", kSha256.c_str()};
  const Statement* statement = hash.size() == sizeof(Sha1Digest)     ? &kBySha1
                               : hash.size() == sizeof(Md5Digest)    ? &kByMd5
                               : hash.size() == sizeof(Sha256Digest) ? &kBySha256
                                                                     : nullptr;
  if (statement == nullptr) {
    return InvalidArgument("a hash of a trust list is a SHA-1 (40 hexadecimal digits), MD5 (32) or SHA-256 (64)");
  }
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(*statement, Parameters().Int64(cluster_id_).Bytes(hash)));
  for (const Row row : result) {
    ASSIGN_OR_RETURN(auto read, ReadList(row));
    Found found = {.list = std::move(read.first), .generation = {}, .file = ""};
    ASSIGN_OR_RETURN(found.generation, ReadGeneration(row, kListColumns));
    if (read.second == found.generation.number) found.list.current = found.generation;
    ASSIGN_OR_RETURN(found.file, row.Get<std::string>(kListColumns + kGenerationColumns));
    return found;
  }
  return NotFound("no trust list of this cluster ever had the hash {}: it is another system's, or was altered",
                  ToHex(hash));
}

absl::StatusOr<std::vector<ListStore::Past>> ListStore::History(const ListFilter& filter, Position after,
                                                                int64_t limit) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kHistory, Parameters()
                                                                          .Int64(cluster_id_)
                                                                          .Text(KindText(filter.kind))
                                                                          .Text(filter.tftp_server)
                                                                          .Text(filter.device)
                                                                          .Int64(after.list_id)
                                                                          .Int64(after.number)
                                                                          .Int64(limit)));
  std::vector<Past> generations;
  for (const Row row : result) {
    ASSIGN_OR_RETURN(auto read, ReadList(row));
    ASSIGN_OR_RETURN(StoredGeneration generation, ReadGeneration(row, kListColumns));
    const bool is_current = read.second == generation.number;
    generations.push_back({std::move(read.first), std::move(generation), is_current});
  }
  return generations;
}

}  // namespace trustline
