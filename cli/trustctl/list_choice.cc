#include "cli/trustctl/list_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/trust_list_words.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Bytes of MD5, SHA-1 and SHA-256.
constexpr size_t kHashSizes[] = {16, 20, 32};

}  // namespace

std::string KindText(v1::TrustListKind kind) { return WordFor(kTrustListKinds, kind); }

std::string_view GroupName(v1::TrustListKind kind) { return kind == v1::TRUST_LIST_KIND_CTL ? "ctl" : "itl"; }

void AddListOptions(CLI::App& command, ListChoice& choice) {
  if (choice.kind == v1::TRUST_LIST_KIND_CTL) return;
  command.add_option("--tftp-server", choice.tftp_server, "Whose list; not needed when there is only one")
      ->type_name("NAME");
  AddDeviceName(command, "--device", choice.device, "The list of this device; that of all phones unless given");
}

void AddGenerationOptions(CLI::App& command, ListChoice& choice) {
  CLI::Option* const generation =
      AddNumber(command, "--generation", "N", 1, std::numeric_limits<int64_t>::max(), choice.generation,
                fmt::format("Number of the generation: see `trustctl {} history`; the current one unless given",
                            GroupName(choice.kind)));
  CLI::Option* const hash =
      command
          .add_option_function<std::string>(
              "--hash",
              [&command, &choice](const std::string& text) {
                absl::StatusOr<std::string> bytes = FromHex(text);
                if (!bytes.ok() || std::ranges::find(kHashSizes, bytes->size()) == std::end(kHashSizes)) {
                  throw CLI::ValidationError(
                      command.get_name() + " --hash",
                      fmt::format("'{}' is no hash: give 40 (SHA-1), 32 (MD5) or 64 (SHA-256) hexadecimal digits",
                                  text));
                }
                choice.hash = *std::move(bytes);
              },
              "The generation whose file has this SHA-1 (as phones show it), MD5 or SHA-256")
          ->type_name("HEX");
  hash->excludes(generation);
  for (const char* const name : {"--tftp-server", "--device"}) {
    if (CLI::Option* const other = command.get_option_no_throw(name); other != nullptr) hash->excludes(other);
  }
}

absl::StatusOr<v1::FetchGenerationResponse> FetchList(Environment& environment, const ListChoice& choice) {
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  return FetchList(environment, client, choice);
}

absl::StatusOr<v1::FetchGenerationResponse> FetchList(Environment& environment, Client<v1::TrustLists>& client,
                                                      const ListChoice& choice) {
  v1::FetchGenerationRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(choice.kind);
  request.set_tftp_server(choice.tftp_server);
  request.set_device(choice.device);
  request.set_number(choice.generation.value_or(0));
  request.set_hash(choice.hash);
  ASSIGN_OR_RETURN(v1::FetchGenerationResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::FetchGeneration, request)));
  const Sha256Digest digest = Sha256(AsBytes(response.file()));
  if (!std::ranges::equal(digest, AsBytes(response.generation().sha256()))) {
    return DataLoss("itld sent for {} what is not the file that was published: SHA-256 {} instead of {}",
                    GenerationText(response.generation()), ToHex(digest),
                    ToHex(AsBytes(response.generation().sha256())));
  }
  return response;
}

absl::StatusOr<TrustList> DecodeList(std::string_view bytes, std::string_view source) {
  absl::StatusOr<TrustList> list = DecodeTrustList(AsBytes(bytes));
  if (!list.ok()) return Annotate(list.status(), source);
  return list;
}

std::string GenerationText(const v1::Generation& generation) {
  const std::string of_server = generation.tftp_server().empty() ? "" : fmt::format(" of {}", generation.tftp_server());
  const std::string for_device = generation.device().empty() ? "" : fmt::format(" for {}", generation.device());
  return fmt::format("{}{}{}, generation {}", KindText(generation.kind()), of_server, for_device, generation.number());
}

}  // namespace trustline
