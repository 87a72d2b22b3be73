// The engine against the published implementation's outputs, through model directories on disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/published.h"
#include "engine/teacher_forcing.h"
#include "tests/golden/golden_file.h"
#include "tests/golden/golden_model.h"

namespace blockformer {
namespace {

constexpr double kLogitTolerance = 1e-4;
constexpr double kLossTolerance = 1e-5;

using Rows = std::vector<std::vector<int32_t>>;

template <typename To, typename From>
std::vector<To> Cast(const std::vector<From>& values) {
  return std::vector<To>(values.begin(), values.end());
}

Rows ToRows(const GoldenFile& golden, const std::string& tensor) {
  const std::vector<int64_t> values = golden.Integers(tensor);
  const size_t width = golden.Shape(tensor).back();
  Rows rows;
  for (size_t begin = 0; begin < values.size(); begin += width) {
    rows.emplace_back(values.begin() + static_cast<ptrdiff_t>(begin),
                      values.begin() + static_cast<ptrdiff_t>(begin + width));
  }
  return rows;
}

// The larger of `largest` and |a - b|; infinite if that is not a number.
double LargerDifference(double largest, double a, double b) {
  const double difference = std::abs(a - b);
  if (difference <= largest) return largest;
  return std::isnan(difference) ? INFINITY : difference;
}

class EngineGolden : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    golden_ = std::make_unique<GoldenFile>(GetParam());
    if (!golden_->missing_component().empty()) {
      GTEST_SKIP() << GetParam()
                   << " needs a component that is not built: " << golden_->missing_component();
    }
    model_ = LoadGoldenModel(*golden_);
  }

  bool Has(const std::string& name) const { return golden_->Has(name); }

  ForwardInput Input(const std::string& group) const {
    const std::string prefix = "io." + group + ".";
    ForwardInput input;
    const std::vector<int64_t> shape = golden_->Shape(prefix + "input_ids");
    input.batch = shape[0];
    input.units = shape[1];
    input.ids = Cast<int32_t>(golden_->Integers(prefix + "input_ids"));
    input.mask = Has(prefix + "attention_mask")
                     ? Cast<uint8_t>(golden_->Integers(prefix + "attention_mask"))
                     : std::vector<uint8_t>(input.ids.size(), 1);
    input.unit_mask = Has(prefix + "block_attention_mask")
                          ? Cast<uint8_t>(golden_->Integers(prefix + "block_attention_mask"))
                          : UnitMask(input.mask);
    if (Has(prefix + "position_ids")) {
      input.positions = Cast<int32_t>(golden_->Integers(prefix + "position_ids"));
    }
    return input;
  }

  // A unit of which any token is visible is.
  std::vector<uint8_t> UnitMask(const std::vector<uint8_t>& mask) const {
    const size_t length = model_->unit_length();
    std::vector<uint8_t> units(mask.size() / length, 0);
    for (size_t i = 0; i < mask.size(); ++i) units[i / length] |= mask[i];
    return units;
  }

  // The tensor with the semantics of flash attention where the file carries both.
  std::string Variant(const std::string& name) const {
    return Has(name + "_flash") ? name + "_flash" : name;
  }

  void ExpectNear(const std::vector<float>& actual, const std::string& name) const {
    const std::vector<float> expected = golden_->Floats(name);
    ASSERT_EQ(actual.size(), expected.size()) << name;
    double largest = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
      largest = LargerDifference(largest, actual[i], expected[i]);
    }
    EXPECT_LE(largest, kLogitTolerance) << name;
  }

  // Compares logits where the published implementation computes them.
  void ExpectKeptLogits(const ForwardInput& input, const std::vector<float>& actual,
                        const std::string& name, bool skip_masked_blocks) const {
    const std::vector<float> expected = golden_->Floats(name);
    ASSERT_EQ(actual.size(), expected.size()) << name;
    const int64_t vocab = model_->config().vocab_size;
    const int64_t length = model_->unit_length();
    const int64_t per_row = (model_->is_block() ? input.units - 1 : input.units) * length;
    double largest = 0;
    int64_t compared = 0;
    for (int64_t i = 0; i < input.batch * per_row; ++i) {
      const int64_t target =
          model_->is_block() ? i / per_row * input.units * length + length + i % per_row : i;
      const size_t t = target;
      const bool token = input.mask[t] != 0 ||
                         (model_->is_block() && input.ids[t] != model_->config().pad_token_id);
      const bool unit = input.unit_mask[target / length] != 0;
      if (!token || (skip_masked_blocks && !unit)) continue;
      ++compared;
      for (int64_t v = i * vocab; v < (i + 1) * vocab; ++v) {
        const size_t index = v;
        largest = LargerDifference(largest, actual[index], expected[index]);
      }
    }
    EXPECT_GT(compared, 0) << name;
    EXPECT_LE(largest, kLogitTolerance) << name;
  }

  // A vanilla model's padding attends to other things here than in the published implementation, so
  // only what is predicted from tokens is compared.
  void ExpectSameLossBehindTokens(const ForwardInput& input, std::vector<int32_t> labels,
                                  const ForwardOutput& output) const {
    for (size_t i = 1; i < labels.size(); ++i) {
      if (input.mask[i - 1] == 0) labels[i] = -100;
    }
    ForwardOutput expected;
    expected.logits = golden_->Floats("io.pad.logits");
    EXPECT_NEAR(ComputeLoss(*model_, input, labels, output).Mean(),
                ComputeLoss(*model_, input, labels, expected).Mean(), kLossTolerance);
  }

  // Greedy generation with the positions of training, and exactly max_length tokens.
  Rows GenerateConsistently(const PublishedBatch& batch) const {
    EngineOptions options;
    options.max_length = batch.max_length;
    std::vector<GenerationRequest> requests;
    for (size_t i = 0; i < batch.prompts.size(); ++i) {
      GenerationRequest request;
      request.prompt = batch.prompts[i];
      if (!batch.masks.empty()) request.prompt_mask = batch.masks[i];
      request.max_tokens = batch.max_length - static_cast<int64_t>(batch.prompts[i].size());
      request.stop_at_eos = false;
      requests.push_back(std::move(request));
    }
    Engine engine(model_, options);
    Rows rows = GenerateAll(&engine, std::move(requests));
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i].insert(rows[i].begin(), batch.prompts[i].begin(), batch.prompts[i].end());
    }
    return rows;
  }

  std::unique_ptr<GoldenFile> golden_;
  std::shared_ptr<const Model> model_;
};

TEST_P(EngineGolden, ForwardAndLoss) {
  int groups = 0;
  for (const std::string group : {"full", "train", "pad", "padpos"}) {
    const std::string prefix = "io." + group + ".";
    if (!Has(prefix + "logits")) continue;
    SCOPED_TRACE(group);
    ++groups;
    // Vanilla padpos repeats the inputs of pad with other positions.
    ForwardInput input = Input(group == "padpos" ? "pad" : group);
    if (group == "padpos") {
      input.positions = Cast<int32_t>(golden_->Integers("io.padpos.position_ids"));
    }
    input.masked_units_attend = model_->is_block() && !Has(prefix + "logits_flash");
    const ForwardOutput output = Forward(*model_, input);
    ExpectKeptLogits(input, output.logits, Variant(prefix + "logits"), true);
    if (Has(prefix + "block_embeds")) ExpectNear(output.embeds, prefix + "block_embeds");
    if (Has(prefix + "block_hidden")) {
      ExpectNear(output.hidden, Variant(prefix + "block_hidden"));
    }
    if (!Has(prefix + "loss")) continue;
    const std::vector<int32_t> labels = Cast<int32_t>(
        golden_->Integers(prefix + (Has(prefix + "labels") ? "labels" : "input_ids")));
    if (!model_->is_block() && group == "pad") {
      ExpectSameLossBehindTokens(input, labels, output);
      continue;
    }
    const LossSums loss = ComputeLoss(*model_, input, labels, output);
    EXPECT_NEAR(loss.Mean(), golden_->Float(Variant(prefix + "loss")), kLossTolerance);
    // There is no flash variant of the losses by position: compare where both losses agree.
    if (Has(prefix + "loss_by_position") && !Has(prefix + "loss_flash")) {
      const std::vector<float> expected = golden_->Floats(prefix + "loss_by_position");
      ASSERT_EQ(loss.sum_by_position.size(), expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        if (loss.count_by_position[i] == 0) continue;
        const double mean =
            loss.sum_by_position[i] / static_cast<double>(loss.count_by_position[i]);
        EXPECT_NEAR(mean, expected[i], kLossTolerance) << "position " << i;
      }
    }
  }
  EXPECT_GT(groups, 0) << "the file holds no forward pass";
}

// Files that hold generations.
class EngineGenerationGolden : public EngineGolden {};

TEST_P(EngineGenerationGolden, MatchesTheFile) {
  int cases = 0;
  for (const char letter : std::string("abcdefghijklmnopqrstuvwxyz")) {
    const std::string prefix = std::string("io.gen_") + letter + ".";
    if (!Has(prefix + "prompt")) continue;
    SCOPED_TRACE(prefix);
    ++cases;
    PublishedBatch batch;
    batch.prompts = ToRows(*golden_, prefix + "prompt");
    batch.max_length = golden_->Integer(prefix + "max_length");
    if (Has(prefix + "attention_mask")) {
      for (const auto& row : ToRows(*golden_, prefix + "attention_mask")) {
        batch.masks.push_back(Cast<uint8_t>(row));
      }
    }
    if (Has(prefix + "eos_token_id")) {
      batch.eos_id = static_cast<int32_t>(golden_->Integer(prefix + "eos_token_id"));
      const auto fill_id = [&](const std::string& name, int32_t fallback) {
        return Has(prefix + name) ? static_cast<int32_t>(golden_->Integer(prefix + name))
                                  : fallback;
      };
      batch.block_fill_id = fill_id("generation_pad_token_id", batch.block_fill_id);
      batch.later_fill_id = fill_id("config_pad_token_id", batch.block_fill_id);
    }
    if (Has(prefix + "output")) {
      EXPECT_EQ(GeneratePublished(model_, batch), ToRows(*golden_, prefix + "output"));
    }
    if (Has(prefix + "output_consistent")) {
      EXPECT_EQ(GenerateConsistently(batch), ToRows(*golden_, prefix + "output_consistent"));
    }
  }
  EXPECT_GT(cases, 0) << "the file holds no generation";
}

INSTANTIATE_TEST_SUITE_P(Files, EngineGolden,
                         testing::ValuesIn(GoldenNames({"io.full.", "io.pad."})),
                         [](const auto& test) { return GoldenTestName(test.param); });
INSTANTIATE_TEST_SUITE_P(Files, EngineGenerationGolden, testing::ValuesIn(GoldenNames({"io.gen_"})),
                         [](const auto& test) { return GoldenTestName(test.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EngineGolden);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EngineGenerationGolden);

}  // namespace
}  // namespace blockformer
