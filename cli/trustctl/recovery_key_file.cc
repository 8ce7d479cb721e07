#include "cli/trustctl/recovery_key_file.h"

#include <utility>

#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/terminal_questions.h"
#include "common/service/text_file.h"
#include "common/status/status.h"

namespace trustline {

absl::StatusOr<RecoveryKeyFile> ReadRecoveryKeyFile(Environment& environment, const std::string& path,
                                                    const std::string& passphrase_file) {
  absl::StatusOr<std::string> bytes = ReadTextFile(path, kMaxPkcs12Size);
  if (!bytes.ok()) return WithFileAdvice(bytes.status());
  ASSIGN_OR_RETURN(SecretBytes passphrase, ReadPassphrase(environment, passphrase_file, path));
  absl::StatusOr<CertifiedKey> content = ReadPkcs12(AsBytes(*bytes), passphrase);
  if (!content.ok()) return Annotate(content.status(), path);
  return RecoveryKeyFile{*std::move(bytes), std::move(passphrase), *std::move(content)};
}

}  // namespace trustline
