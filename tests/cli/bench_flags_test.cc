#include "cli/bench_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "blockformer/error.h"
#include "cli/flags.h"

namespace blockformer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <typename Call>
std::string ProblemOf(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "no error";
}

TEST(BenchFlagsTest, Sizes) {
  EXPECT_EQ(ParseSize("--memory", "65536"), 65536);
  EXPECT_EQ(ParseSize("--memory", "2K"), 2048);
  EXPECT_EQ(ParseSize("--memory", "512M"), int64_t{512} << 20);
  EXPECT_EQ(ParseSize("--memory", "1.5G"), int64_t{3} << 29);
  EXPECT_EQ(ParseSize("--memory", "1T"), int64_t{1} << 40);
  EXPECT_EQ(ParseSize("--memory", "20MB"), 20'000'000);
  EXPECT_EQ(ParseSize("--memory", "4kB"), 4000);
  EXPECT_EQ(ParseSize("--memory", "1.5gb"), 1'500'000'000);
  EXPECT_EQ(ParseSize("--memory", "512MiB"), int64_t{512} << 20);
  EXPECT_EQ(ParseSize("--memory", "8g"), int64_t{8} << 30);
  EXPECT_EQ(ParseSize("--memory", "100B"), 100);
  for (const char* text : {"", "G", "8X", "8Gi", "8iB", "8BG", "B", "8 G", " 8", "-1G", "0", "0.1",
                           "nan", "inf", "nanG", "1e300G", "9999999T", "8G\n", "0x8"}) {
    const std::string problem = ProblemOf([&] { ParseSize("--memory", text); });
    EXPECT_THAT(problem, HasSubstr("--memory: \"" + std::string(text) + "\"")) << text;
  }
}

TEST(BenchFlagsTest, Batches) {
  EXPECT_THAT(ParseBatches({"1", "32", "8"}), ElementsAre(1, 32, 8));
  EXPECT_TRUE(ParseBatches({"auto"}).empty());
  for (const char* text : {"0", "-1", "x", "", "1.5", "16385", "99999999999999999999", "Auto"}) {
    EXPECT_THAT(ProblemOf([&] { ParseBatches({text}); }),
                HasSubstr("--batch: \"" + std::string(text) + "\""));
  }
  EXPECT_THAT(ProblemOf([] { ParseBatches({"1", "auto"}); }), HasSubstr("\"auto\""));
  EXPECT_THAT(ProblemOf([] { ParseBatches({"8", "1", "8"}); }), HasSubstr("8 stands twice"));
}

TEST(BenchFlagsTest, KvTypes) {
  EXPECT_THAT(ParseKvTypes({"f16"}, 3),
              ElementsAre(NumberType::kF16, NumberType::kF16, NumberType::kF16));
  EXPECT_THAT(ParseKvTypes({"f32", "int8"}, 2), ElementsAre(NumberType::kF32, NumberType::kInt8));
  EXPECT_THAT(ProblemOf([] {
                ParseKvTypes({"f32", "f16"}, 3);
              }),
              HasSubstr("--kv-dtype: 2 values for 3 models"));
  EXPECT_THAT(ProblemOf([] { ParseKvTypes({"bf16"}, 1); }),
              HasSubstr("--kv-dtype: \"bf16\" is not known; one of f32, f16, int8"));
  EXPECT_THAT(ProblemOf([] { ParseKvTypes({""}, 1); }), HasSubstr("--kv-dtype: \"\""));
}

}  // namespace
}  // namespace blockformer
