// trustctl capf on a real site, and phones that come to it.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_split.h"
#include "tests/integration/ca_commands_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class EnrolmentCommandsTest : public CaCommandsTest {
 protected:
  // A phone that comes, with PHONE.pem and PHONE.key where it keeps its certificate.
  static ProgramResult Come(const std::string& device, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"enrol",
                                          "--capf",
                                          fmt::format("127.0.0.1:{}", system_->Port(3804)),
                                          "--device",
                                          device,
                                          "--out",
                                          Lsc(device) + ".new",
                                          "--key-out",
                                          Key(device) + ".new"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ProgramResult result = RunBuilt("phonefleet", arguments);
    if (result.exit_status == 0 && std::filesystem::exists(Lsc(device) + ".new")) {
      std::filesystem::rename(Lsc(device) + ".new", Lsc(device));
      std::filesystem::rename(Key(device) + ".new", Key(device));
    }
    return result;
  }
  static ProgramResult ComeWithCertificate(const std::string& device) {
    return Come(device, {"--certificate", Lsc(device), "--key", Key(device)});
  }
  static std::string Lsc(const std::string& device) { return Path(device + ".pem"); }
  static std::string Key(const std::string& device) { return Path(device + ".key"); }

  static std::string Schedule(const std::string& device) {
    const std::string printed = Do({"capf", "schedule", "install", device, "--auth", "string"});
    const std::vector<std::string> lines = absl::StrSplit(printed, '\n', absl::SkipEmpty());
    return lines.empty() ? "" : lines.back();
  }
  static boost::json::value Report(const std::string& device) {
    const boost::json::value rows = DoJson({"capf", "report", "--device", device});
    EXPECT_EQ(rows.as_array().size(), 1);
    return rows.as_array().at(0);
  }
};

TEST_F(EnrolmentCommandsTest, AStringIsGoodForOneCertificate) {
  const std::string phone = "SEP001122334455";
  const std::string printed = Do({"capf", "schedule", "install", phone, "--auth", "string"});
  EXPECT_THAT(printed, HasSubstr("added"));
  const std::vector<std::string> lines = absl::StrSplit(printed, '\n', absl::SkipEmpty());
  const std::string& password = lines.back();
  EXPECT_THAT(password, SizeIs(8));
  EXPECT_EQ(password.find_first_not_of("0123456789"), std::string::npos);
  EXPECT_EQ(Text(Report(phone), "status"), "pending");

  const ProgramResult installed = Come(phone, {"--password", password});
  EXPECT_EQ(installed.exit_status, 0) << installed.out << installed.err;
  WriteFile("ca.pem", Do({"ca", "show", "--pem"}));
  Shell(fmt::format("openssl verify -x509_strict -CAfile {} {}", Path("ca.pem"), Lsc(phone)));
  const boost::json::value report = Report(phone);
  EXPECT_EQ(Text(report, "operation"), "install");
  EXPECT_EQ(Text(report, "status"), "success");
  EXPECT_EQ(Text(report, "auth_mode"), "string");
  EXPECT_EQ(Text(report, "lsc_status"), "installed");
  EXPECT_THAT(Do({"capf", "report", "--device", phone}),
              AllOf(HasSubstr("LSC STATUS"), HasSubstr("ISSUER EXPIRES BY"), HasSubstr("success")));

  const ProgramResult again = Come(phone, {"--password", password});
  EXPECT_EQ(again.exit_status, 1);
  EXPECT_THAT(again.out + again.err, HasSubstr("end session with reason 7"));
}

// The number of devices that administrators schedule at once in the largest clusters.
TEST_F(EnrolmentCommandsTest, AHundredThousandDevicesAreScheduledByAFileThatTwoRunsTake) {
  constexpr int kDevices = 100'000;
  constexpr int kBadLine = 50'001;
  const std::string phones = Path("phones.csv");
  std::ofstream file(phones);
  file << "Device Name\n";
  for (int n = 1; n <= kDevices; ++n) {
    if (n + 1 == kBadLine) file << "SEPNOTAPHONE\n";
    file << fmt::format("SEP0A{:010X}\n", n);
  }
  file.close();
  const std::string codes = Path("codes.csv");
  const std::vector<std::string> schedule = {"capf", "schedule", "install", "--from-csv", phones, "--codes-out", codes};
  const std::string bad_line = fmt::format("{}:{}: \"SEPNOTAPHONE\" is not a device name", phones, kBadLine);

  // 1. A bad line and --all-or-nothing: nothing.
  std::vector<std::string> whole = schedule;
  whole.emplace_back("--all-or-nothing");
  const ProgramResult refused = system_->Trustctl(whole);
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr(bad_line), HasSubstr("nothing was scheduled")));
  EXPECT_TRUE(DoJson({"capf", "list", "--device", "SEP0A"}).as_array().empty());

  // 2. One that is ended in the middle.
  {
    std::vector<std::string> command = {TRUSTLINE_BIN_DIR "/trustctl"};
    command.insert(command.end(), schedule.begin(), schedule.end());
    RunningProgram first(command, {"TRUSTLINE_CONTEXT=" + system_->data() + "/admin/context.toml"});
    std::error_code none;
    WaitUntil(absl::Now() + absl::Seconds(60), [&] {
      const uintmax_t size = std::filesystem::file_size(codes, none);
      return !none && size > 200'000;
    });
    kill(first.pid(), SIGKILL);
    EXPECT_EQ(first.Wait().exit_status, -1);
  }

  // 3. The same command goes on.
  const absl::Time begin = absl::Now();
  const ProgramResult second = system_->Trustctl(schedule);
  RecordProperty("seconds", std::to_string(absl::ToDoubleSeconds(absl::Now() - begin)));
  EXPECT_EQ(second.exit_status, 1) << second.out;
  EXPECT_THAT(second.err, AllOf(HasSubstr(bad_line), HasSubstr("devices passed over")));
  std::set<std::string> devices;
  int count = 0;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(ReadTestFile(codes), '\n', absl::SkipEmpty()))) {
    devices.emplace(line.substr(0, line.find(',')));
    ++count;
  }
  EXPECT_EQ(count, kDevices + 1);
  EXPECT_THAT(devices, SizeIs(kDevices + 1));
  ASSERT_OK_AND_ASSIGN(Connection superuser, Superuser());
  ASSERT_OK_AND_ASSIGN(
      const Result pending,
      superuser.Execute("SELECT count(DISTINCT device) FROM capf_operation WHERE state = 'pending' AND "
                        "device LIKE 'SEP0A%'"));
  ASSERT_OK_AND_ASSIGN(const int64_t pending_devices, pending.Value<int64_t>());
  EXPECT_EQ(pending_devices, kDevices);

  // 4. A string from the file is that of its device.
  const std::string last = fmt::format("SEP0A{:010X}", kDevices);
  const std::string text = ReadTestFile(codes);
  const size_t at = text.find(last + ",") + last.size() + 1;
  const ProgramResult installed = Come(last, {"--password", text.substr(at, text.find(',', at) - at)});
  EXPECT_EQ(installed.exit_status, 0) << installed.out << installed.err;
  Do({"capf", "schedule", "none", last});
}

TEST_F(EnrolmentCommandsTest, ACampaignGoesOnWaveByWaveOverARestartAndPausesAtFailures) {
  std::vector<std::string> phones;
  for (int n = 1; n <= 8; ++n) {
    phones.push_back(fmt::format("SEP0B{:010X}", n));
    ASSERT_EQ(Come(phones.back(), {"--password", Schedule(phones.back())}).exit_status, 0);
  }
  const std::string authority = IdOf(DoJson({"ca", "show"}));
  const boost::json::value created = DoJson({"capf", "campaign", "create", "--issuer", authority, "--wave", "2",
                                             "--stop-at-failures", "20%", "--key", "ec:secp256r1"});
  const std::string id = std::to_string(created.at("campaign_id").as_int64());
  const auto show = [&] { return DoJson({"capf", "campaign", "show", id}); };
  EXPECT_EQ(Text(show(), "state"), "created");
  Do({"capf", "campaign", "start", id});

  const auto pending = [&] {
    return Texts(DoJson({"capf", "list", "--campaign", id, "--state", "pending"}), "device");
  };
  const auto wait_for_wave = [&](size_t devices) {
    std::vector<std::string> wave;
    WaitUntil(absl::Now() + absl::Seconds(60), [&] {
      wave = pending();
      return wave.size() == devices;
    });
    return wave;
  };

  // 1. The phones of the first wave come, and the next wave follows.
  std::set<std::string> done;
  for (const std::string& phone : wait_for_wave(2)) {
    EXPECT_EQ(Text(Report(phone), "auth_mode"), "certificate-lsc");
    const ProgramResult renewed = ComeWithCertificate(phone);
    EXPECT_EQ(renewed.exit_status, 0) << renewed.out << renewed.err;
    EXPECT_THAT(Shell("openssl x509 -noout -text -in " + Lsc(phone)), HasSubstr("prime256v1"));
    done.insert(phone);
  }
  std::vector<std::string> second = wait_for_wave(2);
  for (const std::string& phone : second) EXPECT_FALSE(done.contains(phone));

  // 2. It survives a restart of everything.
  EXPECT_EQ(system_->Stop(), "ended with status 0");
  const int offset = system_->Port(0);
  delete system_;
  system_ = nullptr;
  auto restarted = RunningSystem::Start(directory_->path() / "site", offset);
  ASSERT_OK(restarted);
  system_ = restarted->release();
  EXPECT_EQ(Text(show(), "state"), "running");
  EXPECT_EQ(pending(), second);

  // 3. Who started it pauses it: what is scheduled stays, and no wave follows.
  Do({"capf", "campaign", "pause", id});
  for (const std::string& phone : second) EXPECT_EQ(ComeWithCertificate(phone).exit_status, 0);
  EXPECT_EQ(Text(show(), "state"), "paused");
  EXPECT_EQ(show().at("success").as_int64(), 4);
  EXPECT_TRUE(pending().empty());

  // 4. What fails pauses it by itself.
  Do({"capf", "campaign", "start", id});
  const std::vector<std::string> third = wait_for_wave(2);
  ASSERT_OK_AND_ASSIGN(Connection superuser, Superuser());
  for (const std::string& phone : third) {
    ASSERT_OK(superuser.ExecuteScript(
        fmt::format("UPDATE capf_operation SET deadline = now() - interval '1 second' WHERE device = '{}' AND state = "
                    "'pending'",
                    phone)));
  }
  WaitUntil(absl::Now() + absl::Seconds(60), [&] { return Text(show(), "state") == "paused"; });
  EXPECT_EQ(show().at("expired").as_int64(), 2);
  EXPECT_THAT(Text(show(), "state_reason"), HasSubstr("2 of 6"));
  EXPECT_TRUE(pending().empty());
}

}  // namespace
}  // namespace trustline
