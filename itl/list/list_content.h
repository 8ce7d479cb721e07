// What a trust list shall say, worked out from what its cluster has (docs/ARCHITECTURE.md, trust lists). Pure: no
// database, no keys, no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/device/certificate_role.h"
#include "common/signed_file/signed_file.h"
#include "common/signed_file/writer.h"
#include "common/x509/certificate.h"
#include "itl/trust_list/writer.h"

namespace trustline {

enum class ListKind : uint8_t { kItl, kCtl };
// "ITL", "CTL".
std::string_view ListKindName(ListKind kind);

// How a cluster's lists are made.
struct ListPolicy {
  CertificateRole tftp_role = CertificateRole::kCcmTftp;  // of CallManager certificates; or kTftp
  int recovery_years = 20;
  DigestAlgorithm digest = DigestAlgorithm::kSha1;
  FileVersion signer_version = kSignerVersion;
  NameForm name_form = NameForm::kComma;
  std::string organization;
  std::string organizational_unit;
  bool mixed_mode = false;
  bool blank = false;
};

// Entries of the trust store that are listed.
struct ListedEntry {
  Certificate certificate;
  CertificateRole role;
};

struct TftpServerCertificate {
  std::string server;
  std::string host;
  Certificate call_manager;
  std::optional<Certificate> overlapping = std::nullopt;  // stands beside it
};

// Everything of a cluster that its lists are made of, in the order of the records.
struct ListMaterial {
  ListPolicy policy;
  Certificate recovery;
  std::vector<ListedEntry> listed;             // by role, subject, then SHA-256
  std::vector<TftpServerCertificate> servers;  // by name
  // The ITLRecovery certificate that is to come, or to go, while it is replaced.
  std::optional<Certificate> overlapping_recovery = std::nullopt;
};

// Which list, and how it differs from the others of its kind.
struct ListForm {
  ListKind kind = ListKind::kItl;
  std::string tftp_server;                // of an ITL
  std::string device;                     // empty: for all phones
  std::optional<DigestAlgorithm> digest;  // else the policy's
  std::optional<FileVersion> signer_version;
  bool local_signer = false;  // the server's CallManager certificate instead of ITLRecovery
};

// "ITLFile.tlv", "ITLSEP001122334455.tlv": what phones ask for.
std::string ListFileName(ListKind kind, std::string_view device);

struct ListRecord {
  Certificate certificate;
  CertificateRole role;
  bool blank = false;    // its bytes do not name the certificate
  std::string dns_name;  // as they have it; empty: none
  bool is_own = false;   // itld's: no entry of the trust store makes or takes it
  size_t size = 0;       // bytes of the record
};

// A list before it is signed.
struct ListContent {
  std::string records;  // their bytes
  int count = 0;        // of them
  SignedFileForm form;  // without a time
  Certificate signer;
  Sha256Digest digest = {};        // of all of this; equal for equal contents
  std::vector<ListRecord> listed;  // what the records were made of
};

// The records that all lists of a cluster share, encoded once: a thousand TFTP servers have lists that differ in two.
class ListComposer {
 public:
  explicit ListComposer(ListMaterial material);

  // An ITL: ITLRecovery as SAST, the server's CallManager certificate as TFTP (or CCM+TFTP) and as SAST, and what is
  // listed. A CTL: ITLRecovery as SAST and CAPF; in mixed mode also the CallManager certificates of all servers, and
  // what is listed but TVS. While ITLRecovery is replaced both are SAST, and the CallManager certificate is not,
  // because phones accept two; while a CallManager certificate is replaced the other one is TFTP too. NotFound for a
  // server that is not there; FailedPrecondition, naming it, when a certificate of this list cannot stand in one, and
  // for a CTL that would have neither mixed mode nor CAPF.
  absl::StatusOr<ListContent> Compose(const ListForm& form) const;

  const ListMaterial& material() const { return material_; }

 private:
  absl::StatusOr<std::string> RecordOf(const ListedEntry& entry) const;
  absl::Status Append(const ListedCertificate& listed, ListContent& content) const;
  // Whether the record is blanked while the cluster's lists are.
  bool IsBlanked(CertificateRole role) const;

  ListMaterial material_;
  std::vector<absl::StatusOr<std::string>> listed_records_;  // of material_.listed
};

// Why phones may not make use of a certificate that stands in lists: it has expired, its key is of a kind that lists of
// this signer version do not turn on, or weaker than what phones are known to take.
std::vector<std::string> ListedWarnings(const Certificate& certificate, FileVersion signer_version, absl::Time now);

// FailedPrecondition, with numbers and the way out, for a list that phones cannot use or that would harm them:
// over 65,536 bytes, more than two SAST records, a signer that is none of them, a key over 2048 bits, a certificate
// twice in one role, an expired certificate that `before` (the certificates of the present list) does not have.
// `size` is that of the whole file. Warnings are what is no reason to refuse.
absl::Status CheckListContent(const ListContent& content, size_t size, const std::vector<Sha256Digest>& before,
                              absl::Time now, std::vector<std::string>& warnings);

}  // namespace trustline
