// What the tests of this folder share: files, other programs as judges, and small public key infrastructures.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/x509/certificate.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/private_key.h"

namespace trustline {

// A folder that is removed with everything in it.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  std::string Path(std::string_view name) const;
  // Writes a file of the given mode; returns its path.
  std::string Write(std::string_view name, std::string_view bytes, int mode = 0600) const;

 private:
  std::string path_;
};

std::string ReadTestFile(const std::string& path);
inline std::string ReadVector(std::string_view name) {
  return ReadTestFile(std::string(TRUSTLINE_SOURCE_DIR "/tests/vectors/").append(name));
}

struct CommandResult {
  int exit_status;
  std::string output;  // standard output and standard error
};
CommandResult RunCommand(const std::string& command);

// The moment at which the vectors are judged.
inline const absl::Time kTestNow = absl::FromCivil(absl::CivilDay(2026, 12, 1), absl::UTCTimeZone());

// A certificate with its key. All EC P-256, which is quick to make.
struct Party {
  PrivateKey key;
  Certificate certificate;
};
CertificateTemplate AuthorityForm(std::string_view common_name);
CertificateTemplate LeafForm(std::string_view common_name);
Party MakeSelfSigned(const CertificateTemplate& form);
Party MakeIssued(const CertificateTemplate& form, const Party& issuer);

// A CRL in DER with so many entries, each with a serial number of 16 bytes and a reason, as that of a large fleet has
// them; current for a week from an hour before kTestNow.
std::string MakeLargeCrl(const Party& issuer, size_t revoked);

// `der` with the first occurrence of `from` replaced by `to`, which has the same length.
std::string WithReplaced(ByteView der, std::string_view from, std::string_view to);

}  // namespace trustline
