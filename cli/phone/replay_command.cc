// phonefleet replay: what was captured from the wire, played again.
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/phone/captured_exchange.h"
#include "cli/phone/captured_session.h"
#include "cli/phone/command.h"
#include "common/service/text_file.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxCaptureFile = 4 * 1024 * 1024;

struct ReplayArguments {
  ConnectionArguments connection;
  bool capf = false;
  std::string key;
  std::string file;
};

absl::Status ReplayCapf(const ReplayArguments& arguments, std::string_view text) {
  const ConnectionArguments& connection = arguments.connection;
  const absl::StatusOr<std::vector<CapturedMessage>> messages = ParseCapturedSession(text);
  if (!messages.ok()) return Annotate(messages.status(), arguments.file);
  std::shared_ptr<const PrivateKey> key;
  if (!arguments.key.empty()) {
    ASSIGN_OR_RETURN(PrivateKey read, PrivateKey::ReadKeyFile(arguments.key));
    key = std::make_shared<const PrivateKey>(std::move(read));
  }
  return ReplayCapfSession(connection.server, connection.tls, *messages, connection.one_byte_at_a_time, key);
}

absl::Status ReplayTvs(const ReplayArguments& arguments, std::string_view text) {
  const ConnectionArguments& connection = arguments.connection;
  const absl::StatusOr<std::vector<CapturedTurn>> turns = ParseCapturedExchange(text);
  if (!turns.ok()) return Annotate(turns.status(), arguments.file);
  return ReplayTvsExchange(connection.server, connection.tls, *turns, connection.one_byte_at_a_time);
}

absl::StatusOr<int> Replay(const ReplayArguments& arguments) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(arguments.file, kMaxCaptureFile));
  const absl::Status replayed = arguments.capf ? ReplayCapf(arguments, text) : ReplayTvs(arguments, text);
  if (absl::IsDataLoss(replayed)) {
    std::cout << "different  " << arguments.file << ": " << StatusMessage(replayed) << std::endl;
    return kExitBad;
  }
  RETURN_IF_ERROR(replayed);
  std::cout << "same  " << arguments.file << std::endl;
  return kExitGood;
}

}  // namespace

void AddReplayCommand(CLI::App& app, ChosenCommand& chosen) {
  const auto arguments = std::make_shared<ReplayArguments>();
  CLI::App& command = *app.add_subcommand(
      "replay",
      "Send the phone's bytes of a captured exchange and compare the server's with the recorded ones. Of CAPF, the\n"
      "session id is the server's, and the certificate that it issues only has to be one for the recorded key.\n"
      "Exit status: 0 the same bytes, 1 different, 2 no answer or wrong usage.");
  command.footer(
      "Example:\n"
      "  phonefleet replay --tvs 192.0.2.1:2445 tests/vectors/wire/tvs-appserver-ec.hex\n"
      "  phonefleet replay --tvs 192.0.2.1:2445 --bytes tests/vectors/wire/tvs-appserver-ec.hex\n"
      "  phonefleet replay --capf 192.0.2.1:3804 tests/vectors/wire/capf-install-rsa.hex");
  CLI::Option* capf = AddCapf(command, arguments->connection);
  CLI::Option* tvs = AddTvs(command, arguments->connection)->excludes(capf);
  AddConnectionOptions(command, arguments->connection);
  command
      .add_option("--key", arguments->key,
                  "Key of the recorded phone's certificate, in PEM: its SUDI data, which hold in the recorded session\n"
                  "only, are signed anew")
      ->excludes(tvs)
      ->type_name("FILE");
  command.add_option("CAPTURE_FILE", arguments->file, "Lines 'C>S HEX' and 'S>C HEX'")->required()->type_name("FILE");
  command.callback([arguments, tvs, capf, &chosen] {
    if (tvs->count() + capf->count() == 0) throw CLI::RequiredError("--tvs or --capf");
    arguments->capf = capf->count() > 0;
    chosen = [arguments] { return Replay(*arguments); };
  });
}

}  // namespace trustline
