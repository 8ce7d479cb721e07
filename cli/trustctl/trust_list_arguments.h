// Options about how trust lists are made, which several commands have.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>

#include "proto/trust_list.pb.h"

namespace trustline {

// 5, 10, 15 or 20.
CLI::Option* AddRecoveryYears(CLI::App& command, std::optional<int64_t>& years);
CLI::Option* AddListDigest(CLI::App& command, v1::ListDigest& digest);
CLI::Option* AddSignerVersion(CLI::App& command, v1::SignerVersion& version);

}  // namespace trustline
