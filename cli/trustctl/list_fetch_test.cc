// Fetching from Debian's TFTP and HTTP servers, and from some that misbehave.
#include "cli/trustctl/list_fetch.h"

#include "cli/trustctl/fetched_lists.h"
#include "cli/trustctl/list_servers_testing.h"
#include "cli/trustctl/vector_lists_testing.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotThere = absl::StatusCode::kNotFound;
constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
// For answers that never come.
constexpr FetchLimits kImpatient = {.connect = absl::Milliseconds(1500), .whole = absl::Milliseconds(1500)};

ListSource Tftp(uint16_t port) { return {.host = "127.0.0.1", .port = port}; }
ListSource Http(uint16_t port) { return {.host = "127.0.0.1", .http = true, .port = port}; }

class ListFetchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_.WriteFile("served/ITLFile.tlv", list_);
    directory_.WriteFile("served/largest", std::string(FetchLimits().most_bytes, 'x'));
    directory_.WriteFile("served/too-large", std::string(FetchLimits().most_bytes + 1, 'x'));
    directory_.WriteFile("served/empty", "");
    std::filesystem::create_directory(work());
  }
  std::filesystem::path served() const { return directory_.path() / "served"; }
  std::filesystem::path work() const { return directory_.path() / "work"; }

  // What both kinds of server must do.
  static void ExpectFetches(const ListSource& source, const std::string& list) {
    EXPECT_THAT(FetchListFile(source, "ITLFile.tlv"), IsOkAndHolds(list));
    EXPECT_THAT(FetchListFile(source, "empty"), IsOkAndHolds(""));
    EXPECT_THAT(FetchListFile(source, "CTLFile.tlv"),
                StatusIs(kNotThere, AllOf(HasSubstr(source.Url("CTLFile.tlv")), HasSubstr("no such file"))));
    EXPECT_THAT(FetchListFile(source, "largest"), IsOkAndHolds(SizeIs(FetchLimits().most_bytes)));
    EXPECT_THAT(FetchListFile(source, "too-large"), StatusIs(kInvalid, HasSubstr("larger than")));
  }

  const TemporaryDirectory directory_;
  const std::string list_ = ReadVectorFile("ITLFile-sha1.tlv");
};

TEST_F(ListFetchTest, FromTftpd) {
  const TftpServer server(served());
  ExpectFetches(Tftp(server.port()), list_);
}

TEST_F(ListFetchTest, FromNginx) {
  ASSERT_OK_AND_ASSIGN(const auto server,
                       NginxServer::Start(served(), work(),
                                          "location /moved { return 302 /ITLFile.tlv; } location /closed { deny all; } "
                                          "location /gone { return 410; }"));
  ExpectFetches(Http(server->port()), list_);
  EXPECT_THAT(FetchListFile(Http(server->port()), "moved"),
              StatusIs(kRefused, AllOf(HasSubstr("HTTP 302"), HasSubstr("not followed"))));
  EXPECT_THAT(FetchListFile(Http(server->port()), "closed"), StatusIs(kRefused, HasSubstr("HTTP 403")));
  EXPECT_THAT(FetchListFile(Http(server->port()), "gone"), StatusIs(kNotThere));
}

TEST_F(ListFetchTest, TftpOnlyReadsBytes) {
  ScriptedTftp server({{"ITLFile.tlv", ScriptedTftp::Bytes(list_)}});
  EXPECT_THAT(FetchListFile(Tftp(server.port()), "ITLFile.tlv"), IsOkAndHolds(list_));
  EXPECT_THAT(FetchListFile(Tftp(server.port()), "CTLFile.tlv"), StatusIs(kNotThere));
  EXPECT_THAT(server.Stop(), ElementsAre("ITLFile.tlv octet", "CTLFile.tlv octet"));
}

TEST_F(ListFetchTest, AnEndlessFileEndsAtTheLimit) {
  std::atomic<size_t> asked = 0;
  const ScriptedTftp server({{"ITLFile.tlv", [&asked](size_t offset) {
                                asked = offset;
                                return std::string(512, 'x');
                              }}});
  EXPECT_THAT(FetchListFile(Tftp(server.port()), "ITLFile.tlv"), StatusIs(kInvalid, HasSubstr("larger than")));
  EXPECT_LE(asked, FetchLimits().most_bytes + 1024);

  ScriptedHttp endless("HTTP/1.1 200 OK\r\n\r\n", ScriptedHttp::Then::kEndlessZeros);
  EXPECT_THAT(FetchListFile(Http(endless.port()), "ITLFile.tlv"), StatusIs(kInvalid, HasSubstr("larger than")));
  // A size that is announced is believed: nothing of the body is waited for.
  ScriptedHttp announced("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", ScriptedHttp::Then::kWait);
  EXPECT_THAT(FetchListFile(Http(announced.port()), "ITLFile.tlv"), StatusIs(kInvalid, HasSubstr("larger than")));
  // The body of an answer that is no file is not read to its end either.
  ScriptedHttp error("HTTP/1.1 500 No\r\n\r\n", ScriptedHttp::Then::kEndlessZeros);
  EXPECT_THAT(FetchListFile(Http(error.port()), "ITLFile.tlv"), StatusIs(kRefused, HasSubstr("HTTP 500")));
}

TEST_F(ListFetchTest, ARedirectionLeadsNowhere) {
  ScriptedHttp target("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", ScriptedHttp::Then::kClose);
  for (const std::string& to :
       {fmt::format("http://127.0.0.1:{}/ITLFile.tlv", target.port()), std::string("file:///etc/passwd")}) {
    ScriptedHttp server(fmt::format("HTTP/1.1 301 Moved\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", to),
                        ScriptedHttp::Then::kClose);
    EXPECT_THAT(FetchListFile(Http(server.port()), "ITLFile.tlv"), StatusIs(kRefused, HasSubstr("HTTP 301")));
  }
  EXPECT_EQ(target.connections(), 0);
}

TEST_F(ListFetchTest, WhatIsNotWholeIsNoFile) {
  ScriptedHttp cut("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", ScriptedHttp::Then::kClose);
  EXPECT_THAT(FetchListFile(Http(cut.port()), "ITLFile.tlv"), StatusIs(absl::StatusCode::kUnavailable));
  ScriptedHttp part("HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n\r\nhalf", ScriptedHttp::Then::kClose);
  EXPECT_THAT(FetchListFile(Http(part.port()), "ITLFile.tlv"), StatusIs(kRefused, HasSubstr("HTTP 206")));
  ScriptedHttp other("SSH-2.0-OpenSSH_9.2\r\n", ScriptedHttp::Then::kClose);
  EXPECT_THAT(FetchListFile(Http(other.port()), "ITLFile.tlv"), StatusIs(absl::StatusCode::kUnavailable));
  ScriptedHttp stalls("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", ScriptedHttp::Then::kWait);
  EXPECT_THAT(FetchListFile(Http(stalls.port()), "ITLFile.tlv", kImpatient),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("in time")));
}

TEST_F(ListFetchTest, WhereNobodyAnswersItSaysSo) {
  uint16_t silent_port = 0;
  {
    const ScriptedTftp silent({}, /*silent=*/true);
    silent_port = silent.port();
    EXPECT_THAT(FetchListFile(Tftp(silent_port), "ITLFile.tlv", kImpatient),
                StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("--http")));
  }
  EXPECT_THAT(FetchListFile(Tftp(silent_port), "ITLFile.tlv", kImpatient), Not(IsOk()));
  EXPECT_THAT(FetchListFile(Http(silent_port), "ITLFile.tlv", kImpatient), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ListFetchTest, OnlyHostsAreAsked) {
  EXPECT_EQ((ListSource{.host = "2001:db8::1"}).Url("a"), "tftp://[2001:db8::1]:69/a");
  EXPECT_EQ((ListSource{.host = "cucm1.example", .http = true}).Url("a"), "http://cucm1.example:6970/a");
  for (const char* const host : {"", "a/b", "user@host", "127.0.0.1:69", "[::1]", "a b", "::1/x"}) {
    EXPECT_THAT(FetchListFile({.host = host}, "ITLFile.tlv"), StatusIs(kInvalid, HasSubstr("is no host"))) << host;
  }
}

TEST_F(ListFetchTest, ListsAreReadAndVerified) {
  directory_.WriteFile("served/CTLFile.tlv", ReadVectorFile("ITLFile-sha512.tlv"));
  const TftpServer server(served());
  std::vector<std::string> notes;
  ASSERT_OK_AND_ASSIGN(const std::vector<FetchedList> lists,
                       FetchLists({.hosts = {"LOCALHOST"}, .port = server.port()}, notes));
  ASSERT_THAT(lists, SizeIs(2));
  EXPECT_THAT(notes, IsEmpty());
  EXPECT_EQ(lists[0].Name(), "ITL of localhost");
  EXPECT_EQ(*lists[0].list.bytes, list_);
  EXPECT_OK(lists[0].verified);
  EXPECT_THAT(lists[0].signer, HasSubstr("CN="));
  EXPECT_EQ(lists[1].kind, v1::TRUST_LIST_KIND_CTL);
}

TEST_F(ListFetchTest, AListThatDoesNotVerifyIsTakenOnlyByOrder) {
  std::string changed = list_;
  changed.replace(changed.find("ITLFile.tlv"), 3, "XTL");  // in the header, which is signed
  const ScriptedTftp server({{"ITLFile.tlv", ScriptedTftp::Bytes(changed)}});
  std::vector<std::string> notes;
  ListFetchOrder order = {.hosts = {"127.0.0.1"}, .port = server.port()};
  EXPECT_THAT(FetchLists(order, notes),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr(fmt::format(":{}/ITLFile.tlv", server.port())), HasSubstr("--unverified"))));
  order.unverified = true;
  ASSERT_OK_AND_ASSIGN(const std::vector<FetchedList> lists, FetchLists(order, notes));
  ASSERT_THAT(lists, SizeIs(1));
  EXPECT_THAT(lists[0].verified, StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(*lists[0].list.bytes, changed);

  const ScriptedTftp half({{"ITLFile.tlv", ScriptedTftp::Bytes(list_.substr(0, list_.size() / 2))}});
  order.port = half.port();
  EXPECT_THAT(FetchLists(order, notes), StatusIs(kInvalid, HasSubstr("ITLFile.tlv"))) << "no list at all";
}

TEST_F(ListFetchTest, AHostWithoutAListIsAnError) {
  std::vector<std::string> notes;
  ScriptedTftp with({{"ITLFile.tlv", ScriptedTftp::Bytes(list_)}});
  ASSERT_OK(FetchLists({.hosts = {"127.0.0.1"}, .port = with.port()}, notes).status());
  EXPECT_THAT(notes, ElementsAre(AllOf(HasSubstr("CTLFile.tlv"), HasSubstr("mixed mode"))));
  ScriptedTftp without({});
  EXPECT_THAT(FetchLists({.hosts = {"127.0.0.1"}, .port = without.port()}, notes),
              StatusIs(kNotThere, AllOf(HasSubstr("option 150"), HasSubstr("--http"))));
}

}  // namespace
}  // namespace trustline
