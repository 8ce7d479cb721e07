// `trustline`: runs the system on one machine, joins a machine to another's, migrates a database.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <climits>
#include <cstdio>
#include <exception>
#include <string>

#include "cli/supervisor/commands.h"
#include "cli/supervisor/own_process.h"
#include "common/status/status.h"
#include "common/x509/openssl_exit.h"

namespace trustline {
namespace {

// The first label of the host name, as node names are written.
std::string DefaultNodeName() {
  char host[HOST_NAME_MAX + 1] = "";
  if (gethostname(host, sizeof(host) - 1) != 0) return "";
  std::string name(host);
  name.resize(std::min(name.find('.'), name.size()));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

int Main(int argc, char** argv) {
  if (const absl::Status prepared = PrepareOwnProcess(); !prepared.ok()) {
    fmt::print(stderr, "trustline: {}\n", prepared.message());
    return 1;
  }
  CLI::App app("Trustline on one machine: a private PostgreSQL and the daemons around it.", "trustline");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(TRUSTLINE_VERSION));
  absl::Status outcome;

  Settings settings;
  CLI::App* up = app.add_subcommand("up", "Runs the system until Ctrl-C or SIGTERM. The first start makes everything.");
  up->footer(
      "Examples:\n"
      "  trustline up --data /var/lib/trustline\n"
      "  trustline up --data ~/trustline --port-offset 10000 --listen 127.0.0.1\n"
      "When it prints the line \"ready\": trustctl --context DIR/admin/context.toml trust list");
  up->add_option("--data", settings.data, "Data directory, made at the first start")->capture_default_str();
  up->add_option("--port-offset", settings.port_offset, "Added to every port")->capture_default_str();
  up->add_option("--listen", settings.listen, "Address for phones (\"::\": all, IPv4 too)")->capture_default_str();
  up->add_option("--grpc-listen", settings.grpc_listen,
                 "Address for administrators and joining machines (\"::\" opens it to the network)")
      ->capture_default_str();
  up->add_option(
      "--public-url", settings.site.public_url,
      "Where phones fetch CRLs; goes into certificates (default at the first start: http://HOST:9480; kept)");
  up->add_option("--organization", settings.site.organization,
                 "O of certificates (default at the first start: Trustline; kept)");
  up->add_option("--organizational-unit", settings.site.organizational_unit,
                 "OU of certificates (default at the first start: Voice; kept)");
  up->add_option("--recovery-years", settings.site.recovery_years,
                 "Life of the first ITLRecovery certificate, 5, 10, 15 or 20 (default at the first start: 20; kept)");
  up->add_option("--tftp-role", settings.site.tftp_role,
                 "Role of this machine's TFTP server in trust lists, CCM+TFTP or TFTP (default at the first start: "
                 "CCM+TFTP; kept)");
  up->add_option("--bin-dir", settings.bin_dir,
                 "Folder of tvsd, itld, cad, capfd and provisiond (default: that of this program)");
  up->add_option("--postgres-bin-dir", settings.postgres_bin_dir, "Folder of initdb and postgres (default: searched)");
  up->add_option("--migrations", settings.migrations, "Folder of the migrations (default: installed with the program)");
  up->callback([&] { outcome = RunUp(settings); });

  std::string connection, migrations;
  bool plan = false;
  CLI::App* migrate = app.add_subcommand("migrate", "Brings a PostgreSQL of your own to this version's schema.");
  migrate->footer(
      "Examples:\n"
      "  trustline migrate --database 'host=db.example.com dbname=trustline user=postgres' --plan\n"
      "  trustline migrate --database 'host=db.example.com dbname=trustline user=postgres passfile=/root/pgpass'\n"
      "It needs a superuser, or a role that may create roles and owns the database. Passwords of the roles\n"
      "trustline_tvsd, trustline_itld, trustline_cad, trustline_capfd and trustline_provisiond are yours to set.");
  migrate->add_option("--database", connection, "libpq connection string")->required();
  migrate->add_option("--migrations", migrations, "Folder of the migrations (default: installed with the program)");
  migrate->add_flag("--plan", plan, "Only say what would be done");
  migrate->callback([&] { outcome = RunMigrate(connection, migrations, plan); });

  JoinOptions join_options{.name = DefaultNodeName()};
  CLI::App* join = app.add_subcommand("join", "Makes this machine a node of a system that runs elsewhere.");
  join->footer(
      "Example:\n"
      "  trustline join --server itld.example.com:9442 --token tl1-... --name node2 --data /var/lib/trustline \\\n"
      "    --database 'host=db.example.com dbname=trustline user=trustline_tvsd passfile=/etc/trustline/pgpass'\n"
      "An administrator makes the token with: trustctl node token node2");
  join->add_option("--server", join_options.server, "itld of the running system, HOST:PORT")->required();
  join->add_option("--token", join_options.token, "From `trustctl node token NAME`; works once")->required();
  join->add_option("--name", join_options.name, "The NAME that the token was made for")->capture_default_str();
  join->add_option("--data", join_options.data, "Data directory to make")->required();
  join->add_option("--database", join_options.database, "libpq connection string for the role trustline_tvsd")
      ->required();
  join->add_option("--organization", join_options.organization, "O of this machine's TVS certificate")
      ->capture_default_str();
  join->add_option("--organizational-unit", join_options.organizational_unit, "OU of this machine's TVS certificate")
      ->capture_default_str();
  join->callback([&] { outcome = RunJoin(join_options); });

  CLI::App* version = app.add_subcommand("version", "Prints the version.");
  version->footer("Example:\n  trustline version");
  version->callback([] { fmt::print("trustline {}\n", TRUSTLINE_VERSION); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (outcome.ok()) return 0;
  fmt::print(stderr, "trustline: {}\n", outcome.message());
  return 1;
}

}  // namespace
}  // namespace trustline

int main(int argc, char** argv) {
  trustline::KeepOpenSslUntilExit();
  try {
    return trustline::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "trustline: {}\n", error.what());
    return 1;
  }
}
