#include "tvs/question_table.h"

#include <algorithm>
#include <utility>

#include "common/device/device_name.h"

namespace trustline {
namespace {

// Which is no digest of anything.
constexpr Sha256Digest kNobody{0xff};
constexpr size_t kDevice = 4;  // of a key

// A query's issuer that cannot be read has no key.
Sha256Digest SignerOf(const AnsweredQuestion& question) {
  return question.signer == Sha256Digest{} ? Sha256(AsBytes(question.issuer)) : question.signer;
}

// "CP-8841-SEP001122334455" is SEP001122334455. Empty for what is no device's name.
std::string DeviceIn(std::string_view claimed) {
  const size_t dash = claimed.rfind('-');
  const absl::StatusOr<DeviceName> name =
      DeviceName::Parse(dash == std::string_view::npos ? claimed : claimed.substr(dash + 1));
  return name.ok() ? name->text() : std::string();
}

}  // namespace

QuestionTable::QuestionTable(std::vector<const FollowedCluster*> clusters, QuestionTableLimits limits)
    : clusters_(std::move(clusters)), limits_(limits), questions_(clusters_.size()), names_(clusters_.size()) {}

std::shared_ptr<const QuestionNames> QuestionTable::Names(const AnsweredQuestion& question) {
  auto& known = names_[question.answer.cluster];
  const SignerKey key(question.answer.is_query, SignerOf(question));
  if (const auto found = known.find(key); found != known.end()) return found->second;
  if (names_size_ == limits_.signers) return nullptr;
  ++names_size_;
  return known[key] =
             std::make_shared<const QuestionNames>(FindQuestionNames(question, *clusters_[question.answer.cluster]));
}

QuestionTable::Key QuestionTable::KeyOf(const QuestionAnswer& answer, const Sha256Digest& signer,
                                        std::string_view device, std::string_view address) {
  return Key(answer.is_query, answer.valid, answer.reason, signer, device,
             device.empty() ? std::string_view() : address);
}

CountedQuestion& QuestionTable::Slot(Key key, const QuestionAnswer& answer,
                                     const std::shared_ptr<const QuestionNames>& names) {
  const auto [slot, is_new] = questions_[answer.cluster].try_emplace(std::move(key));
  if (is_new) {
    slot->second = {.answer = answer, .device = std::get<kDevice>(slot->first), .names = names, .address = {}};
    ++size_;
  }
  return slot->second;
}

void QuestionTable::Add(const AnsweredQuestion& question) {
  const std::string device = DeviceIn(question.device);
  std::shared_ptr<const QuestionNames> names = Names(question);
  const Sha256Digest signer = SignerOf(question);
  const auto& known = questions_[question.answer.cluster];
  Key key = KeyOf(question.answer, signer, device, question.address);
  if (names == nullptr || (size_ >= limits_.questions && !known.contains(key))) {
    without_room_.fetch_add(1, std::memory_order_relaxed);
    key = KeyOf(question.answer, signer, "", "");
    // Of signers there are few, unless somebody invents them.
    const bool has_room = size_ < limits_.questions + limits_.signers || known.contains(key);
    if (names == nullptr || !has_room) {
      key = KeyOf(question.answer, kNobody, "", "");
      names = nobody_;
    }
  }
  CountedQuestion& counted = Slot(std::move(key), question.answer, names);
  if (counted.count == 0 || question.at_us < counted.first_us) counted.first_us = question.at_us;
  if (counted.count == 0 || question.at_us >= counted.last_us) {
    counted.last_us = question.at_us;
    counted.address.assign(question.address);
  }
  ++counted.count;
}

void QuestionTable::AddNameless(const QuestionAnswer& answer, int64_t count, int64_t at_us) {
  CountedQuestion& counted = Slot(KeyOf(answer, kNobody, "", ""), answer, nobody_);
  if (counted.count == 0) counted.first_us = at_us;
  counted.last_us = std::max(counted.last_us, at_us);
  counted.count += count;
}

std::vector<CountedQuestion> QuestionTable::Take(uint16_t cluster, size_t most) {
  auto& questions = questions_[cluster];
  std::vector<CountedQuestion> taken;
  for (auto it = questions.begin(); it != questions.end() && taken.size() < most;) {
    taken.push_back(std::move(it->second));
    questions.erase(it++);
    --size_;
  }
  if (size_ == 0) {
    for (auto& names : names_) names.clear();
    names_size_ = 0;
  }
  return taken;
}

}  // namespace trustline
