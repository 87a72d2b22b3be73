// The choice of tokens and the scores of given ones, against sorted lists in f64.
#include "cuda/choose.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/cuda/device_data.h"
#include "tests/cuda/emulated_test.h"

namespace blockformer::cuda {
namespace {

constexpr int64_t kUnitLength = 2;

struct Draw {
  SamplingPlace place;
  std::vector<int32_t> history;  // tokens before the one that is drawn
};

// Ids by rank.
std::vector<int32_t> Ranked(const std::vector<double>& logits) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::ranges::stable_sort(ids, [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  return ids;
}

// What the options' definition gives, of changed logits.
int32_t Expected(const SamplingPlace& place, const std::vector<double>& logits, uint64_t position) {
  const std::vector<int32_t> ids = Ranked(logits);
  const auto logit = [&](size_t rank) { return logits[ids[rank]]; };
  if (place.method == DrawMethod::kLargest) return ids[0];
  std::vector<double> weights;
  for (size_t i = 0; i < ids.size(); ++i) {
    weights.push_back(std::exp((logit(i) - logit(0)) / place.temperature));
  }
  if (place.top_k > 0 && place.top_k < std::ssize(weights)) {
    weights.resize(place.top_k);
  }
  if (place.top_p < 1) {
    const double wanted = place.top_p * std::accumulate(weights.begin(), weights.end(), 0.0);
    double sum = 0;
    size_t kept = 0;
    while (kept < weights.size() && sum < wanted) sum += weights[kept++];
    weights.resize(std::max<size_t>(kept, 1));
  }
  while (weights.back() < place.min_p) weights.pop_back();
  double remaining = KeyedUniform(place.seed, place.stream, position) *
                     std::accumulate(weights.begin(), weights.end(), 0.0);
  size_t drawn = 0;
  while (drawn + 1 < weights.size() && remaining >= weights[drawn]) remaining -= weights[drawn++];
  return ids[drawn];
}

class ChooseTest : public OrderTest {
 protected:
  // Draws one token a row for the first slot of unit 3, six tokens being given.
  std::vector<int32_t> Choose(const std::vector<Draw>& draws, const std::vector<float>& logits,
                              int64_t vocab, std::vector<int32_t>* chosen,
                              std::vector<TokenRating>* ratings) {
    const int64_t rows = std::ssize(draws);
    const int64_t stride = 5 * kUnitLength;
    std::vector<int32_t> history(rows * stride, 0);
    std::vector<SamplingPlace> places;
    std::vector<DecoderRow> decoder_rows;
    for (int64_t i = 0; i < rows; ++i) {
      const Draw& draw = draws[i];
      std::ranges::copy(draw.history, history.begin() + i * stride);
      places.push_back(draw.place);
      decoder_rows.push_back({static_cast<int32_t>(i), 2, 2, 0});
    }
    const OnDevice<int32_t> device_history(&stream_, history);
    const OnDevice<SamplingPlace> device_places(&stream_, places);
    const OnDevice<DecoderRow> device_rows(&stream_, decoder_rows);
    const OnDevice<float> device_logits(&stream_, logits);
    const OnDevice<float> changed(rows * vocab);
    const OnDevice<uint32_t> counts(&stream_, std::vector<uint32_t>(rows * vocab, 0));
    const OnDevice<int32_t> ids(rows * kUnitLength);
    const OnDevice<int32_t> device_chosen(rows);
    const OnDevice<TokenRating> device_ratings(rows * kUnitLength);
    Choice choice;
    choice.vocab = vocab;
    choice.num_sampled = vocab;
    choice.places = device_places.data();
    choice.history = device_history.data();
    choice.history_stride = stride;
    choice.unit_length = kUnitLength;
    choice.changed = changed.data();
    choice.counts = counts.data();
    ChooseTokens(&stream_, choice, device_rows.data(), rows, device_logits.data(), ids.data(),
                 device_chosen.data(), device_ratings.data());
    std::vector<int32_t> result;
    const std::vector<int32_t> all = ids.Read(&stream_);
    const std::vector<int32_t> after = device_history.Read(&stream_);
    for (int64_t i = 0; i < rows; ++i) {
      result.push_back(all[i * kUnitLength]);
      EXPECT_EQ(after[i * stride + 6], result.back());
    }
    *chosen = device_chosen.Read(&stream_);
    if (ratings != nullptr) *ratings = device_ratings.Read(&stream_);
    for (const uint32_t count : counts.Read(&stream_)) EXPECT_EQ(count, 0U);
    return result;
  }

  Stream stream_;
};

SamplingPlace Filtered(int32_t top_k, double top_p, double min_p, double temperature) {
  SamplingPlace place;
  place.method = DrawMethod::kFiltered;
  place.temperature = temperature;
  place.inverse_temperature = static_cast<float>(1 / temperature);
  place.top_k = top_k;
  place.top_p = top_p;
  place.min_p = min_p;
  return place;
}

TEST_P(ChooseTest, FiltersKeepAndDrawByRank) {
  for (const int64_t vocab : {3, 61, 700, 2500}) {
    std::vector<Draw> draws;
    for (int i = 0; i < 24; ++i) {
      Draw draw;
      draw.place = Filtered(i % 4 == 1   ? 5
                            : i % 4 == 3 ? 40
                                         : 0,
                            i % 3 == 1 ? 0.7 : 1, i % 5 == 2 ? 0.1 : 0, 0.5 + 0.1 * i);
      draw.place.seed = static_cast<uint64_t>(i);
      draw.place.given = 6;
      draws.push_back(draw);
    }
    draws.push_back({SamplingPlace{}, {}});
    const int64_t rows = std::ssize(draws);
    std::vector<float> logits = RandomFloats(rows * vocab, static_cast<uint64_t>(vocab), 3);
    // Ties, between which the id decides.
    for (size_t i = 0; i < logits.size(); i += 3) logits[i] = std::round(logits[i]);
    std::vector<int32_t> chosen;
    const std::vector<int32_t> ids = Choose(draws, logits, vocab, &chosen, nullptr);
    for (int64_t i = 0; i < rows; ++i) {
      const std::vector<double> row(logits.begin() + i * vocab, logits.begin() + (i + 1) * vocab);
      const size_t at = i;
      EXPECT_EQ(ids[at], Expected(draws[at].place, row,
                                  static_cast<uint64_t>(6 + draws[at].place.generated_offset)))
          << "row " << i << " of " << vocab;
      EXPECT_EQ(chosen[at], kUnitLength);
    }
  }
}

TEST_P(ChooseTest, BiasesPenaltiesAndExclusionsChangeLogits) {
  constexpr int64_t kVocab = 61;
  const OnDevice<LogitBias> biases(&stream_, {{7, 0, 3.0}, {9, 0, -100.0}});
  const OnDevice<int32_t> excluded(&stream_, {3, 20});
  std::vector<Draw> draws;
  for (int i = 0; i < 30; ++i) {
    Draw draw;
    draw.history = {11, 5, 9, 5, 60, 5};
    draw.place = Filtered(0, 0.9, 0, 1);
    if (i % 3 == 0) draw.place.method = DrawMethod::kLargest;
    draw.place.seed = static_cast<uint64_t>(i);
    draw.place.given = 6;
    draw.place.prompt_begin = 1;
    draw.place.generated_offset = -3;  // the last three were generated
    draw.place.repetition_penalty = 1.5;
    draw.place.frequency_penalty = 0.75;
    draw.place.presence_penalty = 0.5;
    draw.place.biases = biases.data();
    draw.place.num_biases = 2;
    draw.place.excluded = excluded.data();
    draw.place.num_excluded = 2;
    draws.push_back(draw);
  }
  const std::vector<float> logits = RandomFloats(std::ssize(draws) * kVocab, 4, 2);
  std::vector<int32_t> chosen;
  const std::vector<int32_t> ids = Choose(draws, logits, kVocab, &chosen, nullptr);
  for (size_t i = 0; i < draws.size(); ++i) {
    std::vector<double> row(logits.begin() + static_cast<int64_t>(i) * kVocab,
                            logits.begin() + static_cast<int64_t>(i + 1) * kVocab);
    row[7] += 3;
    row[9] -= 100;
    for (const size_t seen : {5, 9, 60})
      row[seen] = row[seen] > 0 ? row[seen] / 1.5 : row[seen] * 1.5;
    row[5] -= 0.75 * 2 + 0.5;
    row[60] -= 0.75 + 0.5;
    row[3] = row[20] = -1e30;
    EXPECT_EQ(ids[i], Expected(draws[i].place, row, 3)) << i;
  }
}

TEST_P(ChooseTest, NoiseDrawsFromTheSoftmax) {
  // 4,000 draws of three tokens with probabilities 0.6, 0.3 and 0.1.
  constexpr int64_t kDraws = 4000;
  std::vector<Draw> draws;
  std::vector<float> logits;
  for (int64_t i = 0; i < kDraws; ++i) {
    Draw draw;
    draw.place.method = DrawMethod::kGumbelMax;
    draw.place.seed = static_cast<uint64_t>(i);
    draw.place.given = 6;
    draws.push_back(draw);
    for (const double p : {0.6, 0.3, 0.1}) logits.push_back(static_cast<float>(std::log(p)));
  }
  std::vector<int32_t> chosen;
  const std::vector<int32_t> ids = Choose(draws, logits, 3, &chosen, nullptr);
  // Five standard deviations of a count.
  EXPECT_NEAR(static_cast<double>(std::ranges::count(ids, 0)), 2400, 5 * 31);
  EXPECT_NEAR(static_cast<double>(std::ranges::count(ids, 2)), 400, 5 * 19);
}

TEST_P(ChooseTest, RatesAndTellsWhatIsNotFinite) {
  constexpr int64_t kVocab = 200;
  std::vector<Draw> draws(4);
  for (Draw& draw : draws) draw.place.given = 6;
  draws[0].place.ratings = 3;
  draws[2].place.given = 7;  // what stands there is given
  draws[2].history = {1, 2, 3, 4, 5, 6, 42};
  draws[3].place.ratings = 0;
  std::vector<float> logits = RandomFloats(4 * kVocab, 8, 2);
  logits[kVocab + 150] = NAN;
  logits[2 * kVocab + 150] = INFINITY;
  std::vector<int32_t> chosen;
  std::vector<TokenRating> ratings;
  const std::vector<int32_t> ids = Choose(draws, logits, kVocab, &chosen, &ratings);
  EXPECT_EQ(chosen, (std::vector<int32_t>{2, 0, 2, 2}));
  EXPECT_EQ(ids[2], 42);
  const std::vector<double> row(logits.begin(), logits.begin() + kVocab);
  double sum = 0;
  for (const double logit : row) sum += std::exp(logit);
  const std::vector<int32_t> ranked = Ranked(row);
  EXPECT_EQ(ids[0], ranked[0]);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(ratings[0].ids[i], ranked[i]);
    EXPECT_NEAR(ratings[0].log_probabilities[i], row[ranked[i]] - std::log(sum), 1e-5);
  }
  EXPECT_EQ(ratings[0].chosen, ratings[0].log_probabilities[0]);
}

TEST_P(ChooseTest, ScoresTargets) {
  for (const int64_t vocab : {5, 61, 3000}) {
    std::vector<float> logits = RandomFloats(6 * vocab, 3, 4);
    logits[5 * vocab + 2] = -INFINITY;
    std::vector<int32_t> targets = {0, 1, 2, 3, 4, 0};
    const OnDevice<float> device_logits(&stream_, logits);
    const std::vector<double> second(logits.begin() + vocab, logits.begin() + 2 * vocab);
    targets[1] = Ranked(second)[0];
    const OnDevice<int32_t> device_targets(&stream_, targets);
    const OnDevice<TargetScore> scores(6);
    const OnDevice<TokenRating> ratings(6);
    ScoreTargets(&stream_, device_logits.data(), vocab, device_targets.data(), 6, 2, scores.data(),
                 ratings.data());
    const std::vector<TokenRating> rated = ratings.Read(&stream_);
    const std::vector<TargetScore> actual = scores.Read(&stream_);
    for (size_t i = 0; i < 5; ++i) {
      const std::vector<double> row(logits.begin() + static_cast<int64_t>(i) * vocab,
                                    logits.begin() + static_cast<int64_t>(i + 1) * vocab);
      double sum = 0;
      for (const double logit : row) sum += std::exp(logit);
      EXPECT_NEAR(actual[i].log_likelihood, row[targets[i]] - std::log(sum), 1e-4);
      EXPECT_EQ(actual[i].is_largest, Ranked(row)[0] == targets[i]);
      EXPECT_EQ(rated[i].ids[1], Ranked(row)[1]);
    }
    EXPECT_TRUE(std::isnan(actual[5].log_likelihood));
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, ChooseTest, BothOrders(), OrderName);

}  // namespace
}  // namespace blockformer::cuda
