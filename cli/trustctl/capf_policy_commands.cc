// trustctl capf policy ...: what holds without being scheduled.
#include <memory>

#include "cli/trustctl/capf_words.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/trust_records.h"
#include "proto/enrolment.grpc.pb.h"

namespace trustline {
namespace {

Record PolicyRecord(const v1::EnrolmentPolicy& policy) {
  return Record()
      .Add("re_enrol_by_mic", "Enrol again by MIC", policy.re_enrol_by_mic())
      .Add("allow_expired_mic", "Allow expired MIC", policy.allow_expired_mic())
      .Add("require_sudi", "Require SUDI", policy.require_sudi())
      .Add("key", "Key", KeyText(policy.key()))
      .Add("changed_by", "Changed by", policy.changed_by().empty() ? Cell() : Cell(policy.changed_by()))
      .Add("changed_at", "Changed", TimestampCell(policy.changed_at()));
}

absl::StatusOr<int> Show(Environment& environment) {
  v1::GetEnrolmentPolicyRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  ASSIGN_OR_RETURN(const v1::GetEnrolmentPolicyResponse response,
                   (environment.Ask(client, &v1::Enrolment::Stub::GetEnrolmentPolicy, request)));
  WriteRecord(environment.out(), environment.options().output, PolicyRecord(response.policy()));
  return kExitSuccess;
}

struct SetArguments {
  Switch re_enrol_by_mic = Switch::kNotGiven;
  Switch allow_expired_mic = Switch::kNotGiven;
  Switch require_sudi = Switch::kNotGiven;
  std::optional<v1::KeySpecification> key;
};

absl::StatusOr<int> Set(Environment& environment, const SetArguments& arguments) {
  v1::SetEnrolmentPolicyRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  if (arguments.re_enrol_by_mic != Switch::kNotGiven) {
    request.set_re_enrol_by_mic(arguments.re_enrol_by_mic == Switch::kOn);
  }
  if (arguments.allow_expired_mic != Switch::kNotGiven) {
    request.set_allow_expired_mic(arguments.allow_expired_mic == Switch::kOn);
  }
  if (arguments.require_sudi != Switch::kNotGiven) {
    request.set_require_sudi(arguments.require_sudi == Switch::kOn);
  }
  if (arguments.key) *request.mutable_key() = *arguments.key;
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  ASSIGN_OR_RETURN(const v1::SetEnrolmentPolicyResponse response,
                   (environment.Ask(client, &v1::Enrolment::Stub::SetEnrolmentPolicy, request)));
  WriteRecord(environment.out(), environment.options().output, PolicyRecord(response.policy()));
  return kExitSuccess;
}

}  // namespace

void AddCapfPolicyCommands(CommandLine& line, CLI::App& capf) {
  CLI::App& policy = AddGroup(capf, "policy", "What holds for a cluster's devices without being scheduled",
                              "  trustctl capf policy show\n"
                              "  trustctl capf policy set --re-enrol-by-mic on");
  AddCommand(line, policy, "show", "Show the standing policy", "  trustctl capf policy show --output json", Show);

  auto arguments = std::make_shared<SetArguments>();
  CLI::App& set = AddCommand(line, policy, "set", "Change the standing policy; what is not given stays",
                             "  trustctl capf policy set --re-enrol-by-mic on --key ec-preferred:secp256r1\n"
                             "  trustctl capf policy set --allow-expired-mic off --require-sudi on",
                             [arguments](Environment& environment) { return Set(environment, *arguments); });
  AddWord(set, "--re-enrol-by-mic", kSwitchType, kSwitches, arguments->re_enrol_by_mic,
          "on: a known device that proves itself by its manufacturer's certificate (MIC), with nothing scheduled, gets "
          "a new certificate, as after a factory reset");
  AddWord(set, "--allow-expired-mic", kSwitchType, kSwitches, arguments->allow_expired_mic,
          "on: a MIC is good after its end too");
  AddWord(set, "--require-sudi", kSwitchType, kSwitches, arguments->require_sudi,
          "on: a proof by certificate must cover the session, so that a recorded one is worth nothing; old phones "
          "cannot do that");
  AddDeviceKey(set, arguments->key,
               "The key of a device that is enrolled again: rsa:2048, rsa:3072, rsa:4096; ec: or ec-preferred: and "
               "secp256r1, secp384r1 or secp521r1");
  set.parse_complete_callback([arguments] {
    if (arguments->re_enrol_by_mic == Switch::kNotGiven && arguments->allow_expired_mic == Switch::kNotGiven &&
        arguments->require_sudi == Switch::kNotGiven && !arguments->key) {
      throw CLI::ValidationError(
          "set", "nothing to change: give --re-enrol-by-mic, --allow-expired-mic, --require-sudi or --key");
    }
  });
}

}  // namespace trustline
