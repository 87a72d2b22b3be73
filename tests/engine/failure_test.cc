// A sequence for which the model computes numbers that are not finite, or whose callback throws,
// ends alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "base/error.h"
#include "base/random.h"
#include "engine/engine.h"
#include "tests/cpu/tiny_model.h"
#include "tests/engine/wrapped_model.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

constexpr int32_t kBadId = 7;

// TinyWeights with one row of a table so large, though finite, that what reads it overflows.
std::shared_ptr<const Model> MakeOverflowingModel(const ModelConfig& config,
                                                  const std::string& table, int32_t id,
                                                  NumberType type = NumberType::kF32) {
  ReadWeights read = TinyWeights(config, type);
  read.floats = [floats = read.floats, table, id](const std::string& name) {
    std::vector<float> values = floats(name);
    if (name != table) return values;
    const size_t width = values.size() / 61;
    for (size_t d = 0; d < width; ++d) {
      values[static_cast<size_t>(id) * width + d] = d % 2 == 0 ? 1e30F : -1e30F;
    }
    return values;
  };
  return std::make_shared<const CpuModel>(config, read);
}

std::string InputTable(const ModelConfig& config) {
  if (config.kind == ModelKind::kVanilla) return "gpt_neox.embed_in.weight";
  return config.embedder.type == EmbedderType::kLookup
             ? "embedder.embeddings.weight"
             : "embedder.embeddings.word_embeddings.weight";
}

std::vector<int32_t> PromptWithout(int64_t length, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> prompt;
  for (int64_t i = 0; i < length; ++i) {
    prompt.push_back(static_cast<int32_t>(kBadId + 1 + random.Below(50)));
  }
  return prompt;
}

GenerationRequest FailingRequest(std::vector<int32_t> prompt, int64_t max_tokens = 12) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.stop_at_eos = false;
  return request;
}

// What one sequence's callbacks heard.
struct Heard {
  std::vector<int32_t> tokens;
  int finished = 0;
  std::vector<std::string> errors;

  TokenCallback Take() {
    return [this](const GeneratedTokens& fresh) {
      tokens.insert(tokens.end(), fresh.ids.begin(), fresh.ids.end());
      finished += fresh.finished;
      return true;
    };
  }
  FailureCallback Fail() {
    return [this](const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      errors.emplace_back(error.what());
    };
  }
};

class FailureTest : public testing::TestWithParam<std::string> {
 protected:
  FailureTest()
      : config_(TinyConfigs().at(GetParam())),
        model_(MakeOverflowingModel(config_, InputTable(config_), kBadId)) {
    options_.excluded_ids = {kBadId};
  }

  std::vector<int32_t> Alone(GenerationRequest request) const {
    Engine engine(model_, options_);
    return GenerateAll(&engine, {std::move(request)})[0];
  }

  // Longer than a page of the cache, with the bad token in the page.
  std::vector<int32_t> BadPrompt() const {
    std::vector<int32_t> prompt = PromptWithout(20 * model_->unit_length(), 3);
    prompt[5] = kBadId;
    return prompt;
  }

  ModelConfig config_;
  std::shared_ptr<const Model> model_;
  EngineOptions options_;
};

TEST_P(FailureTest, ASequenceThatIsNotFiniteEndsAlone) {
  Engine engine(model_, options_);
  std::vector<Heard> heard(5);
  for (size_t i = 0; i < heard.size(); ++i) {
    std::vector<int32_t> prompt = PromptWithout(static_cast<int64_t>(4 + i), i);
    if (i == 1 || i == 3) prompt.push_back(kBadId);
    engine.Submit(FailingRequest(std::move(prompt)), heard[i].Take(), heard[i].Fail());
  }
  engine.Run();
  for (size_t i = 0; i < heard.size(); ++i) {
    if (i == 1 || i == 3) {
      ASSERT_EQ(heard[i].errors.size(), 1U) << i;
      EXPECT_THAT(heard[i].errors[0], HasSubstr("after 0 generated tokens"));
      EXPECT_EQ(heard[i].finished, 0);
      EXPECT_TRUE(heard[i].tokens.empty());
    } else {
      EXPECT_TRUE(heard[i].errors.empty()) << i;
      EXPECT_EQ(heard[i].finished, 1);
      EXPECT_EQ(heard[i].tokens,
                Alone(FailingRequest(PromptWithout(static_cast<int64_t>(4 + i), i))))
          << i;
    }
  }
  EXPECT_EQ(engine.stats().pages_in_use, 0);
}

TEST_P(FailureTest, ItsPagesAreNotSharedWithLaterOnes) {
  Engine engine(model_, options_);
  for (int i = 0; i < 2; ++i) {
    Heard heard;
    engine.Submit(FailingRequest(BadPrompt()), heard.Take(), heard.Fail());
    engine.Run();
    EXPECT_EQ(heard.errors.size(), 1U);
    EXPECT_EQ(engine.stats().cached_prompt_units, 0);
    EXPECT_EQ(engine.stats().pages_cached, 0);
  }
}

TEST_P(FailureTest, WithoutSomebodyToTellItIsThrownAndTheOthersGoOn) {
  Engine engine(model_, options_);
  Heard heard;
  const auto ignore = [](const GeneratedTokens&) { return true; };
  engine.Submit(FailingRequest({kBadId}), ignore);
  engine.Submit(FailingRequest(PromptWithout(4, 1)), heard.Take());
  EXPECT_THROW(engine.Run(), Error);
  engine.Run();
  EXPECT_EQ(heard.tokens, Alone(FailingRequest(PromptWithout(4, 1))));
  EXPECT_THROW(GenerateAll(&engine, {FailingRequest({kBadId}), FailingRequest({1})}), Error);
  EXPECT_FALSE(engine.Step()) << "a sequence was left behind";
}

TEST_P(FailureTest, ACallbackThatThrowsEndsItsSequenceAlone) {
  Engine engine(model_, options_);
  std::vector<Heard> heard(3);
  for (size_t i = 0; i < heard.size(); ++i) {
    if (i == 1) {
      engine.Submit(FailingRequest(PromptWithout(5, i)),
                    [](const GeneratedTokens&) -> bool { throw std::runtime_error("full"); });
    }
    engine.Submit(FailingRequest(PromptWithout(5, i)), heard[i].Take());
  }
  EXPECT_THROW(engine.Run(), std::runtime_error);
  engine.Run();
  for (size_t i = 0; i < heard.size(); ++i) {
    EXPECT_EQ(heard[i].finished, 1);
    EXPECT_EQ(heard[i].tokens, Alone(FailingRequest(PromptWithout(5, i)))) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FailureTest,
                         testing::Values("Vanilla", "Prefix", "Summation", "CrossAttention",
                                         "Roberta", "RobertaCls"),
                         [](const auto& kind) { return kind.param; });

// Tables are f16 there, in which the row would be infinite.
TEST(FailedSequenceTest, TablesThatF16CannotHoldAreRefused) {
  for (const NumberType type : {NumberType::kBf16, NumberType::kInt8}) {
    try {
      MakeOverflowingModel(TinyVanillaConfig(), "gpt_neox.embed_in.weight", kBadId, type);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(),
                  HasSubstr("gpt_neox.embed_in.weight: element 168 is 1e+30, too large for f16"));
    }
  }
}

// What was generated before the failure is handed on: the token whose embedding overflows is the
// last one.
TEST(FailedSequenceTest, TokensBeforeTheFailureAreKept) {
  for (const std::string kind : {"Vanilla", "Prefix"}) {
    const ModelConfig config = TinyConfigs().at(kind);
    const GenerationRequest request = FailingRequest(PromptWithout(6, 2), 30);
    Engine clean(MakeTinyModel(config), {});
    const std::vector<int32_t> tokens = GenerateAll(&clean, {request})[0];
    // The first one that is new where it is read in its own block.
    size_t last = 1;
    const auto is_new = [&](size_t i) {
      return std::find(tokens.begin(), tokens.begin() + static_cast<int64_t>(i), tokens[i]) ==
                 tokens.begin() + static_cast<int64_t>(i) &&
             std::find(request.prompt.begin(), request.prompt.end(), tokens[i]) ==
                 request.prompt.end();
    };
    while (last % 3 == 2 || !is_new(last)) ++last;
    const std::string table =
        kind == "Vanilla" ? "gpt_neox.embed_in.weight" : "token_decoder.gpt_neox.embed_in.weight";
    Engine engine(MakeOverflowingModel(config, table, tokens[last]), {});
    Heard heard;
    engine.Submit(request, heard.Take(), heard.Fail());
    engine.Run();
    EXPECT_EQ(heard.tokens,
              std::vector<int32_t>(tokens.begin(), tokens.begin() + static_cast<int64_t>(last) + 1))
        << kind;
    EXPECT_EQ(heard.finished, 0);
    EXPECT_EQ(heard.errors.size(), 1U);
  }
}

// Nobody knows what such a step has left in the runner.
TEST(FailedSequenceTest, AnEngineWhoseStepThrewIsUsedNoMore) {
  Engine engine(BreakingModel(MakeTinyModel(TinyBlockConfig()), 2), {});
  Heard heard;
  const int64_t id = engine.Submit(FailingRequest({1}), heard.Take(), heard.Fail());
  EXPECT_THROW(engine.Run(), std::runtime_error);
  EXPECT_TRUE(engine.has_failed());
  EXPECT_EQ(engine.stats().running + engine.stats().waiting, 0);
  EXPECT_EQ(heard.finished, 0);
  EXPECT_THROW(engine.Step(), Error);
  EXPECT_THROW(engine.Submit(FailingRequest({1}), heard.Take()), Error);
  engine.Cancel(id);  // it is gone
}

}  // namespace
}  // namespace blockformer
