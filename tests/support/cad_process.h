// The real cad and the itld that it needs, as processes of their own, for tests and benchmarks.
#pragma once

#include <grpcpp/channel.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/rpc/identity_authority.h"
#include "tests/support/daemon_process.h"
#include "tests/support/scratch_database.h"
#include "tests/support/test_identities.h"

namespace trustline {

struct CadOptions {
  std::string node = "node1";
  uint16_t grpc_port = 0;       // 0: a free one; else that of a cad which has ended
  std::string program = "cad";  // in the folder of the built programs
  std::string fail_point;       // for the program with fail points
  std::string passphrase = "a passphrase for tests\n";
  bool passphrase_is_credential = false;  // as systemd would hand it over
  std::string public_url = "http://127.0.0.1:9480";
};

// A system with a database, itld, and any number of cad that share the authorities' keys. The person "admin" is an
// administrator. Not for several threads at once.
class CadSite {
 public:
  // Starts itld. `database` must outlive it.
  static absl::StatusOr<std::unique_ptr<CadSite>> Create(const ScratchDatabase& database);

  absl::StatusOr<std::unique_ptr<DaemonProcess>> StartCad(const CadOptions& options = {}) const;
  absl::StatusOr<IdentityFiles> IdentityFor(std::string_view uri) const { return identities_.For(uri); }
  // As the person "admin".
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Channel(const DaemonProcess& cad) const;
  // An authority that issues, in the default cluster unless another is named; returns its id.
  absl::StatusOr<int32_t> MakeAuthority(const DaemonProcess& cad, bool elliptic, std::string_view cluster = "") const;

  DaemonProcess& itld() { return *itld_; }
  std::filesystem::path keys_folder() const { return identities_.path() / "authority-keys"; }

 private:
  CadSite(const ScratchDatabase& database, IdentityAuthority authority)
      : database_(database), identities_(std::move(authority)) {}

  const ScratchDatabase& database_;
  const TestIdentities identities_;
  std::unique_ptr<DaemonProcess> itld_;
};

}  // namespace trustline
