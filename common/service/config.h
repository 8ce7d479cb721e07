// Configuration files: TOML 1.0, read with errors that name file, line and key.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/service/identity_files.h"

namespace trustline {

// One table of a configuration file. Every getter marks its key as known, for ConfigFile::RefuseUnknownKeys(), and
// answers InvalidArgument ("FILE:LINE: KEY ...") for a value of another type or out of its range. The ...Or forms give
// the default when the key is absent; the others refuse its absence. Cheap to copy; not for several threads at once.
class ConfigTable {
 public:
  absl::StatusOr<std::string> Text(std::string_view key);
  absl::StatusOr<std::string> TextOr(std::string_view key, std::string_view otherwise);
  absl::StatusOr<int64_t> Integer(std::string_view key, int64_t least, int64_t most);
  absl::StatusOr<int64_t> IntegerOr(std::string_view key, int64_t otherwise, int64_t least, int64_t most);
  absl::StatusOr<bool> BoolOr(std::string_view key, bool otherwise);
  // Written as text: "10s", "1h", "500ms", "30d".
  absl::StatusOr<absl::Duration> DurationOr(std::string_view key, absl::Duration otherwise, absl::Duration least,
                                            absl::Duration most);
  // Empty when absent.
  absl::StatusOr<std::vector<std::string>> TextList(std::string_view key);
  // A relative path is relative to the folder of the file; the result is absolute or relative to the current folder as
  // the file's own path was. An empty path is refused by Path and stays empty in PathOr.
  absl::StatusOr<std::string> Path(std::string_view key);
  absl::StatusOr<std::string> PathOr(std::string_view key, std::string_view otherwise);

  // The file with a passphrase, from exactly one of two keys: KEY_file is a path, KEY_credential the name of a
  // credential that systemd gave this process. The ...Or form takes neither, too.
  absl::StatusOr<std::string> PassphrasePath(std::string_view key);
  absl::StatusOr<std::string> PassphrasePathOr(std::string_view key, std::string_view otherwise);

  bool Has(std::string_view key) const;
  // Keys in the order of their names, without marking them as known.
  std::vector<std::string> Keys() const;
  // An empty table when absent.
  absl::StatusOr<ConfigTable> Table(std::string_view key);
  // [[key]]; empty when absent.
  absl::StatusOr<std::vector<ConfigTable>> Tables(std::string_view key);

  // An error of the caller's own about a key's value: InvalidArgument "FILE:LINE: KEY: message".
  absl::Status Error(std::string_view key, std::string_view message) const;

 private:
  friend class ConfigFile;
  struct File;
  struct Node;
  ConfigTable(std::shared_ptr<File> file, Node* node) : file_(std::move(file)), node_(node) {}
  std::shared_ptr<File> file_;
  Node* node_;
};

class ConfigFile {
 public:
  // NotFound or PermissionDenied when it cannot be read; InvalidArgument with the line for what is not TOML. Files over
  // 1 MB are refused.
  static absl::StatusOr<ConfigFile> Load(const std::string& path);
  // For tests and generated files: `path` is what errors name and relative paths start from.
  static absl::StatusOr<ConfigFile> Parse(std::string_view text, const std::string& path);

  ConfigTable root() const { return root_; }
  const std::string& path() const;

  // InvalidArgument naming each key that no getter has asked for, with its line and the nearest known key.
  absl::Status RefuseUnknownKeys() const;

 private:
  explicit ConfigFile(ConfigTable root) : root_(std::move(root)) {}
  ConfigTable root_;
};

// The [identity] table: certificate, key and authority.
absl::StatusOr<IdentityFiles> ReadIdentityFiles(ConfigTable& identity);

}  // namespace trustline
