// The service Devices over real mutual TLS, as its clients see it.
#include "ca/device/device_service.h"

#include "ca/device/device_testing.h"
#include "common/rpc/proto_time.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

using Stub = v1::Devices::Stub;

class DeviceServiceTest : public DeviceDatabaseTest {
 protected:
  void SetUp() override {
    DeviceDatabaseTest::SetUp();
    RunByHand(
        "INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES (1, 'admin', 'administrator', 'test'), "
        "(1, 'operator', 'operator', 'test'), (1, 'viewer', 'viewer', 'test'), (1, 'auditor', 'auditor', 'test')");
    const std::string connection = database_->Conninfo("trustline_cad");
    PoolOptions options;
    options.connection.conninfo = connection;
    ASSERT_OK_AND_ASSIGN(pool_, Pool::Create(options));
    audit_ = std::make_unique<AuditQueue>(AuditQueueOptions{.connection = connection}, clock_, log_, metrics_);
    authorizer_ =
        std::make_unique<Authorizer>(AuthorizerOptions{.connection = connection}, clock_, log_, metrics_, *audit_);
    authorizer_->Start();
    ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
    ASSERT_OK_AND_ASSIGN(service_, DeviceService::Create(*authorizer_, *pool_, *audit_));
    ASSERT_OK_AND_ASSIGN(
        server_, RpcServer::Start(
                     {.identity = cad_identity_.files(),
                      .client_certificate = ClientCertificate::kOptional,
                      .on_no_identity = [this](std::string_view method) { authorizer_->DenyWithoutIdentity(method); }},
                     {service_.get()}, health_));
  }

  void TearDown() override {
    if (server_) server_->Shutdown(absl::ZeroDuration());
    if (authorizer_) authorizer_->Stop();
  }

  std::unique_ptr<Stub> As(const IdentityFiles& files) {
    const auto channel = OpenChannel(fmt::format("127.0.0.1:{}", server_->port()), files, "cad");
    EXPECT_OK(channel);
    return v1::Devices::NewStub(*channel);
  }
  IdentityFiles Nobody() const { return {.authority = admin_.files().authority}; }

  template <typename Request, typename Response>
  static absl::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                           const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    return ToAbsl((stub.*method)(&context, request, &response));
  }
  static absl::Status Add(Stub& stub, const char* name) {
    v1::AddDeviceRequest request;
    request.set_name(name);
    v1::AddDeviceResponse response;
    return Call(stub, &Stub::AddDevice, request, response);
  }

  SystemClock clock_;
  Log log_{LogOptions{.sink = [](std::string_view) {}}};
  Metrics metrics_{"cad"};
  Health health_;
  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  const TestIdentity cad_identity_{authority_, "trustline:default/cad/node1"};
  const TestIdentity capfd_identity_{authority_, "trustline:default/capfd/node1"};
  const TestIdentity tvsd_identity_{authority_, "trustline:default/tvsd/node1"};
  const TestIdentity admin_{authority_, "trustline:default/person/admin"};
  const TestIdentity operator_{authority_, kOperator};
  const TestIdentity viewer_{authority_, "trustline:default/person/viewer"};
  const TestIdentity auditor_{authority_, "trustline:default/person/auditor"};
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<AuditQueue> audit_;
  std::unique_ptr<Authorizer> authorizer_;
  std::unique_ptr<DeviceService> service_;
  std::unique_ptr<RpcServer> server_;
};

TEST_F(DeviceServiceTest, ADeviceLivesFromAdditionToRemoval) {
  const auto stub = As(operator_.files());
  v1::AddDeviceRequest add;
  add.set_name("sep001122334455");
  add.mutable_data()->set_model("7942");
  add.mutable_data()->set_protocol("SCCP");
  add.mutable_data()->set_load("9-4-2");
  add.mutable_data()->set_site("Bern");
  add.mutable_data()->set_owner("alice");
  add.mutable_data()->set_description("Empfang");
  v1::AddDeviceResponse added;
  ASSERT_OK(Call(*stub, &Stub::AddDevice, add, added));
  EXPECT_EQ(added.device().name(), "SEP001122334455");
  EXPECT_EQ(added.device().data().SerializeAsString(), add.data().SerializeAsString());
  EXPECT_EQ(added.device().state(), v1::DEVICE_STATE_IN_SERVICE);
  EXPECT_EQ(added.device().added_by(), kOperator);
  EXPECT_THAT(Call(*stub, &Stub::AddDevice, add, added),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("trustctl device set SEP001122334455")));

  v1::SetDeviceRequest set;
  set.set_name("SEP001122334455");
  set.set_site("");
  set.set_load("9-4-3");
  v1::SetDeviceResponse changed;
  ASSERT_OK(Call(*stub, &Stub::SetDevice, set, changed));
  EXPECT_TRUE(changed.changed());
  EXPECT_EQ(changed.device().data().site(), "");
  EXPECT_EQ(changed.device().data().load(), "9-4-3");
  EXPECT_EQ(changed.device().data().owner(), "alice");
  ASSERT_OK(Call(*stub, &Stub::SetDevice, set, changed));
  EXPECT_FALSE(changed.changed());

  Issue("SEP001122334455", "confirmed");
  v1::ReplaceDeviceRequest replace;
  replace.set_old_name("SEP001122334455");
  replace.set_new_name("sep0011223344aa");
  v1::ReplaceDeviceResponse replaced;
  ASSERT_OK(Call(*stub, &Stub::ReplaceDevice, replace, replaced));
  EXPECT_EQ(replaced.device().name(), "SEP0011223344AA");
  EXPECT_EQ(replaced.device().data().owner(), "alice");
  EXPECT_EQ(replaced.revoked(), 1);

  v1::ShowDeviceRequest show;
  show.set_name("SEP001122334455");
  v1::ShowDeviceResponse shown;
  ASSERT_OK(Call(*As(viewer_.files()), &Stub::ShowDevice, show, shown));
  EXPECT_EQ(shown.device().state(), v1::DEVICE_STATE_REPLACED);
  EXPECT_EQ(shown.device().replaced_by(), "SEP0011223344AA");
  EXPECT_GT(FromProtoTime(shown.device().changed_at()), FromProtoTime(shown.device().added_at()));

  Issue("SEP0011223344AA", "delivered");
  v1::RemoveDeviceRequest remove;
  remove.set_name("SEP0011223344AA");
  v1::RemoveDeviceResponse removed;
  const auto admin = As(admin_.files());
  EXPECT_THAT(Call(*admin, &Stub::RemoveDevice, remove, removed),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("retire it first")));
  v1::RetireDeviceRequest retire;
  retire.set_name("SEP0011223344AA");
  v1::RetireDeviceResponse retired;
  EXPECT_THAT(Call(*stub, &Stub::RetireDevice, retire, retired), StatusIs(kInvalid));
  retire.set_reason("broken");
  ASSERT_OK(Call(*stub, &Stub::RetireDevice, retire, retired));
  EXPECT_EQ(retired.revoked(), 1);
  EXPECT_EQ(retired.device().state(), v1::DEVICE_STATE_RETIRED);
  EXPECT_EQ(retired.device().state_reason(), "broken");
  ASSERT_OK(Call(*admin, &Stub::RemoveDevice, remove, removed));
  show.set_name("SEP0011223344AA");
  EXPECT_THAT(Call(*stub, &Stub::ShowDevice, show, shown), StatusIs(absl::StatusCode::kNotFound));
  show.set_name("phone 1");
  EXPECT_THAT(Call(*stub, &Stub::ShowDevice, show, shown), StatusIs(kInvalid, HasSubstr("is not a device name")));
}

TEST_F(DeviceServiceTest, DevicesAreImportedAndListedInPages) {
  const auto stub = As(operator_.files());
  v1::ImportDevicesRequest import;
  for (int i = 0; i < 5; ++i) {
    v1::ImportDevicesRequest::Row& row = *import.add_rows();
    row.set_name(fmt::format("ATA{:012X}", i));
    row.mutable_data()->set_model(i % 2 == 0 ? "191" : "192");
    row.mutable_data()->set_site("Bern");
  }
  v1::ImportDevicesResponse imported;
  ASSERT_OK(Call(*stub, &Stub::ImportDevices, import, imported));
  EXPECT_EQ(imported.added(), 5);
  v1::RetireDeviceRequest retire;
  retire.set_name("ATA000000000003");
  retire.set_reason("broken");
  v1::RetireDeviceResponse retired;
  ASSERT_OK(Call(*stub, &Stub::RetireDevice, retire, retired));
  import.mutable_rows(0)->mutable_data()->set_site("Basel");
  ASSERT_OK(Call(*stub, &Stub::ImportDevices, import, imported));
  EXPECT_EQ(imported.added(), 0);
  EXPECT_EQ(imported.changed(), 1);
  EXPECT_EQ(imported.unchanged(), 3);
  ASSERT_THAT(imported.left_alone(), SizeIs(1));
  EXPECT_EQ(imported.left_alone(0).name(), "ATA000000000003");
  EXPECT_THAT(imported.left_alone(0).reason(), AllOf(HasSubstr("retired since 20"), HasSubstr(": broken")));
  import.add_rows()->set_name("ATA");
  EXPECT_THAT(Call(*stub, &Stub::ImportDevices, import, imported), StatusIs(kInvalid, HasSubstr("\"ATA\"")));

  const auto viewer = As(viewer_.files());
  const auto names = [](const v1::ListDevicesResponse& page) {
    std::vector<std::string> list;
    for (const v1::Device& device : page.devices()) list.push_back(device.name());
    return list;
  };
  v1::ListDevicesRequest list;
  list.set_name_prefix("ata");
  list.set_page_size(3);
  v1::ListDevicesResponse page;
  ASSERT_OK(Call(*viewer, &Stub::ListDevices, list, page));
  EXPECT_THAT(names(page), ElementsAre("ATA000000000000", "ATA000000000001", "ATA000000000002"));
  list.set_page_token(page.next_page_token());
  ASSERT_OK(Call(*viewer, &Stub::ListDevices, list, page));
  EXPECT_THAT(names(page), ElementsAre("ATA000000000003", "ATA000000000004"));
  EXPECT_EQ(page.next_page_token(), "");
  list.set_page_token("nonsense");
  EXPECT_THAT(Call(*viewer, &Stub::ListDevices, list, page), StatusIs(kInvalid, HasSubstr("page token")));
  list.Clear();
  list.set_model("192");
  list.set_site("Bern");
  list.set_state(v1::DEVICE_STATE_IN_SERVICE);
  ASSERT_OK(Call(*viewer, &Stub::ListDevices, list, page));
  EXPECT_THAT(names(page), ElementsAre("ATA000000000001"));
  list.set_state(static_cast<v1::DeviceState>(99));
  EXPECT_THAT(Call(*viewer, &Stub::ListDevices, list, page), StatusIs(kInvalid, HasSubstr("state 99")));
  list.Clear();
  list.set_name_prefix("SEP-");
  EXPECT_THAT(Call(*viewer, &Stub::ListDevices, list, page), StatusIs(kInvalid));
  for (const int32_t size : {-1, 1001}) {
    list.Clear();
    list.set_page_size(size);
    EXPECT_THAT(Call(*viewer, &Stub::ListDevices, list, page), StatusIs(kInvalid, HasSubstr("1 to 1000")));
  }
}

TEST_F(DeviceServiceTest, CapfdAddsAndLooksUp) {
  const auto capfd = As(capfd_identity_.files());
  ASSERT_OK(Add(*capfd, "SEP001122334455"));
  v1::ShowDeviceRequest show;
  show.set_name("SEP001122334455");
  v1::ShowDeviceResponse shown;
  ASSERT_OK(Call(*capfd, &Stub::ShowDevice, show, shown));
  EXPECT_EQ(shown.device().added_by(), "trustline:default/capfd/node1");
  v1::ImportDevicesRequest import;
  import.add_rows()->set_name("SEP0011223344AA");
  v1::ImportDevicesResponse imported;
  ASSERT_OK(Call(*capfd, &Stub::ImportDevices, import, imported));
  EXPECT_EQ(imported.added(), 1);
}

TEST_F(DeviceServiceTest, ARefusedChangeIsOnRecordOnce) {
  RunByHand("INSERT INTO device (cluster_id, name, added_by) VALUES (1, 'SEP001122334455', 'test')");
  const auto stub = As(operator_.files());
  EXPECT_THAT(Add(*stub, "sep001122334455"), StatusIs(absl::StatusCode::kAlreadyExists));
  v1::ImportDevicesRequest import;
  import.add_rows()->set_name("phone 1");
  v1::ImportDevicesResponse imported;
  EXPECT_THAT(Call(*stub, &Stub::ImportDevices, import, imported), StatusIs(kInvalid));
  v1::SetDeviceRequest set;
  set.set_name("phone 1");
  v1::SetDeviceResponse changed;
  EXPECT_THAT(Call(*stub, &Stub::SetDevice, set, changed), StatusIs(kInvalid));
  v1::ReplaceDeviceRequest replace;
  replace.set_old_name("SEP001122334455");
  replace.set_new_name("SEP001122334455");
  v1::ReplaceDeviceResponse replaced;
  EXPECT_THAT(Call(*stub, &Stub::ReplaceDevice, replace, replaced), StatusIs(kInvalid));
  v1::RetireDeviceRequest retire;
  retire.set_name("SEP001122334455");
  v1::RetireDeviceResponse retired;
  EXPECT_THAT(Call(*stub, &Stub::RetireDevice, retire, retired), StatusIs(kInvalid));
  v1::RemoveDeviceRequest remove;
  remove.set_name("SEP0000000000FF");
  v1::RemoveDeviceResponse removed;
  EXPECT_THAT(Call(*As(admin_.files()), &Stub::RemoveDevice, remove, removed), StatusIs(absl::StatusCode::kNotFound));
  // What only asks changes nothing.
  v1::ShowDeviceRequest show;
  show.set_name("SEP0000000000FF");
  v1::ShowDeviceResponse shown;
  EXPECT_THAT(Call(*stub, &Stub::ShowDevice, show, shown), StatusIs(absl::StatusCode::kNotFound));

  audit_->Stop();
  EXPECT_EQ(Text("SELECT string_agg(action || ' ' || subject, ', ' ORDER BY action) FROM audit_event "
                 "WHERE outcome = 'denied'"),
            "device.add SEP001122334455, device.import default, device.remove SEP0000000000FF, "
            "device.replace SEP001122334455, device.retire SEP001122334455, device.set phone 1");
  EXPECT_THAT(AuditDetail("device.replace"), HasSubstr("cannot replace itself"));
  EXPECT_EQ(Text("SELECT DISTINCT actor FROM audit_event WHERE action = 'device.replace'"), kOperator);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 6);
}

TEST_F(DeviceServiceTest, WhoMayNotIsDeniedAndOnRecord) {
  RunByHand("INSERT INTO device (cluster_id, name, added_by) VALUES (1, 'SEP001122334455', 'test')");
  Issue("SEP001122334455", "confirmed");
  const std::string before = Text("SELECT string_agg(d::text, ',') FROM device d");

  const auto viewer = As(viewer_.files());
  EXPECT_THAT(Add(*viewer, "SEP0011223344AA"), StatusIs(kDenied));
  EXPECT_THAT(Add(*As(auditor_.files()), "SEP0011223344AA"), StatusIs(kDenied));
  EXPECT_THAT(Add(*As(tvsd_identity_.files()), "SEP0011223344AA"), StatusIs(kDenied));
  EXPECT_THAT(Add(*As(Nobody()), "SEP0011223344AA"), StatusIs(absl::StatusCode::kUnauthenticated));
  v1::ImportDevicesRequest import;
  import.add_rows()->set_name("SEP0011223344AA");
  v1::ImportDevicesResponse imported;
  EXPECT_THAT(Call(*viewer, &Stub::ImportDevices, import, imported), StatusIs(kDenied));
  EXPECT_THAT(Call(*As(tvsd_identity_.files()), &Stub::ImportDevices, import, imported), StatusIs(kDenied));
  v1::SetDeviceRequest set;
  set.set_name("SEP001122334455");
  set.set_owner("mallory");
  v1::SetDeviceResponse changed;
  EXPECT_THAT(Call(*viewer, &Stub::SetDevice, set, changed), StatusIs(kDenied));
  v1::ReplaceDeviceRequest replace;
  replace.set_old_name("SEP001122334455");
  replace.set_new_name("SEP0011223344AA");
  v1::ReplaceDeviceResponse replaced;
  EXPECT_THAT(Call(*viewer, &Stub::ReplaceDevice, replace, replaced), StatusIs(kDenied));
  v1::RetireDeviceRequest retire;
  retire.set_name("SEP001122334455");
  retire.set_reason("why not");
  v1::RetireDeviceResponse retired;
  EXPECT_THAT(Call(*viewer, &Stub::RetireDevice, retire, retired), StatusIs(kDenied));
  v1::RemoveDeviceRequest remove;
  remove.set_name("SEP001122334455");
  v1::RemoveDeviceResponse removed;
  EXPECT_THAT(Call(*As(operator_.files()), &Stub::RemoveDevice, remove, removed), StatusIs(kDenied));
  v1::ListDevicesRequest list;
  v1::ListDevicesResponse page;
  EXPECT_THAT(Call(*As(tvsd_identity_.files()), &Stub::ListDevices, list, page), StatusIs(kDenied));
  v1::ShowDeviceRequest show;
  show.set_name("SEP001122334455");
  show.set_cluster("branch");
  v1::ShowDeviceResponse shown;
  EXPECT_THAT(Call(*As(operator_.files()), &Stub::ShowDevice, show, shown), StatusIs(kDenied));

  audit_->Stop();
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 12);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE outcome = 'denied'"), 12);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE actor = 'anonymous'"), 1);
  EXPECT_EQ(Text("SELECT string_agg(d::text, ',') FROM device d"), before);
  EXPECT_EQ(StatesOf("SEP001122334455"), "confirmed");
}

}  // namespace
}  // namespace trustline
