// The real tvsd, in a process of its own, for tests and benchmarks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/identity_authority.h"
#include "common/service/identity_files.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"
#include "tests/support/daemon_process.h"
#include "tests/support/test_identities.h"

namespace trustline {

// What the nodes of one system share: a database, an identity authority, and the certificate that phones know TVS by.
// Outlives its nodes. Not for several threads at once.
class TvsdSite {
 public:
  // `connection` is the connection string of the role trustline_tvsd.
  static absl::StatusOr<std::unique_ptr<TvsdSite>> Create(std::string connection);

  // The files of an identity such as "trustline:default/person/admin", made at the first call.
  absl::StatusOr<IdentityFiles> IdentityFor(std::string_view uri) const { return identities_.For(uri); }

  // For daemons of other kinds beside its nodes.
  const TestIdentities& identities() const { return identities_; }

  const std::string& connection() const { return connection_; }
  const Certificate& tvs_certificate() const { return tvs_certificate_; }
  const PrivateKey& tvs_key() const { return tvs_key_; }

 private:
  friend class TvsdProcess;
  TvsdSite(std::string connection, IdentityAuthority authority, PrivateKey tvs_key, Certificate tvs_certificate)
      : connection_(std::move(connection)),
        identities_(std::move(authority)),
        tvs_key_(std::move(tvs_key)),
        tvs_certificate_(std::move(tvs_certificate)) {}

  // Writes what a node needs and returns the path of its configuration.
  absl::StatusOr<std::string> WriteNode(const struct TvsdOptions& options) const;

  const std::string connection_;
  const TestIdentities identities_;
  const PrivateKey tvs_key_;
  const Certificate tvs_certificate_;
};

struct TvsdOptions {
  std::string node = "node1";
  size_t workers = 0;       // 0: one a core
  std::optional<int> core;  // the only processor core that it may use
  std::string log_level = "info";
  std::string listener;  // more lines for its [[listener]] of cluster default: "connections = 100\n"
  std::string tables;    // more tables at the end of the file
  std::string itld;      // "HOST:PORT", which it tells what phones ask; empty: nobody
};

// Everything that a DaemonProcess has, and the listeners of tvsd.
class TvsdProcess final : public DaemonProcess {
 public:
  // Returns when every listener accepts; errors hold what tvsd printed.
  static absl::StatusOr<std::unique_ptr<TvsdProcess>> Start(const TvsdSite& site, const TvsdOptions& options = {});

  uint16_t tvs_port() const { return tvs_port_; }
  uint16_t crl_port() const { return crl_port_; }  // 0 without a table [crl]

 private:
  TvsdProcess() = default;
  uint16_t tvs_port_ = 0;
  uint16_t crl_port_ = 0;
};

}  // namespace trustline
