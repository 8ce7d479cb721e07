#include "cli/trustctl/phone_records.h"

#include <fmt/format.h>

#include "cli/trustctl/phone_words.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"

namespace trustline {
namespace {

Cell NumberCell(int64_t number) { return number == 0 ? Cell() : Cell(number); }

Cell HashCell(const std::string& sha1) { return TextCell(ToHex(AsBytes(sha1))); }

bool IsClaim(const v1::Phone& phone) { return !phone.claimed_from().empty(); }

Cell BasisCell(const v1::Phone& phone) {
  if (IsClaim(phone)) return "claim";
  return phone.has_reported_at() ? Cell("evidence") : Cell();
}

std::vector<Column> ColumnsForPeople() {
  return {{"phone", "PHONE"},
          {"status", "STATUS"},
          {"cure", "CURE"},
          {"generation", "GENERATION HELD"},
          {"expected", "EXPECTED"},
          {"server", "SERVER"},
          {"address", "ADDRESS"},
          {"last_report", "LAST REPORT"},
          {"basis", "EVIDENCE OR CLAIM"}};
}

Row RowForPeople(const v1::Phone& phone, absl::Time now) {
  const v1::HeldList& itl = phone.itl();
  return {phone.device(),     WordCell(kPhoneStatuses, itl.status()), WordCell(kPhoneCures, phone.cure()),
          HeldText(itl, now), NumberCell(itl.expected_generation()),  ServerText(itl),
          phone.address(),    TimestampCell(phone.reported_at()),     BasisText(phone)};
}

std::vector<Column> HeldColumnsOfData(std::string_view prefix) {
  std::vector<Column> columns;
  for (const char* const key : {"status", "generation", "published_at", "generation_server", "device_list",
                                "adopted_from", "sha1", "expected_generation", "server", "reported_server"}) {
    columns.push_back({fmt::format("{}{}", prefix, key), ""});
  }
  return columns;
}

Row HeldRowOfData(const v1::HeldList& held) {
  return {WordCell(kPhoneStatuses, held.status()),
          NumberCell(held.generation()),
          TimestampCell(held.published_at()),
          TextCell(held.generation_server()),
          held.device_list(),
          TextCell(held.adopted_from()),
          HashCell(held.sha1()),
          NumberCell(held.expected_generation()),
          TextCell(ServerText(held)),
          TextCell(held.reported_server())};
}

std::vector<Column> ColumnsOfData() {
  std::vector<Column> columns = {{"phone", ""}};
  Append(columns, HeldColumnsOfData(""));
  for (const char* const key : {"address", "last_report", "basis", "via", "claimed_from", "claim_reason", "known",
                                "model", "site", "user_agent", "registered", "cure", "cure_reason"}) {
    columns.push_back({key, ""});
  }
  Append(columns, HeldColumnsOfData("ctl_"));
  return columns;
}

Row RowOfData(const v1::Phone& phone) {
  Row row = {phone.device()};
  Append(row, HeldRowOfData(phone.itl()));
  Append(row, {TextCell(phone.address()), TimestampCell(phone.reported_at()), BasisCell(phone), TextCell(phone.via()),
               TextCell(phone.claimed_from()), TextCell(phone.claim_reason()), phone.known(), TextCell(phone.model()),
               TextCell(phone.site()), TextCell(phone.user_agent()),
               phone.has_registered() ? Cell(phone.registered()) : Cell(), WordCell(kPhoneCures, phone.cure()),
               TextCell(phone.cure_reason())});
  Append(row, phone.has_ctl() ? HeldRowOfData(phone.ctl()) : Row(HeldColumnsOfData("").size()));
  return row;
}

}  // namespace

std::vector<Column> PhoneColumns(OutputFormat format) {
  return format == OutputFormat::kTable ? ColumnsForPeople() : ColumnsOfData();
}

Row PhoneRow(const v1::Phone& phone, OutputFormat format, absl::Time now) {
  return format == OutputFormat::kTable ? RowForPeople(phone, now) : RowOfData(phone);
}

Record PhoneRecord(const v1::Phone& phone, OutputFormat format, absl::Time now) {
  Record record;
  if (format != OutputFormat::kTable) {
    const std::vector<Column> columns = ColumnsOfData();
    Row row = RowOfData(phone);
    for (size_t i = 0; i < columns.size(); ++i) record.Add(columns[i].key, columns[i].title, std::move(row[i]));
    return record;
  }
  const v1::HeldList& itl = phone.itl();
  record.Add("phone", "Phone", phone.device())
      .Add("status", "Status", WordCell(kPhoneStatuses, itl.status()))
      .Add("cure", "Cure", CureText(phone))
      .Add("generation", "Generation held", HeldText(itl, now))
      .Add("sha1", "SHA1", HashCell(itl.sha1()))
      .Add("expected", "Generation expected", NumberCell(itl.expected_generation()))
      .Add("server", "TFTP server", ServerText(itl));
  if (itl.reported_server() != ServerText(itl))
    record.Add("reported_server", "As the phone has it", itl.reported_server());
  if (phone.has_ctl()) {
    record.Add("ctl_status", "CTL", WordCell(kPhoneStatuses, phone.ctl().status()))
        .Add("ctl_generation", "CTL held", HeldText(phone.ctl(), now))
        .Add("ctl_sha1", "CTL SHA1", HashCell(phone.ctl().sha1()));
  }
  record.Add("address", "Address", phone.address())
      .Add("registered", "Registered", phone.has_registered() ? Cell(phone.registered()) : Cell())
      .Add("last_report", "Last report", TimestampCell(phone.reported_at()))
      .Add("basis", "Evidence or claim", BasisText(phone));
  if (IsClaim(phone)) record.Add("claim_reason", "Why no evidence", phone.claim_reason());
  return record.Add("model", "Model", phone.model())
      .Add("site", "Site", phone.site())
      .Add("user_agent", "User agent", phone.user_agent());
}

std::vector<Column> HeldColumns(OutputFormat format, std::string_view prefix) {
  if (format != OutputFormat::kTable) return HeldColumnsOfData(prefix);
  return {{"server", "SERVER"}, {"status", "STATUS"}, {"generation", "GENERATION HELD"}};
}

Row HeldRow(const v1::HeldList& held, OutputFormat format, std::optional<absl::Time> now) {
  if (format != OutputFormat::kTable) return HeldRowOfData(held);
  return {ServerText(held), WordCell(kPhoneStatuses, held.status()), HeldText(held, now)};
}

}  // namespace trustline
