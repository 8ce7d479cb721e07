#include "common/service/key_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kSuffix = ".key";
constexpr size_t kNameDigits = 16;

bool IsKeyName(std::string_view name) {
  return name.size() == kNameDigits && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string KeyName(const Sha256Digest& public_key_sha256) { return ToHex(public_key_sha256).substr(0, kNameDigits); }

KeyFolder::KeyFolder(std::string folder, SecretBytes passphrase, KeyFolderWords words)
    : folder_(std::move(folder)), passphrase_(std::move(passphrase)), words_(std::move(words)) {}

absl::StatusOr<std::unique_ptr<KeyFolder>> KeyFolder::Open(const std::string& folder,
                                                           const std::string& passphrase_file, KeyFolderWords words) {
  // The folder's own faults first: whoever restores a backup mends it as a whole.
  auto keys = std::unique_ptr<KeyFolder>(new KeyFolder(folder, SecretBytes(), words));
  RETURN_IF_ERROR(keys->CheckFolder());
  ASSIGN_OR_RETURN(SecretBytes passphrase, ReadPassphraseFile(passphrase_file));
  keys.reset(new KeyFolder(folder, std::move(passphrase), std::move(words)));
  return keys;
}

std::string KeyFolder::PathOf(std::string_view key_name) const {
  return fmt::format("{}/{}{}", folder_, key_name, kSuffix);
}

absl::Status KeyFolder::CheckFolder() const {
  struct stat info = {};
  if (stat(folder_.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return NotFound("the folder {} of {} is not there: restore it, or mkdir -m 700 {}", folder_, words_.contents,
                    folder_);
  }
  // Root may look at it (--check-config).
  if (geteuid() != 0 && info.st_uid != geteuid()) {
    return PermissionDenied("the folder {} of {} belongs to another user; run: chown {} {}", folder_, words_.contents,
                            geteuid(), folder_);
  }
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return PermissionDenied("the folder {} of {} is open to other users; run: chmod 700 {}", folder_, words_.contents,
                            folder_);
  }
  return absl::OkStatus();
}

absl::Status KeyFolder::CheckName(std::string_view key_name) const {
  return IsKeyName(key_name) ? absl::OkStatus()
                             : InvalidArgument("\"{}\" is not the name of one of {}", key_name, words_.contents);
}

absl::Status KeyFolder::CheckAll() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const std::string file = entry.path().filename().string();
    if (!file.ends_with(kSuffix)) continue;
    const std::string name = file.substr(0, file.size() - kSuffix.size());
    if (IsKeyName(name)) RETURN_IF_ERROR(Find(name).status());
  }
  if (error) return PermissionDenied("the folder {} cannot be read: {}", folder_, error.message());
  return absl::OkStatus();
}

absl::StatusOr<KeyFolder::Key> KeyFolder::Generate(KeyKind kind) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(kind));
  return Keep(std::move(key));
}

absl::StatusOr<KeyFolder::Key> KeyFolder::Keep(PrivateKey key) {
  const std::string name = KeyName(key.public_key_sha256());
  const std::lock_guard lock(mutex_);
  if (const auto found = keys_.find(name); found != keys_.end()) return found->second;
  RETURN_IF_ERROR(key.WriteKeyFile(PathOf(name), &passphrase_));
  return keys_[name] = std::make_shared<const PrivateKey>(std::move(key));
}

absl::StatusOr<KeyFolder::Key> KeyFolder::Load(const std::string& key_name) const {
  const std::string path = PathOf(key_name);
  absl::StatusOr<PrivateKey> key = PrivateKey::ReadKeyFile(path, passphrase_);
  if (absl::IsNotFound(key.status())) {
    return FailedPrecondition(
        "this {0} has no key {1}: {2}, one of {3}, is missing. Restore it from a backup, or copy it from the {0} that "
        "made it",
        words_.owner, key_name, path, words_.contents);
  }
  RETURN_IF_ERROR(key.status());
  if (KeyName(key->public_key_sha256()) != key_name) {
    return FailedPrecondition("{} holds another key than its name says: restore it from a backup", path);
  }
  return std::make_shared<const PrivateKey>(*std::move(key));
}

absl::StatusOr<KeyFolder::Key> KeyFolder::Find(std::string_view key_name) {
  RETURN_IF_ERROR(CheckName(key_name));
  const std::lock_guard lock(mutex_);
  if (const auto found = keys_.find(key_name); found != keys_.end()) return found->second;
  ASSIGN_OR_RETURN(Key key, Load(std::string(key_name)));
  keys_.emplace(key_name, key);
  return key;
}

absl::Status KeyFolder::Discard(std::string_view key_name) {
  RETURN_IF_ERROR(CheckName(key_name));
  const std::string path = PathOf(key_name);
  const std::lock_guard lock(mutex_);
  if (const auto found = keys_.find(key_name); found != keys_.end()) keys_.erase(found);
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error) return PermissionDenied("the key file {} cannot be removed: {}", path, error.message());
  return absl::OkStatus();
}

}  // namespace trustline
