// The real capfd, in a process of its own, for tests and benchmarks.
#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"
#include "tests/support/cad_process.h"
#include "tests/support/daemon_process.h"
#include "tests/support/scratch_database.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

// The part of a CadSite that phones enrol at: the certificate by which they know it, and each node's files, which a
// capfd that starts again finds as it left them. Outlives its nodes. Not for several threads at once.
class CapfdSite {
 public:
  // `pem` holds certificate and key, as tests/vectors/capf.pem does; empty: they are made. `database` and `site` must
  // outlive it.
  static absl::StatusOr<std::unique_ptr<CapfdSite>> Create(const ScratchDatabase& database, const CadSite& site,
                                                           std::string_view pem = "");

  const Certificate& capf_certificate() const { return certificate_; }
  // Where a node has its configuration, certificate, key, passphrase and the key of the authentication strings.
  std::filesystem::path NodeFolder(std::string_view node = "node1") const;

 private:
  friend class CapfdProcess;
  CapfdSite(const ScratchDatabase& database, const CadSite& site, PrivateKey key, Certificate certificate)
      : database_(database), site_(site), key_(std::move(key)), certificate_(std::move(certificate)) {}

  // Writes what a node needs and returns the path of its configuration.
  absl::StatusOr<std::string> WriteNode(const struct CapfdOptions& options) const;

  const ScratchDatabase& database_;
  const CadSite& site_;
  const PrivateKey key_;
  const Certificate certificate_;
  const TemporaryDirectory directory_;
};

struct CapfdOptions {
  std::string node = "node1";
  std::string program = "capfd";  // in the folder of the built programs
  uint16_t cad_port = 1;          // gRPC on 127.0.0.1; 1: none answers
  uint16_t capf_port = 0;         // 0: a free one
  std::string log_level = "info";
  std::string capf;                      // lines for its [capf]: "keep_alive = \"5m\"\n"
  std::string listener;                  // more lines for its [[listener]] of cluster default
  std::string tables;                    // more tables at the end of the file
  std::optional<int> core;               // the only processor core that it may use
  std::vector<std::string> environment;  // "NAME=value", added to this process's
};

// Everything that a DaemonProcess has, and the listener for phones.
class CapfdProcess final : public DaemonProcess {
 public:
  // Returns when every listener accepts; errors hold what capfd printed.
  static absl::StatusOr<std::unique_ptr<CapfdProcess>> Start(const CapfdSite& site, const CapfdOptions& options = {});

  uint16_t capf_port() const { return capf_port_; }
  // As the person "admin".
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Channel() const;

 private:
  explicit CapfdProcess(const CapfdSite& site) : site_(site) {}

  const CapfdSite& site_;
  uint16_t capf_port_ = 0;
};

}  // namespace trustline
