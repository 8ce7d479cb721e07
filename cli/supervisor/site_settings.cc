#include "cli/supervisor/site_settings.h"

#include <unistd.h>

#include <algorithm>
#include <climits>

#include "ca/profile/public_url.h"
#include "cli/supervisor/daemon_files.h"
#include "cli/supervisor/private_file.h"
#include "common/device/certificate_role.h"
#include "common/service/config.h"
#include "common/status/status.h"
#include "common/x509/distinguished_name.h"

namespace trustline {
namespace {

bool IsLetterOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// One of the settings: its option, its name in the file, its place and its value if nobody says anything.
struct Setting {
  const char* option;
  const char* key;
  std::optional<std::string> GivenSiteSettings::*given;
  std::string SiteSettings::*value;
  std::string otherwise;
};

absl::StatusOr<std::string> Check(const Setting& setting, const std::string& what, std::string value) {
  if (setting.value == &SiteSettings::public_url) {
    absl::StatusOr<std::string> url = CheckPublicUrl(std::move(value));
    if (!url.ok()) return InvalidArgument("{} {}", what, StatusMessage(url.status()));
    return url;
  }
  if (setting.value == &SiteSettings::recovery_years) {
    if (value == "5" || value == "10" || value == "15" || value == "20") return value;
    return InvalidArgument("{} {}: an ITLRecovery certificate lasts 5, 10, 15 or 20 years", what, TomlText(value));
  }
  if (setting.value == &SiteSettings::tftp_role) {
    const absl::StatusOr<CertificateRole> role = ParseCertificateRole(value);
    if (role.ok() && (*role == CertificateRole::kCcmTftp || *role == CertificateRole::kTftp)) {
      return std::string(CertificateRoleName(*role));
    }
    return InvalidArgument("{} {}: a TFTP server stands in trust lists as CCM+TFTP or TFTP", what, TomlText(value));
  }
  RETURN_IF_ERROR(CheckOrganization(what, value));
  return value;
}

absl::StatusOr<std::optional<ConfigFile>> LoadIfThere(const std::string& path) {
  if (!FileExists(path)) return std::nullopt;
  ASSIGN_OR_RETURN(const std::string text, ReadTrustedFile(path));
  return ConfigFile::Parse(text, path);
}

}  // namespace

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = "";
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "localhost";
  std::string text(name);
  for (char& c : text) {
    if (!IsLetterOrDigit(c) && c != '-' && c != '.') c = '-';
  }
  return text;
}

absl::Status CheckOrganization(const std::string& what, const std::string& value) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  const absl::Status refused = InvalidArgument(
      "{} {}: that cannot stand in a certificate: 1 to 64 characters in UTF-8, none of them a control "
      "character",
      what, TomlText(value));
  if (value.empty() || std::ranges::any_of(value, is_control)) return refused;
  const auto name = DistinguishedName::FromAttributes({{"O", value}});
  return name.ok() && name->ToX509Name().ok() ? absl::OkStatus() : refused;
}

absl::Status SiteSettings::Write(const std::string& path) const {
  return WriteFileWhole(
      path,
      fmt::format("# What goes into certificates and trust lists. Written by trustline up; its options change it.\n"
                  "public_url = {}\norganization = {}\norganizational_unit = {}\nrecovery_years = {}\ntftp_role = {}\n",
                  TomlText(public_url), TomlText(organization), TomlText(organizational_unit), TomlText(recovery_years),
                  TomlText(tftp_role)),
      0644);
}

absl::StatusOr<DecidedSiteSettings> DecideSiteSettings(const std::string& path, const GivenSiteSettings& given,
                                                       uint16_t crl_port) {
  const Setting settings[] = {
      {"--public-url", "public_url", &GivenSiteSettings::public_url, &SiteSettings::public_url,
       fmt::format("http://{}:{}", HostName(), crl_port)},
      {"--organization", "organization", &GivenSiteSettings::organization, &SiteSettings::organization,
       kDefaultOrganization},
      {"--organizational-unit", "organizational_unit", &GivenSiteSettings::organizational_unit,
       &SiteSettings::organizational_unit, kDefaultOrganizationalUnit},
      {"--recovery-years", "recovery_years", &GivenSiteSettings::recovery_years, &SiteSettings::recovery_years, "20"},
      {"--tftp-role", "tftp_role", &GivenSiteSettings::tftp_role, &SiteSettings::tftp_role, "CCM+TFTP"},
  };
  ASSIGN_OR_RETURN(const std::optional<ConfigFile> file, LoadIfThere(path));
  DecidedSiteSettings decided{.must_be_written = !file};
  for (const Setting& setting : settings) {
    std::string& value = decided.settings.*setting.value;
    value = setting.otherwise;
    if (file) {
      ConfigTable root = file->root();
      // Files of earlier versions lack those about trust lists.
      const bool is_newer = setting.value == &SiteSettings::recovery_years || setting.value == &SiteSettings::tftp_role;
      ASSIGN_OR_RETURN(value, is_newer ? root.TextOr(setting.key, setting.otherwise) : root.Text(setting.key));
      ASSIGN_OR_RETURN(value, Check(setting, fmt::format("{}: {}", path, setting.key), value));
    }
    const std::optional<std::string>& wanted = given.*setting.given;
    if (!wanted) continue;
    ASSIGN_OR_RETURN(const std::string checked, Check(setting, setting.option, *wanted));
    if (file && checked != value) {
      decided.changes.push_back(
          fmt::format("{} is {} from now on, no longer {}; what was made before keeps what it has", setting.key,
                      TomlText(checked), TomlText(value)));
      decided.must_be_written = true;
    }
    value = checked;
  }
  if (file) RETURN_IF_ERROR(file->RefuseUnknownKeys());
  return decided;
}

}  // namespace trustline
