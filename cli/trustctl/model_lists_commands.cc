// trustctl phones models ...: whose phones know no trust lists.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/phone_commands.h"
#include "cli/trustctl/trust_records.h"
#include "common/status/status.h"
#include "proto/phone_trust.grpc.pb.h"

namespace trustline {
namespace {

absl::StatusOr<int> List(Environment& environment) {
  v1::ListModelListsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::ListModelListsResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::ListModelLists, request)));
  ListWriter writer(environment.out(), environment.options().output,
                    {{"model", "MODEL"},
                     {"phones", "PHONES"},
                     {"trust_lists", "TRUST LISTS"},
                     {"set_by", "SET BY"},
                     {"set_at", "SET"}},
                    "no models");
  for (const v1::ListModelListsResponse::Model& model : response.models()) {
    writer.Add({model.model(), model.phones(), !model.has_no_lists(),
                model.has_no_lists() ? Cell(model.set_by()) : Cell(), TimestampCell(model.set_at())});
  }
  writer.Finish();
  if (response.not_listed() > 0) {
    environment.err() << "notice: " << response.not_listed() << " more models, with fewer phones, are not shown"
                      << std::endl;
  }
  return kExitSuccess;
}

absl::StatusOr<int> Set(Environment& environment, const std::string& model, bool has_no_lists) {
  v1::SetModelListsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_model(model);
  request.set_has_no_lists(has_no_lists);
  ASSIGN_OR_RETURN(Client<v1::PhoneTrust> client, environment.Connect<v1::PhoneTrust>(kItld));
  ASSIGN_OR_RETURN(const v1::SetModelListsResponse response,
                   (environment.Ask(client, &v1::PhoneTrust::Stub::SetModelLists, request)));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("phones of model {} know {}trust lists{}: {} in service {} when a change is judged", model,
                          has_no_lists ? "no " : "", response.changed() ? "" : ", as was said before",
                          response.phones(), has_no_lists ? "are left out" : "count"),
              Record()
                  .Add("model", "MODEL", model)
                  .Add("trust_lists", "TRUST LISTS", !has_no_lists)
                  .Add("phones", "PHONES", response.phones())
                  .Add("changed", "CHANGED", response.changed()));
  if (response.phones() == 0) {
    environment.err() << "notice: no phone in service has exactly this model; trustctl phones models list shows those "
                         "that there are"
                      << std::endl;
  }
  return kExitSuccess;
}

void AddSetCommand(CommandLine& line, CLI::App& models, const char* name, const char* description, bool has_no_lists) {
  auto model = std::make_shared<std::optional<std::string>>();
  CLI::App& command =
      AddCommand(line, models, name, description, fmt::format("  trustctl phones models {} ATA191", name),
                 [model, has_no_lists](Environment& environment) { return Set(environment, **model, has_no_lists); });
  AddText(command, "MODEL", kMaxDeviceText, *model, "Exactly as devices have it (trustctl device list)")->required();
}

}  // namespace

void AddPhoneModelCommands(CommandLine& line, CLI::App& phones) {
  CLI::App& models = AddGroup(phones, "models", "Which models know no trust lists",
                              "  trustctl phones models list\n"
                              "  trustctl phones models without-lists ATA191");
  AddCommand(line, models, "list", "List the models of all phones in service, those without trust lists first",
             "  trustctl phones models list --output json", List);
  AddSetCommand(line, models, "without-lists",
                "Phones of this model know no trust lists: they are left out when a change of trust is judged. Of a "
                "model that knows them it would hide phones that a change locks out",
                true);
  AddSetCommand(line, models, "with-lists", "Phones of this model know trust lists, as is taken for granted of others",
                false);
}

}  // namespace trustline
