#include "capf/freed_memory_testing.h"

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace {

std::string_view watched;
int found_blocks = 0;

void Free(void* block) noexcept {
  if (!watched.empty() && block != nullptr) {
    const std::string_view bytes(static_cast<const char*>(block), malloc_usable_size(block));
    if (bytes.find(watched) != std::string_view::npos) ++found_blocks;
  }
  std::free(block);
}

}  // namespace

void* operator new(size_t size) {
  void* block = std::malloc(size);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void operator delete(void* block) noexcept { Free(block); }
void operator delete(void* block, size_t) noexcept { Free(block); }

namespace trustline {

FreedMemoryWatch::FreedMemoryWatch(std::string_view secret) {
  watched = secret;
  found_blocks = 0;
}

FreedMemoryWatch::~FreedMemoryWatch() { watched = {}; }

int FreedMemoryWatch::found() const { return found_blocks; }

}  // namespace trustline
