#include "common/service/config.h"

#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <filesystem>
#include <map>
#include <set>

#include "common/posix/credentials_directory.h"
#include "common/service/nearest_text.h"
#include "common/service/text_file.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxConfigSize = 1024 * 1024;

}  // namespace

struct ConfigTable::File {
  std::string path;
  toml::table table;
  std::unique_ptr<Node> root;
};

// A table of the file, with the keys that getters asked for.
struct ConfigTable::Node {
  const toml::table* table = nullptr;  // null when the file has no such table
  std::string name;                    // "grpc", "listener[2].tls"; empty for the root
  std::set<std::string> known;
  std::map<std::string, std::unique_ptr<Node>> tables;
  std::map<std::string, std::vector<std::unique_ptr<Node>>> arrays;

  const toml::node* Get(std::string_view key) {
    known.emplace(key);
    return table == nullptr ? nullptr : table->get(key);
  }
  std::string NameOf(std::string_view key) const {
    return name.empty() ? std::string(key) : fmt::format("{}.{}", name, key);
  }

  void CollectUnknown(const std::string& path, std::vector<std::string>& findings) const {
    if (table == nullptr) return;
    for (const auto& [toml_key, value] : *table) {
      const std::string key(toml_key.str());
      if (!known.contains(key)) {
        std::string nearest = NearestText(key, known);
        findings.push_back(fmt::format("{}:{}: unknown key '{}'{}", path, toml_key.source().begin.line, NameOf(key),
                                       nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest)));
      }
    }
    for (const auto& [key, node] : tables) node->CollectUnknown(path, findings);
    for (const auto& [key, nodes] : arrays) {
      for (const auto& node : nodes) node->CollectUnknown(path, findings);
    }
  }
};

absl::Status ConfigTable::Error(std::string_view key, std::string_view message) const {
  const toml::node* value = node_->table == nullptr ? nullptr : node_->table->get(key);
  if (value == nullptr && node_->table != nullptr && !node_->name.empty()) value = node_->table;
  if (value == nullptr) return InvalidArgument("{}: {}: {}", file_->path, node_->NameOf(key), message);
  return InvalidArgument("{}:{}: {}: {}", file_->path, value->source().begin.line, node_->NameOf(key), message);
}

bool ConfigTable::Has(std::string_view key) const {
  return node_->table != nullptr && node_->table->get(key) != nullptr;
}

std::vector<std::string> ConfigTable::Keys() const {
  std::vector<std::string> keys;
  if (node_->table == nullptr) return keys;
  for (const auto& [key, value] : *node_->table) keys.emplace_back(key.str());
  return keys;
}

absl::StatusOr<std::string> ConfigTable::Text(std::string_view key) {
  if (!Has(key)) {
    node_->known.emplace(key);
    return Error(key, "is missing");
  }
  return TextOr(key, "");
}

absl::StatusOr<std::string> ConfigTable::TextOr(std::string_view key, std::string_view otherwise) {
  const toml::node* value = node_->Get(key);
  if (value == nullptr) return std::string(otherwise);
  const toml::value<std::string>* text = value->as_string();
  if (text == nullptr) return Error(key, "must be text in quotes");
  if (text->get().find('\0') != std::string::npos) return Error(key, "must not contain NUL");
  return text->get();
}

absl::StatusOr<int64_t> ConfigTable::Integer(std::string_view key, int64_t least, int64_t most) {
  if (!Has(key)) {
    node_->known.emplace(key);
    return Error(key, "is missing");
  }
  return IntegerOr(key, least, least, most);
}

absl::StatusOr<int64_t> ConfigTable::IntegerOr(std::string_view key, int64_t otherwise, int64_t least, int64_t most) {
  const toml::node* value = node_->Get(key);
  if (value == nullptr) return otherwise;
  const toml::value<int64_t>* number = value->as_integer();
  if (number == nullptr) return Error(key, "must be a whole number");
  if (number->get() < least || number->get() > most) {
    return Error(key, fmt::format("{} is not between {} and {}", number->get(), least, most));
  }
  return number->get();
}

absl::StatusOr<bool> ConfigTable::BoolOr(std::string_view key, bool otherwise) {
  const toml::node* value = node_->Get(key);
  if (value == nullptr) return otherwise;
  const toml::value<bool>* flag = value->as_boolean();
  if (flag == nullptr) return Error(key, "must be true or false");
  return flag->get();
}

absl::StatusOr<absl::Duration> ConfigTable::DurationOr(std::string_view key, absl::Duration otherwise,
                                                       absl::Duration least, absl::Duration most) {
  const toml::node* value = node_->Get(key);
  if (value == nullptr) return otherwise;
  const toml::value<std::string>* text = value->as_string();
  if (text == nullptr) return Error(key, "must be a duration in quotes, such as \"10s\"");
  absl::StatusOr<absl::Duration> duration = ParseDuration(text->get());
  if (!duration.ok()) return Error(key, StatusMessage(duration.status()));
  if (*duration < least || *duration > most) {
    return Error(key, fmt::format("{} is not between {} and {}", text->get(), DurationText(least), DurationText(most)));
  }
  return *duration;
}

absl::StatusOr<std::vector<std::string>> ConfigTable::TextList(std::string_view key) {
  std::vector<std::string> texts;
  const toml::node* value = node_->Get(key);
  if (value == nullptr) return texts;
  const toml::array* array = value->as_array();
  if (array == nullptr) return Error(key, "must be a list of texts: [\"a\", \"b\"]");
  for (const toml::node& element : *array) {
    const toml::value<std::string>* text = element.as_string();
    if (text == nullptr) return Error(key, "must be a list of texts: [\"a\", \"b\"]");
    if (text->get().find('\0') != std::string::npos) return Error(key, "must not contain NUL");
    texts.push_back(text->get());
  }
  return texts;
}

absl::StatusOr<std::string> ConfigTable::Path(std::string_view key) {
  ASSIGN_OR_RETURN(std::string path, Text(key));
  if (path.empty()) return Error(key, "must not be empty");
  return PathOr(key, "");
}

absl::StatusOr<std::string> ConfigTable::PathOr(std::string_view key, std::string_view otherwise) {
  ASSIGN_OR_RETURN(std::string path, TextOr(key, otherwise));
  if (path.empty()) return path;
  const std::filesystem::path folder = std::filesystem::path(file_->path).parent_path();
  return (folder / path).string();  // an absolute path replaces the folder
}

absl::StatusOr<std::string> ConfigTable::PassphrasePath(std::string_view key) {
  const std::string file_key = fmt::format("{}_file", key);
  ASSIGN_OR_RETURN(std::string path, PassphrasePathOr(key, ""));
  if (!path.empty()) return path;
  if (Has(file_key)) return Error(file_key, "must not be empty");
  return Error(file_key, fmt::format("is missing: name a file, or a credential with {}_credential", key));
}

absl::StatusOr<std::string> ConfigTable::PassphrasePathOr(std::string_view key, std::string_view otherwise) {
  const std::string file_key = fmt::format("{}_file", key);
  const std::string credential_key = fmt::format("{}_credential", key);
  ASSIGN_OR_RETURN(const std::string name, TextOr(credential_key, ""));
  ASSIGN_OR_RETURN(std::string path, PathOr(file_key, otherwise));
  if (!Has(credential_key)) return path;
  if (Has(file_key)) return Error(credential_key, fmt::format("stands beside {}: one of them decides", file_key));
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
    return Error(credential_key, "must be the name of a credential, without '/'");
  }
  const std::string directory = CredentialsDirectory();
  if (directory.empty()) {
    return Error(
        credential_key,
        fmt::format("there are no credentials, CREDENTIALS_DIRECTORY is not set: start the program by a systemd "
                    "unit with LoadCredential={}:FILE",
                    name));
  }
  return fmt::format("{}/{}", directory, name);
}

absl::StatusOr<ConfigTable> ConfigTable::Table(std::string_view key) {
  const toml::node* value = node_->Get(key);
  const toml::table* table = nullptr;
  if (value != nullptr) {
    table = value->as_table();
    if (table == nullptr) return Error(key, fmt::format("must be a table: [{}]", node_->NameOf(key)));
  }
  std::unique_ptr<Node>& child = node_->tables[std::string(key)];
  if (child == nullptr) child = std::make_unique<Node>(Node{.table = table, .name = node_->NameOf(key)});
  return ConfigTable(file_, child.get());
}

absl::StatusOr<std::vector<ConfigTable>> ConfigTable::Tables(std::string_view key) {
  std::vector<ConfigTable> tables;
  const toml::node* value = node_->Get(key);
  if (value == nullptr) return tables;
  const toml::array* array = value->as_array();
  if (array == nullptr) return Error(key, fmt::format("must be written as [[{}]]", node_->NameOf(key)));
  std::vector<std::unique_ptr<Node>>& children = node_->arrays[std::string(key)];
  if (children.empty()) {
    for (const toml::node& element : *array) {
      const toml::table* table = element.as_table();
      if (table == nullptr) return Error(key, fmt::format("must be written as [[{}]]", node_->NameOf(key)));
      children.push_back(std::make_unique<Node>(
          Node{.table = table, .name = fmt::format("{}[{}]", node_->NameOf(key), children.size() + 1)}));
    }
  }
  for (const auto& child : children) tables.push_back(ConfigTable(file_, child.get()));
  return tables;
}

absl::StatusOr<ConfigFile> ConfigFile::Load(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadTextFile(path, kMaxConfigSize));
  return Parse(text, path);
}

absl::StatusOr<ConfigFile> ConfigFile::Parse(std::string_view text, const std::string& path) {
  auto file = std::make_shared<ConfigTable::File>();
  file->path = path;
  try {
    file->table = toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    return InvalidArgument("{}:{}:{}: {}", path, error.source().begin.line, error.source().begin.column,
                           error.description());
  }
  file->root = std::make_unique<ConfigTable::Node>(ConfigTable::Node{.table = &file->table});
  ConfigTable::Node* root = file->root.get();
  return ConfigFile(ConfigTable(std::move(file), root));
}

const std::string& ConfigFile::path() const { return root_.file_->path; }

absl::Status ConfigFile::RefuseUnknownKeys() const {
  std::vector<std::string> findings;
  root_.node_->CollectUnknown(root_.file_->path, findings);
  if (findings.empty()) return absl::OkStatus();
  return InvalidArgument("{}", fmt::join(findings, "; "));
}

absl::StatusOr<IdentityFiles> ReadIdentityFiles(ConfigTable& identity) {
  IdentityFiles files;
  ASSIGN_OR_RETURN(files.certificate, identity.Path("certificate"));
  ASSIGN_OR_RETURN(files.key, identity.Path("key"));
  ASSIGN_OR_RETURN(files.authority, identity.Path("authority"));
  return files;
}

}  // namespace trustline
