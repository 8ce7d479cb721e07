// Published and adopted lists as the phone model sees them. Reading a file takes longer than judging by it, and the
// same few are judged by again and again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/phone_model/phone_model.h"
#include "common/postgres/connection.h"
#include "itl/list/list_content.h"

namespace trustline {

using SharedPhoneList = std::shared_ptr<const PhoneList>;

// InvalidArgument as DecodeTrustList. A signer that the list itself does not name is all zero.
absl::StatusOr<PhoneList> ReadPhoneList(ByteView file);

// What a list says before it is signed; its size is that of its records, which the header comes to.
PhoneList ToPhoneList(const ListContent& content);

// Thread-safe. Remembers what it has read; forgets everything when it has grown too large.
class ListMemory {
 public:
  // By the SHA-256 of the file. What cannot be read as a list is left out.
  absl::StatusOr<std::map<Sha256Digest, SharedPhoneList>> Generations(Connection& connection, int32_t cluster_id,
                                                                      const std::vector<Sha256Digest>& files);
  // Of adopted lists, by their numbers.
  absl::StatusOr<std::map<int64_t, SharedPhoneList>> Adopted(Connection& connection, int32_t cluster_id,
                                                             const std::vector<int64_t>& adopted_ids);

 private:
  SharedPhoneList Find(const Sha256Digest& file);
  SharedPhoneList Keep(const Sha256Digest& file, ByteView content);

  std::mutex mutex_;
  std::map<Sha256Digest, SharedPhoneList> lists_;
};

}  // namespace trustline
