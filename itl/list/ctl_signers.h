// Which signers the phones of a cluster know by its CTL.
#pragma once

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/bytes/sha256.h"
#include "common/x509/certificate.h"
#include "itl/list/list_content.h"
#include "itl/list/list_store.h"

namespace trustline {

// A phone that holds nothing takes the CTL first and then looks for the ITL's signer there: it has no TVS yet that it
// could ask, so that an ITL whose signer the CTL does not have is refused, and a later CTL of another signer too
// (docs/PROTOCOLS.md, trust lists). For one transaction, whose store it borrows.
class CtlSigners {
 public:
  explicit CtlSigners(ListStore& store) : store_(store) {}

  // Whether the published CTL has the certificate as SAST; true when there is none.
  absl::StatusOr<bool> Knows(const Certificate& signer);

  // This one is published now.
  void Publish(const ListContent& ctl);

 private:
  absl::Status Load();

  ListStore& store_;
  bool is_loaded_ = false;
  std::optional<std::vector<Sha256Digest>> sasts_;  // empty: there is no CTL
};

}  // namespace trustline
