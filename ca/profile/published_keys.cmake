# Makes the array behind published_key.h from the list of published keys.
# Usage: cmake -D LIST=published_keys.txt -D OUTPUT=published_keys.cc -P published_keys.cmake
file(READ "${LIST}" keys)
string(REGEX REPLACE "#[^\n]*\n" "" keys "${keys}")

# The lists of CMake know semicolons and brackets, so the text is turned as a whole.
string(REPEAT "[0-9a-f]" 64 digest)
string(REGEX REPLACE "${digest} [-A-Za-z0-9 ._/+:,()@~=]+\n" "" rest "${keys}")
if(keys STREQUAL "" OR NOT rest STREQUAL "")
  string(SUBSTRING "${rest}" 0 100 rest)
  message(FATAL_ERROR "${LIST}: neither a comment nor a digest with its source: ${rest}")
endif()
string(REGEX REPLACE "${digest} ([^\n]+)\n" "    \"\\1\",\n" sources "${keys}")
string(REGEX REPLACE " [^\n]+\n" "\n" digests "${keys}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," digests "${digests}")
string(REGEX REPLACE "([^\n]+)\n" "    {{\\1}},\n" digests "${digests}")

file(WRITE "${OUTPUT}" "// Made from published_keys.txt.
#include \"ca/profile/published_key.h\"

namespace trustline {
namespace {

constexpr Sha256Digest kDigests[] = {
${digests}};

constexpr const char* kSources[] = {
${sources}};

static_assert(std::size(kDigests) == std::size(kSources));

}  // namespace

PublishedKeys AllPublishedKeys() { return {kDigests, kSources}; }

}  // namespace trustline
")
