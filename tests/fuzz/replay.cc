// Runs a fuzz target over the files of its corpus, and over every truncation and some damage of each.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void Run(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

// Long inputs are cut at every 37th byte only: neighbouring cuts of a certificate's key take the same path.
void RunWithDamage(const std::string& bytes) {
  Run(bytes);
  const size_t step = bytes.size() < 512 ? 1 : 37;
  for (size_t length = 0; length < bytes.size(); length += step) Run(bytes.substr(0, length));
  std::string damaged = bytes;
  for (size_t i = 0; i < bytes.size(); i += step) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      damaged[i] = static_cast<char>(bytes[i] ^ flip);
      Run(damaged);
    }
    damaged[i] = bytes[i];
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
    return 2;
  }
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    RunWithDamage(std::string(std::istreambuf_iterator<char>(file), {}));
    ++files;
  }
  std::printf("%zu inputs replayed\n", files);
  return files == 0 ? 1 : 0;
}
