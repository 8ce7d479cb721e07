#include "cli/trustctl/certificate_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "common/x509/certificate_file.h"

namespace trustline {
namespace {

// The path itself, or the files of a folder in the order of their names.
absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  std::filesystem::directory_iterator entries(path, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    if (entries->path().filename().string().starts_with(".")) continue;
    if (entries->is_directory(error)) {
      return InvalidArgument("{} is a folder inside {}: name it as an argument of its own", entries->path().string(),
                             path);
    }
    files.push_back(entries->path().string());
  }
  if (error) return FailedPrecondition("cannot read the folder {}: {}", path, error.message());
  if (files.empty()) return InvalidArgument("the folder {} has no files", path);
  std::ranges::sort(files);
  return files;
}

}  // namespace

absl::StatusOr<std::vector<InputCertificate>> ReadInputCertificates(const std::vector<std::string>& paths) {
  std::vector<InputCertificate> input;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const std::vector<std::string> files, FilesOf(path));
    for (const std::string& file : files) {
      ASSIGN_OR_RETURN(const std::vector<Certificate> certificates, ReadCertificatePath(file));
      for (size_t i = 0; i < certificates.size(); ++i) {
        input.push_back({std::string(AsText(certificates[i].der())),
                         certificates.size() == 1 ? file : fmt::format("{}, certificate {}", file, i + 1)});
      }
    }
  }
  return input;
}

}  // namespace trustline
