#include "cpu/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "runner/token_constraint.h"

namespace blockformer {
namespace {

// Frequencies of the ids over many draws.
std::map<int32_t, double> Frequencies(const SamplingOptions& options,
                                      const std::vector<float>& logits, int draws = 20'000) {
  std::map<int32_t, double> counts;
  for (int i = 0; i < draws; ++i) {
    std::vector<float> copy = logits;
    counts[SampleToken({&options, 1, static_cast<uint64_t>(i)}, copy)] += 1.0 / draws;
  }
  return counts;
}

// Logits whose probabilities are 0.5, 0.25, 0.125 and 0.125.
const std::vector<float> kLogits = {std::log(4.0f), std::log(2.0f), 0.0f, 0.0f};

TEST(SamplerTest, ZeroTemperatureTakesTheMostLikely) {
  std::vector<float> logits = {1, 3, 2};
  const SamplingOptions options;
  EXPECT_EQ(SampleToken({&options}, logits), 1);
}

// Their inverses are infinite as f32.
TEST(SamplerTest, PenaltiesAndBiasChangeLogitsInTheirOrder) {
  SamplingOptions options;
  options.logit_bias = {{4, 1.0}, {0, -2.0}};
  options.repetition_penalty = 2;
  options.frequency_penalty = 0.5;
  options.presence_penalty = 0.25;
  const std::vector<int32_t> history = {1, 0, 2, 0, 2, 4};  // of which the last 3 were generated
  TokenDraw draw;
  draw.options = &options;
  draw.history = history;
  draw.generated = 3;
  const std::vector<int32_t> excluded = {3};
  draw.excluded = excluded;
  std::vector<float> logits = {1, 2, -3, 9, 5};
  LogitChanges(draw).Apply(0, logits);
  // 0: (1 - 2) * 2 - 0.5 - 0.25; 1: 2 / 2; 2: -3 * 2 - 0.5 - 0.25; 4: (5 + 1) / 2 - 0.75.
  EXPECT_EQ(logits, (std::vector<float>{-2.75F, 1, -6.75F, -1e30F, 2.25F}));
  std::vector<float> piece = {-3, 9, 5};  // the same from id 2 on
  LogitChanges(draw).Apply(2, piece);
  EXPECT_EQ(piece, (std::vector<float>{-6.75F, -1e30F, 2.25F}));
}

// Bits say which ids may be chosen, a list which may not.
TEST(SamplerTest, AllowedIdsAreThoseThatAreNotExcluded) {
  constexpr int32_t kIds = 300;  // of which the last ones have no bits
  const std::vector<uint64_t> allowed = {0x8000'0000'0000'0001, 0, 0x0F, ~uint64_t{0}};
  std::vector<int32_t> excluded;
  std::vector<float> logits;
  for (int32_t id = 0; id < kIds; ++id) {
    if (!IsAllowed(allowed, id)) excluded.push_back(id);
    logits.push_back(static_cast<float>(id % 7));
  }
  EXPECT_EQ(std::ssize(excluded), kIds - 70);
  for (const double temperature : {0.0, 1.0}) {
    for (const int64_t top_k : {0, 3}) {
      SamplingOptions options;
      options.temperature = temperature;
      options.top_k = top_k;
      std::set<int32_t> chosen;
      for (uint64_t position = 0; position < 200; ++position) {
        TokenDraw by_bits = {&options, 0, position};
        by_bits.allowed = allowed;
        TokenDraw by_list = {&options, 0, position};
        by_list.excluded = excluded;
        std::vector<float> first = logits;
        std::vector<float> second = logits;
        const int32_t id = SampleToken(by_bits, first);
        EXPECT_EQ(id, SampleToken(by_list, second));
        EXPECT_EQ(first, second);
        EXPECT_TRUE(IsAllowed(allowed, id));
        chosen.insert(id);
      }
      EXPECT_GE(chosen.size(), temperature == 0 ? 1U : top_k == 3 ? 3U : 30U);
    }
  }
  for (int32_t begin = 0; begin < kIds; ++begin) {
    std::vector<float> piece(logits.begin() + begin, logits.end());
    std::vector<float> same = piece;
    KeepAllowed(allowed, begin, piece);
    ExcludeIds(excluded, begin, same);
    ASSERT_EQ(piece, same) << begin;
  }
}

TEST(SamplerTest, TemperaturesNextToZeroTakeTheMostLikely) {
  for (const double temperature : {1e-5, 1e-7, 1e-40, 5e-324}) {
    for (const double top_p : {1.0, 0.9}) {
      SamplingOptions options;
      options.temperature = temperature;
      options.top_p = top_p;
      ValidateSampling(options);
      for (std::vector<float> logits : {std::vector<float>{-3, -1, -2}, {1, 3, 2}, {0, 1e-3F}}) {
        EXPECT_EQ(SampleToken({&options}, logits), 1) << temperature;
      }
    }
  }
}

TEST(SamplerTest, DrawsWithTheProbabilitiesOfTheSoftmax) {
  SamplingOptions options;
  options.temperature = 1;
  auto frequencies = Frequencies(options, kLogits);
  EXPECT_NEAR(frequencies[0], 0.5, 0.02);  // five standard errors
  EXPECT_NEAR(frequencies[1], 0.25, 0.02);
  EXPECT_NEAR(frequencies[2], 0.125, 0.02);
  EXPECT_NEAR(frequencies[3], 0.125, 0.02);
  options.temperature = 0.5;  // squares the ratios: 16 to 4 to 1 to 1
  frequencies = Frequencies(options, kLogits);
  EXPECT_NEAR(frequencies[0], 16.0 / 22, 0.02);
}

TEST(SamplerTest, FiltersKeepWhatTheySay) {
  SamplingOptions options;
  options.temperature = 1;
  options.top_k = 2;
  auto frequencies = Frequencies(options, kLogits);
  EXPECT_EQ(frequencies.size(), 2U);
  EXPECT_NEAR(frequencies[0], 2.0 / 3, 0.02);

  options.top_k = 0;
  options.top_p = 0.6;  // 0.5 alone does not reach it
  frequencies = Frequencies(options, kLogits);
  EXPECT_EQ(frequencies.size(), 2U);

  options.top_p = 0.01;
  EXPECT_EQ(Frequencies(options, kLogits).size(), 1U);

  options.top_p = 1;
  options.min_p = 0.4;  // a quarter is half as likely as the likeliest, an eighth a quarter
  EXPECT_EQ(Frequencies(options, kLogits).size(), 2U);
}

// Against all tokens in order: a draw's place among the weights of those that are kept must lie in
// the chosen token's share, to the errors of sums in f32.
TEST(SamplerTest, FiltersAgreeWithSortingAllTokens) {
  constexpr double kError = 1e-5;
  constexpr size_t kVocab = 3000;
  Random random(4);
  std::vector<std::vector<float>> rows(4, std::vector<float>(kVocab));
  for (float& logit : rows[0]) logit = static_cast<float>(random.Normal());
  for (float& logit : rows[1]) logit = static_cast<float>(random.Normal() * 8);
  for (float& logit : rows[2]) logit = std::round(static_cast<float>(random.Normal() * 3));  // ties
  for (float& logit : rows[3]) logit = static_cast<float>(random.Uniform() * 1e-3);
  for (const std::vector<float>& logits : rows) {
    std::vector<int32_t> order(kVocab);
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    for (const auto& [top_k, top_p, min_p] :
         std::vector<std::tuple<int64_t, double, double>>{{0, 0.95, 0},
                                                          {0, 0.1, 0},
                                                          {0, 1 - 1e-9, 0},
                                                          {40, 1, 0},
                                                          {1, 1, 0},
                                                          {2000, 1, 0},
                                                          {100, 0.5, 0},
                                                          {0, 1, 0.05},
                                                          {0, 1, 1},
                                                          {0, 0.99, 0.01},
                                                          {300, 0.9, 0.001}}) {
      for (const double temperature : {0.3, 1.0, 7.0}) {
        SamplingOptions options;
        options.temperature = temperature;
        options.top_k = top_k;
        options.top_p = top_p;
        options.min_p = min_p;
        const auto weight = [&](size_t rank) {
          return std::exp((logits[order[rank]] - double{logits[order[0]]}) / temperature);
        };
        const size_t count = top_k > 0 ? static_cast<size_t>(top_k) : kVocab;
        double all = 0;
        for (size_t rank = 0; rank < count; ++rank) all += weight(rank);
        double kept = 0;
        for (size_t rank = 0; rank < count; ++rank) {
          if (rank > 0 && ((top_p < 1 && kept >= top_p * all) || weight(rank) < min_p)) break;
          kept += weight(rank);
        }
        for (uint64_t position = 0; position < 20; ++position) {
          const double place = KeyedUniform(options.seed, 3, position) * kept;
          std::vector<float> copy = logits;
          const int32_t id = SampleToken({&options, 3, position}, copy);
          double before = 0;
          size_t rank = 0;
          while (order[rank] != id) before += weight(rank++);
          ASSERT_LE(before - kError * kept, place) << top_k << " " << top_p << " " << min_p;
          ASSERT_GE(before + weight(rank) + kError * kept, place)
              << top_k << " " << top_p << " " << min_p;
        }
      }
    }
  }
}

TEST(SamplerTest, RatesTokens) {
  const TokenLogProbabilities rated = RateToken(kLogits, 3, 3);
  EXPECT_NEAR(rated.chosen, std::log(0.125), 1e-6);
  ASSERT_EQ(rated.top.size(), 3U);
  EXPECT_EQ(rated.top[0].id, 0);
  EXPECT_NEAR(rated.top[0].log_probability, std::log(0.5), 1e-6);
  EXPECT_EQ(rated.top[1].id, 1);
  EXPECT_EQ(rated.top[2].id, 2);  // as likely as 3
  EXPECT_TRUE(RateToken(kLogits, 1, 0).top.empty());
  std::vector<float> rising(2000);
  for (size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<float>(i % 1000) * 0.01F;
  const TokenLogProbabilities likely = RateToken(rising, 0, 5);
  EXPECT_THAT(likely.top,
              testing::ElementsAre(testing::Field(&TokenLogProbabilities::Entry::id, 999),
                                   testing::Field(&TokenLogProbabilities::Entry::id, 1999),
                                   testing::Field(&TokenLogProbabilities::Entry::id, 998),
                                   testing::Field(&TokenLogProbabilities::Entry::id, 1998),
                                   testing::Field(&TokenLogProbabilities::Entry::id, 997)));
}

TEST(SamplerTest, DependsOnItsKeyAlone) {
  SamplingOptions options;
  options.temperature = 1;
  options.seed = 3;
  const auto draw = [&](uint64_t stream, uint64_t position) {
    std::vector<float> logits(1000, 0.0f);
    return SampleToken({&options, stream, position}, logits);
  };
  const int32_t first = draw(1, 1);
  EXPECT_EQ(first, draw(1, 1));
  EXPECT_NE(first, draw(1, 2));
  EXPECT_NE(first, draw(2, 1));
  options.seed = 4;
  EXPECT_NE(first, draw(1, 1));
}

TEST(SamplerTest, RepetitionPenaltyMovesSeenTokensDown) {
  SamplingOptions options;
  options.repetition_penalty = 2;
  const std::vector<int32_t> history = {0, 2, 0};
  std::vector<float> logits = {3, 2, -1};
  EXPECT_EQ(SampleToken({&options, 0, 0, history}, logits), 1);
  EXPECT_EQ(logits, (std::vector<float>{1.5f, 2, -2}));
}

TEST(SamplerTest, RefusesLogitsThatAreNoNumbers) {
  for (const double temperature : {0.0, 1.0}) {
    SamplingOptions options;
    options.temperature = temperature;
    for (const std::vector<float>& bad :
         {std::vector<float>{0, NAN, 1}, std::vector<float>{NAN, NAN},
          std::vector<float>{0, INFINITY}}) {
      std::vector<float> logits = bad;
      EXPECT_EQ(SampleToken({&options}, logits), kNoToken);
    }
  }
}

TEST(SamplerTest, RefusesImpossibleOptions) {
  const auto refuse = [](auto change) {
    SamplingOptions options;
    change(options);
    EXPECT_THROW(ValidateSampling(options), Error);
  };
  ValidateSampling({});
  refuse([](auto& o) { o.temperature = -1; });
  refuse([](auto& o) { o.temperature = NAN; });
  refuse([](auto& o) { o.top_p = 0; });
  refuse([](auto& o) { o.top_p = 1.5; });
  refuse([](auto& o) { o.top_k = -1; });
  refuse([](auto& o) { o.min_p = 2; });
  refuse([](auto& o) { o.repetition_penalty = 0; });
}

}  // namespace
}  // namespace blockformer
