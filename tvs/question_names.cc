#include "tvs/question_names.h"

#include "absl/time/clock.h"
#include "common/service/json.h"
#include "common/x509/certificate.h"
#include "common/x509/distinguished_name.h"

namespace trustline {
namespace {

constexpr size_t kMaxNameBytes = 1024;
// A byte that is not UTF-8 becomes three.
constexpr size_t kMaxBytesOfUnreadableName = kMaxNameBytes / 3;
constexpr size_t kMaxSerialBytes = 64;

std::string SerialText(ByteView serial) {
  return std::string(AsText(serial.first(std::min(serial.size(), kMaxSerialBytes))));
}

// The same name in one form, however phones write it.
std::string NameText(std::string_view text) {
  const absl::StatusOr<DistinguishedName> name = DistinguishedName::FromText(text);
  if (name.ok()) return PrintableText(name->ToText(), kMaxNameBytes);
  return PrintableText(text, kMaxBytesOfUnreadableName);
}

QuestionNames NamesOf(ByteView der) {
  const absl::StatusOr<Certificate> certificate = Certificate::FromDer(der);
  if (!certificate.ok()) return {};
  return {.subject = PrintableText(certificate->subject().ToText(), kMaxNameBytes),
          .issuer = PrintableText(certificate->issuer().ToText(), kMaxNameBytes),
          .serial = SerialText(certificate->serial())};
}

}  // namespace

QuestionNames FindQuestionNames(const AnsweredQuestion& question, const FollowedCluster& cluster) {
  if (!question.certificate.empty()) return NamesOf(question.certificate);
  if (!question.issuer.empty() || !question.subject.empty() || !question.serial.empty()) {
    return {.subject = NameText(question.subject),
            .issuer = NameText(question.issuer),
            .serial = SerialText(question.serial)};
  }
  const auto snapshot = cluster.Snapshot();
  const TrustRecord* record = question.answer.is_query
                                  ? snapshot->FindByIssuerSerial(question.signer, question.at_us / 1'000'000)
                                  : snapshot->FindBySha256(question.signer);
  return record == nullptr ? QuestionNames() : NamesOf(record->Der());
}

}  // namespace trustline
