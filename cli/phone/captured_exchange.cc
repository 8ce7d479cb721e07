#include "cli/phone/captured_exchange.h"

#include <algorithm>

#include "cli/phone/tvs_phone.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kShownBytes = 16;

std::string_view NextLine(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string Shown(std::string_view bytes, size_t position) {
  if (position >= bytes.size()) return "nothing";
  const std::string_view rest = bytes.substr(position);
  return ToHex(AsBytes(rest.substr(0, kShownBytes))) + (rest.size() > kShownBytes ? "..." : "");
}

}  // namespace

absl::StatusOr<std::vector<CapturedBytes>> ParseCapture(std::string_view text) {
  std::vector<CapturedBytes> captured;
  for (size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = NextLine(text);
    if (line.empty() || line.starts_with('#')) continue;
    const bool from_phone = line.starts_with("C>S ");
    if (!from_phone && !line.starts_with("S>C ")) {
      return InvalidArgument("line {}: neither 'C>S HEX' nor 'S>C HEX'", number);
    }
    const absl::StatusOr<std::string> bytes = FromHex(line.substr(4));
    if (!bytes.ok()) return InvalidArgument("line {}: {}", number, StatusMessage(bytes.status()));
    if (captured.empty() || captured.back().from_phone != from_phone) {
      captured.push_back({.from_phone = from_phone, .line = number});
    }
    captured.back().bytes += *bytes;
  }
  return captured;
}

absl::StatusOr<std::vector<CapturedTurn>> ParseCapturedExchange(std::string_view text) {
  ASSIGN_OR_RETURN(const std::vector<CapturedBytes> captured, ParseCapture(text));
  std::vector<CapturedTurn> turns;
  for (const CapturedBytes& piece : captured) {
    if (piece.from_phone) {
      turns.push_back({.from_phone = piece.bytes});
    } else if (turns.empty()) {
      return InvalidArgument("line {}: the server speaks first, which it does not in TVS", piece.line);
    } else {
      turns.back().from_server = piece.bytes;
    }
  }
  if (turns.empty()) return InvalidArgument("no line 'C>S HEX' in it");
  if (turns.back().from_server.empty()) return InvalidArgument("the phone's last message has no answer 'S>C HEX'");
  return turns;
}

absl::Status ReplayTvsExchange(const Endpoint& server, const TlsClientOptions& tls,
                               const std::vector<CapturedTurn>& turns, bool one_byte_at_a_time) {
  ASSIGN_OR_RETURN(TlsClient connection, TlsClient::Connect(server.host, server.port, tls));
  for (const CapturedTurn& turn : turns) {
    ASSIGN_OR_RETURN(const std::string received, ExchangeTvsMessage(connection, turn.from_phone, one_byte_at_a_time));
    RETURN_IF_ERROR(CompareWithCapture(turn.from_server, received));
  }
  connection.Close();
  return absl::OkStatus();
}

absl::Status CompareWithCapture(std::string_view recorded, std::string_view received) {
  const auto [in_recorded, in_received] =
      std::mismatch(recorded.begin(), recorded.end(), received.begin(), received.end());
  if (in_recorded == recorded.end() && in_received == received.end()) return absl::OkStatus();
  const auto position = static_cast<size_t>(in_recorded - recorded.begin());
  return DataLoss("the answers differ at byte {} ({} bytes recorded, {} received): recorded {}, received {}", position,
                  recorded.size(), received.size(), Shown(recorded, position), Shown(received, position));
}

}  // namespace trustline
