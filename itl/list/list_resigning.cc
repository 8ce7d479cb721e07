// What lists say stays; who signed it changes. For phones that do not know, or no longer reach, the present signer.
#include <algorithm>

#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "itl/list/list_run.h"
#include "itl/trust_list/difference.h"

namespace trustline {
namespace {

// What a list that was signed anew must have in common with one of ours.
struct Reference {
  SignedFileForm form;
  std::vector<std::string> others;   // records but SAST, sorted
  std::vector<Certificate> signers;  // SAST records; ITLRecovery first
};

// All that a record says, for lists that are compared as sets.
std::string RecordText(const TrustListRecord& record) {
  const std::string what = record.IsBlank()     ? "blank"
                           : record.certificate ? ToHex(record.certificate->sha256())
                                                : "hash " + ToHex(AsBytes(*record.certificate_hash));
  std::string text =
      fmt::format("{} {} {} {}", record.role_code, what, record.dns_name.value_or(""), record.ip_address.value_or(""));
  for (const ExtraTlv& element : record.extra)
    text += fmt::format(" {} {}", element.tag, ToHex(AsBytes(element.value)));
  return text;
}

std::string RecordText(const ListRecord& record) {
  return fmt::format("{} {} {} ", static_cast<int>(record.role),
                     record.blank ? std::string("blank") : ToHex(record.certificate.sha256()), record.dns_name);
}

Reference ReferenceOf(const TrustList& list) {
  Reference reference = {.form = {.signer_version = list.header().signer_version,
                                  .digest = list.header().digest,
                                  .name_form = list.header().name_form,
                                  .file_name = list.header().file_name},
                         .others = {},
                         .signers = {}};
  for (const TrustListRecord& record : list.records) {
    if (record.role() == CertificateRole::kSast && record.certificate) {
      reference.signers.push_back(*record.certificate);
    } else {
      reference.others.push_back(RecordText(record));
    }
  }
  std::sort(reference.others.begin(), reference.others.end());
  return reference;
}

Reference ReferenceOf(const ListContent& content) {
  Reference reference = {.form = content.form, .others = {}, .signers = {}};
  for (const ListRecord& record : content.listed) {
    if (record.role == CertificateRole::kSast) {
      reference.signers.push_back(record.certificate);
      continue;
    }
    reference.others.push_back(RecordText(record));
  }
  std::sort(reference.others.begin(), reference.others.end());
  return reference;
}

bool Has(const std::vector<Certificate>& certificates, const Certificate& certificate) {
  return std::find(certificates.begin(), certificates.end(), certificate) != certificates.end();
}

absl::Status CheckSays(const TrustList& read, const Certificate& signer, const Reference& wanted,
                       const std::string& what) {
  const Reference says = ReferenceOf(read);
  if (says.form.digest != wanted.form.digest || says.form.signer_version != wanted.form.signer_version ||
      says.form.file_name != wanted.form.file_name || says.form.name_form != wanted.form.name_form ||
      !read.header().extra.empty()) {
    return FailedPrecondition("the header of the signed list differs from that of the {} in more than its signer",
                              what);
  }
  if (says.others != wanted.others) {
    return FailedPrecondition(
        "the signed list has other records than the {}, which may have changed meanwhile: fetch and sign it again",
        what);
  }
  for (const Certificate& sast : says.signers) {
    if (sast == signer || Has(wanted.signers, sast)) continue;
    return FailedPrecondition("the signed list has the SAST record {}, which is neither its signer's nor one of the {}",
                              sast.subject().ToText(), what);
  }
  if (!wanted.signers.empty() && !Has(says.signers, wanted.signers.front())) {
    return FailedPrecondition("the signed list lacks the SAST record {} of the {}",
                              wanted.signers.front().subject().ToText(), what);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ListRun::PublishFile(StoredList list, const TrustList& read, const Certificate& signer,
                                  const std::string& before, PublishResult& result,
                                  std::vector<NewGeneration>& publish) {
  // The next ones are signed with the same key, if it is one of ours.
  const bool local = std::any_of(signers_.begin(), signers_.end(), [&](const StoredSigner& own) {
    return !own.tftp_server.empty() && own.tftp_server == list.form.tftp_server && own.certificate == signer;
  });
  if (local != list.form.local_signer) {
    RETURN_IF_ERROR(store_.SetLocalSigner(list.list_id, local));
    list.form.local_signer = local;
  }
  ListContent content = {.records = std::string(AsText(read.file.payload)),
                         .count = static_cast<int>(read.records.size()),
                         .form = ReferenceOf(read).form,
                         .signer = signer};
  ASSIGN_OR_RETURN(content.digest, SignedFileContentDigest(content.form, signer, read.file.payload));
  if (list.current && list.current->content_sha256 == content.digest) {
    result.lists.push_back({std::move(list), ListOutcome::kUnchanged});
    return absl::OkStatus();
  }
  // What has ended is in phones' lists already, and never stops a recovery.
  std::vector<Sha256Digest> known;
  for (const TrustListRecord& record : read.records) {
    if (!record.certificate || !record.role()) continue;
    content.listed.push_back({*record.certificate, *record.role(), false, record.dns_name.value_or("")});
    known.push_back(record.certificate->sha256());
  }
  Prepared prepared = {.list = std::move(list),
                       .content = std::move(content),
                       .file = *read.bytes,
                       .refusal = {},
                       .changes = {},
                       .warnings = {}};
  if (!before.empty()) {
    ASSIGN_OR_RETURN(const TrustList old, DecodeTrustList(AsBytes(before)));
    for (const ListDifference& difference : DifferencesOf(old, read)) {
      prepared.changes.push_back(DifferenceText(difference));
    }
  }
  prepared.refusal = CheckListContent(prepared.content, prepared.file.size(), known, now_, prepared.warnings);
  ASSIGN_OR_RETURN(const bool ctl_knows,
                   prepared.list.form.kind == ListKind::kCtl ? absl::StatusOr<bool>(true) : ctl_signers_.Knows(signer));
  if (!ctl_knows) {
    prepared.warnings.emplace_back(
        "the CTL does not have this signer: phones that hold no list take the CTL first and then refuse the ITL. Start "
        "no new phones until the ITLs are signed by ITLRecovery again (`trustctl itl reset --recovery`)");
  }
  return Decide(prepared, result, publish);
}

absl::StatusOr<PublishResult> ListRun::Resign(const ListPolicy& policy, bool local) {
  RETURN_IF_ERROR(LoadMaterial(policy));
  ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store_.Lists(order_.filter));
  std::vector<int64_t> list_ids;
  for (const StoredList& list : lists) {
    if (list.current) list_ids.push_back(list.list_id);
  }
  if (list_ids.empty()) return NotFound("no such list is published: `trustctl itl list` shows what there is");
  ASSIGN_OR_RETURN(const auto files, store_.CurrentFiles(list_ids));
  PublishResult result;
  std::vector<NewGeneration> publish;
  for (const StoredList& list : lists) {
    const auto file = files.find(list.list_id);
    if (file == files.end()) continue;
    ASSIGN_OR_RETURN(const TrustList current, DecodeTrustList(AsBytes(file->second)));
    const auto signer = std::find_if(signers_.begin(), signers_.end(), [&](const StoredSigner& own) {
      return own.tftp_server == (local ? list.form.tftp_server : std::string());
    });
    if (signer == signers_.end()) return Internal("the {} has no such signer", ListText(list.form));
    Reference reference = ReferenceOf(current);
    if (!Has(reference.signers, signer->certificate)) {
      return FailedPrecondition(
          "{} is no SAST of the {}, so that signing with it would help no phone: publish a list that has it first "
          "(`trustctl itl list`), or sign the others alone (`--tftp-server`)",
          signer->certificate.subject().ToText(), ListText(list.form));
    }
    ASSIGN_OR_RETURN(const KeyFolder::Key key, KeyOf(signer->certificate));
    reference.form.timestamp = now_;
    ASSIGN_OR_RETURN(const std::string resigned,
                     WriteTrustList(AsText(current.file.payload), reference.form, signer->certificate, *key));
    ASSIGN_OR_RETURN(const TrustList read, DecodeTrustList(AsBytes(resigned)));
    ASSIGN_OR_RETURN(const Certificate read_signer, VerifyTrustList(read));
    RETURN_IF_ERROR(CheckSays(read, read_signer, reference, ListText(list.form)));
    RETURN_IF_ERROR(PublishFile(list, read, read_signer, file->second, result, publish));
  }
  RETURN_IF_ERROR(Store(publish, result));
  return result;
}

absl::StatusOr<PublishResult> ListRun::PublishSigned(const ListPolicy& policy, const ListForm& which,
                                                     const std::string& file) {
  RETURN_IF_ERROR(LoadMaterial(policy));
  ASSIGN_OR_RETURN(ListMaterial material, store_.Material(policy, signers_));
  const ListComposer composer(std::move(material));
  ASSIGN_OR_RETURN(const std::vector<StoredList> lists,
                   store_.Lists({.kind = which.kind, .tftp_server = which.tftp_server, .device = which.device}));
  if (lists.empty()) return NotFound("there is no {}: `trustctl itl list` shows them", ListText(which));
  const StoredList& list = lists.front();
  ASSIGN_OR_RETURN(const TrustList read, DecodeTrustList(AsBytes(file)));
  ASSIGN_OR_RETURN(const Certificate signer, VerifyTrustList(read));

  // What the list says now; or else, as after a key was lost that nothing can be signed with any more, what it should
  // say.
  ASSIGN_OR_RETURN(const auto files, store_.CurrentFiles({list.list_id}));
  const std::string before = files.empty() ? "" : files.begin()->second;
  absl::Status says = NotFound("nothing is published yet");
  if (!before.empty()) {
    ASSIGN_OR_RETURN(const TrustList current, DecodeTrustList(AsBytes(before)));
    says = CheckSays(read, signer, ReferenceOf(current), "published " + ListText(list.form));
  }
  if (!says.ok()) {
    const absl::StatusOr<ListContent> content = composer.Compose(list.form);
    const absl::Status should_say =
        content.ok() ? CheckSays(read, signer, ReferenceOf(*content), ListText(list.form) + " as it should be")
                     : content.status();
    if (!should_say.ok()) return before.empty() ? should_say : says;
  }
  PublishResult result;
  std::vector<NewGeneration> publish;
  RETURN_IF_ERROR(PublishFile(list, read, signer, before, result, publish));
  RETURN_IF_ERROR(Store(publish, result));
  return result;
}

}  // namespace trustline
