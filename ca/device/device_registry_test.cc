#include "ca/device/device_registry.h"

#include <array>
#include <thread>

#include "absl/time/clock.h"
#include "ca/device/device_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;

const DeviceName kPhone = Named("SEP001122334455");
const DeviceName kOther = Named("SEP00112233AABB");

TEST(DeviceRecordTest, TextsAreOneLineOfLimitedSize) {
  EXPECT_OK(CheckDeviceData({.model = std::string(200, 'x'), .description = "Zürich, 3. Stock"}));
  EXPECT_THAT(CheckDeviceData({.site = std::string(201, 'x')}),
              StatusIs(kInvalid, HasSubstr("the site has 201 bytes")));
  for (const std::string& text : {std::string("a\nb"), std::string("a\0b", 3), std::string("\x1b[1m"),
                                  std::string("\xc2\x9b"), std::string("\xff"), std::string("\xed\xa0\x80")}) {
    EXPECT_THAT(CheckDeviceData({.owner = text}), StatusIs(kInvalid, HasSubstr("the owner holds a control character")));
    EXPECT_THAT(CheckDeviceChange({.owner = text}), StatusIs(kInvalid, HasSubstr("the owner")));
  }
  EXPECT_THAT(CheckDeviceChange({}), StatusIs(kInvalid, HasSubstr("nothing is to be changed")));
  EXPECT_OK(CheckDeviceChange({.owner = ""}));
}

class DeviceRegistryTest : public DeviceDatabaseTest {
 protected:
  absl::StatusOr<DeviceRecord> Add(const DeviceName& name, const DeviceData& data = {}) {
    return With([&](DeviceRegistry& registry) { return registry.Add(name, data); });
  }
  absl::StatusOr<DeviceImportResult> Import(const std::vector<DeviceRow>& rows) {
    return With([&](DeviceRegistry& registry) { return registry.Import(rows); });
  }
  absl::StatusOr<DeviceEdit> Set(const DeviceName& name, const DeviceChange& change) {
    return With([&](DeviceRegistry& registry) { return registry.Set(name, change); });
  }
  absl::StatusOr<DeviceRemoval> Replace(const DeviceName& old_name, const DeviceName& new_name) {
    return With([&](DeviceRegistry& registry) { return registry.Replace(old_name, new_name); });
  }
  absl::StatusOr<DeviceRemoval> Retire(const DeviceName& name, std::string_view reason = "broken") {
    return With([&](DeviceRegistry& registry) { return registry.Retire(name, reason); });
  }
  absl::Status Remove(const DeviceName& name) {
    return With([&](DeviceRegistry& registry) { return registry.Remove(name); });
  }
  absl::StatusOr<DeviceRecord> Find(const DeviceName& name) {
    return With([&](DeviceRegistry& registry) { return registry.Find(name); });
  }
  std::vector<std::string> Names(const DeviceFilter& filter, std::string_view after = "", int64_t limit = 100) {
    const auto page = With([&](DeviceRegistry& registry) { return registry.List(filter, after, limit); });
    EXPECT_OK(page);
    std::vector<std::string> names;
    if (page.ok()) {
      for (const DeviceRecord& device : page->devices) names.push_back(device.name);
      if (page->more) names.emplace_back("...");
    }
    return names;
  }
  std::string Today() { return Text("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')"); }
};

TEST_F(DeviceRegistryTest, ADeviceIsAddedOnce) {
  const DeviceData data{
      .model = "8845", .protocol = "SIP", .load = "14-2-1", .site = "Bern", .owner = "alice", .description = "Empfang"};
  ASSERT_OK_AND_ASSIGN(const DeviceRecord added, Add(kPhone, data));
  EXPECT_EQ(added.name, "SEP001122334455");
  EXPECT_EQ(added.data, data);
  EXPECT_EQ(added.state, DeviceState::kInService);
  EXPECT_EQ(added.added_by, kOperator);
  ASSERT_OK_AND_ASSIGN(const DeviceRecord found, Find(kPhone));
  EXPECT_EQ(found.data, data);
  EXPECT_EQ(found.added_at, added.added_at);

  EXPECT_THAT(Add(kPhone),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       AllOf(HasSubstr("in service"), HasSubstr("`trustctl device set SEP001122334455`"))));
  EXPECT_THAT(Add(kOther, {.load = "a\tb"}), StatusIs(kInvalid, HasSubstr("the load")));
  EXPECT_THAT(Find(kOther), StatusIs(absl::StatusCode::kNotFound, HasSubstr("`trustctl device add SEP00112233AABB`")));
  EXPECT_EQ(Audited(), "device.add SEP001122334455");
  EXPECT_EQ(
      AuditDetail("device.add"),
      R"({"model":"8845","protocol":"SIP","load":"14-2-1","site":"Bern","owner":"alice","description":"Empfang"})");
  EXPECT_EQ(Text("SELECT actor FROM audit_event"), kOperator);

  // Another cluster's device of the same name is another device.
  RunByHand(
      "INSERT INTO device (cluster_id, name, added_by) SELECT cluster_id, 'SEP00112233AABB', 'test' FROM cluster "
      "WHERE name = 'branch'");
  EXPECT_THAT(Find(kOther), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Remove(kOther), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Names({}), ElementsAre("SEP001122334455"));
}

TEST_F(DeviceRegistryTest, AnImportAddsChangesAndLeavesAlone) {
  ASSERT_OK(Add(Named("SEP000000000001"), {.model = "7942", .site = "Bern"}));
  ASSERT_OK(Add(Named("SEP000000000002"), {.model = "7942"}));
  ASSERT_OK(Add(Named("SEP000000000003")));
  ASSERT_OK(Add(Named("SEP000000000004")));
  ASSERT_OK(Retire(Named("SEP000000000003"), "stolen"));
  ASSERT_OK(Replace(Named("SEP000000000004"), Named("SEP000000000005")));
  const std::vector<DeviceRow> rows = {{"sep00000000000a", {.model = "8845"}},
                                       {"SEP000000000004", {.model = "8845"}},
                                       {"SEP000000000003", {.model = "8845"}},
                                       {"SEP000000000002", {.model = "7942"}},
                                       {"SEP000000000001", {.model = "8845"}}};
  ASSERT_OK_AND_ASSIGN(const DeviceImportResult result, Import(rows));
  EXPECT_EQ(result.added, 1);
  EXPECT_EQ(result.changed, 1);
  EXPECT_EQ(result.unchanged, 1);
  ASSERT_THAT(result.left_alone, SizeIs(2));
  EXPECT_EQ(result.left_alone[0].name, "SEP000000000003");
  EXPECT_EQ(result.left_alone[0].reason, "retired since " + Today() + ": stolen");
  EXPECT_EQ(result.left_alone[1].reason, "replaced by SEP000000000005 since " + Today());
  // What the row does not say stays.
  EXPECT_EQ(Find(Named("SEP000000000001"))->data, (DeviceData{.model = "8845", .site = "Bern"}));
  EXPECT_EQ(Find(Named("SEP00000000000A"))->data, (DeviceData{.model = "8845"}));
  EXPECT_EQ(Find(Named("SEP00000000000A"))->added_by, kOperator);
  EXPECT_EQ(Find(Named("SEP000000000003"))->data, DeviceData{});
  EXPECT_EQ(AuditDetail("device.import"), R"({"added":"1","changed":"1","unchanged":"1","left_alone":"2"})");

  // Again: nothing is written.
  const std::string before = Text("SELECT string_agg(d::text, ',' ORDER BY name) FROM device d");
  ASSERT_OK_AND_ASSIGN(const DeviceImportResult again, Import(rows));
  EXPECT_EQ(again.added + again.changed, 0);
  EXPECT_EQ(again.unchanged, 3);
  EXPECT_THAT(again.left_alone, SizeIs(2));
  EXPECT_EQ(Text("SELECT string_agg(d::text, ',' ORDER BY name) FROM device d"), before);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'device.import'"), 1);
  EXPECT_OK(Import({}));
}

TEST_F(DeviceRegistryTest, AnImportIsAllOrNone) {
  EXPECT_THAT(Import({{"SEP000000000001", {}}, {"SEP00000000000", {}}}),
              StatusIs(kInvalid, HasSubstr("\"SEP00000000000\"")));
  EXPECT_THAT(Import({{"SEP000000000001", {}}, {"SEP000000000002", {.owner = "a\nb"}}}),
              StatusIs(kInvalid, HasSubstr("SEP000000000002: the owner")));
  EXPECT_THAT(Import({{"SEP00000000000A", {}}, {"SEP000000000002", {}}, {"sep00000000000a", {}}}),
              StatusIs(kInvalid, HasSubstr("SEP00000000000A comes twice")));
  std::vector<DeviceRow> rows;
  for (int i = 0; i <= 1000; ++i) rows.push_back({fmt::format("SEP{:012X}", i), {}});
  EXPECT_THAT(Import(rows), StatusIs(kInvalid, HasSubstr("at most 1000")));
  EXPECT_EQ(Count("SELECT count(*) FROM device"), 0);
  EXPECT_EQ(Audited(), "");
  rows.pop_back();
  ASSERT_OK_AND_ASSIGN(const DeviceImportResult result, Import(rows));
  EXPECT_EQ(result.added, 1000);
}

TEST_F(DeviceRegistryTest, SetChangesWhatIsGiven) {
  ASSERT_OK(Add(kPhone, {.model = "8845", .site = "Bern", .owner = "alice"}));
  ASSERT_OK_AND_ASSIGN(const DeviceEdit edit, Set(kPhone, {.site = "Basel", .owner = ""}));
  EXPECT_TRUE(edit.changed);
  EXPECT_EQ(edit.device.data, (DeviceData{.model = "8845", .site = "Basel"}));
  EXPECT_GT(edit.device.changed_at, edit.device.added_at);
  EXPECT_EQ(Find(kPhone)->data, edit.device.data);
  ASSERT_OK_AND_ASSIGN(const DeviceEdit same, Set(kPhone, {.model = "8845", .site = "Basel"}));
  EXPECT_FALSE(same.changed);
  EXPECT_EQ(same.device.changed_at, edit.device.changed_at);
  EXPECT_EQ(Audited(), "device.add SEP001122334455, device.set SEP001122334455");
  EXPECT_EQ(AuditDetail("device.set"), R"({"site":"Basel","owner":""})");

  EXPECT_THAT(Set(kPhone, {}), StatusIs(kInvalid));
  EXPECT_THAT(Set(kPhone, {.model = std::string(201, 'x')}), StatusIs(kInvalid, HasSubstr("the model")));
  EXPECT_THAT(Set(kOther, {.site = "x"}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("trustctl device add")));
  ASSERT_OK(Retire(kPhone));
  EXPECT_THAT(Set(kPhone, {.site = "x"}), StatusIs(kFailed, HasSubstr("retired since")));
}

TEST_F(DeviceRegistryTest, AnotherDeviceTakesThePlace) {
  ASSERT_OK(Add(kPhone, {.model = "7942", .site = "Bern", .owner = "alice"}));
  Issue(kPhone.text(), "confirmed");
  Issue(kPhone.text(), "signed");
  Issue(kPhone.text(), "delivered", -1);
  Issue(kPhone.text(), "intent");
  ASSERT_OK_AND_ASSIGN(const DeviceRemoval replaced, Replace(kPhone, kOther));
  EXPECT_EQ(replaced.device.name, kOther.text());
  EXPECT_EQ(replaced.device.data, (DeviceData{.model = "7942", .site = "Bern", .owner = "alice"}));
  EXPECT_EQ(replaced.device.state, DeviceState::kInService);
  EXPECT_EQ(replaced.revoked, 2);
  EXPECT_EQ(StatesOf(kPhone.text()), "revoked revoked delivered abandoned");
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE revocation_reason = 5"), 2);
  ASSERT_OK_AND_ASSIGN(const DeviceRecord old_device, Find(kPhone));
  EXPECT_EQ(old_device.state, DeviceState::kReplaced);
  EXPECT_EQ(old_device.replaced_by, kOther.text());
  EXPECT_EQ(Audited(),
            "device.add SEP001122334455, lsc.revoke SEP001122334455, lsc.revoke SEP001122334455, "
            "device.replace SEP001122334455");
  EXPECT_EQ(AuditDetail("device.replace"),
            R"({"replaced_by":"SEP00112233AABB","added":"true","certificates_revoked":"2"})");

  // One that is known keeps what it has itself.
  const DeviceName third = Named("CSFALICE");
  ASSERT_OK(Add(third, {.model = "Jabber"}));
  ASSERT_OK_AND_ASSIGN(const DeviceRemoval again, Replace(kOther, third));
  EXPECT_EQ(again.device.data, (DeviceData{.model = "Jabber", .site = "Bern", .owner = "alice"}));
  EXPECT_EQ(again.revoked, 0);
}

TEST_F(DeviceRegistryTest, OnlyWhatIsInServiceReplacesOrIsReplaced) {
  EXPECT_THAT(Replace(kPhone, kPhone), StatusIs(kInvalid, HasSubstr("cannot replace itself")));
  EXPECT_THAT(Replace(kPhone, kOther), StatusIs(absl::StatusCode::kNotFound, HasSubstr(kPhone.text())));
  ASSERT_OK(Add(kPhone));
  ASSERT_OK(Add(kOther));
  Issue(kOther.text(), "confirmed");
  EXPECT_THAT(Replace(kPhone, kOther), StatusIs(kFailed, AllOf(HasSubstr("certificates that are still good (1)"),
                                                               HasSubstr("trustctl device retire SEP001122334455"))));
  EXPECT_EQ(Find(kPhone)->state, DeviceState::kInService);
  RunByHand("UPDATE issuance SET not_after = now() - interval '1 hour'");
  ASSERT_OK(Replace(kPhone, kOther));
  EXPECT_THAT(Replace(kPhone, Named("CSFBOB")), StatusIs(kFailed, HasSubstr("replaced by SEP00112233AABB since")));
  EXPECT_THAT(Replace(kOther, kPhone), StatusIs(kFailed, HasSubstr("SEP001122334455 is out of service")));
  EXPECT_THAT(Find(Named("CSFBOB")), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(DeviceRegistryTest, ARetiredDeviceLosesItsCertificatesAndStaysRetired) {
  ASSERT_OK(Add(kPhone));
  for (const char* state : {"signed", "confirmed", "intent", "abandoned"}) Issue(kPhone.text(), state);
  Issue(kOther.text(), "confirmed");
  for (const char* reason : {"", "  "}) EXPECT_THAT(Retire(kPhone, reason), StatusIs(kInvalid, HasSubstr("--reason")));
  EXPECT_THAT(Retire(kPhone, "a\nb"), StatusIs(kInvalid, HasSubstr("the reason")));
  EXPECT_THAT(Retire(kOther), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const DeviceRemoval retired, Retire(kPhone, "broken display"));
  EXPECT_EQ(retired.revoked, 2);
  EXPECT_EQ(retired.device.state, DeviceState::kRetired);
  EXPECT_EQ(retired.device.state_reason, "broken display");
  EXPECT_EQ(StatesOf(kPhone.text()), "revoked revoked abandoned abandoned");
  EXPECT_EQ(StatesOf(kOther.text()), "confirmed");
  EXPECT_EQ(AuditDetail("device.retire"), R"({"reason":"broken display","certificates_revoked":"2"})");

  const auto says = AllOf(HasSubstr("retired since " + Today() + ": broken display"),
                          HasSubstr("`trustctl device remove SEP001122334455` and then `trustctl device add"));
  EXPECT_THAT(Retire(kPhone), StatusIs(kFailed, says));
  EXPECT_THAT(Add(kPhone), StatusIs(absl::StatusCode::kAlreadyExists, says));
  ASSERT_OK(Remove(kPhone));
  EXPECT_OK(Add(kPhone));
}

TEST_F(DeviceRegistryTest, ADeviceWithGoodCertificatesIsNotRemoved) {
  ASSERT_OK(Add(kPhone, {.site = "Bern"}));
  for (const char* state : {"signed", "delivered", "confirmed", "intent", "revoked"}) Issue(kPhone.text(), state);
  EXPECT_THAT(Remove(kPhone), StatusIs(kFailed, AllOf(HasSubstr("still good (3)"), HasSubstr("retire it first"))));
  EXPECT_EQ(StatesOf(kPhone.text()), "signed delivered confirmed intent revoked");
  RunByHand("UPDATE issuance SET not_after = now() - interval '1 hour'");
  ASSERT_OK(Remove(kPhone));
  // What was issued stays on record, and nothing more is issued.
  EXPECT_EQ(StatesOf(kPhone.text()), "signed delivered confirmed abandoned revoked");
  EXPECT_THAT(Find(kPhone), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Remove(kPhone), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Audited(), "device.add SEP001122334455, device.remove SEP001122334455");
  EXPECT_EQ(AuditDetail("device.remove"), R"({"site":"Bern","state":"in service"})");
}

TEST_F(DeviceRegistryTest, ListsByNameInPages) {
  ASSERT_OK(Add(Named("SEP00000000000A"), {.model = "8845", .site = "Bern"}));
  ASSERT_OK(Add(Named("SEP000000000001"), {.model = "8845", .site = "Basel"}));
  ASSERT_OK(Add(Named("ATA000000000001"), {.model = "191", .site = "Bern"}));
  ASSERT_OK(Add(Named("CSF9Z"), {.model = "Jabber"}));
  ASSERT_OK(Add(Named("CSF9ZA"), {.model = "Jabber"}));
  ASSERT_OK(Retire(Named("CSF9Z")));
  EXPECT_THAT(Names({}), ElementsAre("ATA000000000001", "CSF9Z", "CSF9ZA", "SEP000000000001", "SEP00000000000A"));
  EXPECT_THAT(Names({}, "", 2), ElementsAre("ATA000000000001", "CSF9Z", "..."));
  EXPECT_THAT(Names({}, "CSF9Z", 2), ElementsAre("CSF9ZA", "SEP000000000001", "..."));
  EXPECT_THAT(Names({}, "SEP000000000001", 2), ElementsAre("SEP00000000000A"));
  EXPECT_THAT(Names({.name_prefix = "CSF9Z"}), ElementsAre("CSF9Z", "CSF9ZA"));
  EXPECT_THAT(Names({.name_prefix = "CSF9Z"}, "CSF9Z"), ElementsAre("CSF9ZA"));
  EXPECT_THAT(Names({.name_prefix = "SEP1"}), IsEmpty());
  EXPECT_THAT(Names({.model = "8845"}), ElementsAre("SEP000000000001", "SEP00000000000A"));
  EXPECT_THAT(Names({.model = "8845", .site = "Bern"}), ElementsAre("SEP00000000000A"));
  EXPECT_THAT(Names({.model = "%"}), IsEmpty());
  EXPECT_THAT(Names({.state = DeviceState::kRetired}), ElementsAre("CSF9Z"));
  EXPECT_THAT(Names({.name_prefix = "CSF", .state = DeviceState::kInService}), ElementsAre("CSF9ZA"));
}

TEST_F(DeviceRegistryTest, APageOfManyDevicesReadsOnlyItsOwn) {
  constexpr int kDevices = 100'000;
  constexpr int kBatch = 1000;
  const absl::Time begin = absl::Now();
  for (int first = 0; first < kDevices; first += kBatch) {
    std::vector<DeviceRow> rows;
    for (int i = first; i < first + kBatch; ++i) {
      rows.push_back({fmt::format("SEP{:012X}", i),
                      {.model = fmt::format("88{}", i % 20),
                       .protocol = "SIP",
                       .site = fmt::format("site {}", i % 300),
                       .description = "a phone like many others"}});
    }
    ASSERT_OK_AND_ASSIGN(const DeviceImportResult result, Import(rows));
    ASSERT_EQ(result.added, kBatch);
  }
  RecordProperty("seconds_to_import_100000", fmt::format("{:.1f}", absl::ToDoubleSeconds(absl::Now() - begin)));
  RunByHand("UPDATE device SET state = 'retired', state_reason = 'test' WHERE name LIKE '%7F'; ANALYZE device");

  const auto rows_read = [&] {
    EXPECT_OK(cad_->Execute("SELECT pg_stat_force_next_flush()"));
    return Count("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'device'");
  };
  const std::array<DeviceFilter, 5> filters = {
      {{}, {.name_prefix = "SEP0000000080"}, {.model = "887"}, {.site = "site 200"}, {.state = DeviceState::kRetired}}};
  for (const DeviceFilter& filter : filters) {
    const int64_t before = rows_read();
    EXPECT_THAT(Names(filter, "SEP000000008000", 50), SizeIs(51));
    const int64_t read = rows_read() - before;
    EXPECT_GE(read, 51);
    EXPECT_LE(read, 60) << filter.name_prefix << filter.model << filter.site;
  }
}

TEST_F(DeviceRegistryTest, ChangesAtTheSameTimeWaitForEachOther) {
  ASSERT_OK_AND_ASSIGN(Connection second, database_->Connect("trustline_cad"));
  const auto both = [&](auto first_body, auto second_body) {
    absl::Status one, other;
    std::thread thread([&] { other = WithOn(second, second_body); });
    one = WithOn(*cad_, first_body);
    thread.join();
    return std::pair(one.code(), other.code());
  };
  for (int round = 0; round < 20; ++round) {
    const DeviceName a = Named(fmt::format("SEP00000000{:02X}AA", round));
    const DeviceName b = Named(fmt::format("SEP00000000{:02X}BB", round));
    const auto add = [&](DeviceRegistry& registry) { return registry.Add(a, {}).status(); };
    const auto added = both(add, add);
    EXPECT_TRUE((added == std::pair(absl::StatusCode::kOk, absl::StatusCode::kAlreadyExists)) ||
                (added == std::pair(absl::StatusCode::kAlreadyExists, absl::StatusCode::kOk)));
    ASSERT_OK(Add(b));
    const auto replaced = both([&](DeviceRegistry& registry) { return registry.Replace(a, b).status(); },
                               [&](DeviceRegistry& registry) { return registry.Replace(b, a).status(); });
    EXPECT_TRUE((replaced == std::pair(absl::StatusCode::kOk, kFailed)) ||
                (replaced == std::pair(kFailed, absl::StatusCode::kOk)));
  }
  std::vector<DeviceRow> rows;
  for (int i = 0; i < 300; ++i) rows.push_back({fmt::format("ATA{:012X}", i), {.model = "191"}});
  const std::vector<DeviceRow> reversed(rows.rbegin(), rows.rend());
  EXPECT_EQ(both([&](DeviceRegistry& registry) { return registry.Import(rows).status(); },
                 [&](DeviceRegistry& registry) { return registry.Import(reversed).status(); }),
            std::pair(absl::StatusCode::kOk, absl::StatusCode::kOk));
  EXPECT_EQ(Count("SELECT count(*) FROM device WHERE name LIKE 'ATA%'"), 300);
}

}  // namespace
}  // namespace trustline
