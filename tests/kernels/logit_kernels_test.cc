// The loops that choose a token against plain ones, on every instruction set of the processor.
#include "kernels/logit_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/random.h"
#include "kernels/kernel_isa.h"
#include "tests/kernels/random_vector.h"

namespace blockformer {
namespace {

constexpr int32_t kFirstId = 1000;
// Less than a vector, whole ones, and those beside them.
constexpr int64_t kCounts[] = {1, 2, 3, 5, 15, 16, 17, 48, 61, 300};

class ChoiceTest : public testing::TestWithParam<Isa> {
 protected:
  ScopedIsa isa_{GetParam()};
};

int64_t Count(const std::vector<float>& logits) { return static_cast<int64_t>(logits.size()); }

// Many of them are equal.
std::vector<float> RoundLogits(int64_t count, uint64_t seed) {
  std::vector<float> logits = RandomVector(count, seed);
  for (float& logit : logits) logit = std::round(logit * 3) - 10;
  return logits;
}

TEST_P(ChoiceTest, FindsTheFirstOfTheLargest) {
  for (const int64_t count : kCounts) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const std::vector<float> logits = RoundLogits(count, seed);
      const auto largest = std::max_element(logits.begin(), logits.end());
      const RankedToken found = FindLargest(logits.data(), count, kFirstId);
      EXPECT_EQ(found.id, kFirstId + (largest - logits.begin())) << count << " logits";
      EXPECT_EQ(found.score, *largest);
    }
  }
}

TEST_P(ChoiceTest, FindsTheLargestAtEveryPlace) {
  for (size_t place = 0; place < 61; ++place) {
    std::vector<float> logits(61, -1e30F);
    logits[place] = -1e29F;
    EXPECT_EQ(FindLargest(logits.data(), Count(logits), 0).id, static_cast<int32_t>(place));
  }
}

// The noise as the header describes it, in double precision from the same 31 random bits.
double Noise(int32_t id, uint64_t key) {
  uint32_t x = static_cast<uint32_t>(id) + static_cast<uint32_t>(key);
  x = (x ^ x >> 16) * 0x7feb352dU + static_cast<uint32_t>(key >> 32);
  x = (x ^ x >> 15) * 0x846ca68bU;
  x ^= x >> 16;
  const double uniform = (static_cast<float>(x >> 1) + 0.5F) * 0x1.0p-31F;
  return -std::log(-std::log1p(-uniform));
}

TEST_P(ChoiceTest, NoiseIsGumbelDistributedAndDependsOnIdAndKeyAlone) {
  for (uint64_t i = 0; i < 1000; ++i) {
    const uint64_t key = KeyedBits(3, 1, i);
    const int32_t id = static_cast<int32_t>(Random(i).Below(1 << 24));
    const float logit = static_cast<float>(i % 7);
    const RankedToken token = FindLargestWithNoise(&logit, 1, id, 0.75F, key);
    EXPECT_EQ(token.id, id);
    const double noise = Noise(id, key);
    // Both logarithms err by a few roundoffs, the first one relative to an exponential of which the
    // second makes that an absolute error; the sum rounds once more.
    EXPECT_NEAR(token.score, logit * 0.75 + noise,
                16 * kRoundoff * (1 + std::abs(noise)) + 2 * kRoundoff * std::abs(logit));
  }
}

// With key 0, the bits of id 0 are all 0; with this one, they are all 1.
constexpr uint64_t kKeyOfOnes = 0xd5f9efc4;

TEST_P(ChoiceTest, NoiseIsFarFromInfinityAtBothEnds) {
  const float zero = 0;
  EXPECT_NEAR(FindLargestWithNoise(&zero, 1, 0, 1, 0).score, 32 * std::log(2), 1e-5);
  // The uniform number rounds to 1, whose noise would be minus infinity. It may be that, but no
  // more than what the next smaller number gives, -log(24 log(2)).
  EXPECT_LE(FindLargestWithNoise(&zero, 1, 0, 1, kKeyOfOnes).score, -2.8);
  const std::vector<float> zeros(40, 0.0F);
  EXPECT_NE(FindLargestWithNoise(zeros.data(), 40, 0, 1, kKeyOfOnes).id, 0);
}

TEST_P(ChoiceTest, PiecesOfARowHaveTheWinnerOfTheWhole) {
  Random random(5);
  for (uint64_t round = 0; round < 200; ++round) {
    const int64_t count = 1 + static_cast<int64_t>(random.Below(300));
    const std::vector<float> logits = RoundLogits(count, round);
    const uint64_t key = random.Next();
    RankedToken largest;
    RankedToken noisy;
    for (int64_t i = 0; i < count;) {
      const int64_t piece = std::min(count - i, 1 + static_cast<int64_t>(random.Below(40)));
      const int32_t first_id = kFirstId + static_cast<int32_t>(i);
      const RankedToken tokens[] = {
          FindLargest(logits.data() + i, piece, first_id),
          FindLargestWithNoise(logits.data() + i, piece, first_id, 0.5F, key)};
      if (tokens[0].Before(largest)) largest = tokens[0];
      if (tokens[1].Before(noisy)) noisy = tokens[1];
      i += piece;
    }
    const RankedToken whole = FindLargest(logits.data(), count, kFirstId);
    EXPECT_EQ(largest.id, whole.id);
    EXPECT_EQ(largest.score, whole.score);
    const RankedToken whole_noisy = FindLargestWithNoise(logits.data(), count, kFirstId, 0.5F, key);
    EXPECT_EQ(noisy.id, whole_noisy.id);
    EXPECT_EQ(noisy.score, whole_noisy.score);
  }
}

// How often each id wins over many keys.
std::vector<double> Frequencies(const std::vector<float>& logits, float inverse_temperature,
                                int draws) {
  std::vector<double> frequencies(logits.size());
  for (int i = 0; i < draws; ++i) {
    const uint64_t key = KeyedBits(1, 2, static_cast<uint64_t>(i));
    const RankedToken token =
        FindLargestWithNoise(logits.data(), Count(logits), kFirstId, inverse_temperature, key);
    frequencies[token.id - kFirstId] += 1.0 / draws;
  }
  return frequencies;
}

double StandardError(double probability, int draws) {
  return std::sqrt(probability * (1 - probability) / draws);
}

TEST_P(ChoiceTest, NoiseDrawsFromTheSoftmax) {
  constexpr int kDraws = 50'000;
  const std::vector<float> logits = {3, 2.5F, -1, 0, 1, 2, -4, 2.5F, 1.5F, 0.5F, -2,
                                     2, 1,    1,  0, 3, 2, 1,  0,    -1,   -2};
  for (const float inverse_temperature : {0.5F, 1.0F, 2.0F}) {
    std::vector<double> probabilities;
    for (const float logit : logits) probabilities.push_back(std::exp(logit * inverse_temperature));
    const double sum = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
    const std::vector<double> frequencies = Frequencies(logits, inverse_temperature, kDraws);
    for (size_t i = 0; i < logits.size(); ++i) {
      const double probability = probabilities[i] / sum;
      // Those of less than a draw are hit by chance.
      EXPECT_NEAR(frequencies[i], probability,
                  5 * StandardError(probability, kDraws) + 5.0 / kDraws)
          << "id " << i << ", inverse temperature " << inverse_temperature;
    }
  }
}

// Tokens that are unlikely one by one have their share together.
TEST_P(ChoiceTest, NoiseReachesUnlikelyTokens) {
  constexpr int kDraws = 5000;
  std::vector<float> logits(2001, -9);
  logits[77] = 0;
  const double probability = 1 / (1 + 2000 * std::exp(-9.0));
  EXPECT_NEAR(Frequencies(logits, 1, kDraws)[77], probability,
              5 * StandardError(probability, kDraws));
}

// Pairs of a draw and the next one are all equally likely.
TEST_P(ChoiceTest, DrawsOfSuccessivePositionsAreIndependent) {
  constexpr int32_t kIds = 10;
  constexpr int kDraws = 50'000;
  constexpr double kExpected = static_cast<double>(kDraws) / (kIds * kIds);
  const std::vector<float> logits(kIds, 0.0F);
  std::vector<double> pairs(kIds * kIds);
  int32_t before = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const int32_t id = FindLargestWithNoise(logits.data(), kIds, 0, 1, KeyedBits(1, 2, i)).id;
    pairs[before * kIds + id] += 1;
    before = id;
  }
  double chi_square = 0;
  for (const double count : pairs) {
    chi_square += (count - kExpected) * (count - kExpected) / kExpected;
  }
  // 99 degrees of freedom, whose standard deviation is the root of 2 * 99; five of them.
  EXPECT_NEAR(chi_square, 99, 70);
}

// Instruction sets round differently, by a few units in the last place.
TEST_P(ChoiceTest, AgreesWithOtherInstructionSets) {
  for (uint64_t key = 0; key < 200; ++key) {
    const std::vector<float> logits = RandomVector(300, key);
    const RankedToken here = FindLargestWithNoise(logits.data(), 300, 0, 1, key << 32 | key);
    const ScopedIsa isa(Isa::kPortable);
    const RankedToken portable = FindLargestWithNoise(logits.data(), 300, 0, 1, key << 32 | key);
    EXPECT_EQ(here.id, portable.id);
    EXPECT_NEAR(here.score, portable.score, 32 * kRoundoff * portable.score);
  }
}

TEST_P(ChoiceTest, CollectsWhatIsAbove) {
  for (const int64_t count : kCounts) {
    const std::vector<float> logits = RoundLogits(count, static_cast<uint64_t>(count));
    for (const float threshold : {-INFINITY, -12.0F, -10.5F, -10.0F, -8.0F, -7.0F}) {
      std::vector<RankedToken> expected;
      for (int64_t i = 0; i < count; ++i) {
        const float logit = logits[i];
        if (logit > threshold) expected.push_back({logit, kFirstId + static_cast<int32_t>(i)});
      }
      std::vector<RankedToken> collected(count);
      const int64_t size =
          CollectAbove(logits.data(), count, kFirstId, threshold, collected.data());
      ASSERT_EQ(size, static_cast<int64_t>(expected.size())) << "above " << threshold;
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(collected[i].id, expected[i].id);
        EXPECT_EQ(collected[i].score, expected[i].score);
      }
    }
  }
}

TEST_P(ChoiceTest, SumsExponentials) {
  for (const int64_t count : {1, 3, 16, 17, 48, 300, 4096, 5001}) {
    for (const float spread : {0.0F, 1e-3F, 1.0F, 20.0F, 200.0F, 1e4F}) {
      std::vector<float> logits = RandomVector(count, static_cast<uint64_t>(count));
      for (float& logit : logits) logit *= spread;
      const float largest = *std::max_element(logits.begin(), logits.end());
      for (const float inverse_temperature : {0.01F, 0.3F, 1.0F, 1.7F, 10.0F, 1e5F}) {
        double expected = 0;
        for (const float logit : logits) {
          expected += std::exp((static_cast<double>(logit) - largest) * inverse_temperature);
        }
        const float sum = SumOfExponentials(logits.data(), count, largest, inverse_temperature);
        EXPECT_NEAR(sum, expected, 1e-6 * expected)
            << count << " logits up to " << spread << ", inverse temperature "
            << inverse_temperature;
      }
    }
  }
}

TEST_P(ChoiceTest, TellsWhatIsNotFinite) {
  constexpr float kMost = std::numeric_limits<float>::max();
  for (size_t count = 1; count <= 37; ++count) {
    std::vector<float> logits(count, -kMost);
    logits[count / 2] = kMost;
    EXPECT_TRUE(ScanLogits(logits.data(), Count(logits), 0).all_finite);
    for (size_t place = 0; place < count; ++place) {
      for (const float bad : {NAN, INFINITY, -INFINITY}) {
        std::vector<float> changed = logits;
        changed[place] = bad;
        EXPECT_FALSE(ScanLogits(changed.data(), Count(changed), 0).all_finite)
            << bad << " at " << place << " of " << count;
      }
    }
  }
  EXPECT_TRUE(ScanLogits(nullptr, 0, 0).all_finite);
}

TEST_P(ChoiceTest, TellsWhetherALogitReachesAThreshold) {
  for (size_t count = 1; count <= 37; ++count) {
    for (size_t place = 0; place < count; ++place) {
      std::vector<float> logits(count, -3);
      logits[place] = -2;
      EXPECT_TRUE(ScanLogits(logits.data(), Count(logits), -2).any_from);
      EXPECT_FALSE(ScanLogits(logits.data(), Count(logits), -1.9F).any_from);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, ChoiceTest, testing::ValuesIn(SupportedIsas()),
                         [](const auto& test) { return IsaName(test.param); });

}  // namespace
}  // namespace blockformer
