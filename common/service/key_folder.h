// Private keys that a daemon makes and keeps: a folder of encrypted files, each named by its key.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/sha256.h"
#include "common/x509/private_key.h"

namespace trustline {

// The name of a key's file: the first 16 hexadecimal digits of the SHA-256 of its SubjectPublicKeyInfo.
std::string KeyName(const Sha256Digest& public_key_sha256);

// What a folder holds, for errors: "the authorities' keys" of "cad".
struct KeyFolderWords {
  std::string contents;
  std::string owner;
};

// Files NAME.key, PKCS#8 under one passphrase. Thread-safe. Keys stay in memory once read, because opening one takes a
// few tenths of a second.
class KeyFolder {
 public:
  using Key = std::shared_ptr<const PrivateKey>;

  // PermissionDenied unless folder and passphrase belong to this process's user and are closed to others. The keys are
  // not looked at.
  static absl::StatusOr<std::unique_ptr<KeyFolder>> Open(const std::string& folder, const std::string& passphrase_file,
                                                         KeyFolderWords words);

  // The first key that is there but cannot be used: Unauthenticated when it does not open with the passphrase, the
  // other errors as Find().
  absl::Status CheckAll();

  // Makes a key and its file. The file stands, and the folder is synced, before this returns.
  absl::StatusOr<Key> Generate(KeyKind kind);
  // The same for a key from elsewhere; one that is there stays.
  absl::StatusOr<Key> Keep(PrivateKey key);

  // FailedPrecondition when this process has no such key.
  absl::StatusOr<Key> Find(std::string_view key_name);

  // For a key that nothing needs: it and its file are gone. OK when they were before.
  absl::Status Discard(std::string_view key_name);

 private:
  KeyFolder(std::string folder, SecretBytes passphrase, KeyFolderWords words);
  std::string PathOf(std::string_view key_name) const;
  absl::Status CheckFolder() const;
  absl::Status CheckName(std::string_view key_name) const;
  absl::StatusOr<Key> Load(const std::string& key_name) const;

  const std::string folder_;
  const SecretBytes passphrase_;
  const KeyFolderWords words_;
  std::mutex mutex_;
  std::map<std::string, Key, std::less<>> keys_;
};

}  // namespace trustline
