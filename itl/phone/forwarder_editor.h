// Who may speak of phones, and by which names phones know our TFTP servers (tables forwarder, phone_trust_policy,
// tftp_server_name). Works inside a transaction that the caller owns; audited.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "proto/phone_trust.pb.h"

namespace trustline {

class ForwarderEditor {
 public:
  ForwarderEditor(Connection& transaction, int32_t cluster_id, std::string actor)
      : connection_(transaction), cluster_id_(cluster_id), actor_(std::move(actor)) {}

  // By name.
  absl::StatusOr<std::vector<v1::Forwarder>> List();
  // InvalidArgument for what is neither an address, a network nor a common name, for requests that are none, and for a
  // certificate that would come over UDP.
  absl::StatusOr<v1::PutForwarderResponse> Put(const v1::PutForwarderRequest& request);
  // NotFound.
  absl::Status Remove(const std::string& name);

  absl::StatusOr<bool> AcceptsClaims();
  // Whether that is a change.
  absl::StatusOr<bool> SetAcceptsClaims(bool accepts);

  // Servers with their names and the hash of their ITL, by name.
  absl::StatusOr<v1::ListServerNamesResponse> ServerNames();
  // NotFound for a server that is not there; AlreadyExists for a name that is another server's.
  absl::StatusOr<v1::ChangeServerNamesResponse> ChangeServerNames(const v1::ChangeServerNamesRequest& request);

 private:
  absl::Status Audit(const char* action, const std::string& subject,
                     std::vector<std::pair<std::string, std::string>> detail);
  absl::Status AddName(const std::string& server, const std::string& name, bool& changed);

  Connection& connection_;
  const int32_t cluster_id_;
  const std::string actor_;
};

}  // namespace trustline
