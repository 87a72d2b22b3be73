#include "base/byte_size.h"

#include <gtest/gtest.h>

namespace blockformer {
namespace {

TEST(ByteSizeTest, ReadsBytesAndPowersOf1024) {
  EXPECT_EQ(ParseByteSize("0"), 0);
  EXPECT_EQ(ParseByteSize("123"), 123);
  EXPECT_EQ(ParseByteSize("3K"), 3 * 1024);
  EXPECT_EQ(ParseByteSize("512M"), int64_t{512} << 20);
  EXPECT_EQ(ParseByteSize("4G"), int64_t{4} << 30);
  EXPECT_EQ(ParseByteSize("2T"), int64_t{2} << 40);
  EXPECT_EQ(ParseByteSize("9223372036854775807"), INT64_MAX);
}

TEST(ByteSizeTest, RefusesOtherForms) {
  for (const char* text : {"", "G", "-1", "+1", " 1", "1 ", "1.5G", "4GB", "4g", "0x10", "1KM",
                           "9223372036854775808", "9007199254740992K", "8388608T"}) {
    EXPECT_EQ(ParseByteSize(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace blockformer
