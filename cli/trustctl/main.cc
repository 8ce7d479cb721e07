// trustctl: the administrators' command line. A gRPC client of the services only; it touches no database.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/trustctl/call_interrupt.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/command_line_error.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "common/rpc/credentials.h"
#include "common/rpc/grpc_messages.h"
#include "common/status/status.h"
#include "common/x509/openssl_exit.h"

namespace trustline {
namespace {

constexpr std::string_view kTryHelp = "\nTry the command with --help.";

int Fail(std::string_view message, int exit_status) {
  std::cerr << "trustctl: " << EscapeLinesForTerminal(message) << std::endl;
  return exit_status;
}

int Run(int argc, char** argv) {
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  try {
    RefuseEmptyValues(argc, argv);
    line->app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return line->app.exit(success);
  } catch (const CLI::ParseError& error) {
    return Fail(CommandLineErrorText(line->app, error).append(kTryHelp), kExitUsage);
  }
  if (const absl::Status required = RequireTls13(); !required.ok()) return Fail(StatusMessage(required), kExitFailure);

  // Errors reach people in the words of ToAbsl; gRPC's own lines would stand among them.
  SendGrpcMessagesTo(nullptr);

  CallInterrupt interrupt;
  Environment environment(line->options, std::cout, std::cerr, isatty(STDERR_FILENO) == 1, interrupt);
  const absl::StatusOr<int> status = line->chosen(environment);
  std::cout.flush();
  if (!status.ok()) {
    std::string message(StatusMessage(status.status()));
    if (IsUsageError(status.status())) message += kTryHelp;
    return Fail(message, ExitStatusOf(status.status()));
  }
  if (!std::cout) return Fail("cannot write to the standard output: is the disk full?", kExitFailure);
  return *status;
}

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) {
  trustline::KeepOpenSslUntilExit();
  std::ios::sync_with_stdio(false);
  return trustline::Run(argc, argv);
}
