// What the commands of phonefleet share.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/phone/endpoint.h"
#include "common/net/tls_client.h"
#include "common/x509/certificate.h"

namespace trustline {

// Exit statuses.
inline constexpr int kExitGood = 0;  // valid, the same bytes, enrolled, in step
inline constexpr int kExitBad = 1;   // invalid, different, refused, out of step
inline constexpr int kExitNoAnswer = 2;

// The command that was chosen, with its arguments; what it returns is the exit status.
using ChosenCommand = std::function<absl::StatusOr<int>()>;

// Each adds a command to `app`, which sets `chosen`, once it was read from the command line.
void AddAskCommand(CLI::App& app, ChosenCommand& chosen);
void AddReplayCommand(CLI::App& app, ChosenCommand& chosen);
void AddEnrolCommand(CLI::App& app, ChosenCommand& chosen);
void AddLiveCommand(CLI::App& app, ChosenCommand& chosen);

struct ConnectionArguments {
  Endpoint server;
  TlsClientOptions tls;
  bool one_byte_at_a_time = false;
};

// "--tvs" or "--capf", the server of the connection.
CLI::Option* AddTvs(CLI::App& command, ConnectionArguments& arguments);
CLI::Option* AddCapf(CLI::App& command, ConnectionArguments& arguments);

// TLS version, timeout, one byte at a time.
void AddConnectionOptions(CLI::App& command, ConnectionArguments& arguments);

// The only certificate that the file has.
absl::StatusOr<Certificate> ReadOneCertificate(const std::string& path);

// "CN=tvs.example,O=Example", or that it cannot be read.
std::string SubjectText(const std::string& der);

}  // namespace trustline
