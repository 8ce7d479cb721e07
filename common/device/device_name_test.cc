#include "common/device/device_name.h"

#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

TEST(DeviceName, TakesEveryKindAndFoldsLowerCase) {
  for (const char* name :
       {"SEP001122334455", "ATA0011223344FF", "VGCAABBCCDDEEFF", "SPA000000000000", "CSFJDOE", "CSF123456789012"}) {
    ASSERT_OK_AND_ASSIGN(const DeviceName parsed, DeviceName::Parse(name));
    EXPECT_EQ(parsed.text(), name);
  }
  EXPECT_EQ(DeviceName::Parse("sep00aabbccddee")->text(), "SEP00AABBCCDDEE");
  EXPECT_EQ(DeviceName::Parse("csfjdoe")->text(), "CSFJDOE");
}

TEST(DeviceName, RefusesEverythingElse) {
  for (const char* name : {"", "SEP", "SEP00112233445", "SEP0011223344556", "SEP00112233445G", "XEP001122334455", "CSF",
                           "CSF1234567890123", "CSFJ.DOE", " SEP001122334455", "SEP001122334455\n", "SE"}) {
    EXPECT_THAT(DeviceName::Parse(name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
  EXPECT_THAT(DeviceName::Parse(std::string_view("SEP001122334455\0", 16)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(DeviceName, PrefixesForSearches) {
  EXPECT_EQ(*ParseDeviceNamePrefix(""), "");
  EXPECT_EQ(*ParseDeviceNamePrefix("sep00"), "SEP00");
  EXPECT_THAT(ParseDeviceNamePrefix("SEP%"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseDeviceNamePrefix("SEP0011223344556"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace trustline
