#include "tests/integration/sipp.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"
#include "tests/support/run_program.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

// Its last line is the sum of everything.
absl::StatusOr<SippCounts> ReadStatistics(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  if (lines.size() < 2) return Internal("SIPp wrote no statistics");
  const std::vector<std::string> names = absl::StrSplit(lines.front(), ';');
  const std::vector<std::string> values = absl::StrSplit(lines.back(), ';');
  std::map<std::string, double> counts;
  for (size_t i = 0; i < names.size() && i < values.size(); ++i) {
    double value = 0;
    if (absl::SimpleAtod(values[i], &value)) counts[names[i]] = value;
  }
  for (const char* const name : {"SuccessfulCall(C)", "FailedCall(C)", "Retransmissions(C)", "OutOfCallMsgs(C)",
                                 "DeadCallMsgs(C)", "CallRate(C)"}) {
    if (!counts.contains(name)) return Internal("SIPp wrote no {}", name);
  }
  const auto count = [&counts](const char* name) { return static_cast<int64_t>(counts.at(name)); };
  return SippCounts{.successful = count("SuccessfulCall(C)"),
                    .failed = count("FailedCall(C)"),
                    .retransmissions = count("Retransmissions(C)"),
                    .unexpected = count("OutOfCallMsgs(C)") + count("DeadCallMsgs(C)"),
                    .calls_per_second = counts.at("CallRate(C)")};
}

}  // namespace

absl::StatusOr<SippCounts> RunSipp(const SippRun& run) {
  const TemporaryDirectory directory;
  const std::string statistics = directory.path() / "statistics.csv";
  const std::string errors = directory.path() / "errors.txt";
  std::vector<std::string> command = {"/usr/bin/sipp",
                                      fmt::format("127.0.0.1:{}", run.port),
                                      "-sf",
                                      TRUSTLINE_SOURCE_DIR "/tests/integration/sipp/" + run.scenario,
                                      "-inf",
                                      directory.WriteFile("calls.csv", "SEQUENTIAL\n" + run.calls),
                                      "-i",
                                      "127.0.0.1",
                                      "-t",
                                      run.transport,
                                      "-m",
                                      std::to_string(run.count),
                                      "-r",
                                      std::to_string(run.per_second),
                                      "-nostdin",
                                      "-trace_stat",
                                      "-stf",
                                      statistics,
                                      "-trace_err",
                                      "-error_file",
                                      errors};
  command.insert(command.end(), run.more.begin(), run.more.end());
  const ProgramResult result = RunProgram(command, {"TERM=dumb"});
  constexpr size_t kShown = 4'000;
  if (result.exit_status != 0) {
    return Internal("SIPp ended with status {}: {}{}", result.exit_status, result.err,
                    ReadFile(errors).substr(0, kShown));
  }
  return ReadStatistics(ReadFile(statistics));
}

}  // namespace trustline
