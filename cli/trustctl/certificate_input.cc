#include "cli/trustctl/certificate_input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "cli/trustctl/command.h"
#include "common/bytes/bytes.h"
#include "common/posix/unique_fd.h"
#include "common/status/status.h"
#include "common/x509/certificate_file.h"
#include "common/x509/file_content.h"

namespace trustline {
namespace {

constexpr std::string_view kStandardInput = "-";
constexpr char kStandardInputName[] = "the standard input";

// The path itself, or the files of a folder in the order of their names.
absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  std::filesystem::directory_iterator entries(path, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    if (entries->path().filename().string().starts_with(".")) continue;
    if (entries->is_directory(error)) {
      return InvalidArgument(
          "{0} is a folder inside {1}, and folders inside folders are not read: name the files themselves (the shell "
          "does with {1}/*.pem), or each folder that holds nothing but certificates",
          entries->path().string(), path);
    }
    files.push_back(entries->path().string());
  }
  if (error) return FailedPrecondition("cannot read the folder {}: {}", path, error.message());
  if (files.empty()) return InvalidArgument("the folder {} has no files", path);
  std::ranges::sort(files);
  return files;
}

void Append(const std::vector<Certificate>& certificates, const std::string& source,
            std::vector<InputCertificate>& input) {
  for (size_t i = 0; i < certificates.size(); ++i) {
    input.push_back({std::string(AsText(certificates[i].der())),
                     certificates.size() == 1 ? source : fmt::format("{}, certificate {}", source, i + 1)});
  }
}

absl::StatusOr<std::vector<Certificate>> ReadStandardInput() {
  const UniqueFd input(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
  if (!input.valid()) return FileError("read", kStandardInputName, errno);
  ASSIGN_OR_RETURN(const std::string bytes, ReadAll(input, kStandardInputName, kMaxCertificateFileSize));
  return ReadCertificates(AsBytes(bytes), kStandardInputName);
}

}  // namespace

void AddCertificateFiles(CLI::App& command, std::vector<std::string>& paths) {
  command.add_option("FILE", paths, "PEM, DER or PKCS#7 files, folders of them, or - for the standard input")
      ->required()
      ->type_name(std::string(kFileType));
}

absl::Status WithFileAdvice(const absl::Status& status) {
  const std::string message(StatusMessage(status));
  if (absl::IsNotFound(status)) {
    std::error_code error;
    const std::string here = std::filesystem::current_path(error).string();
    return NotFound("{}: check the name; names that do not begin with / are looked for in {}", message, here);
  }
  if (absl::IsPermissionDenied(status)) return PermissionDenied("{}: see its owner and mode with ls -l", message);
  return status;
}

absl::StatusOr<std::vector<InputCertificate>> ReadInputCertificates(const std::vector<std::string>& paths) {
  std::vector<InputCertificate> input;
  for (const std::string& path : paths) {
    if (path == kStandardInput) {
      ASSIGN_OR_RETURN(const std::vector<Certificate> certificates, ReadStandardInput());
      Append(certificates, kStandardInputName, input);
      continue;
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> files, FilesOf(path));
    for (const std::string& file : files) {
      const absl::StatusOr<std::vector<Certificate>> certificates = ReadCertificatePath(file);
      if (!certificates.ok()) return WithFileAdvice(certificates.status());
      Append(*certificates, file, input);
    }
  }
  return input;
}

}  // namespace trustline
