// What one worker thread was asked, on its way to the thread that counts.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "tvs/verdict.h"

namespace trustline {

// How a question was answered, of which cluster. Each combination has a number.
struct QuestionAnswer {
  uint16_t cluster = 0;  // QuestionCounter::ClusterNumber
  bool is_query = false;
  bool valid = false;  // what the phone was told
  InvalidReason reason = InvalidReason::kNone;

  static constexpr size_t kNumbersOfACluster = 4 * kInvalidReasons;
  size_t Number() const {
    return ((cluster * size_t{2} + (is_query ? 1 : 0)) * 2 + (valid ? 1 : 0)) * kInvalidReasons +
           static_cast<size_t>(reason);
  }
  bool operator==(const QuestionAnswer&) const = default;
};

// A question that was answered. Views borrow from the request, or from the ring.
struct AnsweredQuestion {
  QuestionAnswer answer;
  int64_t at_us = 0;        // microseconds since 1970
  Sha256Digest signer{};    // of a verify the certificate's SHA-256, of a query IssuerSerialKey
  std::string_view device;  // as the phone names itself
  std::string_view address;
  // Who was asked about, where the trust store does not know it: a verify's certificate, a query's names.
  ByteView certificate;
  std::string_view subject;
  std::string_view issuer;
  ByteView serial;
};

// A ring of bytes with one writing and one reading thread. Phones mostly ask one question each, so that counting where
// they are answered would save nothing and cost a look-up in a table that is in no cache; a record is one copy to where
// the writer has just been, and neither thread ever waits for the other. What does not fit is not kept.
class QuestionRing {
 public:
  // 5,000 questions about what the trust store knows; some 400 about what it does not.
  static constexpr size_t kCapacity = size_t{512} * 1024;

  // The writer's. False when there is no room.
  bool Write(const AnsweredQuestion& question);
  // The writer's, after Write: true once whenever half of the ring has become full.
  bool IsReadingDue();

  // The reader's: hands over everything that was written. Views are good during the call of `take` only.
  void Read(absl::FunctionRef<void(const AnsweredQuestion&)> take);

 private:
  struct Header;

  // Places only grow; a place's index is its remainder.
  alignas(64) std::atomic<uint64_t> written_ = 0;
  uint64_t read_as_seen_ = 0;  // of the writer
  bool reading_is_due_ = false;
  alignas(64) std::atomic<uint64_t> read_ = 0;
  const std::unique_ptr<uint8_t[]> bytes_ = std::make_unique_for_overwrite<uint8_t[]>(kCapacity);
};

}  // namespace trustline
