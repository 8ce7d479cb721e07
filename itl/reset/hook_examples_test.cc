// The hooks of deploy/hooks, run as itld runs them, against small servers that speak the protocols of the systems which
// reset phones.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/bytes/checksums.h"
#include "common/posix/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "itl/reset/hook_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// Texts that a peer has sent, up to a mark.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  void Send(std::string_view text) const { (void)send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL); }
  // With the mark; empty once the peer is gone.
  std::string Until(std::string_view mark) {
    while (unread_.find(mark) == std::string::npos) {
      if (!More()) return "";
    }
    return Take(unread_.find(mark) + mark.size());
  }
  std::string Exactly(size_t size) {
    while (unread_.size() < size) {
      if (!More()) return "";
    }
    return Take(size);
  }

 private:
  bool More() {
    char buffer[4096];
    const ssize_t count = recv(fd_.get(), buffer, sizeof(buffer), 0);
    if (count > 0) unread_.append(buffer, static_cast<size_t>(count));
    return count > 0;
  }
  std::string Take(size_t size) {
    std::string text = unread_.substr(0, size);
    unread_.erase(0, size);
    return text;
  }
  const UniqueFd fd_;
  std::string unread_;
};

// Serves connections, each on a thread, until it is destroyed.
class TestServer {
 public:
  explicit TestServer(std::function<void(Peer&)> serve, const char* address = "127.0.0.1") : serve_(std::move(serve)) {
    listener_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in name{.sin_family = AF_INET};
    inet_pton(AF_INET, address, &name.sin_addr);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
    EXPECT_EQ(listen(listener_.get(), 64), 0);
    socklen_t size = sizeof(name);
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&name), &size);
    port_ = ntohs(name.sin_port);
    thread_ = std::thread([this] { Accept(); });
  }
  ~TestServer() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    for (std::thread& worker : workers_) worker.join();
  }
  int port() const { return port_; }

 private:
  void Accept() {
    while (true) {
      const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      workers_.emplace_back([this, fd] {
        Peer peer(fd);
        serve_(peer);
      });
    }
  }
  const std::function<void(Peer&)> serve_;
  UniqueFd listener_;
  int port_ = 0;
  std::thread thread_;
  std::vector<std::thread> workers_;
};

class HookExamplesTest : public ::testing::Test {
 protected:
  // The hook as it is installed, with its settings beside it.
  std::string Install(const std::string& name, const std::string& settings) {
    const std::filesystem::path from = std::filesystem::path(TRUSTLINE_SOURCE_DIR) / "deploy/hooks";
    for (const std::string& file : {name, std::string("phone_hook.py")}) {
      std::filesystem::copy(from / file, folder_.path() / file, std::filesystem::copy_options::overwrite_existing);
    }
    const std::string conf = folder_.WriteFile(name + ".conf", settings);
    std::filesystem::permissions(conf, std::filesystem::perms(0600));
    return (folder_.path() / name).string();
  }
  HookOutcome Run(const std::string& path, const std::vector<HandedPhone>& phones) {
    absl::StatusOr<HookOutcome> outcome =
        RunHook({.name = "hook", .path = path, .deadline = absl::Minutes(1)}, "default", 7, phones, interrupt_.get());
    EXPECT_OK(outcome);
    return outcome.value_or(HookOutcome());
  }
  // What a server was asked, in any order of its connections.
  void Keep(std::string text) {
    const std::lock_guard lock(mutex_);
    kept_.push_back(std::move(text));
  }
  std::vector<std::string> Kept() {
    const std::lock_guard lock(mutex_);
    return kept_;
  }
  static std::string Field(const std::string& message, const std::string& name) {
    for (const auto line : absl::StrSplit(message, "\r\n")) {
      if (absl::StartsWith(line, name + ": ")) return std::string(line.substr(name.size() + 2));
    }
    return "";
  }

  // ---- Asterisk's manager interface

  std::string AmiSettings(int port, const std::string& more = "") {
    return fmt::format("[ami]\nhost = 127.0.0.1\nport = {}\nusername = trustline\nsecret = s3cret\ntimeout = 3\n{}",
                       port, more);
  }
  // Knows the endpoints of phones 1 and 2; hangs up when it is asked for phone 4.
  void ServeAmi(Peer& peer) {
    peer.Send("Asterisk Call Manager/9.0.0\r\n");
    for (std::string action = peer.Until("\r\n\r\n"); !action.empty(); action = peer.Until("\r\n\r\n")) {
      Keep(action);
      const std::string id = Field(action, "ActionID");
      const std::string endpoint = Field(action, "Endpoint");
      const auto respond = [&](const std::string& verdict, const std::string& words) {
        // An event comes between, as they do.
        peer.Send(
            fmt::format("Event: FullyBooted\r\nStatus: up\r\n\r\nResponse: {}\r\nActionID: {}\r\nMessage: {}\r\n\r\n",
                        verdict, id, words));
      };
      if (Field(action, "Action") == "Login") {
        const bool good = Field(action, "Username") == "trustline" && Field(action, "Secret") == "s3cret";
        respond(good ? "Success" : "Error", good ? "Authentication accepted" : "Authentication failed");
      } else if (absl::EndsWith(endpoint, "4")) {
        return;
      } else if (absl::EndsWith(endpoint, "1") || absl::EndsWith(endpoint, "2")) {
        respond("Success", "NOTIFY sent");
      } else {
        respond("Error", "Unable to retrieve endpoint " + endpoint);
      }
    }
  }

  // ---- Phones with a web page

  // RFC 2617, section 3.2.2, without "auth-int".
  static std::string DigestResponse(const std::string& authorization, const std::string& method) {
    const auto parameter = [&](const std::string& name) {
      const size_t at = authorization.find(name + "=");
      if (at == std::string::npos) return std::string();
      std::string value = authorization.substr(at + name.size() + 1);
      if (value.starts_with('"')) return value.substr(1, value.find('"', 1) - 1);
      return value.substr(0, value.find_first_of(", "));
    };
    const auto md5 = [](const std::string& text) { return ToHex(Md5(AsBytes(text))); };
    const std::string ha1 = md5("admin:spa:s3cret");
    const std::string ha2 = md5(method + ":" + parameter("uri"));
    return md5(parameter("qop").empty() ? ha1 + ":" + parameter("nonce") + ":" + ha2
                                        : ha1 + ":" + parameter("nonce") + ":" + parameter("nc") + ":" +
                                              parameter("cnonce") + ":" + parameter("qop") + ":" + ha2);
  }
  void ServeSpa(Peer& peer) {
    for (std::string request = peer.Until("\r\n\r\n"); !request.empty(); request = peer.Until("\r\n\r\n")) {
      const std::string authorization = Field(request, "Authorization");
      Keep(request.substr(0, request.find('\r')) + (authorization.empty() ? "" : " with credentials"));
      const bool good = absl::StartsWith(authorization, "Digest ") &&
                        absl::StrContains(authorization, DigestResponse(authorization, "GET"));
      peer.Send(good
                    ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                    : "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"spa\", nonce=\"abc\", qop=\"auth\""
                      "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
  }
  std::string SpaSettings(int port, const std::string& more = "") {
    return fmt::format("[spa]\nusername = admin\npassword = s3cret\nport = {}\ntimeout = 2\n{}", port, more);
  }

  // ---- A call manager's AXL

  // Knows phone 1; throttles once for phone 2, which it knows then; has a fault for the others.
  void ServeAxl(Peer& peer) {
    for (std::string head = peer.Until("\r\n\r\n"); !head.empty(); head = peer.Until("\r\n\r\n")) {
      const std::string body = peer.Exactly(static_cast<size_t>(std::stoi(Field(head, "Content-Length"))));
      Keep(Field(head, "SOAPAction") + " " + body);
      const auto respond = [&](const std::string& status, const std::string& content) {
        peer.Send(fmt::format("HTTP/1.1 {}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{}", status,
                              content.size(), content));
      };
      const auto envelope = [](const std::string& content) {
        return "<?xml version='1.0' encoding='UTF-8'?><soapenv:Envelope "
               "xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>" +
               content + "</soapenv:Body></soapenv:Envelope>";
      };
      if (Field(head, "Authorization") != "Basic dHJ1c3RsaW5lOnMzY3JldA==") {  // trustline:s3cret
        respond("401 Unauthorized", "<html>no</html>");
      } else if (absl::StrContains(body, "000000000002<") && !throttled_.exchange(true)) {
        respond("503 Service Unavailable", "");
      } else if (absl::StrContains(body, "000000000001<") || absl::StrContains(body, "000000000002<")) {
        respond("200 OK", envelope("<ns:doDeviceResetResponse xmlns:ns=\"http://www.cisco.com/AXL/API/12.5\">"
                                   "<return>true</return></ns:doDeviceResetResponse>"));
      } else {
        respond("500 Internal Server Error",
                envelope("<soapenv:Fault><faultcode>soapenv:Client</faultcode><faultstring>Item not valid: the "
                         "specified device was not found</faultstring></soapenv:Fault>"));
      }
    }
  }
  std::string AxlSettings(int port, const std::string& password = "s3cret") {
    return fmt::format("[axl]\nurl = http://127.0.0.1:{}/axl/\nusername = trustline\npassword = {}\ntimeout = 3\n",
                       port, password);
  }

  std::atomic<bool> throttled_ = false;
  const TemporaryDirectory folder_;
  const UniqueFd interrupt_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex_;
  std::vector<std::string> kept_;
};

TEST_F(HookExamplesTest, AsteriskIsToldWhomToNotify) {
  const TestServer server([this](Peer& peer) { ServeAmi(peer); });
  const HookOutcome outcome =
      Run(Install("asterisk-ami", AmiSettings(server.port())), {Handed(1), Handed(2), Handed(3)});
  EXPECT_THAT(AnswerTexts(outcome.answers),
              ElementsAre("SEP000000000001 ok: NOTIFY sent", "SEP000000000002 ok: NOTIFY sent",
                          "SEP000000000003 failed: endpoint SEP000000000003: Unable to retrieve endpoint "
                          "SEP000000000003"));
  EXPECT_EQ(outcome.ending, "");
  EXPECT_THAT(outcome.errors, IsEmpty());
  ASSERT_THAT(Kept(), SizeIs(4));
  EXPECT_THAT(Kept()[1], AllOf(StartsWith("Action: PJSIPNotify\r\n"), HasSubstr("Endpoint: SEP000000000001\r\n"),
                               HasSubstr("Variable: Event=check-sync\r\n")));
}

TEST_F(HookExamplesTest, AsterisksEndpointsCanBeNamedOtherwise) {
  const TestServer server([this](Peer& peer) { ServeAmi(peer); });
  const std::string more = "variables = Event=service-control Subscription-State=active\n";
  Run(Install("asterisk-ami", AmiSettings(server.port(), more + "endpoint = phone-{mac}\n")), {Handed(0xAB1)});
  EXPECT_THAT(Kept()[1],
              AllOf(HasSubstr("Endpoint: phone-000000000ab1\r\n"),
                    HasSubstr("Variable: Event=service-control\r\nVariable: Subscription-State=active\r\n")));
  const std::string map = folder_.WriteFile("map.csv", "sep000000000002,2001\r\nSEP000000000003,\"20\n02\"\r\n");
  const HookOutcome mapped = Run(Install("asterisk-ami", AmiSettings(server.port(), "endpoints = " + map + "\n")),
                                 {Handed(1), Handed(2), Handed(3)});
  EXPECT_THAT(AnswerTexts(mapped.answers),
              ElementsAre(StartsWith("SEP000000000001 failed: has no line in "), StartsWith("SEP000000000002 ok"),
                          HasSubstr("a line end in what Asterisk would be told")));
}

TEST_F(HookExamplesTest, AsteriskThatHangsUpFailsTheRest) {
  const TestServer server([this](Peer& peer) { ServeAmi(peer); });
  const HookOutcome outcome =
      Run(Install("asterisk-ami", AmiSettings(server.port())), {Handed(1), Handed(4), Handed(5)});
  EXPECT_THAT(AnswerTexts(outcome.answers), ElementsAre("SEP000000000001 ok: NOTIFY sent",
                                                        "SEP000000000004 failed: Asterisk has closed the connection",
                                                        "SEP000000000005 failed: Asterisk has closed the connection"));
}

TEST_F(HookExamplesTest, AsteriskThatLetsNobodyInFailsAll) {
  const TestServer server([this](Peer& peer) { ServeAmi(peer); });
  HookOutcome outcome = Run(Install("asterisk-ami", AmiSettings(server.port(), "secret = wrong\n")), {Handed(1)});
  EXPECT_EQ(outcome.ending, "ended with status 1");  // a setting that stands twice
  std::string settings = AmiSettings(server.port());
  outcome = Run(Install("asterisk-ami", settings.replace(settings.find("s3cret"), 6, "wrong")), {Handed(1)});
  EXPECT_THAT(outcome.errors, ElementsAre(HasSubstr("does not let 'trustline' in: Authentication failed")));
  EXPECT_FALSE(outcome.answers.front().accepted);
  // Something else listens there; nobody does; one never answers.
  const TestServer other([](Peer& peer) { peer.Send("220 mail.example ESMTP\r\n"); });
  EXPECT_THAT(Run(Install("asterisk-ami", AmiSettings(other.port())), {Handed(1)}).errors,
              ElementsAre(HasSubstr("no manager interface: it says '220 mail.example")));
  EXPECT_THAT(Run(Install("asterisk-ami", AmiSettings(1)), {Handed(1)}).errors,
              ElementsAre(HasSubstr("cannot reach Asterisk at 127.0.0.1:1")));
  const TestServer silent([](Peer& peer) { peer.Until("never"); });
  EXPECT_THAT(Run(Install("asterisk-ami", AmiSettings(silent.port())), {Handed(1)}).errors,
              ElementsAre(HasSubstr("does not answer in time")));
}

TEST_F(HookExamplesTest, SpaPhonesAreAskedAtTheirAddresses) {
  const TestServer server([this](Peer& peer) { ServeSpa(peer); });
  const HookOutcome outcome =
      Run(Install("spa-resync", SpaSettings(server.port())),
          {Handed(1, "127.0.0.1"), Handed(2, ""), Handed(3, "127.0.0.77"), Handed(4, "phone.example")});
  EXPECT_THAT(
      AnswerTexts(outcome.answers),
      ElementsAre("SEP000000000001 ok: 127.0.0.1 answers 200",
                  "SEP000000000002 failed: no address is known: it has not reported",
                  HasSubstr("SEP000000000003 failed: 127.0.0.77: "), HasSubstr("'phone.example' is no address")));
  EXPECT_THAT(Kept(), ElementsAre("GET /admin/resync HTTP/1.1", "GET /admin/resync HTTP/1.1 with credentials"));
  EXPECT_EQ(outcome.ending, "");
}

TEST_F(HookExamplesTest, SpaPhonesGetNoPasswordThatTheyCouldKeep) {
  // It asks for the password as it is.
  const TestServer thief([this](Peer& peer) {
    const std::string request = peer.Until("\r\n\r\n");
    Keep(Field(request, "Authorization"));
    peer.Send(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"spa\"\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n");
  });
  const HookOutcome outcome = Run(Install("spa-resync", SpaSettings(thief.port())), {Handed(1, "127.0.0.1")});
  EXPECT_THAT(AnswerTexts(outcome.answers), ElementsAre(HasSubstr("failed")));
  EXPECT_THAT(Kept(), Each(std::string()));
  // One sends the hook elsewhere; one is not in the networks that may be asked; one speaks no HTTP.
  const TestServer redirects([this](Peer& peer) {
    peer.Until("\r\n\r\n");
    peer.Send(
        fmt::format("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{}/\r\nContent-Length: 0\r\n"
                    "Connection: close\r\n\r\n",
                    9));
  });
  EXPECT_THAT(AnswerTexts(Run(Install("spa-resync", SpaSettings(redirects.port())), {Handed(1, "127.0.0.1")}).answers),
              ElementsAre(HasSubstr("answers 302")));
  EXPECT_THAT(AnswerTexts(Run(Install("spa-resync", SpaSettings(thief.port(), "networks = 192.0.2.0/24 10.0.0.0/8\n")),
                              {Handed(1, "127.0.0.1")})
                              .answers),
              ElementsAre(HasSubstr("none of the networks")));
  const TestServer noise([](Peer& peer) {
    peer.Until("\r\n\r\n");
    peer.Send("\x01\x02\x03 nonsense\r\n\r\n");
  });
  EXPECT_THAT(AnswerTexts(Run(Install("spa-resync", SpaSettings(noise.port())), {Handed(1, "127.0.0.1")}).answers),
              ElementsAre(StartsWith("SEP000000000001 failed: 127.0.0.1")));
}

TEST_F(HookExamplesTest, TheCallManagerIsAskedForEachPhone) {
  const TestServer server([this](Peer& peer) { ServeAxl(peer); });
  const HookOutcome outcome =
      Run(Install("unified-cm-soap", AxlSettings(server.port())), {Handed(1), Handed(2), Handed(3)});
  EXPECT_THAT(AnswerTexts(outcome.answers),
              ElementsAre("SEP000000000001 ok: doDeviceReset", "SEP000000000002 ok: doDeviceReset",
                          "SEP000000000003 failed: Item not valid: the specified device was not found"));
  ASSERT_THAT(Kept(), SizeIs(4));  // phone 2 twice
  EXPECT_THAT(Kept()[0], AllOf(StartsWith("\"CUCM:DB ver=12.5 doDeviceReset\" <soapenv:Envelope"),
                               HasSubstr("<ns:doDeviceReset><deviceName>SEP000000000001</deviceName>")));
}

TEST_F(HookExamplesTest, AWrongPasswordIsNotTriedAgain) {
  const TestServer server([this](Peer& peer) { ServeAxl(peer); });
  const HookOutcome outcome =
      Run(Install("unified-cm-soap", AxlSettings(server.port(), "wrong")), {Handed(1), Handed(2), Handed(3)});
  EXPECT_THAT(AnswerTexts(outcome.answers),
              Each(HasSubstr("failed: the call manager does not let 'trustline' in (401)")));
  EXPECT_THAT(Kept(), SizeIs(1));
  // Nor is one sent as it is over the network, or to something that has no certificate of its name.
  std::string settings = AxlSettings(server.port());
  settings.replace(settings.find("127.0.0.1"), 9, "cucm.example");
  EXPECT_THAT(Run(Install("unified-cm-soap", settings), {Handed(1)}).errors, ElementsAre(HasSubstr("write https")));
  settings = AxlSettings(server.port());
  settings.replace(settings.find("http:"), 5, "https:");
  EXPECT_FALSE(Run(Install("unified-cm-soap", settings), {Handed(1)}).answers.front().accepted);
  EXPECT_THAT(Kept(), SizeIs(1));
}

TEST_F(HookExamplesTest, PeopleGetATable) {
  const std::string folder = (folder_.path() / "tables").string();
  std::filesystem::create_directory(folder);
  HandedPhone phone = Handed(2);
  phone.site = "=cmd|' /C calc'!A0";
  phone.user_agent = "a,\"b\"";
  const HookOutcome outcome = Run(Install("csv-for-people", "[csv]\nfolder = " + folder + "\n"), {Handed(1), phone});
  EXPECT_THAT(AnswerTexts(outcome.answers), Each(HasSubstr("ok: written to " + folder + "/default-reset-7-")));
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path().string());
  ASSERT_THAT(files, SizeIs(1));
  std::ifstream file(files.front());
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
            "device,model,site,address,user_agent\r\n"
            "SEP000000000001,8841,Berlin,192.0.2.1,Cisco-CP8841/12.8\r\n"
            "SEP000000000002,8841,'=cmd|' /C calc'!A0,192.0.2.1,\"a,\"\"b\"\"\"\r\n");
  // A second wave of the same second is another file.
  Run(Install("csv-for-people", "[csv]\nfolder = " + folder + "\n"), {Handed(1)});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()), 2);
  EXPECT_THAT(Run(Install("csv-for-people", "[csv]\nfolder = /nonexistent\n"), {Handed(1)}).errors,
              ElementsAre(HasSubstr("nothing was written")));
}

TEST_F(HookExamplesTest, SettingsThatAreNotGoodEndIt) {
  const std::string path = Install("asterisk-ami", "[ami]\nhost = a\nusername = b\n");
  EXPECT_THAT(Run(path, {Handed(1)}).errors, ElementsAre(HasSubstr("[ami] lacks secret")));
  EXPECT_THAT(Run(Install("asterisk-ami", "[ami]\nhots = a\n"), {Handed(1)}).errors,
              ElementsAre(HasSubstr("knows no 'hots'")));
  EXPECT_THAT(Run(Install("asterisk-ami", "[spa]\n"), {Handed(1)}).errors, ElementsAre(HasSubstr("no section [ami]")));
  Install("asterisk-ami", AmiSettings(1));
  std::filesystem::permissions(path + ".conf", std::filesystem::perms(0644));
  EXPECT_THAT(Run(path, {Handed(1)}).errors, ElementsAre(HasSubstr("chmod 640")));
  std::filesystem::remove(path + ".conf");
  const HookOutcome outcome = Run(path, {Handed(1)});
  EXPECT_THAT(outcome.errors, ElementsAre(HasSubstr("cannot read its settings")));
  EXPECT_EQ(AnswerText(outcome.answers.front()),
            "SEP000000000001 failed: the hook did not answer for it: it ended with status 1");
}

}  // namespace
}  // namespace trustline
