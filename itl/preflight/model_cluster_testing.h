// A cluster that exists only in a test: what it has, what its lists say and what it offers phones, by itld's rules
// (itl/list/list_content.cc, list_run.cc, trust_list_orders.cc).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "itl/preflight/preflight_testing.h"
#include "itl/preflight/trust_world.h"

namespace trustline {

// Equal lists are one, so that a pointer tells them apart. Shared by all copies of a cluster.
class ListRegistry {
 public:
  SharedList Intern(PhoneList list);

 private:
  std::unordered_map<size_t, std::vector<SharedList>> lists_;
};

struct ModelCertificate {
  std::string name;
  Sha256Digest sha256 = {};
  absl::Time not_after;
  int rsa_bits = 2048;
  size_t size = 800;  // of its record
};

// How a list differs from the policy.
struct ModelDeviceForm {
  bool sha512 = false;
  bool version_1_1 = false;
};

struct ModelServer {
  bool is_there = true;
  bool was_removed = false;  // once
  int call_manager = 0;
  int file_signer = 0;        // of configuration files; a CallManager certificate of now or before
  bool local_signer = false;  // its CallManager key signs its lists
};

struct Publication {
  ServedAs served_as;  // of an ITL
  bool is_ctl = false;
  SharedList list;  // null: it is gone
};

// A value: an operation is made on a copy and judged before it takes the original's place. Certificates are named by
// their number in `certificates`.
class ModelCluster {
 public:
  explicit ModelCluster(std::shared_ptr<ListRegistry> registry) : registry_(std::move(registry)) {}

  absl::Time now;
  std::vector<ModelCertificate> certificates;
  std::set<int> keys;                                          // whose private keys are here
  std::map<std::pair<int, CertificateRole>, bool> trusted;     // the trust store; whether it is listed
  std::map<std::pair<int, CertificateRole>, bool> distrusted;  // what was removed from it
  int recovery = 0;
  std::vector<int> recoveries;  // in the order of their time
  std::optional<int> overlap;   // the next ITLRecovery, which stands in lists in place of CallManager
  std::map<std::string, ModelServer> servers;
  std::map<std::string, int> nodes;  // the certificate that its TVS presents
  std::map<ServedAs, ModelDeviceForm> device_lists;
  bool sha512 = false, version_1_1 = false, blank = false, mixed_mode = false, has_ctl = false;
  CertificateRole tftp_role = CertificateRole::kCcmTftp;
  std::map<ServedAs, SharedList> itls;  // published
  SharedList ctl;
  // An administrator has approved what waits: it goes out by itself when the nodes answer, while it stays the same.
  std::map<ServedAs, SharedList> approved;
  SharedList approved_ctl;
  std::vector<Publication> history;

  int Make(const std::string& name, int years);
  bool IsValid(int certificate) const { return certificates[static_cast<size_t>(certificate)].not_after > now; }
  const Sha256Digest& DigestOf(int certificate) const { return certificates[static_cast<size_t>(certificate)].sha256; }

  // What the lists should say now.
  SharedList ComposeItl(const ServedAs& served_as) const;
  SharedList ComposeCtl() const;
  std::vector<ServedAs> AllItls() const;

  void Publish(const ServedAs& served_as, const SharedList& itl);
  // A list that says something else than what is composed.
  void PublishAs(const ServedAs& served_as, PhoneList itl) { Publish(served_as, registry_->Intern(std::move(itl))); }
  void PublishCtl(const SharedList& list);
  // Everything that waits; or, with a server, its lists.
  void PublishAll(const std::string& server = "");
  // Everything that waits is to go out when the nodes answer.
  void ApproveAll();
  // What was approved, unless it should say something else by now. Nobody is asked.
  bool PublishApproved();

  TrustWorld World() const;

 private:
  SharedList Finish(PhoneList list) const;
  void Append(int certificate, CertificateRole role, PhoneList& list) const;
  void AppendListed(bool is_itl, PhoneList& list) const;

  std::shared_ptr<ListRegistry> registry_;
};

}  // namespace trustline
