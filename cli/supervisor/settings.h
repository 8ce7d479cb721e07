// What `trustline up` is told on its command line, and the ports that follow from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/supervisor/site_settings.h"

namespace trustline {

struct Settings {
  std::string data = "var";
  std::string listen = "::";              // for phones; "::" is IPv4 too
  std::string grpc_listen = "127.0.0.1";  // for administrators and other machines
  int port_offset = 0;
  GivenSiteSettings site;
  std::string bin_dir;           // where the daemons are; beside this program when empty
  std::string postgres_bin_dir;  // searched for when empty
  std::string migrations;        // ../share/trustline/migrations from the programs when empty
};

// The folder of the running program.
absl::StatusOr<std::string> OwnDirectory();

// Fills in bin_dir and migrations, makes data absolute. FailedPrecondition, naming what is missing.
absl::StatusOr<Settings> CompleteSettings(Settings settings);

struct Ports {
  uint16_t tvs = 2445;
  uint16_t capf = 3804;
  uint16_t sip = 5060;  // over UDP and TCP
  uint16_t sip_tls = 5061;
  uint16_t tvsd_grpc = 9441;
  uint16_t itld_grpc = 9442;
  uint16_t cad_grpc = 9443;
  uint16_t capfd_grpc = 9444;
  uint16_t provisiond_grpc = 9445;
  uint16_t crl = 9480;  // of tvsd
  uint16_t tvsd_metrics = 9541;
  uint16_t itld_metrics = 9542;
  uint16_t cad_metrics = 9543;
  uint16_t capfd_metrics = 9544;
  uint16_t provisiond_metrics = 9545;

  // InvalidArgument when a port would leave 1 to 65535.
  static absl::StatusOr<Ports> WithOffset(int offset);
};

// A listener to be: for the check that it is free and for the table of addresses.
struct ListenerAddress {
  std::string what;  // "phones, TVS"
  std::string address;
  uint16_t port;
  std::string daemon = "tvsd";  // who will listen
  bool is_udp = false;          // else TCP
};

// All listeners of a node; `with_database` when it is the one with the database, itld, cad, capfd and provisiond.
std::vector<ListenerAddress> Listeners(const Settings& settings, const Ports& ports, bool with_database);

// "127.0.0.1:9441", "[::1]:9441".
std::string HostPort(const std::string& address, uint16_t port);

// Where a client on this machine reaches a listener: a wildcard address becomes loopback.
std::string LocalAddress(const std::string& address);

}  // namespace trustline
