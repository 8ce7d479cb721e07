// How far a long command is, on the standard error output.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "common/service/clock.h"

namespace trustline {

// On a terminal a bar that redraws itself, shown once the work takes longer than half a second; otherwise a line every
// five seconds. Used by one thread at a time.
class Progress {
 public:
  // `what` is the plural of what is counted ("certificates"); `total` 0 when unknown. The references must outlive it.
  Progress(std::ostream& err, bool terminal, std::string what, int64_t total, const Clock& clock);
  ~Progress();  // Clears the bar.
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(int64_t done);

  // Clears the bar, so that a message can follow.
  void Finish();

 private:
  std::string Line(int64_t done) const;

  std::ostream& err_;
  const bool terminal_;
  const std::string what_;
  const int64_t total_;
  const Clock& clock_;
  absl::Time next_;
  bool bar_shown_ = false;
};

}  // namespace trustline
