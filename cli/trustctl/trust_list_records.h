// Trust lists as records: of a file with everything that is in it, and of the messages about them.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/output.h"
#include "itl/trust_list/reader.h"
#include "proto/trust_list.pb.h"

namespace trustline {

// Hashes, size, header, whether it is verified, and the records. `of` goes before: where it comes from.
Record TrustListRecordOf(const TrustList& list, const absl::Status& verified, Record of);

// `with_lists`: tables say of which list.
std::vector<Column> GenerationColumns(bool with_lists);
Row GenerationRow(const v1::Generation& generation);

// How lists are made.
Record SettingsRecord(const v1::TrustListPolicy& policy);

// Empty for an empty text.
Cell TextCell(const std::string& text);

using Notices = google::protobuf::RepeatedPtrField<std::string>;

// A line each on the standard error output, where people read; data has them in a field.
void WriteNotices(Environment& environment, const Notices& notices);
Cell NoticesCell(const Notices& notices);

// What became of each list: a line each, what it waits for, and what was or would be changed. Data has the rows in
// "lists", after the fields of `record`.
void WriteOutcomes(Environment& environment, const v1::PublishResponse& response, Record record);

// kExitFailure when a list was refused, and, unless `may_wait`, when one waits.
int OutcomeExit(const v1::PublishResponse& response, bool may_wait);

// "ITLFile.tlv of tftp1".
std::string ListText(const v1::TrustListInfo& list);

}  // namespace trustline
