// What a hook writes, in pieces of any size: each phone of the wave has one answer, of printable words, and lines are
// bounded whatever comes.
#include <algorithm>
#include <cstdlib>

#include "itl/reset/hook_answers.h"

using namespace trustline;

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

bool IsPrintable(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view output(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece = data[0] % 64 + 1;  // bytes that come at once
  HandedPhone first, second;
  first.device = "SEP001122334455";
  second.device = "SEP001122334456";
  HookAnswers answers({first, second});
  LineCutter cutter;
  int64_t lines = 0;
  const auto on_line = [&](std::string_view line) {
    Check(line.size() <= kLongestHookLine && line.find('\n') == std::string_view::npos);
    ++lines;
    answers.AddLine(line);
  };
  for (size_t at = 0; at < output.size(); at += piece) cutter.Add(output.substr(at, piece), on_line);
  cutter.Finish(on_line);

  const std::vector<PhoneAnswer> all = answers.All("it gave none");
  Check(all.size() == 2 && all[0].device != all[1].device);
  for (const PhoneAnswer& answer : all) Check(IsPrintable(answer.words) && answer.words.size() <= kLongestHookLine);
  Check(answers.Given().size() <= 2 && answers.ignored() <= lines && IsPrintable(answers.first_ignored()));
  return 0;
}
