#include "tvs/question_ring.h"

#include <cstring>

#include "tvs/message.h"

namespace trustline {
namespace {

constexpr size_t kAlignment = 8;

constexpr size_t Aligned(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

// In front of each record's texts. A size of 0: the rest up to the ring's end is empty.
struct QuestionRing::Header {
  uint32_t size;
  QuestionAnswer answer;
  int64_t at_us;
  Sha256Digest signer;
  uint16_t device, address, certificate, subject, issuer, serial;  // sizes
};

bool QuestionRing::Write(const AnsweredQuestion& question) {
  // The codec's maxima.
  static_assert(kMaxTvsRequestBody <= UINT16_MAX && sizeof(Header) + kMaxTvsRequestBody < kCapacity / 8);
  const size_t size =
      Aligned(sizeof(Header) + question.device.size() + question.address.size() + question.certificate.size() +
              question.subject.size() + question.issuer.size() + question.serial.size());
  const uint64_t written = written_.load(std::memory_order_relaxed);
  const size_t to_end = kCapacity - written % kCapacity;
  const size_t skipped = size > to_end ? to_end : 0;
  if (written + skipped + size - read_as_seen_ > kCapacity) {
    read_as_seen_ = read_.load(std::memory_order_acquire);
    if (written + skipped + size - read_as_seen_ > kCapacity) return false;
  }
  if (skipped > 0) {
    const uint32_t nothing = 0;
    std::memcpy(&bytes_[written % kCapacity], &nothing, sizeof(nothing));
  }
  uint8_t* out = &bytes_[(written + skipped) % kCapacity];
  const Header header = {.size = static_cast<uint32_t>(size),
                         .answer = question.answer,
                         .at_us = question.at_us,
                         .signer = question.signer,
                         .device = static_cast<uint16_t>(question.device.size()),
                         .address = static_cast<uint16_t>(question.address.size()),
                         .certificate = static_cast<uint16_t>(question.certificate.size()),
                         .subject = static_cast<uint16_t>(question.subject.size()),
                         .issuer = static_cast<uint16_t>(question.issuer.size()),
                         .serial = static_cast<uint16_t>(question.serial.size())};
  std::memcpy(out, &header, sizeof(header));
  out += sizeof(header);
  for (const ByteView part : {AsBytes(question.device), AsBytes(question.address), question.certificate,
                              AsBytes(question.subject), AsBytes(question.issuer), question.serial}) {
    if (!part.empty()) std::memcpy(out, part.data(), part.size());
    out += part.size();
  }
  written_.store(written + skipped + size, std::memory_order_release);
  return true;
}

bool QuestionRing::IsReadingDue() {
  const uint64_t written = written_.load(std::memory_order_relaxed);
  if (written - read_as_seen_ > kCapacity / 2) read_as_seen_ = read_.load(std::memory_order_acquire);
  const bool was_due = reading_is_due_;
  reading_is_due_ = written - read_as_seen_ > kCapacity / 2;
  return reading_is_due_ && !was_due;
}

void QuestionRing::Read(absl::FunctionRef<void(const AnsweredQuestion&)> take) {
  const uint64_t written = written_.load(std::memory_order_acquire);
  uint64_t at = read_.load(std::memory_order_relaxed);
  while (at != written) {
    const uint8_t* record = &bytes_[at % kCapacity];
    uint32_t size = 0;
    std::memcpy(&size, record, sizeof(size));
    if (size == 0) {
      at += kCapacity - at % kCapacity;
      continue;
    }
    Header header;
    std::memcpy(&header, record, sizeof(header));
    const uint8_t* next = record + sizeof(header);
    const auto part = [&next](uint16_t length) {
      const ByteView view(next, length);
      next += length;
      return view;
    };
    AnsweredQuestion question = {.answer = header.answer, .at_us = header.at_us, .signer = header.signer};
    question.device = AsText(part(header.device));
    question.address = AsText(part(header.address));
    question.certificate = part(header.certificate);
    question.subject = AsText(part(header.subject));
    question.issuer = AsText(part(header.issuer));
    question.serial = part(header.serial);
    take(question);
    at += size;
    read_.store(at, std::memory_order_release);  // each makes room at once
  }
  read_.store(at, std::memory_order_release);
}

}  // namespace trustline
