#include "tests/support/wire_vector.h"

#include <fstream>

#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {

absl::StatusOr<WireExchange> ReadWireExchange(const std::string& name) {
  const std::string path = TRUSTLINE_SOURCE_DIR "/tests/vectors/wire/" + name;
  std::ifstream file(path);
  if (!file) return NotFound("{} cannot be read", path);
  WireExchange exchange;
  for (std::string line; std::getline(file, line);) {
    const std::string_view text = line;
    if (text.empty() || text.starts_with('#')) continue;
    const bool from_phone = text.starts_with("C>S ");
    if (!from_phone && !text.starts_with("S>C ")) return InvalidArgument("{}: unknown line '{}'", path, text);
    ASSIGN_OR_RETURN(const std::string bytes, FromHex(text.substr(4)));
    (from_phone ? exchange.from_phone : exchange.from_server) += bytes;
  }
  return exchange;
}

}  // namespace trustline
