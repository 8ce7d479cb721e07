#include "cli/supervisor/own_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/status/status.h"

namespace trustline {
namespace {

absl::Status OpenStandardDescriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number is this one: those before it are open.
    if (open("/dev/null", O_RDWR) != fd) return Internal("cannot open /dev/null: {}", std::strerror(errno));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PrepareOwnProcess() {
  RETURN_IF_ERROR(OpenStandardDescriptors());
  std::signal(SIGPIPE, SIG_IGN);
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return Internal("cannot switch core dumps off: {}", std::strerror(errno));
  // The limit does not hold for dumps that the system pipes into a program (core(5)).
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return Internal("cannot switch core dumps off: {}", std::strerror(errno));
  return absl::OkStatus();
}

}  // namespace trustline
