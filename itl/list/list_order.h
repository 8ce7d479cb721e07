// What is asked of trust lists, and what became of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/x509/certificate.h"
#include "itl/list/change_guard.h"
#include "itl/list/list_store.h"

namespace trustline {

// Who wants lists published, and what for.
struct PublishOrder {
  ListFilter filter;
  std::string actor;  // identity URI
  std::string reason;
  // What waits for an administrator is published too: an administrator ordered it, of these lists.
  bool approved = false;
  ListFilter approves;
  // What the administrator has looked at, by content digest: nothing else is approved. Empty: whatever it is.
  std::vector<Sha256Digest> approved_contents;
  // All or nothing: what cannot be published at once is an error.
  bool must_publish = false;
  std::vector<std::string> without_nodes;  // need not answer for the signer
  // Who will sign, besides those that sign the lists now.
  bool to_local_signer = false;          // the CallManager certificates
  std::optional<Certificate> signed_by;  // one from elsewhere
  // For the pre-flight.
  std::string action = "itl.publish";
  Caution caution;
  v1::PreFlight* report = nullptr;     // not owned; may be null
  UnprovenPhones* unproven = nullptr;  // the same
  // Why nothing goes out by itself now. Empty: what may, does.
  std::string hold;
  bool is_retried = false;  // by itself, until it may be made (GuardedChange)
};

enum class ListOutcome : uint8_t { kUnchanged, kPublished, kWaits, kRefused };

struct PublishedList {
  StoredList list;  // as it is now
  ListOutcome outcome = ListOutcome::kUnchanged;
  bool is_news = true;  // false: the candidate was there before, with the same reason
};

struct PublishResult {
  std::vector<PublishedList> lists;
  std::vector<std::string> warnings;
};

// "ITL of node1", "ITL of node1 for SEP001122334455", "CTL".
std::string ListText(const ListForm& form);

}  // namespace trustline
