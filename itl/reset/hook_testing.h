// Hooks that a test writes: scripts in a folder of its own.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "itl/reset/hook_run.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

class HookFolder {
 public:
  // An executable of this content.
  std::string Write(const std::string& name, std::string_view content) const {
    const std::string path = folder_.WriteFile(name, content);
    std::filesystem::permissions(path, std::filesystem::perms(0755));
    return path;
  }
  // "ok" for all.
  std::string WriteAccepting(const std::string& name) const {
    return Write(name, "#!/bin/sh\nwhile read -r device rest; do printf '%s\\tok\\tdone\\n' \"$device\"; done\n");
  }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  const TemporaryDirectory folder_;
};

inline HandedPhone Handed(int number, const std::string& address = "192.0.2.1") {
  return {.device = fmt::format("SEP{:012X}", number),
          .model = "8841",
          .site = "Berlin",
          .address = address,
          .user_agent = "Cisco-CP8841/12.8"};
}

// "SEP000000000001 ok: done".
inline std::string AnswerText(const PhoneAnswer& answer) {
  return fmt::format("{} {}: {}", answer.device, answer.accepted ? "ok" : "failed", answer.words);
}
inline std::vector<std::string> AnswerTexts(const std::vector<PhoneAnswer>& answers) {
  std::vector<std::string> texts;
  for (const PhoneAnswer& answer : answers) texts.push_back(AnswerText(answer));
  return texts;
}

}  // namespace trustline
