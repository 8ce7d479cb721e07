#include "itl/list/list_run.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/bytes/bytes.h"
#include "common/service/audit.h"
#include "common/service/fail_point.h"
#include "common/status/status.h"
#include "itl/list/phone_reading.h"
#include "itl/trust_list/difference.h"

namespace trustline {
namespace {

constexpr size_t kNamedInAudit = 20;
constexpr size_t kSigningThreads = 2;
constexpr size_t kShownDigits = 16;

// What a list may get without anybody looking at it: nothing that a phone has now is taken away.
bool PublishesByItself(ListDifference::Kind kind) {
  return kind == ListDifference::Kind::kAdded || kind == ListDifference::Kind::kRenewed ||
         kind == ListDifference::Kind::kOrder;
}

// The bytes that will be published say what was meant, as a reader that shares nothing with their writer sees them.
absl::Status CheckReadBack(const TrustList& read, const ListContent& content) {
  ASSIGN_OR_RETURN(const Certificate signer, VerifyTrustList(read));
  if (!(signer == content.signer)) return Internal("the list reads as signed by {}", signer.subject().ToText());
  if (read.records.size() != content.listed.size()) {
    return Internal("the list reads as {} records instead of {}", read.records.size(), content.listed.size());
  }
  for (size_t i = 0; i < read.records.size(); ++i) {
    const TrustListRecord& record = read.records[i];
    const ListRecord& meant = content.listed[i];
    const bool same = record.role() == meant.role && record.IsBlank() == meant.blank &&
                      (meant.blank || record.certificate == meant.certificate);
    if (!same)
      return Internal("record {} of the list does not read as {}", i + 1, meant.certificate.subject().ToText());
  }
  return absl::OkStatus();
}

// The group of commands that is about it.
std::string_view ProgramText(const ListForm& form) { return form.kind == ListKind::kItl ? "itl" : "ctl"; }

}  // namespace

std::string ListText(const ListForm& form) {
  if (form.kind == ListKind::kCtl) return "CTL";
  return form.device.empty() ? fmt::format("ITL of {}", form.tftp_server)
                             : fmt::format("ITL of {} for {}", form.tftp_server, form.device);
}

ListRun::ListRun(Connection& transaction, int32_t cluster_id, KeyFolder& keys, const VouchedSigners& vouched,
                 const PublishOrder& order, absl::Time now)
    : connection_(transaction),
      cluster_id_(cluster_id),
      store_(transaction, cluster_id),
      ctl_signers_(store_),
      keys_(keys),
      vouched_(vouched),
      order_(order),
      now_(now) {}

absl::Status ListRun::LoadMaterial(const ListPolicy& policy) {
  ASSIGN_OR_RETURN(signers_, store_.Signers());
  for (const StoredSigner& signer : signers_) key_names_[signer.certificate.sha256()] = signer.key_name;
  reading_ = PhoneReading(connection_, cluster_id_).CheckAll(policy.digest, policy.signer_version);
  // Only that they cannot read is about the lists.
  return absl::IsFailedPrecondition(reading_) ? absl::OkStatus() : reading_;
}

absl::StatusOr<PublishResult> ListRun::Publish(const ListPolicy& policy) {
  RETURN_IF_ERROR(LoadMaterial(policy));
  ASSIGN_OR_RETURN(ListMaterial material, store_.Material(policy, signers_));
  const ListComposer composer(std::move(material));

  // 1. What differs from what is published.
  PublishResult result;
  ASSIGN_OR_RETURN(std::vector<Prepared> changed, ComposeChanged(composer, result));

  // 2. The new files.
  std::vector<int64_t> list_ids;
  for (const Prepared& prepared : changed) {
    if (prepared.list.current) list_ids.push_back(prepared.list.list_id);
  }
  ASSIGN_OR_RETURN(const auto before, store_.CurrentFiles(list_ids));
  RETURN_IF_ERROR(LoadKnown(changed));
  SignAll(changed, before);
  RETURN_IF_ERROR(HoldFirstLists(composer, changed));
  FailPoint("signed");

  // 3. What becomes of each. The CTL first, as phones take it.
  std::stable_partition(changed.begin(), changed.end(),
                        [](const Prepared& prepared) { return prepared.list.form.kind == ListKind::kCtl; });
  ASSIGN_OR_RETURN(left_behind_, FindLeftBehind(changed));
  std::vector<NewGeneration> publish;
  for (Prepared& prepared : changed) RETURN_IF_ERROR(Decide(prepared, result, publish));
  RETURN_IF_ERROR(Store(publish, result));
  return result;
}

absl::Status ListRun::CheckNothingWaits(const ListPolicy& policy) {
  RETURN_IF_ERROR(LoadMaterial(policy));
  ASSIGN_OR_RETURN(ListMaterial material, store_.Material(policy, signers_));
  ASSIGN_OR_RETURN(const std::optional<StoredList> waiting, FindWaiting(ListComposer(std::move(material))));
  if (!waiting) return absl::OkStatus();
  const bool is_approved = waiting->candidate && waiting->candidate->approved_by;
  return FailedPrecondition(
      "the {0} has changes that {2}, and this would bring them along: publish them first (`trustctl {1} list`, "
      "`trustctl {1} publish`) or take them back",
      ListText(waiting->form), ProgramText(waiting->form),
      is_approved ? "are approved, but not published yet" : "nobody has approved");
}

absl::StatusOr<std::optional<StoredList>> ListRun::FindWaiting(const ListComposer& composer) {
  ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store_.Lists({}));
  std::vector<Prepared> changed;
  std::vector<int64_t> list_ids;
  for (const StoredList& list : lists) {
    if (!list.current) continue;
    absl::StatusOr<ListContent> content = composer.Compose(list.form);
    if (!content.ok()) return list;
    if (content->digest == list.current->content_sha256) continue;
    list_ids.push_back(list.list_id);
    changed.push_back(
        {.list = list, .content = *std::move(content), .file = "", .refusal = {}, .changes = {}, .warnings = {}});
  }
  ASSIGN_OR_RETURN(const auto before, store_.CurrentFiles(list_ids));
  SignAll(changed, before);
  for (Prepared& prepared : changed) {
    if (prepared.refusal.ok() && !prepared.needs_approval) continue;
    StoredList& waiting = prepared.list;
    // What somebody approved is not what it would say now.
    if (waiting.candidate && waiting.candidate->content_sha256 != prepared.content.digest) waiting.candidate.reset();
    return std::move(waiting);
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<ListRun::Prepared>> ListRun::ComposeChanged(const ListComposer& composer,
                                                                       PublishResult& result) {
  ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store_.Lists(order_.filter));
  std::vector<Prepared> changed;
  std::vector<int64_t> settled;
  for (const StoredList& list : lists) {
    absl::StatusOr<ListContent> composed = composer.Compose(list.form);
    if (!composed.ok()) {
      RETURN_IF_ERROR(KeepUnmade(list, composed.status(), result));
      continue;
    }
    ListContent content = *std::move(composed);
    if (list.current && list.current->content_sha256 == content.digest) {
      if (list.candidate) settled.push_back(list.list_id);
      PublishedList& unchanged = result.lists.emplace_back(PublishedList{list, ListOutcome::kUnchanged});
      unchanged.list.candidate.reset();
      continue;
    }
    ASSIGN_OR_RETURN(absl::Status refusal, CheckDeviceReads(list.form, content));
    changed.push_back({.list = list,
                       .content = std::move(content),
                       .file = "",
                       .refusal = std::move(refusal),
                       .changes = {},
                       .warnings = {}});
  }
  RETURN_IF_ERROR(store_.DropCandidates(settled));
  return changed;
}

absl::StatusOr<absl::Status> ListRun::CheckDeviceReads(const ListForm& form, const ListContent& content) {
  const bool wants_sha512 = content.form.digest == DigestAlgorithm::kSha512;
  const bool wants_version = content.form.signer_version == kSignerVersionWithEc;
  if (form.device.empty() || (!wants_sha512 && !wants_version)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const PhoneReads able, PhoneReading(connection_, cluster_id_).Of(form.device));
  if ((able.sha512 || !wants_sha512) && (able.version_1_1 || !wants_version)) return absl::OkStatus();
  return FailedPrecondition(
      "{0} is not recorded to read its own list any more: `trustctl itl able --device {0}` says what it reads, "
      "`trustctl "
      "itl device remove {0}` gives it that of all phones",
      form.device);
}

absl::Status ListRun::LoadKnown(const std::vector<Prepared>& all) {
  const bool has_ended = std::any_of(all.begin(), all.end(), [&](const Prepared& prepared) {
    return std::any_of(prepared.content.listed.begin(), prepared.content.listed.end(),
                       [&](const ListRecord& record) { return record.certificate.not_after() < now_; });
  });
  if (!has_ended) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store_.Lists({}));
  std::vector<int64_t> list_ids;
  for (const StoredList& list : lists) list_ids.push_back(list.list_id);
  ASSIGN_OR_RETURN(const auto files, store_.CurrentFiles(list_ids));
  for (const auto& [list_id, file] : files) {
    ASSIGN_OR_RETURN(const TrustList list, DecodeTrustList(AsBytes(file)));
    for (const TrustListRecord& record : list.records) {
      if (record.certificate) known_.push_back(record.certificate->sha256());
    }
  }
  return absl::OkStatus();
}

absl::Status ListRun::HoldFirstLists(const ListComposer& composer, std::vector<Prepared>& all) {
  const bool has_first =
      std::any_of(all.begin(), all.end(), [](const Prepared& prepared) { return !prepared.list.current; });
  if (!has_first) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<StoredList> waiting, FindWaiting(composer));
  if (!waiting) return absl::OkStatus();
  for (Prepared& prepared : all) {
    if (prepared.list.current) continue;
    prepared.needs_approval = true;
    prepared.held_by =
        fmt::format("in the {} (`trustctl {} list`)", ListText(waiting->form), ProgramText(waiting->form));
  }
  return absl::OkStatus();
}

absl::StatusOr<KeyFolder::Key> ListRun::KeyOf(const Certificate& signer) {
  const auto key_name = key_names_.find(signer.sha256());
  if (key_name == key_names_.end()) return Internal("{} is no signer", signer.subject().ToText());
  return keys_.Find(key_name->second);
}

absl::Status ListRun::Sign(Prepared& prepared, const std::string* before) {
  ListContent& content = prepared.content;
  if (prepared.list.form.device.empty()) RETURN_IF_ERROR(reading_);
  ASSIGN_OR_RETURN(const KeyFolder::Key key, KeyOf(content.signer));
  content.form.timestamp = now_;
  ASSIGN_OR_RETURN(prepared.file, WriteTrustList(content.records, content.form, content.signer, *key));

  ASSIGN_OR_RETURN(const TrustList read, DecodeTrustList(AsBytes(prepared.file)));
  RETURN_IF_ERROR(CheckReadBack(read, content));
  std::vector<Sha256Digest> known = known_;
  if (before == nullptr) {
    for (const ListRecord& record : content.listed) {
      prepared.changes.push_back(fmt::format("added: {} {} {}", CertificateRoleName(record.role),
                                             record.certificate.subject().ToText(),
                                             ToHex(record.certificate.sha256()).substr(0, kShownDigits)));
    }
  } else {
    ASSIGN_OR_RETURN(const TrustList old, DecodeTrustList(AsBytes(*before)));
    for (const TrustListRecord& record : old.records) {
      if (record.certificate) known.push_back(record.certificate->sha256());
      if (!record.IsBlank()) continue;
      // It does not say whose it was, and what ended while it was blank must not keep it so.
      for (const ListRecord& listed : content.listed) {
        if (listed.role == record.role()) known.push_back(listed.certificate.sha256());
      }
    }
    for (const ListDifference& difference : DifferencesOf(old, read)) {
      prepared.changes.push_back(DifferenceText(difference));
      prepared.needs_approval = prepared.needs_approval || !PublishesByItself(difference.kind);
      prepared.signer_changes = prepared.signer_changes || difference.kind == ListDifference::Kind::kSigner;
    }
    prepared.phones_know_signer =
        std::any_of(old.records.begin(), old.records.end(), [&](const TrustListRecord& record) {
          return record.role() == CertificateRole::kSast && record.certificate == content.signer;
        });
  }
  return CheckListContent(content, prepared.file.size(), known, now_, prepared.warnings);
}

void ListRun::SignAll(std::vector<Prepared>& all, const std::map<int64_t, std::string>& before) {
  const auto work = [&](size_t first) {
    for (size_t i = first; i < all.size(); i += kSigningThreads) {
      if (!all[i].refusal.ok()) continue;
      const auto old = before.find(all[i].list.list_id);
      all[i].refusal = Sign(all[i], old == before.end() ? nullptr : &old->second);
    }
  };
  if (all.size() < kSigningThreads) return work(0);
  std::vector<std::thread> threads;
  for (size_t first = 1; first < kSigningThreads; ++first) threads.emplace_back(work, first);
  work(0);
  for (std::thread& thread : threads) thread.join();
}

absl::Status ListRun::Decide(Prepared& prepared, PublishResult& result, std::vector<NewGeneration>& publish) {
  for (std::string& warning : prepared.warnings) {
    if (std::find(result.warnings.begin(), result.warnings.end(), warning) == result.warnings.end()) {
      result.warnings.push_back(std::move(warning));
    }
  }
  if (!prepared.refusal.ok()) {
    return KeepCandidate(prepared, CandidateState::kRefused, std::string(StatusMessage(prepared.refusal)), result);
  }
  const bool is_ctl = prepared.list.form.kind == ListKind::kCtl;
  ASSIGN_OR_RETURN(const bool ctl_knows, is_ctl || !prepared.signer_changes
                                             ? absl::StatusOr<bool>(true)
                                             : ctl_signers_.Knows(prepared.content.signer));
  if (prepared.needs_approval && !IsOrWasApproved(prepared)) {
    return KeepCandidate(prepared, CandidateState::kApproval, ApprovalReason(prepared, ctl_knows), result);
  }
  // Phones that are new take the CTL first, and look for the ITL's signer there: both in one transaction.
  if (!ctl_knows) {
    return KeepCandidate(prepared, CandidateState::kApproval,
                         "it is approved, and follows together with the CTL, which does not have its signer yet "
                         "(`trustctl ctl list`, `trustctl ctl publish`)",
                         result);
  }
  if (is_ctl && prepared.signer_changes && !left_behind_.empty()) {
    return KeepCandidate(prepared, CandidateState::kApproval,
                         fmt::format("it is approved, and follows together with the {}, which another one signs still "
                                     "(`trustctl itl list`, `trustctl itl publish`)",
                                     left_behind_),
                         result);
  }
  if (!order_.hold.empty()) return KeepCandidate(prepared, CandidateState::kApproval, order_.hold, result);
  const auto vouched = vouched_.find(prepared.content.signer.sha256());
  if (vouched == vouched_.end()) {
    return KeepCandidate(prepared, CandidateState::kNodes, "the TVS nodes have not been asked about its signer yet",
                         result);
  }
  if (!vouched->second.ok()) {
    return KeepCandidate(prepared, CandidateState::kNodes,
                         fmt::format("{}; `--without-node NODE` leaves one out once", StatusMessage(vouched->second)),
                         result);
  }
  AddGeneration(prepared, publish);
  if (is_ctl) ctl_signers_.Publish(prepared.content);
  PublishedList& published = result.lists.emplace_back(PublishedList{prepared.list, ListOutcome::kPublished});
  published.list.current = publish.back().record;
  // So that it can be said what was published.
  published.list.candidate = StoredCandidate{.changes = absl::StrJoin(prepared.changes, "\n")};
  return absl::OkStatus();
}

bool ListRun::IsApproved(const Prepared& prepared) const {
  if (!order_.approved || !order_.approves.Chooses(prepared.list.form)) return false;
  const std::vector<Sha256Digest>& seen = order_.approved_contents;
  return seen.empty() || std::find(seen.begin(), seen.end(), prepared.content.digest) != seen.end();
}

bool ListRun::IsOrWasApproved(const Prepared& prepared) const {
  const std::optional<StoredCandidate>& waiting = prepared.list.candidate;
  return IsApproved(prepared) ||
         (waiting && waiting->approved_by && waiting->content_sha256 == prepared.content.digest);
}

absl::StatusOr<std::string> ListRun::FindLeftBehind(const std::vector<Prepared>& changed) {
  const auto ctl = std::find_if(changed.begin(), changed.end(), [](const Prepared& prepared) {
    return prepared.list.form.kind == ListKind::kCtl && prepared.signer_changes;
  });
  if (ctl == changed.end()) return std::string();
  ASSIGN_OR_RETURN(const std::vector<StoredList> itls, store_.Lists({.kind = ListKind::kItl}));
  for (const StoredList& itl : itls) {
    // One that the server's own key signs is a rescue, whose order has said what that means.
    if (!itl.current || itl.form.local_signer || itl.current->signer_sha256 == ctl->content.signer.sha256()) continue;
    const auto follows = std::find_if(changed.begin(), changed.end(), [&](const Prepared& prepared) {
      return prepared.list.list_id == itl.list_id && prepared.refusal.ok() && IsOrWasApproved(prepared);
    });
    if (follows == changed.end()) return ListText(itl.form);
  }
  return std::string();
}

std::string ListRun::ApprovalReason(const Prepared& prepared, bool ctl_knows_signer) {
  const std::string_view program = ProgramText(prepared.list.form);
  if (!prepared.held_by.empty()) {
    return fmt::format("it is new, but would say what waits for approval {}: it follows when that is published",
                       prepared.held_by);
  }
  if (!prepared.signer_changes) {
    return fmt::format("more than additions and renewals: look at the changes, then `trustctl {} publish`", program);
  }
  return fmt::format(
      "its signer changes, to one that {}: look at the changes, then {}`trustctl {} publish`",
      prepared.phones_know_signer
          ? "is a SAST of the present list, so that phones accept it"
          : "the present list does not have as SAST, so that phones have to ask a TVS about it; one that reaches none "
            "refuses this list and everything after it",
      ctl_knows_signer ? "" : "`trustctl ctl publish` (new phones take the CTL first: both go out together) and ",
      program);
}

absl::Status ListRun::KeepUnmade(const StoredList& list, const absl::Status& reason, PublishResult& result) {
  const std::string text(StatusMessage(reason));
  if (order_.must_publish) {
    return FailedPrecondition("nothing was changed, because the {} cannot be made: {}", ListText(list.form), text);
  }
  // There is no content; the reason tells one from another.
  StoredCandidate candidate = {.content_sha256 = Sha256(AsBytes(text)),
                               .state = CandidateState::kRefused,
                               .reason = text,
                               .changes = "",
                               .since = now_};
  RETURN_IF_ERROR(store_.PutCandidate(list.list_id, candidate, now_));
  PublishedList& kept = result.lists.emplace_back(PublishedList{list, ListOutcome::kRefused});
  kept.is_news = !list.candidate || list.candidate->content_sha256 != candidate.content_sha256;
  kept.list.candidate = std::move(candidate);
  return absl::OkStatus();
}

absl::Status ListRun::KeepCandidate(const Prepared& prepared, CandidateState state, const std::string& reason,
                                    PublishResult& result) {
  if (order_.must_publish) {
    return FailedPrecondition("nothing was changed, because the {} cannot be published: {}",
                              ListText(prepared.list.form), reason);
  }
  const std::optional<StoredCandidate>& before = prepared.list.candidate;
  const bool same_content = before && before->content_sha256 == prepared.content.digest;
  StoredCandidate candidate = {.content_sha256 = prepared.content.digest,
                               .state = state,
                               .reason = reason,
                               .changes = absl::StrJoin(prepared.changes, "\n"),
                               .since = same_content ? before->since : now_};
  if (state != CandidateState::kRefused && IsApproved(prepared)) {
    candidate.approved_by = order_.actor;
    candidate.approval_reason = order_.reason;
  } else if (same_content && state != CandidateState::kRefused) {
    candidate.approved_by = before->approved_by;
    candidate.approval_reason = before->approval_reason;
  }
  RETURN_IF_ERROR(store_.PutCandidate(prepared.list.list_id, candidate, now_));
  PublishedList& kept = result.lists.emplace_back(
      PublishedList{prepared.list, state == CandidateState::kRefused ? ListOutcome::kRefused : ListOutcome::kWaits});
  kept.is_news = !same_content || before->state != state || before->reason != reason;
  kept.list.candidate = std::move(candidate);
  return absl::OkStatus();
}

void ListRun::AddGeneration(const Prepared& prepared, std::vector<NewGeneration>& publish) const {
  const ByteView file = AsBytes(prepared.file);
  const std::optional<StoredCandidate>& waiting = prepared.list.candidate;
  const bool approved_before = !IsApproved(prepared) && IsOrWasApproved(prepared);
  publish.push_back({.list_id = prepared.list.list_id,
                     .file = prepared.file,
                     .record = {.number = prepared.list.current ? prepared.list.current->number + 1 : 1,
                                .sha1 = Sha1(file),
                                .md5 = Md5(file),
                                .sha256 = Sha256(file),
                                .content_sha256 = prepared.content.digest,
                                .signer_sha256 = prepared.content.signer.sha256(),
                                .size = static_cast<int64_t>(prepared.file.size()),
                                .digest = prepared.content.form.digest,
                                .signer_version = prepared.content.form.signer_version.value_or(kSignerVersion),
                                .records = prepared.content.count,
                                .reason = approved_before ? waiting->approval_reason.value_or("") : order_.reason,
                                .published_by = approved_before ? *waiting->approved_by : order_.actor,
                                .published_at = now_}});
}

absl::Status ListRun::Store(const std::vector<NewGeneration>& generations, PublishResult& result) {
  if (generations.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(store_.AddGenerations(generations, now_));
  FailPoint("stored");
  return Audit(result);
}

absl::Status ListRun::Audit(const PublishResult& result) {
  // An event for each who decided: lists that were approved before go out with those that need nobody.
  struct Decision {
    int64_t count = 0;
    std::vector<std::string> lists;
    std::vector<std::string> changes;
    Sha256Digest signer = {};
  };
  std::map<std::pair<std::string, std::string>, Decision> decisions;  // by actor and reason
  for (const PublishedList& list : result.lists) {
    if (list.outcome != ListOutcome::kPublished) continue;
    const StoredGeneration& generation = *list.list.current;
    Decision& decision = decisions[{generation.published_by, generation.reason}];
    ++decision.count;
    decision.signer = generation.signer_sha256;
    if (decision.lists.size() >= kNamedInAudit) continue;
    decision.lists.push_back(
        fmt::format("{} generation {} {}", ListText(list.list.form), generation.number, ToHex(generation.sha1)));
    const std::vector<std::string> changes = absl::StrSplit(list.list.candidate->changes, '\n', absl::SkipEmpty());
    for (const std::string& change : changes) {
      if (std::find(decision.changes.begin(), decision.changes.end(), change) != decision.changes.end()) continue;
      decision.changes.push_back(change);
    }
  }
  for (const auto& [who_and_why, decision] : decisions) {
    RETURN_IF_ERROR(AppendAudit(
        connection_, {.cluster_id = cluster_id_,
                      .actor = who_and_why.first,
                      .action = "itl.publish",
                      .subject = decision.count == 1 ? decision.lists.front() : fmt::format("{} lists", decision.count),
                      .detail = {{"reason", who_and_why.second},
                                 {"lists", absl::StrJoin(decision.lists, ", ")},
                                 {"signer", ToHex(decision.signer)},
                                 {"changes", absl::StrJoin(decision.changes, "\n")},
                                 {"without_nodes", absl::StrJoin(order_.without_nodes, ", ")}}}));
  }
  return absl::OkStatus();
}

}  // namespace trustline
