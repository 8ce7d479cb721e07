// Where a phone gets its trust lists.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/phone/list_holdings.h"
#include "common/device/device_name.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {

struct ServedList {
  std::string file;    // its bytes; nobody has looked into them
  std::string server;  // the TFTP server whose list it is, by its name; empty: not known
};

// Thread-safe.
class ListServer {
 public:
  virtual ~ListServer() = default;

  // The list that the device gets now; empty: "file not found". Errors when the server gave no answer.
  virtual absl::StatusOr<std::optional<ServedList>> Fetch(PhoneListKind kind, const DeviceName& device) = 0;
};

struct ItldListServerOptions {
  std::string address;  // of itld, for errors
  std::string cluster;
  std::string tftp_server;  // may be empty when the cluster has only one
  absl::Duration timeout = absl::Seconds(30);
};

// itld over gRPC: a device's own list, or else that of all phones.
class ItldListServer final : public ListServer {
 public:
  ItldListServer(const std::shared_ptr<grpc::Channel>& channel, ItldListServerOptions options);

  absl::StatusOr<std::optional<ServedList>> Fetch(PhoneListKind kind, const DeviceName& device) override;

 private:
  // `device` empty: the list of all phones.
  absl::StatusOr<std::optional<ServedList>> FetchOf(PhoneListKind kind, const std::string& device);

  const std::unique_ptr<v1::TrustLists::Stub> lists_;
  const ItldListServerOptions options_;
};

}  // namespace trustline
