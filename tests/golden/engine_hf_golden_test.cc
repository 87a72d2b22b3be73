// The engine against transformers: models of Llama's and Qwen's families, vanilla and block,
// through their directories.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "devices/devices.h"
#include "engine/engine.h"
#include "engine/teacher_forcing.h"
#include "tests/golden/golden_file.h"
#include "tests/golden/hf_golden.h"

namespace blockformer {
namespace {

constexpr double kHfLogitTolerance = 1e-4;
constexpr double kHfLossTolerance = 1e-5;

class EngineHfGolden : public testing::TestWithParam<std::string> {
 protected:
  EngineHfGolden() : golden_(GetParam()), model_(LoadModel(golden_.directory())) {}

  // The inputs `io.GROUP`, all of whose blocks count.
  ForwardInput Input(const std::string& group) const {
    const std::string prefix = "io." + group + ".";
    const std::vector<int64_t> shape = golden_.Shape(prefix + "input_ids");
    ForwardInput input;
    input.batch = shape[0];
    input.units = shape[1];
    const std::vector<int64_t> ids = golden_.Integers(prefix + "input_ids");
    input.ids.assign(ids.begin(), ids.end());
    input.mask.assign(ids.size(), 1);
    if (golden_.Has(prefix + "attention_mask")) {
      const std::vector<int64_t> mask = golden_.Integers(prefix + "attention_mask");
      input.mask.assign(mask.begin(), mask.end());
    }
    input.unit_mask.assign(input.batch * input.units, 1);
    return input;
  }

  // `keep` says of each row of `width` numbers whether it counts.
  template <typename Keep>
  void ExpectNear(const std::vector<float>& actual, const std::string& name, int64_t width,
                  const Keep& keep) const {
    const std::vector<float> expected = golden_.Floats(name);
    ASSERT_EQ(actual.size(), expected.size()) << name;
    double largest = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
      if (!keep(static_cast<int64_t>(i) / width)) continue;
      const double difference = std::abs(double{actual[i]} - double{expected[i]});
      if (!(difference <= largest)) largest = std::isnan(difference) ? INFINITY : difference;
    }
    EXPECT_LE(largest, kHfLogitTolerance) << name;
  }

  void CheckForward(const std::string& group) const {
    SCOPED_TRACE(group);
    const std::string prefix = "io." + group + ".";
    const ForwardInput input = Input(group);
    const ForwardOutput output = Forward(*model_, input);
    const auto all = [](int64_t) { return true; };
    const int64_t width = model_->config().decoder.hidden_size;
    if (golden_.Has(prefix + "block_embeds")) {
      ExpectNear(output.embeds, prefix + "block_embeds", width, all);
      ExpectNear(output.hidden, prefix + "block_hidden", width, all);
    }
    const int64_t length = model_->unit_length();
    const int64_t targets = (input.units - 1) * length;  // of a row, in a block model
    ExpectNear(output.logits, prefix + "logits", model_->config().vocab_size, [&](int64_t row) {
      if (!model_->is_block()) return true;
      const int64_t token = row / targets * input.units * length + length + row % targets;
      return input.mask[token] != 0;
    });
    EXPECT_NEAR(ComputeLoss(*model_, input, input.ids, output).Mean(),
                golden_.Floats(prefix + "loss")[0], kHfLossTolerance);
  }

  HfGolden golden_;
  std::shared_ptr<const Model> model_;
};

TEST_P(EngineHfGolden, LogitsAndLosses) {
  CheckForward("full");
  if (golden_.Has("io.pad.logits")) CheckForward("pad");
}

TEST_P(EngineHfGolden, GreedyTexts) {
  const std::string prefix = golden_.Has("io.gen_a.prompt") ? "io.gen_a." : "io.gen_b.";
  const std::vector<std::vector<int32_t>> prompts = golden_.Rows(prefix + "prompt");
  const std::vector<std::vector<int32_t>> expected = golden_.Rows(prefix + "output");
  std::vector<GenerationRequest> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    GenerationRequest request;
    request.prompt = prompts[i];
    request.max_tokens = std::ssize(expected[i]) - std::ssize(prompts[i]);
    request.stop_at_eos = false;
    requests.push_back(std::move(request));
  }
  Engine engine(model_, {});
  std::vector<std::vector<int32_t>> texts = GenerateAll(&engine, std::move(requests));
  for (size_t i = 0; i < texts.size(); ++i) {
    texts[i].insert(texts[i].begin(), prompts[i].begin(), prompts[i].end());
  }
  EXPECT_EQ(texts, expected);
}

TEST(HfGoldenDirectoryTest, HoldsFolders) {
  if (HfGoldenNames().empty()) {
    GTEST_SKIP() << "there are no golden models in " << HfGoldenDirectory()
                 << "; set BLOCKFORMER_HF_GOLDEN_DIR";
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, EngineHfGolden, testing::ValuesIn(HfGoldenNames()),
                         [](const auto& test) { return GoldenTestName(test.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EngineHfGolden);

}  // namespace
}  // namespace blockformer
