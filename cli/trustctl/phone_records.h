// Phones and the lists that they hold as rows and records. Tables have what fits a screen, in words for people; JSON
// and CSV have everything apart, under keys that never change.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cli/trustctl/output.h"
#include "proto/phone_trust.pb.h"

namespace trustline {

// For columns and rows that are made of several parts.
template <typename T>
void Append(std::vector<T>& all, std::vector<T> more) {
  for (T& one : more) all.push_back(std::move(one));
}

// A row of the mismatch report. `now` gives ages.
std::vector<Column> PhoneColumns(OutputFormat format);
Row PhoneRow(const v1::Phone& phone, OutputFormat format, absl::Time now);

// One phone with all that its row has.
Record PhoneRecord(const v1::Phone& phone, OutputFormat format, absl::Time now);

// The columns that say which list is held, each key after `prefix`: status, server, generation and what else names it.
std::vector<Column> HeldColumns(OutputFormat format, std::string_view prefix);
Row HeldRow(const v1::HeldList& held, OutputFormat format, std::optional<absl::Time> now);

}  // namespace trustline
