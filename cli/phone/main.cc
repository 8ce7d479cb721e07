// phonefleet: virtual phones that ask the services what real ones ask.
#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "cli/phone/command.h"
#include "common/status/status.h"
#include "common/x509/openssl_exit.h"

namespace trustline {
namespace {

int Fail(std::string_view message) {
  std::cerr << "phonefleet: " << message << std::endl;
  return kExitNoAnswer;
}

int Run(int argc, char** argv) {
  CLI::App app(
      "A fleet of virtual phones that grows with what the services speak: today a phone keeps its trust lists, takes "
      "or\n"
      "refuses others and reports them, asks a Trust Verification Service about certificates, enrols with a CAPF "
      "server,\n"
      "and replays what was captured.");
  app.name("phonefleet");
  app.require_subcommand(1);
  app.set_version_flag("--version", "phonefleet " TRUSTLINE_VERSION);
  app.footer("Example:\n  phonefleet ask --tvs 192.0.2.1:2445 cert.pem");
  ChosenCommand chosen;
  AddAskCommand(app, chosen);
  AddEnrolCommand(app, chosen);
  AddLiveCommand(app, chosen);
  AddReplayCommand(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return Fail(std::string(error.what()) + "\nTry the command with --help.");
  }
  const absl::StatusOr<int> status = chosen();
  return status.ok() ? *status : Fail(StatusMessage(status.status()));
}

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) {
  trustline::KeepOpenSslUntilExit();
  // A server that closes while we write is an error of that write, not a signal.
  std::signal(SIGPIPE, SIG_IGN);
  return trustline::Run(argc, argv);
}
