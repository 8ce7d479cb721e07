#include "cli/trustctl/terminal_questions.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/strings/match.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/escaping.h"
#include "common/status/status.h"
#include "common/x509/pkcs12.h"
#include "common/x509/private_key.h"

namespace trustline {
namespace {

constexpr size_t kLongestAnswer = 1024;
constexpr int kPollMilliseconds = 100;

bool CanAsk(const Environment& environment) { return environment.err_is_terminal() && isatty(STDIN_FILENO) == 1; }

// While it exists, what is typed is not shown.
class EchoOff {
 public:
  EchoOff() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_lflag |= ECHONL;
    changed_ = tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
  }
  ~EchoOff() {
    if (changed_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  EchoOff(const EchoOff&) = delete;
  EchoOff& operator=(const EchoOff&) = delete;

  bool changed() const { return changed_; }

 private:
  termios before_ = {};
  bool changed_ = false;
};

// One line from the terminal, without its end, inside a CallSeries of the caller's that began before the question was
// asked: so Ctrl-C ends the wait, however early it comes, and the echo comes back.
absl::StatusOr<SecretBytes> ReadLine(Environment& environment) {
  std::array<char, kLongestAnswer> buffer = {};
  while (true) {
    pollfd descriptor = {STDIN_FILENO, POLLIN, 0};
    const int ready = poll(&descriptor, 1, kPollMilliseconds);
    if (environment.interrupt().requested()) return Aborted("interrupted: nothing was changed");
    if (ready <= 0) continue;
    const ssize_t count = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Aborted("there was no answer: nothing was changed");
    std::string_view line(buffer.data(), static_cast<size_t>(count));
    const bool whole = line.ends_with('\n');
    if (whole) line.remove_suffix(1);
    SecretBytes answer(line);
    OPENSSL_cleanse(buffer.data(), buffer.size());
    if (!whole && line.size() == kLongestAnswer) return InvalidArgument("the answer is longer than a line may be");
    return answer;
  }
}

absl::StatusOr<SecretBytes> AskHidden(Environment& environment, std::string_view prompt) {
  const CallSeries series(environment);
  const EchoOff echo_off;
  if (!echo_off.changed())
    return FailedPrecondition("cannot hide what is typed at this terminal: use --passphrase-file");
  environment.err() << EscapeForTerminal(prompt) << ": " << std::flush;
  return ReadLine(environment);
}

absl::Status NobodyToAsk(std::string_view file) {
  return UsageError(fmt::format(
      "the passphrase of {} cannot be asked for, because this is no terminal: give --passphrase-file", file));
}

absl::StatusOr<SecretBytes> FromFile(const std::string& path) {
  absl::StatusOr<SecretBytes> passphrase = ReadPassphraseFile(path);
  if (!passphrase.ok()) return WithFileAdvice(passphrase.status());
  return passphrase;
}

}  // namespace

bool StandardOutputIsTerminal() { return isatty(STDOUT_FILENO) == 1; }

void AddYes(CLI::App& command, bool& yes) {
  command.add_flag("--yes", yes, "Do not ask for confirmation; needed where there is no terminal to ask at");
}

absl::Status Confirm(Environment& environment, bool yes, std::string_view question) {
  if (yes) return absl::OkStatus();
  if (!CanAsk(environment)) {
    return UsageError("this wants a confirmation, and there is no terminal to ask at: give --yes");
  }
  const CallSeries series(environment);
  environment.err() << EscapeForTerminal(question) << " [y/N] " << std::flush;
  ASSIGN_OR_RETURN(const SecretBytes line, ReadLine(environment));
  const std::string answer(line.ExposeSecret());
  if (absl::EqualsIgnoreCase(answer, "y") || absl::EqualsIgnoreCase(answer, "yes")) return absl::OkStatus();
  return Aborted("not confirmed: nothing was changed");
}

CLI::Option* AddPassphraseFile(CLI::App& command, std::string& path) {
  return AddFile(command, "--passphrase-file", path,
                 "File with the passphrase, readable for you alone; asked for at the terminal unless given");
}

absl::StatusOr<SecretBytes> ReadPassphrase(Environment& environment, const std::string& path, std::string_view file) {
  if (!path.empty()) return FromFile(path);
  if (!CanAsk(environment)) return NobodyToAsk(file);
  return AskHidden(environment, fmt::format("Passphrase of {}", file));
}

absl::StatusOr<SecretBytes> ReadNewPassphrase(Environment& environment, const std::string& path,
                                              std::string_view file) {
  const auto checked = [](SecretBytes passphrase) -> absl::StatusOr<SecretBytes> {
    if (passphrase.size() < kMinPkcs12Passphrase) {
      return InvalidArgument("the passphrase is too short: it needs at least {} characters", kMinPkcs12Passphrase);
    }
    return passphrase;
  };
  if (!path.empty()) {
    ASSIGN_OR_RETURN(SecretBytes passphrase, FromFile(path));
    return checked(std::move(passphrase));
  }
  if (!CanAsk(environment)) return NobodyToAsk(file);
  ASSIGN_OR_RETURN(SecretBytes first, AskHidden(environment, fmt::format("New passphrase for {}", file)));
  RETURN_IF_ERROR(checked(SecretBytes(first.ExposeSecret())).status());
  ASSIGN_OR_RETURN(const SecretBytes second, AskHidden(environment, "The same again"));
  if (!first.EqualsInConstantTime(AsBytes(second.ExposeSecret()))) {
    return InvalidArgument("the two passphrases differ: nothing was written");
  }
  return first;
}

}  // namespace trustline
