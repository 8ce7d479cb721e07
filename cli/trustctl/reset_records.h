// Resets of phones as rows, records and sentences.
#pragma once

#include <string>
#include <vector>

#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/output.h"
#include "proto/reset.pb.h"

namespace trustline {

inline constexpr std::array<Word<v1::ResetState>, 6> kResetStates = {{
    {"running", v1::RESET_STATE_RUNNING},
    {"waits for its hours", v1::RESET_STATE_WAITS_FOR_HOURS},
    {"paused", v1::RESET_STATE_PAUSED},
    {"stopped", v1::RESET_STATE_STOPPED},
    {"done", v1::RESET_STATE_DONE},
    {"aborted", v1::RESET_STATE_ABORTED},
}};

// It goes on by itself.
bool IsUnderWay(const v1::Reset& reset);

std::vector<Column> ResetColumns();
Row ResetRow(const v1::Reset& reset);
Record ResetRecord(const v1::Reset& reset);

std::vector<Column> PhoneResetColumns();
Row PhoneResetRow(const v1::ShowResetResponse::PhoneReset& phone);

// "7 of 10 phones tried: 6 accepted, 1 failed; 4 have reported since".
std::string ResetProgress(const v1::Reset& reset);
// "1 phone", "2 phones".
std::string PhoneCountText(int64_t phones);

}  // namespace trustline
