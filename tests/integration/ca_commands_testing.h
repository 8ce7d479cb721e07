// A site whose certificate authority is administered with the built trustctl, as an administrator does.
#pragma once

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "common/postgres/connection.h"
#include "common/x509/x509_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/running_system.h"
#include "tests/support/status_matchers.h"

namespace trustline {

// One site for all tests; each uses devices of its own.
class CaCommandsTest : public ::testing::Test {
 protected:
  static constexpr char kEcKey[] = "ec -pkeyopt ec_paramgen_curve:P-256";

  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    // The system users must be able to reach it when root runs the tests.
    chmod(directory_->path().c_str(), 0755);
    auto system = RunningSystem::Start(directory_->path() / "site", FreePortOffset());
    ASSERT_OK(system);
    system_ = system->release();
  }
  static void TearDownTestSuite() {
    if (system_ != nullptr) {
      // Whatever the tests did: everything that was issued fits together, and the audit log is whole.
      Do({"ca", "audit"});
      Do({"audit", "verify"});
      EXPECT_EQ(system_->Stop(), "ended with status 0");
    }
    delete system_;
    system_ = nullptr;
    delete directory_;
    directory_ = nullptr;
  }
  void SetUp() override { ASSERT_NE(system_, nullptr); }

  static std::string Path(const std::string& name) { return directory_->path() / name; }
  static std::string WriteFile(const std::string& name, std::string_view content) {
    return directory_->WriteFile(name, content);
  }

  // trustctl that must succeed; its standard output.
  static std::string Do(const std::vector<std::string>& arguments) {
    const ProgramResult result = system_->Trustctl(arguments);
    EXPECT_EQ(result.exit_status, 0) << result.out << result.err;
    return result.out;
  }
  static boost::json::value DoJson(std::vector<std::string> arguments) {
    arguments.emplace_back("--output");
    arguments.emplace_back("json");
    return boost::json::parse(Do(arguments));
  }
  // trustctl that must fail with status 1 and say why in one line, and nothing else; that line.
  static std::string Refused(const std::vector<std::string>& arguments) {
    const ProgramResult result = system_->Trustctl(arguments);
    EXPECT_EQ(result.exit_status, 1) << result.out << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, ::testing::StartsWith("trustctl: "));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    return result.err;
  }
  // trustctl that must refuse its arguments; its error.
  static std::string Misused(const std::vector<std::string>& arguments) {
    const ProgramResult result = system_->Trustctl(arguments);
    EXPECT_EQ(result.exit_status, 2) << result.out << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, ::testing::EndsWith("\nTry the command with --help.\n"));
    return result.err;
  }

  static std::string Text(const boost::json::value& record, const char* key) {
    return record.at(key).as_string().c_str();
  }
  // Of a list in JSON.
  static std::vector<std::string> Texts(const boost::json::value& rows, const char* key) {
    std::vector<std::string> texts;
    for (const boost::json::value& row : rows.as_array()) texts.push_back(Text(row, key));
    return texts;
  }

  // Until `happened()`; the test fails after `deadline`.
  template <typename Condition>
  static void WaitUntil(absl::Time deadline, Condition happened) {
    while (!happened()) ASSERT_LT(absl::Now(), deadline);
  }

  // Another program, which must succeed; what it printed.
  static std::string Shell(const std::string& command) {
    const CommandResult result = RunCommand(command);
    EXPECT_EQ(result.exit_status, 0) << command << "\n" << result.output;
    return result.output;
  }
  // A CSR in PEM by OpenSSL, with a new key NAME.key.
  static std::string MakeRequest(const std::string& name, const std::string& subject, const std::string& key = kEcKey,
                                 const std::string& more = "") {
    Shell(fmt::format("openssl req -new -newkey {} -nodes -keyout {} -subj '{}' {} -out {}", key, Path(name + ".key"),
                      subject, more, Path(name + ".csr")));
    return Path(name + ".csr");
  }
  // An enterprise's self-signed root by OpenSSL, with a new key NAME.key.
  static std::string MakeRoot(const std::string& name, const std::string& subject) {
    Shell(
        fmt::format("openssl req -x509 -newkey rsa:2048 -nodes -keyout {} -subj '{}' -days 3650 -addext "
                    "keyUsage=critical,keyCertSign,cRLSign -out {}",
                    Path(name + ".key"), subject, Path(name + ".pem")));
    return Path(name + ".pem");
  }
  // What the root answers to the request of an authority.
  static std::string Answer(const std::string& name, const std::string& request, const std::string& root,
                            const std::string& extensions =
                                "basicConstraints=critical,CA:TRUE,pathlen:0\n"
                                "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n") {
    Shell(fmt::format("openssl x509 -req -in {} -CA {} -CAkey {} -CAcreateserial -days 1825 -extfile {} -out {}",
                      request, Path(root + ".pem"), Path(root + ".key"), WriteFile(name + ".extensions", extensions),
                      Path(name + ".pem")));
    return Path(name + ".pem");
  }

  static void AddDevice(const std::string& device) { Do({"device", "add", device}); }
  // A new device with a certificate; the file that holds it and its chain.
  static std::string AddWithCertificate(const std::string& device) {
    AddDevice(device);
    const std::string file = Path(device + ".pem");
    Do({"lsc", "enroll", device, "--csr", MakeRequest(device, "/CN=" + device), "--out", file});
    return file;
  }
  // Of the device's newest certificate.
  static std::string SerialOf(const std::string& device) { return Text(DoJson({"lsc", "show", device}), "serial"); }
  // Everything that was ever asked for: serial number and state.
  static std::vector<std::string> Issued() {
    std::vector<std::string> all;
    const boost::json::value rows = DoJson({"lsc", "list"});
    for (const boost::json::value& row : rows.as_array()) all.push_back(Text(row, "serial") + " " + Text(row, "state"));
    return all;
  }

  // An authority's id, as trustctl takes it.
  static std::string IdOf(const boost::json::value& authority) {
    return std::to_string(authority.at("authority_id").as_int64());
  }
  // What tvsd says of the file's first certificate: "valid", or the reason why it is not.
  static std::string Verdict(const std::string& file) {
    const ProgramResult result = system_->Trustctl({"verify", file, "--output", "json"});
    const boost::json::value rows = boost::json::parse(result.out);
    const boost::json::value& first = rows.as_array().front();
    return Text(first, "verdict") == "valid" ? "valid" : Text(first, "reason");
  }

  // The audit log says that `action` on `subject` was denied, with a reason that has `rule` in it. Denials are written
  // by a queue.
  static void ExpectDenied(const std::string& action, const std::string& subject, const std::string& rule) {
    const auto denied = [&](const boost::json::value& event) {
      if (Text(event, "outcome") != "denied" || Text(event, "subject") != subject) return false;
      const boost::json::value* const reason = event.at("detail").as_object().if_contains("reason");
      return reason != nullptr && std::string(reason->as_string().c_str()).find(rule) != std::string::npos;
    };
    bool found = false;
    for (const absl::Time deadline = absl::Now() + absl::Seconds(30); !found && absl::Now() < deadline;) {
      const boost::json::value events = DoJson({"audit", "list", "--action", action, "--limit", "0"});
      found = std::ranges::any_of(events.as_array(), denied);
    }
    EXPECT_TRUE(found) << action << " on " << subject << " was not denied because of: " << rule;
  }

  // The private database as its superuser.
  static absl::StatusOr<Connection> Superuser() {
    const std::string config = ReadTestFile(system_->data() + "/cad/cad.toml");
    const size_t begin = config.find("host='");
    const std::string address = config.substr(begin, config.find(" dbname=", begin) - begin);
    return Connection::Open({.conninfo = fmt::format("{} dbname=trustline user=postgres passfile='{}'", address,
                                                     system_->data() + "/postgres-superuser.pgpass"),
                             .application_name = "test"});
  }

  inline static TemporaryDirectory* directory_ = nullptr;
  inline static RunningSystem* system_ = nullptr;
};

}  // namespace trustline
