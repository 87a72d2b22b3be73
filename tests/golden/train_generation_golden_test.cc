// The trainer's generation against the published implementation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/golden/golden_file.h"
#include "tests/golden/train_golden_model.h"
#include "train/generate.h"

namespace blockformer {
namespace {

using TokenRows = std::vector<std::vector<int32_t>>;

TokenRows RowsOf(const torch::Tensor& tensor) {
  TokenRows rows;
  for (int64_t i = 0; i < tensor.size(0); ++i) {
    const torch::Tensor row = tensor[i].to(torch::kInt32).contiguous();
    rows.emplace_back(row.data_ptr<int32_t>(), row.data_ptr<int32_t>() + row.numel());
  }
  return rows;
}

// One io.gen_X. of a file: a batch of prompts that fills to max_length tokens, padding on the left
// included.
struct GenerationCase {
  TokenRows prompts;  // without padding
  int64_t prompt_length = 0;
  GenerateOptions options;
};

GenerationCase ReadCase(const GoldenFile& file, const std::string& prefix) {
  GenerationCase result;
  const torch::Tensor prompt = GoldenTensor(file, prefix + "prompt");
  const torch::Tensor mask = file.Has(prefix + "attention_mask")
                                 ? GoldenTensor(file, prefix + "attention_mask")
                                 : torch::ones_like(prompt);
  for (int64_t i = 0; i < prompt.size(0); ++i) {
    result.prompts.push_back(
        RowsOf(prompt[i].masked_select(mask[i].to(torch::kBool)).unsqueeze(0)).front());
  }
  result.prompt_length = prompt.size(1);
  result.options.max_tokens = file.Integer(prefix + "max_length") - result.prompt_length;
  if (file.Has(prefix + "eos_token_id")) {
    const auto fill_id = [&](const std::string& name, int32_t fallback) {
      return file.Has(prefix + name) ? static_cast<int32_t>(file.Integer(prefix + name)) : fallback;
    };
    result.options.eos_ids = {static_cast<int32_t>(file.Integer(prefix + "eos_token_id"))};
    result.options.block_fill_id = fill_id("generation_pad_token_id", result.options.block_fill_id);
    result.options.later_fill_id = fill_id("config_pad_token_id", result.options.block_fill_id);
  }
  return result;
}

class GoldenGeneration : public ::testing::TestWithParam<std::string> {};

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenGeneration);
INSTANTIATE_TEST_SUITE_P(, GoldenGeneration, ::testing::ValuesIn(GoldenNames({"io.gen_"})),
                         [](const auto& test) { return GoldenTestName(test.param); });

void CheckCase(const GoldenFile& file, const LanguageModel& model, const std::string& prefix) {
  GenerationCase test = ReadCase(file, prefix);
  const auto expected = [&](const std::string& name) {
    return RowsOf(GoldenTensor(file, prefix + name).slice(1, test.prompt_length));
  };
  if (file.Has(prefix + "output_consistent")) {
    EXPECT_EQ(GenerateTokens(model, test.prompts, test.options), expected("output_consistent"));
  }
  if (!test.options.eos_ids.empty()) {
    GenerateOptions endless = test.options;
    endless.eos_ids.clear();
    TokenRows cut = GenerateTokens(model, test.prompts, endless);
    for (auto& row : cut) {
      row.erase(std::find(row.begin(), row.end(), test.options.eos_ids.front()), row.end());
    }
    EXPECT_EQ(GenerateTokens(model, test.prompts, test.options), cut);
  }
  if (file.Has(prefix + "output")) {
    test.options.published = true;
    EXPECT_EQ(GenerateTokens(model, test.prompts, test.options), expected("output"));
  }
}

TEST_P(GoldenGeneration, MatchesEveryOutput) {
  const GoldenFile file(GetParam());
  if (!file.missing_component().empty()) {
    GTEST_SKIP() << GetParam()
                 << " needs a component that is not built: " << file.missing_component();
  }
  const auto model = MakeGoldenModel(file, "w.");
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    const std::string prefix = std::string("io.gen_") + letter + ".";
    if (!file.Has(prefix + "prompt")) continue;
    SCOPED_TRACE(prefix);
    CheckCase(file, *model, prefix);
  }
}

}  // namespace
}  // namespace blockformer
