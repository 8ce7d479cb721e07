// trustctl capf schedule against a capfd whose answers the test decides.
#include <fcntl.h>
#include <sys/stat.h>

#include <boost/json/parse.hpp>

#include "cli/trustctl/capfd_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr std::string_view kCodesHeader = "device,authentication_string,deadline\r\n";

class CapfScheduleTest : public CapfdFixture {
 protected:
  static std::string NameOf(int number) {
    const std::string digits = std::to_string(number);
    return "SEP" + std::string(12 - digits.size(), '0') + digits;
  }

  // A CSV file with so many devices, from number 0 on, in the lines from 2 on.
  std::string WriteDevices(int count, const std::string& more = "") {
    std::string text = "Device Name,Model\n";
    for (int i = 0; i < count; ++i) text += NameOf(i) + ",8841\n";
    return directory_.WriteFile("phones.csv", text + more);
  }

  // What --codes-out is to hold once everything in `enrolment_.strings` was taken, in the order of the devices.
  std::string Codes() const {
    std::string text(kCodesHeader);
    for (const auto& [device, code] : enrolment_.strings) text += device + "," + code + ",2026-11-22T19:51:00Z\r\n";
    return text;
  }

  int Scheduled() const {
    int count = 0;
    for (const auto& batch : enrolment_.batches) count += batch.names_size();
    return count;
  }

  ProgramResult Install(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"capf", "schedule", "install"});
    return Run(std::move(arguments));
  }
};

TEST_F(CapfScheduleTest, TheStringStandsAloneOnTheLastLine) {
  const ProgramResult first = Install({"sep001122334455", "--auth", "string"});
  EXPECT_EQ(first.exit_status, 0) << first.err;
  EXPECT_EQ(first.out,
            "SEP001122334455 was not known, and is added to the devices\n"
            "install scheduled for SEP001122334455 until 2026-11-22T19:51:00Z; its authentication string, which is "
            "shown this once:\n"
            "00000001\n");
  EXPECT_EQ(first.err, "");
  EXPECT_EQ(enrolment_.options.cluster(), "default");
  EXPECT_EQ(enrolment_.options.operation(), v1::CERTIFICATE_OPERATION_INSTALL);
  EXPECT_TRUE(enrolment_.options.add_unknown_devices());
  EXPECT_FALSE(enrolment_.options.has_deadline());
  EXPECT_FALSE(enrolment_.options.has_key());
  EXPECT_EQ(enrolment_.options.string_digits(), 0);
  EXPECT_TRUE(enrolment_.ended_by_client);

  enrolment_.known = {"SEP001122334455"};
  const ProgramResult again = Install({"SEP001122334455", "SEP001122334455"});
  EXPECT_EQ(enrolment_.options.authentication(), v1::ENROLMENT_AUTHENTICATION_STRING);
  EXPECT_EQ(again.out,
            "install scheduled for SEP001122334455 until 2026-11-22T19:51:00Z, in place of what was pending; its "
            "authentication string, which is shown this once:\n"
            "00000002\n");
  const boost::json::value json = boost::json::parse(Install({"SEP001122334455", "--output", "json"}).out);
  EXPECT_EQ(json.at("authentication_string"), "00000003");
  EXPECT_EQ(json.at("replaced"), true);
  EXPECT_EQ(json.at("device_added"), false);
  EXPECT_TRUE(json.at("refusal").is_null());
}

TEST_F(CapfScheduleTest, OptionsAreHandedOn) {
  const ProgramResult result =
      Install({"SEP001122334455", "--auth", "string", "--key", "ec-preferred:secp384r1", "--by",
               "2027-01-01T00:00:00+01:00", "--digits", "10", "--no-add", "--all-or-nothing"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(enrolment_.options.key().order(), v1::KeySpecification::ORDER_EC_PREFERRED);
  EXPECT_EQ(enrolment_.options.key().curve(), v1::KeySpecification::CURVE_SECP384R1);
  EXPECT_EQ(enrolment_.options.deadline().seconds(), 1'798'758'000);
  EXPECT_EQ(enrolment_.options.string_digits(), 10);
  EXPECT_FALSE(enrolment_.options.add_unknown_devices());
  EXPECT_TRUE(enrolment_.options.all_or_nothing());
  EXPECT_EQ(Install({"SEP001122334455", "--by", "14d"}).exit_status, 0);
  const absl::Duration time = absl::FromUnixSeconds(enrolment_.options.deadline().seconds()) - absl::Now();
  EXPECT_GT(time, absl::Hours(14 * 24) - absl::Minutes(2));
  EXPECT_LE(time, absl::Hours(14 * 24));
}

TEST_F(CapfScheduleTest, OtherOperationsTellNoString) {
  enrolment_.known = {"SEP001122334455"};
  const ProgramResult fetch = Run({"capf", "schedule", "fetch", "SEP001122334455"});
  EXPECT_EQ(fetch.out, "fetch scheduled for SEP001122334455 until 2026-11-22T19:51:00Z\n");
  EXPECT_EQ(enrolment_.options.operation(), v1::CERTIFICATE_OPERATION_FETCH);
  EXPECT_EQ(enrolment_.options.authentication(), v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC);
  EXPECT_FALSE(enrolment_.options.add_unknown_devices());
  EXPECT_EQ(Run({"capf", "schedule", "delete", "SEP001122334455", "--auth", "null"}).exit_status, 0);
  EXPECT_EQ(enrolment_.options.operation(), v1::CERTIFICATE_OPERATION_DELETE);
  EXPECT_EQ(enrolment_.options.authentication(), v1::ENROLMENT_AUTHENTICATION_NULL);
  EXPECT_EQ(Run({"capf", "schedule", "none", "SEP001122334455"}).out,
            "what was pending for SEP001122334455 is taken back\n");
  EXPECT_EQ(enrolment_.options.operation(), v1::CERTIFICATE_OPERATION_NONE);
  enrolment_.with_nothing_pending = {"SEP001122334455"};
  EXPECT_EQ(Run({"capf", "schedule", "none", "SEP001122334455"}).out,
            "nothing was pending for SEP001122334455, nothing changed\n");
}

TEST_F(CapfScheduleTest, ARefusalIsAnError) {
  enrolment_.refused = {"SEP001122334455"};
  const ProgramResult result = Install({"SEP001122334455"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "trustctl: SEP001122334455: it is retired\\x1b[2J\n");
  const ProgramResult json = Install({"SEP001122334455", "--output", "json"});
  EXPECT_EQ(json.exit_status, 1);
  EXPECT_EQ(boost::json::parse(json.out).at("refusal"), "it is retired\x1b[2J");

  enrolment_.schedule_status = {grpc::StatusCode::INVALID_ARGUMENT, "the deadline is more than 366 days away"};
  const ProgramResult whole = Install({"SEP001122334455", "--by", "400d"});
  EXPECT_EQ(whole.exit_status, 1);
  EXPECT_EQ(whole.err, "trustctl: the deadline is more than 366 days away\n");
}

TEST_F(CapfScheduleTest, SeveralDevicesAreATable) {
  enrolment_.known = {"CSFANNA"};
  enrolment_.refused = {"CSFBOB"};
  const ProgramResult table = Install({"csfanna", "csfbob", "csfcleo"});
  EXPECT_EQ(table.exit_status, 1);
  EXPECT_EQ(table.out,
            "DEVICE   AUTHENTICATION STRING  DEADLINE              ADDED  REPLACED  REFUSED BECAUSE\n"
            "CSFANNA  00000001               2026-11-22T19:51:00Z  no     no        -\n"
            "CSFBOB   -                      -                     no     no        it is retired\\x1b[2J\n"
            "CSFCLEO  00000002               2026-11-22T19:51:00Z  yes    no        -\n");
  EXPECT_EQ(table.err, "");
  const ProgramResult by_certificate = Install({"csfanna", "csfcleo", "--auth", "certificate-mic", "--output", "csv"});
  EXPECT_EQ(by_certificate.exit_status, 0);
  EXPECT_EQ(by_certificate.out,
            "device,operation_id,authentication_string,deadline,device_added,replaced,refusal\r\n"
            "CSFANNA,3,,2026-11-22T19:51:00.000Z,false,true,\r\n"
            "CSFCLEO,4,,2026-11-22T19:51:00.000Z,true,true,\r\n");
  enrolment_.with_nothing_pending = {"CSFANNA"};
  EXPECT_EQ(Run({"capf", "schedule", "none", "csfanna", "csfcleo"}).out,
            "DEVICE   TAKEN BACK  REFUSED BECAUSE\n"
            "CSFANNA  no          -\n"
            "CSFCLEO  yes         -\n");
}

TEST_F(CapfScheduleTest, AFileIsScheduledInBatchesWithItsStringsInAnother) {
  const std::string path = WriteDevices(2500);
  const std::string codes = PathOf("codes.csv");
  const ProgramResult result = Install({"--from-csv", path, "--codes-out", codes});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out,
            "install scheduled for 2500 devices until 2026-11-22T19:51:00Z; 2500 not known before and added; the "
            "authentication strings are in " +
                codes + "\n");
  EXPECT_EQ(result.err, "");
  ASSERT_THAT(enrolment_.batches, SizeIs(3));
  EXPECT_EQ(enrolment_.batches[0].names_size(), 1000);
  EXPECT_EQ(enrolment_.batches[2].names(499), NameOf(2499));
  EXPECT_THAT(enrolment_.strings, SizeIs(2500));
  EXPECT_EQ(ReadFile(codes), Codes());
  struct stat about = {};
  ASSERT_EQ(stat(codes.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);

  // Again: everything is there.
  const ProgramResult again = Install({"--from-csv", path, "--codes-out", codes, "--output", "json"});
  EXPECT_EQ(again.exit_status, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("2500 devices passed over: " + codes + " has their strings already"));
  EXPECT_EQ(boost::json::parse(again.out).at("passed_over"), 2500);
  EXPECT_EQ(boost::json::parse(again.out).at("scheduled"), 0);
  EXPECT_THAT(Install({"--from-csv", path, "--codes-out", codes}).out,
              StartsWith("nothing is left to schedule; 2500 passed over; "));
  EXPECT_EQ(Scheduled(), 2500);
  EXPECT_EQ(ReadFile(codes), Codes());
}

TEST_F(CapfScheduleTest, StringsOfAFileNeedAPlace) {
  const std::string path = WriteDevices(2);
  const ProgramResult refused = Install({"--from-csv", path});
  EXPECT_EQ(refused.exit_status, 2);
  EXPECT_THAT(refused.err, HasSubstr("--codes-out FILE.csv, or --output csv or json"));
  EXPECT_THAT(enrolment_.batches, IsEmpty());
  const ProgramResult csv = Install({"--from-csv", path, "--output", "csv"});
  EXPECT_EQ(csv.exit_status, 0) << csv.err;
  EXPECT_THAT(csv.out, HasSubstr("SEP000000000001,2,00000002,"));
  const ProgramResult none_needed = Install({"--from-csv", path, "--auth", "certificate-mic"});
  EXPECT_EQ(none_needed.exit_status, 0) << none_needed.err;
  EXPECT_EQ(none_needed.out,
            "install scheduled for 2 devices until 2026-11-22T19:51:00Z; 2 not known before and added; 2 in place of "
            "what was pending\n");
}

TEST_F(CapfScheduleTest, BadLinesAndRefusalsAreToldAndTheRestIsApplied) {
  enrolment_.refused = {NameOf(1)};
  const std::string path =
      WriteDevices(3, "SEP1,8841\n" + NameOf(0) + ",8841\n,8841\n" + NameOf(7) + ",8841,\x1b[2J\n");
  const std::string codes = PathOf("codes.csv");
  const ProgramResult result = Install({"--from-csv", path, "--codes-out", codes});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, StartsWith(path + ":5: \"SEP1\" is not a device name"));
  EXPECT_THAT(result.err, AllOf(HasSubstr(path + ":6: SEP000000000000 stands in line 2 already\n"),
                                HasSubstr(path + ":7: the device has no name\n"), HasSubstr(path + ":8: 3 fields"),
                                EndsWith(path + ":3: SEP000000000001: it is retired\\x1b[2J\n")));
  EXPECT_THAT(result.out, AllOf(StartsWith("install scheduled for 2 devices"), HasSubstr("; 1 refused; 4 bad lines;")));
  EXPECT_EQ(ReadFile(codes), Codes());

  const ProgramResult json = Install({"--from-csv", path, "--codes-out", PathOf("json.csv"), "--output", "json"});
  EXPECT_EQ(json.exit_status, 1);
  const boost::json::value record = boost::json::parse(json.out);
  EXPECT_EQ(record.at("scheduled"), 2);
  EXPECT_EQ(record.at("bad_lines"), 4);
  EXPECT_EQ(record.at("refused"), 1);
  EXPECT_EQ(record.at("refusals").at(0).at("refused_device").as_string(), NameOf(1));
  for (const auto& [device, code] : enrolment_.strings) EXPECT_THAT(json.out, Not(HasSubstr(code)));

  const ProgramResult rows = Install({"--from-csv", path, "--output", "csv"});
  EXPECT_EQ(rows.exit_status, 1);
  EXPECT_THAT(rows.err, EndsWith(path + ":3: SEP000000000001: it is retired\\x1b[2J\n"));
}

TEST_F(CapfScheduleTest, AllOrNothingAppliesNothingOfABadFile) {
  const std::string bad = WriteDevices(3, "SEP1,8841\n");
  const std::string codes = PathOf("codes.csv");
  const ProgramResult lines = Install({"--from-csv", bad, "--codes-out", codes, "--all-or-nothing"});
  EXPECT_EQ(lines.exit_status, 1);
  EXPECT_THAT(lines.err, AllOf(HasSubstr(bad + ":5: "), HasSubstr("1 bad line, nothing was scheduled")));
  EXPECT_THAT(enrolment_.batches, IsEmpty());

  enrolment_.refused = {NameOf(1500)};
  const std::string path = WriteDevices(2500);
  const ProgramResult refused = Install({"--from-csv", path, "--codes-out", codes, "--all-or-nothing"});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_EQ(refused.out, "");
  EXPECT_EQ(refused.err, path +
                             ":1502: SEP000000001500: it is retired\\x1b[2J\n"
                             "trustctl: a device was refused: nothing was scheduled\n");
  EXPECT_FALSE(std::filesystem::exists(codes));

  EXPECT_THAT(enrolment_.strings, IsEmpty());
  const ProgramResult rows = Install({"--from-csv", path, "--all-or-nothing", "--output", "csv"});
  EXPECT_EQ(rows.exit_status, 1);
  EXPECT_THAT(rows.out, EndsWith("\r\nSEP000000001500,,,,false,false,it is retired\\x1b[2J\r\n"));

  enrolment_.refused.clear();
  enrolment_.batches.clear();
  const ProgramResult all = Install({"--from-csv", path, "--codes-out", codes, "--all-or-nothing"});
  EXPECT_EQ(all.exit_status, 0) << all.err;
  EXPECT_EQ(Scheduled(), 2500);
  EXPECT_EQ(ReadFile(codes), Codes());
}

TEST_F(CapfScheduleTest, PlainNamesAndPrintedListsAreReadToo) {
  for (const std::string& text :
       {std::string("\nsep001122334455\r\n CSFanna \n"), std::string("SEP001122334455\nCSFANNA"),
        std::string("operation_id,device,operation\r\n7,SEP001122334455,install\r\n8,CSFANNA,install\r\n"),
        std::string("Phone;device name\n1;SEP001122334455\n2;csfanna\n")}) {
    enrolment_.batches.clear();
    const ProgramResult result =
        Install({"--from-csv", directory_.WriteFile("list.csv", text), "--auth", "certificate-mic"});
    EXPECT_EQ(result.exit_status, 0) << result.err;
    ASSERT_THAT(enrolment_.batches, SizeIs(1)) << text;
    EXPECT_THAT(enrolment_.batches[0].names(), ElementsAre("SEP001122334455", "CSFANNA"));
  }
  // Also the first line of plain names can be bad.
  const std::string path = directory_.WriteFile("list.csv", "SEP1\nCSFANNA\n");
  const ProgramResult bad = Install({"--from-csv", path, "--auth", "null"});
  EXPECT_EQ(bad.exit_status, 1);
  EXPECT_THAT(bad.err, StartsWith(path + ":1: \"SEP1\" is not a device name"));
  EXPECT_THAT(bad.out, StartsWith("install scheduled for 1 device "));
  const std::string nameless = directory_.WriteFile("nameless.csv", "Phone,Ring\na,b\n");
  const ProgramResult none = Install({"--from-csv", nameless, "--auth", "null"});
  EXPECT_EQ(none.exit_status, 1);
  EXPECT_THAT(none.err, AllOf(HasSubstr("nameless.csv: no column is called \"Device Name\", \"Name\", \"Device\""),
                              HasSubstr("the columns are: Phone, Ring")));
  EXPECT_THAT(Install({"--from-csv", directory_.WriteFile("bad.csv", "Name\nx\n"), "--auth", "null"}).err,
              EndsWith("bad.csv: there is no device in it, only 1 bad line\n"));
  EXPECT_THAT(Install({"--from-csv", PathOf("missing.csv"), "--auth", "null"}).err, HasSubstr("missing.csv"));
}

TEST_F(CapfScheduleTest, AFailedBatchLosesNothingAndTheSameCommandGoesOn) {
  const std::string path = WriteDevices(2500);
  const std::string codes = PathOf("codes.csv");
  enrolment_.fail_at = 1;
  const ProgramResult failed = Install({"--from-csv", path, "--codes-out", codes});
  EXPECT_EQ(failed.exit_status, 1);
  EXPECT_EQ(failed.err, "trustctl: 1000 of 2500 devices are done and stay so, perhaps some more; " + codes +
                            " has the authentication strings, and the same command again goes on with the others; "
                            "then: the database is away\\x1b[2J\n");
  EXPECT_EQ(ReadFile(codes), Codes());
  // A line that was written half.
  std::ofstream(codes, std::ios::app) << NameOf(1000) << ",99";

  enrolment_.fail_at = SIZE_MAX;
  const ProgramResult completed = Install({"--from-csv", path, "--codes-out", codes});
  EXPECT_EQ(completed.exit_status, 0) << completed.err;
  EXPECT_EQ(completed.err, "trustctl: note: 1000 devices passed over: " + codes +
                               " has their strings already; for new ones choose another file\n");
  EXPECT_THAT(completed.out, AllOf(StartsWith("install scheduled for 1500 devices"), HasSubstr("; 1000 passed over;")));
  EXPECT_EQ(Scheduled(), 2500);
  EXPECT_EQ(ReadFile(codes), Codes());
}

TEST_F(CapfScheduleTest, TheStringsOfAnotherRunAreNotMixedUp) {
  const std::string codes = PathOf("codes.csv");
  ASSERT_EQ(Install({"--from-csv", WriteDevices(3), "--codes-out", codes}).exit_status, 0);
  const std::string before = ReadFile(codes);
  const ProgramResult other =
      Install({"--from-csv", directory_.WriteFile("b.csv", NameOf(0) + "\n" + NameOf(9) + "\n"), "--codes-out", codes});
  EXPECT_EQ(other.exit_status, 1);
  EXPECT_THAT(other.err, AllOf(HasSubstr("of another run"), HasSubstr("choose another name")));
  EXPECT_EQ(Scheduled(), 3);
  EXPECT_EQ(ReadFile(codes), before);
}

TEST_F(CapfScheduleTest, WithoutAFileForThemTheStringsSoFarArePrinted) {
  enrolment_.fail_at = 1;
  const ProgramResult result = Install({"--from-csv", WriteDevices(1500), "--output", "json"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(boost::json::parse(result.out).as_array().size(), 1000u);
  EXPECT_THAT(result.err, HasSubstr("1000 of 1500 devices are done and stay so, perhaps some more; the same command "
                                    "again would give all of them new authentication strings"));
  enrolment_.batches.clear();
  enrolment_.fail_at = 0;
  const ProgramResult nothing = Install({"--from-csv", WriteDevices(1500), "--output", "json"});
  EXPECT_EQ(nothing.out, "");
  EXPECT_EQ(nothing.err, "trustctl: the database is away\\x1b[2J\n");
  enrolment_.fail_at = 1;
  EXPECT_THAT(Install({"--from-csv", WriteDevices(1500), "--auth", "null"}).err,
              HasSubstr("the same command again completes it; then: "));
}

TEST_F(CapfScheduleTest, AnswersThatDoNotFitAreRefused) {
  enrolment_.out_of_order = true;
  const ProgramResult mixed_up = Install({"CSFANNA", "CSFBOB"});
  EXPECT_EQ(mixed_up.exit_status, 1);
  EXPECT_EQ(mixed_up.out, "");
  EXPECT_EQ(mixed_up.err, "trustctl: capfd answered out of order, for CSFBOB instead of CSFANNA: look at its log\n");
  enrolment_.out_of_order = false;
  enrolment_.batches.clear();
  enrolment_.end_early_at = 0;
  EXPECT_THAT(Install({"--from-csv", WriteDevices(1500), "--auth", "null"}).err,
              HasSubstr("capfd ended before it had answered for everything"));
}

TEST_F(CapfScheduleTest, WhatWasAnsweredOfAllOrNothingIsKept) {
  const std::string path = WriteDevices(2500);
  const std::string codes = PathOf("codes.csv");
  enrolment_.end_early_at = 1;
  const ProgramResult cut = Install({"--from-csv", path, "--codes-out", codes, "--all-or-nothing"});
  EXPECT_EQ(cut.exit_status, 1);
  EXPECT_EQ(cut.err, "trustctl: everything is scheduled, but only 2000 of 2500 answers have come: capfd ends\n");
  EXPECT_EQ(ReadFile(codes), Codes());
  const ProgramResult completed = Install({"--from-csv", path, "--codes-out", codes, "--all-or-nothing"});
  EXPECT_EQ(completed.exit_status, 0) << completed.err;
  EXPECT_THAT(enrolment_.strings, SizeIs(2500));
  EXPECT_EQ(ReadFile(codes), Codes());
}

// Runs an installation whose standard error output the test reads as it comes.
class InterruptedScheduleTest : public CapfScheduleTest {
 protected:
  void Start(const std::string& path, const std::string& codes) {
    const std::string pipe = PathOf("stderr");
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    program_.emplace(std::vector<std::string>{"/bin/sh", "-c",
                                              "exec " + kProgram + " capf schedule install --from-csv " + path +
                                                  " --codes-out " + codes + " 2>" + pipe},
                     std::vector<std::string>{"TRUSTLINE_CONTEXT=" + context_});
    err_.open(pipe);
    enrolment_.WaitUntilHeld();
    ASSERT_EQ(kill(program_->pid(), SIGINT), 0);
    std::string note;
    ASSERT_TRUE(std::getline(err_, note));
    EXPECT_THAT(note, StartsWith("trustctl: stopping as soon as capfd has answered"));
  }

  std::string RestOfErr() {
    std::stringstream text;
    text << err_.rdbuf();
    return text.str();
  }

  std::optional<RunningProgram> program_;
  std::ifstream err_;
};

TEST_F(InterruptedScheduleTest, TheAnswerUnderWayIsAwaitedAndNothingIsLost) {
  const std::string path = WriteDevices(2500);
  const std::string codes = PathOf("codes.csv");
  enrolment_.hold_at = 1;
  Start(path, codes);
  enrolment_.Release();
  const std::string rest = RestOfErr();
  const ProgramResult result = program_->Wait();
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(rest, "trustctl: interrupted: 2000 of 2500 devices are done and stay so; " + codes +
                      " has the authentication strings, and the same command again goes on with the others\n");
  EXPECT_EQ(Scheduled(), 2000);
  EXPECT_EQ(ReadFile(codes), Codes());

  EXPECT_EQ(Install({"--from-csv", path, "--codes-out", codes}).exit_status, 0);
  EXPECT_EQ(Scheduled(), 2500);
  EXPECT_EQ(ReadFile(codes), Codes());
}

TEST_F(InterruptedScheduleTest, TheSecondSignalEndsItAtOnce) {
  const std::string path = WriteDevices(2500);
  const std::string codes = PathOf("codes.csv");
  enrolment_.hold_at = 1;
  Start(path, codes);
  ASSERT_EQ(kill(program_->pid(), SIGINT), 0);
  EXPECT_THAT(RestOfErr(), HasSubstr("interrupted"));
  EXPECT_EQ(program_->Wait().exit_status, -1);
  EXPECT_EQ(ReadFile(codes), Codes());  // of the first batch
  enrolment_.Release();
}

TEST_F(CapfScheduleTest, AnInterruptedAllOrNothingSchedulesNothing) {
  enrolment_.hold_at = 0;
  RunningProgram program(
      {kProgram, "capf", "schedule", "install", "--all-or-nothing", "--auth", "null", "--from-csv", WriteDevices(10)},
      {"TRUSTLINE_CONTEXT=" + context_});
  enrolment_.WaitUntilHeld();
  ASSERT_EQ(kill(program.pid(), SIGINT), 0);
  const ProgramResult result = program.Wait();
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, StartsWith("trustctl: interrupted while capfd was scheduling: either everything"));
  enrolment_.Release();
}

TEST_F(CapfScheduleTest, AFullDiskIsToldAndTheSameCommandMakesItGood) {
  const std::string path = WriteDevices(2500);
  const std::string codes = PathOf("codes.csv");
  // The second batch does not fit any more: the shell counts in 1,024 bytes.
  const ProgramResult full = RunProgram({"/bin/bash", "-c",
                                         "trap '' XFSZ; ulimit -f 60; exec " + kProgram +
                                             " capf schedule install --from-csv " + path + " --codes-out " + codes},
                                        {"TRUSTLINE_CONTEXT=" + context_});
  EXPECT_EQ(full.exit_status, 1);
  EXPECT_EQ(full.out, "");
  EXPECT_THAT(full.err, AllOf(StartsWith("trustctl: 1000 of 2500 devices are done and stay so"),
                              HasSubstr("1000 authentication strings could not be kept"),
                              HasSubstr("cannot write " + codes + ": File too large")));
  EXPECT_EQ(Scheduled(), 2000);
  const ProgramResult completed = Install({"--from-csv", path, "--codes-out", codes});
  EXPECT_EQ(completed.exit_status, 0) << completed.err;
  EXPECT_THAT(enrolment_.strings, SizeIs(2500));
  EXPECT_EQ(ReadFile(codes), Codes());
}

}  // namespace
}  // namespace trustline
