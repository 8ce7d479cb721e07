#include "itl/reset/hook_answers.h"

#include <algorithm>

#include "common/device/device_name.h"
#include "common/service/json.h"

namespace trustline {
namespace {

// With the three dots of a cut, and in UTF-8, fewer than the 400 characters that the table takes.
constexpr size_t kLongestWords = 390;
constexpr size_t kLongestField = 255;
constexpr size_t kShownLine = 80;

std::string Field(std::string_view text) {
  std::string field(text.substr(0, kLongestField));
  std::ranges::replace_if(
      field, [](unsigned char c) { return c < ' ' || c == 0x7F; }, ' ');
  return field.empty() ? "-" : field;
}

// Up to the next tab, which is taken too.
std::string_view TakeField(std::string_view& line) {
  const size_t tab = line.find('\t');
  const std::string_view field = line.substr(0, tab);
  line = tab == std::string_view::npos ? std::string_view() : line.substr(tab + 1);
  return field;
}

}  // namespace

std::string HookInput(const std::vector<HandedPhone>& phones) {
  std::string input;
  for (const HandedPhone& phone : phones) {
    input += phone.device;
    for (const std::string* const text : {&phone.model, &phone.site, &phone.address, &phone.user_agent}) {
      input += '\t';
      input += Field(*text);
    }
    input += '\n';
  }
  return input;
}

void LineCutter::Add(std::string_view bytes, const OnLine& on_line) {
  while (!bytes.empty()) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    line_ += bytes.substr(0, std::min(end, kLongestHookLine - line_.size()));
    if (end == bytes.size()) return;
    bytes.remove_prefix(end + 1);
    on_line(line_);
    line_.clear();
  }
}

void LineCutter::Finish(const OnLine& on_line) {
  if (!line_.empty()) on_line(line_);
  line_.clear();
}

HookAnswers::HookAnswers(const std::vector<HandedPhone>& phones) {
  for (const HandedPhone& phone : phones) entries_.try_emplace(phone.device);
}

void HookAnswers::AddLine(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::string_view rest = line;
  const absl::StatusOr<DeviceName> device = DeviceName::Parse(TakeField(rest));
  const std::string_view verdict = TakeField(rest);
  const auto entry = device.ok() ? entries_.find(device->text()) : entries_.end();
  if (entry == entries_.end() || entry->second.given || (verdict != "ok" && verdict != "failed")) {
    if (ignored_++ == 0) first_ignored_ = PrintableText(line, kShownLine);
    return;
  }
  entry->second = {.given = true, .accepted = verdict == "ok", .words = PrintableText(rest, kLongestWords)};
}

std::vector<PhoneAnswer> HookAnswers::All(std::string_view words_for_the_rest) const {
  std::vector<PhoneAnswer> answers;
  for (const auto& [device, entry] : entries_) {
    answers.push_back({.device = device,
                       .accepted = entry.accepted,
                       .words = entry.given ? entry.words : std::string(words_for_the_rest)});
  }
  return answers;
}

std::vector<PhoneAnswer> HookAnswers::Given() const {
  std::vector<PhoneAnswer> answers;
  for (const auto& [device, entry] : entries_) {
    if (entry.given) answers.push_back({.device = device, .accepted = entry.accepted, .words = entry.words});
  }
  return answers;
}

}  // namespace trustline
