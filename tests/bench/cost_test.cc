#include "bench/cost.h"

#include <gtest/gtest.h>

#include "config/parameters.h"
#include "config/train_recipe.h"

namespace blockformer {
namespace {

ModelConfig Block85() { return ReadRecipeModel("recipes/paper/block_main_b4_85.yaml"); }
ModelConfig Vanilla85() { return ReadRecipeModel("recipes/paper/vanilla_160.yaml"); }

// Matrix products of width 768, 7.08M multiply-adds a layer and 38.6M of the output head.
constexpr double kLayer = 12.0 * 768 * 768;
constexpr double kHead = 768.0 * 50304;

TEST(CostTest, OperationsOfThe85MPairAreThoseCountedByHand) {
  // A quarter of 6 block layers, 5 positions for 4 tokens in 6 token layers, and the head.
  const double block = 2 * (6 * kLayer / 4 + 6 * kLayer * 5 / 4 + kHead);
  EXPECT_NEAR(block * 1e-6, 205, 0.5);
  EXPECT_NEAR(2 * DecodeMultiplyAddsPerToken(Block85(), 0) / block, 1, 0.01);
  const double vanilla = 2 * (12 * kLayer + kHead);
  EXPECT_NEAR(vanilla * 1e-6, 247, 0.5);
  EXPECT_DOUBLE_EQ(2 * DecodeMultiplyAddsPerToken(Vanilla85(), 0), vanilla);
}

TEST(CostTest, KvReadsOfThe85MPairAreThoseCountedByHand) {
  EXPECT_DOUBLE_EQ(KvBytesReadPerToken(Vanilla85(), NumberType::kF16, 1152),
                   2.0 * 12 * 768 * 2 * 1152);  // 42 MB
  // Half the layers, a quarter of the positions, read once for four tokens.
  EXPECT_DOUBLE_EQ(KvBytesReadPerToken(Block85(), NumberType::kF16, 1152),
                   2.0 * 6 * 768 * 2 * 1152 / 4 / 4);
}

TEST(CostTest, LimitsAddTheTimesOfProductsAndReads) {
  const MachineSpeed machine = {100, 1000, 10};
  const NumberTypes f32 = {NumberType::kF32, NumberType::kF16};
  const NumberTypes int8 = {NumberType::kInt8, NumberType::kF16};
  EXPECT_NEAR(DecodeLimit(Vanilla85(), f32, 1152, machine), 1 / (247.1e6 / 100e9 + 42.47e6 / 10e9),
              0.1);
  EXPECT_NEAR(DecodeLimit(Vanilla85(), int8, 1152, machine),
              1 / (247.1e6 / 1000e9 + 42.47e6 / 10e9), 0.1);
  // 128 tokens of prompt for 2048 generated ones.
  const double prompt = 2 * PrefillMultiplyAdds(Vanilla85(), 128) / 2048;
  EXPECT_NEAR(TotalLimit(Vanilla85(), f32, {32, 128, 2048}, machine),
              1 / ((247.1e6 + prompt) / 100e9 + 42.47e6 / 10e9), 0.1);
}

TEST(CostTest, WeightsAreReadOnceAUnitAndThoseOfTheTokenDecoderOnceAToken) {
  EXPECT_NEAR(WeightBytesPerUnit(Vanilla85(), NumberType::kInt8) / (12 * kLayer + kHead), 1, 0.01);
  const double expansion = 2.0 * 768 * 768;
  EXPECT_NEAR(WeightBytesPerUnit(Block85(), NumberType::kF32) /
                  (4 * (6 * kLayer + expansion + 4 * (6 * kLayer + kHead))),
              1, 0.01);
}

TEST(CostTest, WeightsTakeTheirTypesBytesAndTablesThoseOfF32) {
  EXPECT_NEAR(WeightBytes(Vanilla85(), NumberType::kInt8) / (12 * kLayer + 5 * kHead), 1, 0.01);
  EXPECT_DOUBLE_EQ(WeightBytes(Block85(), NumberType::kF32),
                   4.0 * static_cast<double>(CountParameters(Block85()).used));
}

TEST(CostTest, UsefulOperationsAreThoseOfPromptsAndTokens) {
  const ThroughputSetting setting = {3, 100, 10};
  EXPECT_DOUBLE_EQ(UsefulOperations(Vanilla85(), setting),
                   2 * 3 *
                       (PrefillMultiplyAdds(Vanilla85(), 100) +
                        10 * DecodeMultiplyAddsPerToken(Vanilla85(), 105)));
}

}  // namespace
}  // namespace blockformer
