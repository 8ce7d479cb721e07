// The report listener, spoken to by phones and liars. The first byte says who sends (bits 0 and 1: a forwarder, one
// that may send nothing but OPTIONS, anybody, anybody when claims are closed; 2 and 3: no certificate, a server's, a
// device's, one that is not valid; 4: the desk answers late; 5: it stores nothing), the second the size of the pieces.
// The rest comes as a stream and, anew, as a datagram.
#include <cstdlib>
#include <deque>

#include "common/device/device_name.h"
#include "common/service/json.h"
#include "provisioning/sip/report_datagrams.h"
#include "provisioning/sip/report_session.h"
#include "tests/support/fake_clock.h"

using namespace trustline;

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

class WatchingDesk final : public ReportDesk {
 public:
  explicit WatchingDesk(uint8_t script) : script_(script) {}

  void Submit(PhoneTrustReport report, std::function<void(absl::Status)> done) override {
    const absl::StatusOr<DeviceName> device = DeviceName::Parse(report.device);
    Check(device.ok() && device->text() == report.device);
    for (const std::string* text : {&report.itl_signature, &report.itl_tftp_server, &report.ctl_signature,
                                    &report.ctl_tftp_server, &report.address, &report.user_agent, &report.source}) {
      Check(text->size() <= 256 && PrintableText(*text) == *text);
    }
    const bool is_forwarder = (script_ & 3) == 0 || source_is_tls_forwarder;
    Check((report.basis == ReportBasis::kForwarder) == is_forwarder);
    if (report.basis == ReportBasis::kDeviceCertificate) Check(report.device == "SEP001122334455");
    if (report.event != PhoneTrustEvent::kLists) Check(is_forwarder);
    if ((script_ & 3) == 3) Check(report.basis != ReportBasis::kNone);
    if ((script_ & 16) != 0) {
      waiting_.push_back(std::move(done));
    } else {
      done(Answer());
    }
  }
  void AnswerAll() {
    while (!waiting_.empty()) {
      const std::function<void(absl::Status)> done = std::move(waiting_.front());
      waiting_.pop_front();
      done(Answer());
    }
  }

  bool source_is_tls_forwarder = false;

 private:
  absl::Status Answer() const { return (script_ & 32) != 0 ? Unavailable("no itld") : absl::OkStatus(); }

  const uint8_t script_;
  std::deque<std::function<void(absl::Status)>> waiting_;
};

class ScriptedJudge final : public CertificateJudge {
 public:
  explicit ScriptedJudge(uint8_t script) : script_(script) {}
  void Judge(std::shared_ptr<const std::string> der, std::function<void(CertificateStanding)> done) override {
    Check(der != nullptr);
    const int kind = (script_ >> 2) & 3;
    done({.valid = kind != 3, .has_role = kind != 2, .common_name = kind == 2 ? "SEP001122334455" : "cm1.example"});
  }

 private:
  const uint8_t script_;
};

class ScriptedForwarders final : public ForwarderSource {
 public:
  explicit ScriptedForwarders(uint8_t script)
      : current_(std::make_shared<Forwarders>(
            std::vector<Forwarder>{{.name = "192.0.2.0",
                                    .is_network = true,
                                    .may_refer = true,
                                    .may_register = true,
                                    .may_options = true,
                                    .udp = true},
                                   {.name = "192.0.2.1", .is_network = true, .may_options = true, .udp = true},
                                   {.name = "cm1.example", .may_refer = true, .may_register = true}},
            (script & 3) != 3)) {}
  std::shared_ptr<const Forwarders> Current() const override { return current_; }

 private:
  const std::shared_ptr<const Forwarders> current_;
};

// A response that nothing of the request has broken out of: read by the framing of requests, it is as many whole
// messages without a body as have been begun.
void CheckResponses(std::string_view bytes) {
  SipStreamFramer framer;
  framer.Append(AsBytes(bytes));
  while (true) {
    const absl::StatusOr<std::optional<SipMessage>> response = framer.Next();
    Check(response.ok());
    if (!*response) break;
    const SipMessage& message = **response;
    Check(message.start_line.starts_with("SIP/2.0 ") && message.body.empty());
    const std::string* length = message.Find("content-length");
    Check(length != nullptr && *length == "0" && message.Occurrences("content-length") == 1);
    Check(message.Find("via") != nullptr);
    for (const std::string_view name : {"from", "to", "call-id", "cseq", "server"})
      Check(message.Occurrences(name) == 1);
    Check(LowerCase(*message.Find("to")).find("tag") != std::string::npos);
  }
  Check(!framer.has_begun() && framer.keep_alives() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Log log(
      {.service = "fuzzer", .level = LogLevel::kError, .form = LogOptions::Form::kJson, .sink = [](auto) {}});
  if (size < 2) return 0;
  const uint8_t script = data[0];
  const size_t piece = size_t{data[1]} + 1;
  const ByteView bytes(data + 2, size - 2);
  FakeClock clock(absl::UnixEpoch());
  WatchingDesk desk(script);
  ScriptedJudge judge(script);
  const ScriptedForwarders forwarders(script);
  ReportIntake intake(desk, judge, forwarders, {}, clock, log);
  Peer peer{.address = fmt::format("192.0.2.{}", script & 3), .port = 5060};

  // As a datagram.
  std::string replies;
  ReportDatagrams{intake}(peer, bytes, [&replies](const std::string& reply) { replies += reply; });
  desk.AnswerAll();
  CheckResponses(replies);

  // As a stream, as the socket layer does it.
  const int kind = (script >> 2) & 3;
  if (kind != 0) peer.certificate = std::make_shared<const std::string>("certificate");
  desk.source_is_tls_forwarder = kind == 1;
  ReportSession session(intake, peer, SipTransport::kTls);
  std::string sent;
  bool is_closed = false;
  const auto perform = [&](SessionActions actions) {
    while (true) {
      sent += actions.send;
      is_closed = actions.close;
      if (is_closed || !actions.wait_for) return;
      bool is_done = false;
      actions.wait_for([&is_done] { is_done = true; });
      desk.AnswerAll();
      Check(is_done);
      actions = session.OnWaitDone();
    }
  };
  for (ByteView rest = bytes; !rest.empty() && !is_closed;) {
    const ByteView next = rest.first(std::min(piece, rest.size()));
    rest = rest.subspan(next.size());
    perform(session.OnBytes(next));
    if (!is_closed) perform(session.OnDrained());
  }
  CheckResponses(sent);
  return 0;
}
