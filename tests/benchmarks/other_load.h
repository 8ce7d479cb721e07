// How much of the machine other programs took during a measurement, which says how far its figures can be believed.
#pragma once

#include <cstdint>

namespace trustline {

// Measures from its construction on.
class OtherLoad {
 public:
  OtherLoad();

  // The part of all cores' time since then that neither this process nor its descendants used: 0 to 1.
  double Share() const;

 private:
  struct Ticks {
    int64_t all = 0;   // of all cores, idle or not
    int64_t busy = 0;  // of these not idle
    int64_t own = 0;   // of these ours
  };
  static Ticks Read();

  const Ticks begin_;
};

}  // namespace trustline
