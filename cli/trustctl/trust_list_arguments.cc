#include "cli/trustctl/trust_list_arguments.h"

#include <fmt/format.h>

#include "absl/strings/numbers.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/trust_list_words.h"

namespace trustline {

CLI::Option* AddRecoveryYears(CLI::App& command, std::optional<int64_t>& years) {
  return command
      .add_option_function<std::string>(
          "--recovery-years",
          [&command, &years](const std::string& text) {
            int64_t given = 0;
            if (!absl::SimpleAtoi(text, &given) || (given != 5 && given != 10 && given != 15 && given != 20)) {
              throw CLI::ValidationError(command.get_name() + " --recovery-years",
                                         fmt::format("'{}' is none of these: 5, 10, 15, 20", text));
            }
            years = given;
          },
          "How long ITLRecovery certificates that are made are good: 5, 10, 15 or 20 years")
      ->type_name("YEARS");
}

CLI::Option* AddListDigest(CLI::App& command, v1::ListDigest& digest) {
  return AddWord(command, "--digest", kListDigestType, kListDigests, digest, "sha1, which all phones read, or sha512");
}

CLI::Option* AddSignerVersion(CLI::App& command, v1::SignerVersion& version) {
  return AddWord(command, "--signer-version", kSignerVersionType, kSignerVersions, version,
                 "1.0, which all phones read, or 1.1, which turns on elliptic curves and HTTPS provisioning");
}

}  // namespace trustline
