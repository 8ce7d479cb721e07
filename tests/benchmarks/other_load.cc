#include "tests/benchmarks/other_load.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace trustline {
namespace {

namespace fs = std::filesystem;

struct Process {
  pid_t parent = 0;
  int64_t ticks = 0;  // its own and those of its children that have ended
};

std::map<pid_t, Process> AllProcesses() {
  std::map<pid_t, Process> processes;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const pid_t pid = std::atoi(entry->path().filename().c_str());
    std::ifstream file(entry->path() / "stat");
    std::string text;
    if (pid <= 0 || !std::getline(file, text)) continue;
    // proc(5): "pid (name) state ppid ..."; fields 14 to 17 are utime, stime, cutime, cstime. The name may hold
    // anything.
    std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 2)));
    std::vector<std::string> values;
    for (std::string value; fields >> value && values.size() < 15;) values.push_back(value);
    if (values.size() < 15) continue;
    Process process{.parent = std::atoi(values[1].c_str())};
    for (size_t i = 11; i < 15; ++i) process.ticks += std::atoll(values[i].c_str());
    processes[pid] = process;
  }
  return processes;
}

}  // namespace

OtherLoad::OtherLoad() : begin_(Read()) {}

OtherLoad::Ticks OtherLoad::Read() {
  Ticks ticks;
  std::ifstream file("/proc/stat");
  std::string label;
  file >> label;
  // proc(5): user nice system idle iowait irq softirq steal
  for (int column = 0; column < 8; ++column) {
    int64_t value = 0;
    file >> value;
    ticks.all += value;
    if (column != 3 && column != 4) ticks.busy += value;
  }
  const std::map<pid_t, Process> processes = AllProcesses();
  for (const auto& [pid, process] : processes) {
    pid_t ancestor = pid;
    while (ancestor > 1 && ancestor != getpid()) {
      const auto found = processes.find(ancestor);
      ancestor = found == processes.end() ? 0 : found->second.parent;
    }
    if (ancestor == getpid()) ticks.own += process.ticks;
  }
  return ticks;
}

double OtherLoad::Share() const {
  const Ticks now = Read();
  const int64_t all = now.all - begin_.all;
  const int64_t others = now.busy - begin_.busy - (now.own - begin_.own);
  return all <= 0 ? 0 : std::clamp(static_cast<double>(others) / static_cast<double>(all), 0.0, 1.0);
}

}  // namespace trustline
