// What a hook is given and what it answers: lines of fields with tabs between them (docs/RESETS.md). Its output is
// untrusted.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "itl/reset/reset_wave.h"

namespace trustline {

// Of a line of a hook's output; what is longer is cut.
inline constexpr size_t kLongestHookLine = 1024;

// DEVICE, model, site, address, user agent; "-" for what is not known. Control characters are blanks, so that a line is
// a phone whatever it says of itself.
std::string HookInput(const std::vector<HandedPhone>& phones);

// Cuts a stream of bytes into lines of at most kLongestHookLine bytes; keeps no more than one.
class LineCutter {
 public:
  using OnLine = std::function<void(std::string_view line)>;
  void Add(std::string_view bytes, const OnLine& on_line);
  // The last line may lack its end.
  void Finish(const OnLine& on_line);

 private:
  std::string line_;
};

// Answers as they come: DEVICE, "ok" or "failed", and words, of which there may be none. The first one for a phone
// counts.
class HookAnswers {
 public:
  explicit HookAnswers(const std::vector<HandedPhone>& phones);

  void AddLine(std::string_view line);

  // An answer for each phone; those that the hook gave none for have failed, with these words.
  std::vector<PhoneAnswer> All(std::string_view words_for_the_rest) const;
  // Only those that it gave.
  std::vector<PhoneAnswer> Given() const;

  // Lines that were no answers for phones of the wave, and the first of them, cut and without control characters.
  int64_t ignored() const { return ignored_; }
  const std::string& first_ignored() const { return first_ignored_; }

 private:
  struct Entry {
    bool given = false;
    bool accepted = false;
    std::string words;
  };
  std::map<std::string, Entry, std::less<>> entries_;  // by device
  int64_t ignored_ = 0;
  std::string first_ignored_;
};

}  // namespace trustline
