// What a site says of itself in certificates and trust lists. Given at the first start and kept, because what is in
// them must not change by a start with fewer options.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trustline {

inline constexpr char kDefaultOrganization[] = "Trustline";
inline constexpr char kDefaultOrganizationalUnit[] = "Voice";

// Of the command line: nothing, or what shall hold from now on.
struct GivenSiteSettings {
  std::optional<std::string> public_url;
  std::optional<std::string> organization;
  std::optional<std::string> organizational_unit;
  std::optional<std::string> recovery_years;
  std::optional<std::string> tftp_role;

  bool any() const { return public_url || organization || organizational_unit || recovery_years || tftp_role; }
};

struct SiteSettings {
  std::string public_url;  // "http://HOST:PORT", no slash at its end: where phones fetch CRLs
  std::string organization;
  std::string organizational_unit;
  std::string recovery_years = "20";   // of the first ITLRecovery certificate: 5, 10, 15 or 20
  std::string tftp_role = "CCM+TFTP";  // of this machine's TFTP server in the first trust list; or TFTP

  bool operator==(const SiteSettings&) const = default;
  absl::Status Write(const std::string& path) const;
};

struct DecidedSiteSettings {
  SiteSettings settings;
  std::vector<std::string> changes;  // a sentence for each value that replaces another one
  bool must_be_written = false;      // differs from the file, or there is none
};

// What is given, else what the file at `path` has, else the defaults, with the host's name and `crl_port` in the URL.
// InvalidArgument naming the option, or file and line, for what cannot stand in a certificate. Writes nothing.
absl::StatusOr<DecidedSiteSettings> DecideSiteSettings(const std::string& path, const GivenSiteSettings& given,
                                                       uint16_t crl_port);

// The host's name in the characters of DNS names.
std::string HostName();

// InvalidArgument, beginning with `what`, for a value that is no organization or organizational unit of a certificate.
absl::Status CheckOrganization(const std::string& what, const std::string& value);

}  // namespace trustline
