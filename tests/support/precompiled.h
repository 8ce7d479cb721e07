// What nearly every test reads; compiled once for all tests.
#pragma once

#include "common/precompiled.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
