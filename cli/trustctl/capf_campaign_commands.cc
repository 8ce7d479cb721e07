// trustctl capf campaign ...: certificates renewed in waves.
#include <fmt/format.h>

#include <limits>
#include <memory>

#include "absl/strings/numbers.h"
#include "cli/trustctl/capf_words.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/trust_records.h"
#include "cli/trustctl/wave_arguments.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/enrolment.grpc.pb.h"

namespace trustline {
namespace {

// As capfd has them.
constexpr int64_t kLargestWave = 100'000;
constexpr absl::Duration kLongestOperationTime = absl::Hours(24 * 366);
constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();

std::vector<Column> CampaignColumns() {
  return {{"campaign_id", "ID"},
          {"state", "STATE"},
          {"expires_before", "EXPIRES BEFORE"},
          {"authority_id", "AUTHORITY"},
          {"wave_size", "WAVE SIZE"},
          {"hours", "HOURS"},
          {"waves", "WAVES"},
          {"pending", "PENDING"},
          {"in_progress", "IN PROGRESS"},
          {"success", "SUCCESS"},
          {"failed", "FAILED"},
          {"expired", "EXPIRED"},
          {"cancelled", "CANCELLED"},
          {"state_reason", "REASON"},
          {"auth_mode", "AUTH MODE", false},
          {"key", "KEY", false},
          {"stop_at_failures_percent", "STOP AT FAILURES", false},
          {"operation_time_seconds", "OPERATION TIME", false},
          {"created_by", "CREATED BY", false},
          {"created_at", "CREATED", false}};
}

Row CampaignRow(const v1::Campaign& campaign) {
  return {int64_t{campaign.campaign_id()},
          WordCell(kCampaignStates, campaign.state()),
          TimestampCell(campaign.expires_before()),
          campaign.authority_id() == 0 ? Cell() : Cell(int64_t{campaign.authority_id()}),
          int64_t{campaign.wave_size()},
          campaign.hours().empty() ? Cell() : Cell(campaign.hours()),
          int64_t{campaign.waves()},
          campaign.pending(),
          campaign.in_progress(),
          campaign.success(),
          campaign.failed(),
          campaign.expired(),
          campaign.cancelled(),
          campaign.state_reason().empty() ? Cell() : Cell(campaign.state_reason()),
          WordCell(kAuthenticationModes, campaign.authentication()),
          KeyText(campaign.key()),
          int64_t{campaign.stop_at_failures()},
          DurationCell(campaign.has_operation_time(), campaign.operation_time()),
          campaign.created_by(),
          TimestampCell(campaign.created_at())};
}

Record CampaignRecord(const v1::Campaign& campaign) {
  return Record()
      .Add("campaign_id", "Campaign", int64_t{campaign.campaign_id()})
      .Add("state", "State", WordCell(kCampaignStates, campaign.state()))
      .Add("state_reason", "Reason", campaign.state_reason().empty() ? Cell() : Cell(campaign.state_reason()))
      .Add("expires_before", "Certificates that expire before", TimestampCell(campaign.expires_before()))
      .Add("authority_id", "Certificates of authority",
           campaign.authority_id() == 0 ? Cell() : Cell(int64_t{campaign.authority_id()}))
      .Add("auth_mode", "Auth mode", WordCell(kAuthenticationModes, campaign.authentication()))
      .Add("key", "Key", KeyText(campaign.key()))
      .Add("wave_size", "Devices in a wave", int64_t{campaign.wave_size()})
      .Add("hours", "Waves begin", campaign.hours().empty() ? Cell() : Cell(campaign.hours()))
      .Add("stop_at_failures_percent", "Pauses at failures (%)", int64_t{campaign.stop_at_failures()})
      .Add("operation_time_seconds", "Time for an operation",
           DurationCell(campaign.has_operation_time(), campaign.operation_time()))
      .Add("waves", "Waves begun", int64_t{campaign.waves()})
      .Add("pending", "Pending", campaign.pending())
      .Add("in_progress", "In progress", campaign.in_progress())
      .Add("success", "Success", campaign.success())
      .Add("failed", "Failed", campaign.failed())
      .Add("expired", "Expired", campaign.expired())
      .Add("cancelled", "Cancelled", campaign.cancelled())
      .Add("created_by", "Created by", campaign.created_by())
      .Add("created_at", "Created", TimestampCell(campaign.created_at()));
}

struct CreateArguments {
  std::optional<absl::Duration> expires_within;
  std::optional<int64_t> authority;
  std::optional<int64_t> wave;
  std::string hours;
  std::optional<int32_t> stop_at_failures;
  v1::EnrolmentAuthentication authentication = v1::ENROLMENT_AUTHENTICATION_UNSPECIFIED;
  std::optional<v1::KeySpecification> key;
  std::optional<absl::Duration> operation_time;
};

absl::StatusOr<int> Create(Environment& environment, const CreateArguments& arguments) {
  v1::CreateCampaignRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  if (arguments.expires_within) *request.mutable_expires_within() = DurationToProto(*arguments.expires_within);
  request.set_authority_id(static_cast<int32_t>(arguments.authority.value_or(0)));
  request.set_wave_size(static_cast<int32_t>(arguments.wave.value_or(0)));
  request.set_hours(arguments.hours);
  if (arguments.stop_at_failures) request.set_stop_at_failures(*arguments.stop_at_failures);
  request.set_authentication(arguments.authentication);
  if (arguments.key) *request.mutable_key() = *arguments.key;
  if (arguments.operation_time) *request.mutable_operation_time() = DurationToProto(*arguments.operation_time);
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  ASSIGN_OR_RETURN(const v1::CreateCampaignResponse response,
                   (environment.Ask(client, &v1::Enrolment::Stub::CreateCampaign, request)));
  const int32_t id = response.campaign().campaign_id();
  WriteResult(environment.out(), environment.options().output,
              fmt::format("created campaign {0}; nothing is scheduled before `trustctl capf campaign start {0}`", id),
              CampaignRecord(response.campaign()));
  return kExitSuccess;
}

void AddCreateCommand(CommandLine& line, CLI::App& campaign) {
  auto arguments = std::make_shared<CreateArguments>();
  CLI::App& command = AddCommand(
      line, campaign, "create",
      "Make a campaign that gives new certificates, wave after wave, to the devices whose newest good certificate ends "
      "soon or is of an authority",
      "  trustctl capf campaign create --expires-within 30d --hours 22:00-05:00\n"
      "  trustctl capf campaign create --authority 1 --wave 500 --stop-at-failures 2% --key ec-preferred:secp256r1",
      [arguments](Environment& environment) { return Create(environment, *arguments); });
  AddDuration(command, "--expires-within", arguments->expires_within, "Certificates that end within so long (30d)");
  AddNumber(command, "--authority,--issuer", "N", 1, kMaxId, arguments->authority,
            "Certificates of this authority: see `trustctl ca list`");
  AddNumber(command, "--wave", "COUNT", 1, kLargestWave, arguments->wave, "Devices in a wave; 200 unless given");
  AddHours(command, arguments->hours,
           "When waves begin, in the cluster's time zone: 22:00-05:00; at any time unless given");
  command
      .add_option_function<std::string>(
          "--stop-at-failures",
          [arguments](const std::string& text) {
            int32_t percent = -1;
            const std::string digits = text.substr(0, text.size() - (text.ends_with('%') ? 1 : 0));
            if (!absl::SimpleAtoi(digits, &percent) || percent < 0 || percent > 100) {
              throw CLI::ValidationError("create --stop-at-failures",
                                         fmt::format("'{}' is not a whole percentage from 0% to 100%", text));
            }
            arguments->stop_at_failures = percent;
          },
          "Pause by itself when so many of what ended failed or expired; 5% unless given, 0%: never")
      ->type_name("PERCENT");
  AddWord(command, "--auth", kCampaignAuthenticationType, kCampaignAuthenticationModes, arguments->authentication,
          "How devices prove themselves: certificate-lsc (unless given), certificate-mic or null");
  AddDeviceKey(command, arguments->key,
               "The key that devices make: rsa:2048 (unless given), rsa:3072, rsa:4096; ec: or ec-preferred: and "
               "secp256r1, secp384r1 or secp521r1");
  AddDurationUpTo(kLongestOperationTime, command, "--operation-time", arguments->operation_time,
                  "How long each device has from the beginning of its wave; 1d unless given");
  command.parse_complete_callback([arguments] {
    if (!arguments->expires_within && !arguments->authority) {
      throw CLI::ValidationError("create", "say which certificates: give --expires-within, --authority or both");
    }
  });
}

absl::StatusOr<int> List(Environment& environment) {
  v1::ListCampaignsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  ASSIGN_OR_RETURN(const v1::ListCampaignsResponse response,
                   (environment.Ask(client, &v1::Enrolment::Stub::ListCampaigns, request)));
  ListWriter writer(environment.out(), environment.options().output, CampaignColumns(), "no campaigns");
  for (const v1::Campaign& campaign : response.campaigns()) writer.Add(CampaignRow(campaign));
  writer.Finish();
  return kExitSuccess;
}

// A request of one campaign by its number.
template <typename Request>
absl::StatusOr<Request> RequestOf(Environment& environment, const std::optional<int64_t>& id) {
  Request request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_campaign_id(static_cast<int32_t>(id.value_or(0)));
  return request;
}

absl::StatusOr<int> Show(Environment& environment, const std::optional<int64_t>& id) {
  ASSIGN_OR_RETURN(const v1::ShowCampaignRequest request, RequestOf<v1::ShowCampaignRequest>(environment, id));
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  ASSIGN_OR_RETURN(const v1::ShowCampaignResponse response,
                   (environment.Ask(client, &v1::Enrolment::Stub::ShowCampaign, request)));
  WriteRecord(
      environment.out(), environment.options().output,
      CampaignRecord(response.campaign()).Add("remaining", "Devices still to come", response.campaign().remaining()));
  return kExitSuccess;
}

absl::StatusOr<int> Start(Environment& environment, const std::optional<int64_t>& id) {
  ASSIGN_OR_RETURN(const v1::StartCampaignRequest request, RequestOf<v1::StartCampaignRequest>(environment, id));
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  ASSIGN_OR_RETURN(const v1::StartCampaignResponse response,
                   (environment.Ask(client, &v1::Enrolment::Stub::StartCampaign, request)));
  const v1::Campaign& campaign = response.campaign();
  WriteResult(environment.out(), environment.options().output,
              fmt::format("campaign {0} is {1}; `trustctl capf campaign show {0}` says how far it is",
                          campaign.campaign_id(), WordFor(kCampaignStates, campaign.state())),
              CampaignRecord(campaign));
  return kExitSuccess;
}

absl::StatusOr<int> Pause(Environment& environment, const std::optional<int64_t>& id) {
  ASSIGN_OR_RETURN(const v1::PauseCampaignRequest request, RequestOf<v1::PauseCampaignRequest>(environment, id));
  ASSIGN_OR_RETURN(Client<v1::Enrolment> client, environment.Connect<v1::Enrolment>(kCapfd));
  ASSIGN_OR_RETURN(const v1::PauseCampaignResponse response,
                   (environment.Ask(client, &v1::Enrolment::Stub::PauseCampaign, request)));
  const v1::Campaign& campaign = response.campaign();
  WriteResult(environment.out(), environment.options().output,
              fmt::format("campaign {} is {}: no further wave begins, and what is scheduled stays",
                          campaign.campaign_id(), WordFor(kCampaignStates, campaign.state())),
              CampaignRecord(campaign));
  return kExitSuccess;
}

void AddNumberedCommand(CommandLine& line, CLI::App& campaign, const std::string& name, const std::string& description,
                        absl::StatusOr<int> (*run)(Environment&, const std::optional<int64_t>&)) {
  auto id = std::make_shared<std::optional<int64_t>>();
  CLI::App& command = AddCommand(line, campaign, name, description, fmt::format("  trustctl capf campaign {} 3", name),
                                 [id, run](Environment& environment) { return run(environment, *id); });
  AddNumber(command, "N", "N", 1, kMaxId, *id, "Number of the campaign: see `trustctl capf campaign list`")->required();
}

}  // namespace

void AddCapfCampaignCommands(CommandLine& line, CLI::App& capf) {
  CLI::App& campaign = AddGroup(capf, "campaign", "New certificates for many devices, in waves",
                                "  trustctl capf campaign create --expires-within 30d --wave 200 --hours 22:00-05:00\n"
                                "  trustctl capf campaign start 1\n"
                                "  trustctl capf campaign show 1");
  AddCreateCommand(line, campaign);
  AddNumberedCommand(line, campaign, "start", "Let a campaign run, or run again after it has paused", Start);
  AddNumberedCommand(line, campaign, "pause", "Begin no further wave; what is scheduled stays", Pause);
  AddNumberedCommand(line, campaign, "show", "Show a campaign and how far it is", Show);
  AddCommand(line, campaign, "list", "List campaigns, the newest first", "  trustctl capf campaign list", List);
}

}  // namespace trustline
