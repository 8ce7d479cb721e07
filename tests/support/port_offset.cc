#include "tests/support/port_offset.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "common/posix/unique_fd.h"

namespace trustline {
namespace {

// With this distance no port of one offset is a port of another: the base ports all differ modulo 211, a prime.
constexpr int kFirst = 10'007;
constexpr int kDistance = 211;
constexpr int kCount = 60;

UniqueFd TryLock(int number) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "trustline-test-ports";
  if (mkdir(folder.c_str(), 0777) == 0) chmod(folder.c_str(), 0777);
  const std::string path = folder / std::to_string(number);
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.valid() || flock(file.get(), LOCK_EX | LOCK_NB) != 0) return UniqueFd();
  return file;
}

}  // namespace

int ReservePortOffset(const std::function<bool(int offset)>& is_free) {
  static std::vector<UniqueFd> held;  // until the process ends
  static std::mt19937 random(std::random_device{}());
  for (;;) {
    const int number = static_cast<int>(random() % kCount);
    const int offset = kFirst + number * kDistance;
    if (UniqueFd lock = TryLock(number); lock.valid() && is_free(offset)) {
      held.push_back(std::move(lock));
      return offset;
    }
  }
}

}  // namespace trustline
