#include "common/service/config.h"

#include <cstdlib>

#include "common/service/daemon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

ConfigFile ParseOrDie(std::string_view text, const std::string& path = "/etc/tvsd.toml") {
  absl::StatusOr<ConfigFile> file = ConfigFile::Parse(text, path);
  EXPECT_OK(file);
  return *file;
}

TEST(ConfigTest, ReadsEveryKindOfValue) {
  ConfigFile file = ParseOrDie(R"(
text = "a"
number = 7
flag = true
wait = "1h30m"
list = ["x", "y"]
path = "key.pem"
absolute = "/srv/key.pem"
[table]
inner = "b"
[[item]]
name = "one"
[[item]]
name = "two"
)");
  ConfigTable root = file.root();
  EXPECT_THAT(root.Text("text"), IsOkAndHolds("a"));
  EXPECT_THAT(root.Integer("number", 0, 10), IsOkAndHolds(7));
  EXPECT_THAT(root.BoolOr("flag", false), IsOkAndHolds(true));
  EXPECT_THAT(root.DurationOr("wait", absl::ZeroDuration(), absl::ZeroDuration(), absl::Hours(2)),
              IsOkAndHolds(absl::Minutes(90)));
  EXPECT_THAT(root.TextList("list"), IsOkAndHolds(ElementsAre("x", "y")));
  EXPECT_THAT(root.Path("path"), IsOkAndHolds("/etc/key.pem"));
  EXPECT_THAT(root.Path("absolute"), IsOkAndHolds("/srv/key.pem"));
  ASSERT_OK_AND_ASSIGN(ConfigTable table, root.Table("table"));
  EXPECT_THAT(table.Text("inner"), IsOkAndHolds("b"));
  ASSERT_OK_AND_ASSIGN(std::vector<ConfigTable> items, root.Tables("item"));
  ASSERT_EQ(items.size(), 2u);
  EXPECT_THAT(items[0].Text("name"), IsOkAndHolds("one"));
  EXPECT_THAT(items[1].Text("name"), IsOkAndHolds("two"));
  EXPECT_OK(file.RefuseUnknownKeys());
}

TEST(ConfigTest, GivesDefaultsForWhatIsAbsent) {
  ConfigTable root = ParseOrDie("").root();
  EXPECT_THAT(root.TextOr("text", "otherwise"), IsOkAndHolds("otherwise"));
  EXPECT_THAT(root.IntegerOr("number", 5, 0, 10), IsOkAndHolds(5));
  EXPECT_THAT(root.TextList("list"), IsOkAndHolds(IsEmpty()));
  ASSERT_OK_AND_ASSIGN(ConfigTable table, root.Table("absent"));
  EXPECT_THAT(table.Text("inner"), StatusIs(kInvalid, HasSubstr("/etc/tvsd.toml: absent.inner: is missing")));
  ASSERT_OK_AND_ASSIGN(std::vector<ConfigTable> items, root.Tables("item"));
  EXPECT_THAT(items, IsEmpty());
}

TEST(ConfigTest, ErrorsNameFileLineAndKey) {
  ConfigTable root = ParseOrDie("\n[grpc]\nport = 70000\naddress = 5\nwait = \"soon\"\nlimit = \"2h\"\n").root();
  ASSERT_OK_AND_ASSIGN(ConfigTable grpc, root.Table("grpc"));
  EXPECT_THAT(grpc.IntegerOr("port", 0, 0, 65535),
              StatusIs(kInvalid, HasSubstr("/etc/tvsd.toml:3: grpc.port: 70000 is not between 0 and 65535")));
  EXPECT_THAT(grpc.Text("address"), StatusIs(kInvalid, HasSubstr("/etc/tvsd.toml:4: grpc.address: must be text")));
  EXPECT_THAT(grpc.DurationOr("wait", absl::ZeroDuration(), absl::ZeroDuration(), absl::Hours(1)),
              StatusIs(kInvalid, HasSubstr(":5: grpc.wait: 'soon' is not a duration")));
  EXPECT_THAT(grpc.DurationOr("limit", absl::ZeroDuration(), absl::ZeroDuration(), absl::Hours(1)),
              StatusIs(kInvalid, HasSubstr(":6: grpc.limit: 2h is not between 0s and 1h")));
  EXPECT_THAT(grpc.Text("key"), StatusIs(kInvalid, HasSubstr("/etc/tvsd.toml:2: grpc.key: is missing")));
}

TEST(ConfigTest, APassphraseComesFromAFileOrFromACredential) {
  const auto read = [](std::string_view text) {
    ConfigFile file = ParseOrDie(text);
    absl::StatusOr<std::string> path = file.root().PassphrasePath("passphrase");
    if (path.ok()) {
      EXPECT_OK(file.RefuseUnknownKeys());
    }
    return path;
  };
  unsetenv("CREDENTIALS_DIRECTORY");
  EXPECT_THAT(read("passphrase_file = \"passphrase\""), IsOkAndHolds("/etc/passphrase"));
  EXPECT_THAT(read("passphrase_credential = \"cad-keys\""),
              StatusIs(kInvalid, AllOf(HasSubstr(":1: passphrase_credential"), HasSubstr("CREDENTIALS_DIRECTORY"),
                                       HasSubstr("LoadCredential=cad-keys:FILE"))));
  EXPECT_THAT(read(""),
              StatusIs(kInvalid, AllOf(HasSubstr("passphrase_file: is missing"), HasSubstr("passphrase_credential"))));
  EXPECT_THAT(read("passphrase_file = \"\""), StatusIs(kInvalid, HasSubstr("must not be empty")));

  setenv("CREDENTIALS_DIRECTORY", "/run/credentials/cad.service", 1);
  EXPECT_THAT(read("passphrase_credential = \"cad-keys\""), IsOkAndHolds("/run/credentials/cad.service/cad-keys"));
  EXPECT_THAT(read("passphrase_file = \"a\"\npassphrase_credential = \"b\""),
              StatusIs(kInvalid, HasSubstr(":2: passphrase_credential: stands beside passphrase_file")));
  for (const char* name : {"", ".", "..", "/etc/shadow", "a/b"}) {
    EXPECT_THAT(read(fmt::format("passphrase_credential = \"{}\"", name)),
                StatusIs(kInvalid, HasSubstr("without '/'")));
  }
  unsetenv("CREDENTIALS_DIRECTORY");
  EXPECT_THAT(ParseOrDie("").root().PassphrasePathOr("passphrase", ""), IsOkAndHolds(""));
}

TEST(ConfigTest, NamesEachUnknownKeyWithLineAndNearestKey) {
  ConfigFile file =
      ParseOrDie("[log]\nlevle = \"info\"\n[other]\na = 1\n[[listener]]\nport = 1\n[[listener]]\nprot = 2\n");
  ConfigTable root = file.root();
  ASSERT_OK_AND_ASSIGN(ConfigTable log, root.Table("log"));
  ASSERT_OK(log.TextOr("level", "info"));
  ASSERT_OK_AND_ASSIGN(std::vector<ConfigTable> listeners, root.Tables("listener"));
  for (ConfigTable& listener : listeners) ASSERT_OK(listener.IntegerOr("port", 0, 0, 65535));
  EXPECT_THAT(
      file.RefuseUnknownKeys(),
      StatusIs(kInvalid, AllOf(HasSubstr("tvsd.toml:2: unknown key 'log.levle' (did you mean 'level'?)"),
                               HasSubstr("tvsd.toml:3: unknown key 'other'"),
                               HasSubstr("tvsd.toml:8: unknown key 'listener[2].prot' (did you mean 'port'?)"))));
}

TEST(ConfigTest, SyntaxErrorsNameTheLine) {
  EXPECT_THAT(ConfigFile::Parse("a = 1\nb = \n", "x.toml"), StatusIs(kInvalid, HasSubstr("x.toml:2:")));
  EXPECT_THAT(ConfigFile::Parse("a = 1\na = 2\n", "x.toml"), StatusIs(kInvalid, HasSubstr("x.toml:2:")));
  EXPECT_THAT(ConfigFile::Parse("a = \"\xff\xfe\"", "x.toml"), StatusIs(kInvalid, HasSubstr("x.toml:1:")));
}

TEST(ConfigTest, FilesThatCannotBeRead) {
  TemporaryDirectory folder;
  EXPECT_THAT(ConfigFile::Load(folder.path() / "absent.toml"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent.toml")));
  EXPECT_THAT(ConfigFile::Load(folder.path()), StatusIs(kInvalid, HasSubstr("not a plain file")));
  const std::string large = folder.WriteFile("large.toml", std::string(2 * 1024 * 1024, '#'));
  EXPECT_THAT(ConfigFile::Load(large), StatusIs(kInvalid, HasSubstr("larger than")));
}

constexpr std::string_view kDaemonFile = R"(
[node]
name = "node1"
[database]
connection = "host=/run/x dbname=trustline"
[identity]
certificate = "identity.crt"
key = "identity.key"
authority = "authority.crt"
)";

TEST(DaemonConfigTest, HasDefaultsAndRelativePaths) {
  ASSERT_OK_AND_ASSIGN(DaemonConfig config, ReadDaemonConfig({.name = "tvsd", .grpc_port = 9441, .metrics_port = 9541},
                                                             ParseOrDie(kDaemonFile).root()));
  EXPECT_EQ(config.node, "node1");
  EXPECT_EQ(config.identity.key, "/etc/identity.key");
  EXPECT_EQ(config.grpc_address, "127.0.0.1");
  EXPECT_EQ(config.grpc_port, 9441);
  EXPECT_EQ(config.metrics_port, 9541);
  EXPECT_EQ(config.log_level, LogLevel::kInfo);
}

TEST(DaemonConfigTest, RefusesContradictions) {
  auto read = [](const std::string& more) {
    return ReadDaemonConfig({.name = "tvsd"}, ParseOrDie(std::string(kDaemonFile) + more).root());
  };
  EXPECT_THAT(read("[grpc]\nport = 9000\n[metrics]\nport = 9000\n"),
              StatusIs(kInvalid, HasSubstr(":13: metrics.port: is the same as grpc.port")));
  EXPECT_THAT(read("[log]\nlevel = \"loud\"\n"), StatusIs(kInvalid, HasSubstr(":11: log.level: 'loud'")));
}

TEST(DaemonConfigTest, AnIssuerTakesNoAddressToRenewFrom) {
  ConfigFile file = ParseOrDie(std::string(kDaemonFile) + "renew_from = \"127.0.0.1:9442\"\n");
  ASSERT_OK(ReadDaemonConfig({.name = "itld", .issues_identities = true}, file.root()));
  EXPECT_THAT(file.RefuseUnknownKeys(), StatusIs(kInvalid, HasSubstr("'identity.renew_from'")));
}

}  // namespace
}  // namespace trustline
