// Verdicts and their reasons as commands print them.
#pragma once

#include <array>
#include <string>

#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/output.h"
#include "proto/tvs_question.pb.h"
#include "proto/verification.pb.h"

namespace trustline {

inline constexpr std::array<Word<v1::Verdict>, 2> kVerdicts = {{
    {"valid", v1::VERDICT_VALID},
    {"invalid", v1::VERDICT_INVALID},
}};
inline constexpr std::array<Word<v1::QuestionKind>, 2> kQuestionKinds = {{
    {"verify", v1::QUESTION_KIND_VERIFY},
    {"query", v1::QUESTION_KIND_QUERY},
}};

// "valid", "invalid", or "no verdict".
std::string VerdictText(v1::Verdict verdict);

// "not yet valid"; empty without a reason.
Cell ReasonCell(v1::InvalidReason reason);

}  // namespace trustline
