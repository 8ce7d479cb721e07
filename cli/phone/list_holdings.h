// The trust lists that a phone holds: files in a folder of its own, and what the phone model makes of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/phone_model/phone_model.h"
#include "common/x509/certificate.h"
#include "itl/trust_list/reader.h"

namespace trustline {

enum class PhoneListKind : uint8_t { kCtl, kItl };

// "CTL", "ITL".
std::string_view PhoneListName(PhoneListKind kind);

// A list and the TFTP server that it came from, by its name. Copies share the bytes.
struct HeldList {
  TrustList list;
  std::string server;  // empty: not known

  ByteView file() const { return AsBytes(*list.bytes); }
};

struct HeldLists {
  std::optional<HeldList> ctl;
  std::optional<HeldList> itl;

  std::optional<HeldList>& Of(PhoneListKind kind) { return kind == PhoneListKind::kCtl ? ctl : itl; }
  // For the phone model.
  PhoneHoldings Holdings() const;
};

// Whose key has signed the list, as a phone finds out without asking anybody: a SAST of its CTL or ITL, or else one of
// the list itself. The signature is verified. NotFound when nobody here is the signer, DataLoss when the signature is
// not by whom the list names, and as VerifyTrustList.
absl::StatusOr<Certificate> FindSigner(const HeldLists& held, const TrustList& list);

// What a phone remembers while it is off. Not for several threads or processes at once.
class ListFolder {
 public:
  explicit ListFolder(std::string path) : path_(std::move(path)) {}

  // DataLoss for a file that is no trust list; errors of the file system with the path.
  absl::StatusOr<HeldLists> Load() const;

  // In place of the one before, whole or not at all. Makes the folder.
  absl::Status Keep(PhoneListKind kind, const HeldList& list) const;

 private:
  absl::StatusOr<std::optional<HeldList>> LoadOne(PhoneListKind kind) const;

  std::string path_;
};

}  // namespace trustline
