// How a phone decides which trust lists and configuration files it takes (docs/PROTOCOLS.md, what a phone accepts). A
// pure function: no clock, no network; what the world offers and answers is an argument. The virtual phone runs it too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "common/bytes/sha256.h"
#include "common/device/certificate_role.h"
#include "common/signed_file/signed_file.h"

namespace trustline {

// Certificates are told apart by their SHA-256: a signer of the same name with another key is another one.
struct PhoneListRecord {
  Sha256Digest certificate = {};  // of a blank record all zero
  CertificateRole role = CertificateRole::kSast;
  bool blank = false;

  bool operator==(const PhoneListRecord&) const = default;
};

// What a phone makes of a CTL or an ITL.
struct PhoneList {
  Sha256Digest signer = {};
  std::vector<PhoneListRecord> records;
  DigestAlgorithm digest = DigestAlgorithm::kSha1;
  FileVersion signer_version = kSignerVersion;
  size_t size = 0;              // of the file, bytes
  int largest_rsa_bits = 2048;  // of the keys in it; 0 without RSA keys

  bool Has(const Sha256Digest& certificate, CertificateRole role) const;
  // No TVS, TFTP or CCM+TFTP record but blank ones.
  bool IsBlank() const;

  bool operator==(const PhoneList&) const = default;
};

// Lists are shared: a million phones hold the same few.
struct PhoneHoldings {
  std::shared_ptr<const PhoneList> ctl;  // null: none
  std::shared_ptr<const PhoneList> itl;

  // No list at all, or only a blank ITL (and CTL): then whatever it is served is taken.
  bool TakeAnything() const;

  bool operator==(const PhoneHoldings& other) const;
};

// Beyond SHA-1 and signer version 1.0, which all phones read.
struct PhoneReads {
  bool sha512 = false;
  bool version_1_1 = false;

  auto operator<=>(const PhoneReads&) const = default;  // NOLINT(modernize-use-nullptr): it reads the implied 0
};

// What a TVS says is valid: certificates and the role that it says they have.
using TvsAnswers = std::set<std::pair<Sha256Digest, CertificateRole>>;

// A TVS that answers at an address which the phone knows.
struct ReachableTvs {
  Sha256Digest certificate = {};        // that it presents
  const TvsAnswers* answers = nullptr;  // not owned; never null
};

enum class AcceptedBy : uint8_t {
  kNothing,   // refused: the phone keeps everything that it holds
  kFirstUse,  // it holds no list at all
  kCtl,       // the signer is a SAST (of a file: a TFTP server) of the CTL
  kItl,       // the same of the ITL
  kBlank,     // the ITL is blank, and the CTL absent or blank
  kTvs,       // a TVS that the ITL names says so
};

enum class RefusedFor : uint8_t {
  kNothing,
  kForm,       // the phone cannot read it, whoever signed it
  kNoTvs,      // neither list knows the signer, and no TVS that the ITL names answers
  kTvsAnswer,  // the TVS that answers says that it is invalid, or has another role
};

struct PhoneDecision {
  AcceptedBy by = AcceptedBy::kNothing;
  RefusedFor why = RefusedFor::kNothing;

  bool accepted() const { return by != AcceptedBy::kNothing; }
  bool operator==(const PhoneDecision&) const = default;
};

// Whether the phone can read a list at all: digest, signer version, 65,536 bytes, RSA keys of at most 2048 bits, two
// SAST.
bool CanRead(const PhoneReads& reads, const PhoneList& list);

// Whether a phone takes a list. `reachable`: in the order of its configuration, only those that answer at all.
PhoneDecision DecideList(const PhoneHoldings& holdings, const PhoneReads& reads, const PhoneList& offered,
                         std::span<const ReachableTvs> reachable);

// Whether it would take the same list, were it signed by another.
PhoneDecision DecideListSignedBy(const Sha256Digest& signer, const PhoneHoldings& holdings, const PhoneReads& reads,
                                 const PhoneList& offered, std::span<const ReachableTvs> reachable);

// Whether it takes a configuration file. Without a signer the file is not signed.
PhoneDecision DecideFile(const PhoneHoldings& holdings, const std::optional<Sha256Digest>& signer,
                         std::span<const ReachableTvs> reachable);

// What a phone is served at its start. A null list: "file not found", so that it keeps what it has.
struct PhoneOffer {
  std::shared_ptr<const PhoneList> ctl;
  std::shared_ptr<const PhoneList> itl;
  std::optional<Sha256Digest> file_signer;  // of configuration files; absent: they are not signed

  bool operator==(const PhoneOffer& other) const;
};

// Without a decision: nothing was offered, or what it holds already.
struct PhoneStart {
  std::optional<PhoneDecision> ctl;
  std::optional<PhoneDecision> itl;
  PhoneDecision file;
  PhoneHoldings holdings;  // after it

  // Whether the phone has everything that it was served.
  bool follows() const { return (!ctl || ctl->accepted()) && (!itl || itl->accepted()) && file.accepted(); }
};

// A start or a reset: the CTL first, then the ITL with the CTL as it is then, then the configuration file with both.
PhoneStart StartPhone(const PhoneHoldings& holdings, const PhoneReads& reads, const PhoneOffer& offer,
                      std::span<const ReachableTvs> reachable);

}  // namespace trustline
