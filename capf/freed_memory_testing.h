// Looks into all memory that a test frees. Linked into a program, it replaces operator new and delete there.
#pragma once

#include <string_view>

namespace trustline {

// One at a time, in a program with one thread.
class FreedMemoryWatch {
 public:
  // Begins to look for `secret`, which lies in memory that is never freed, such as a literal.
  explicit FreedMemoryWatch(std::string_view secret);
  ~FreedMemoryWatch();
  FreedMemoryWatch(const FreedMemoryWatch&) = delete;
  FreedMemoryWatch& operator=(const FreedMemoryWatch&) = delete;

  // In how many blocks the secret was left when they were freed.
  int found() const;
};

}  // namespace trustline
