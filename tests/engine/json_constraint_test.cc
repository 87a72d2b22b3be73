// Texts of models that know nothing, and are JSON of a schema all the same.
#include "engine/json_constraint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/parallel.h"
#include "checkpoint/model_directory.h"
#include "devices/devices.h"
#include "engine/engine.h"
#include "tests/cpu/tiny_model_directory.h"
#include "tests/text/json_validator.h"
#include "text/json_schema.h"

namespace blockformer {
namespace {

constexpr int64_t kMostTokens = 1500;

// All of them end, however the tokens are drawn.
const std::vector<std::string>& EndingSchemas() {
  static const std::vector<std::string> schemas = {
      R"({"type":"object","properties":{"name":{"type":"string","maxLength":12},
          "age":{"type":"integer"},"tags":{"type":"array","items":{"enum":["a","bc","é"]},
          "maxItems":3},"more":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/pair"}]}},
          "required":["name","age","tags"],"additionalProperties":false,
          "$defs":{"pair":{"type":"array","items":{"type":["number","boolean"]},"minItems":2,
          "maxItems":2}}})",
      R"({"type":"array","items":{"type":"string","minLength":2,"maxLength":3},"minItems":1,
          "maxItems":5})",
      R"({"enum":["yes","no",17,{"a":[1,2]}]})",
      R"({"type":"number"})",
  };
  return schemas;
}

class JsonConstraintTest : public testing::TestWithParam<bool> {
 protected:
  JsonConstraintTest() : limit_(1) {
    const std::string directory =
        testing::TempDir() + "/json-constraint-" + std::to_string(getpid());
    ModelConfig config = GetParam() ? TinyTextConfig() : TinyVanillaTextConfig();
    config.max_length = kMostTokens + 64;
    WriteTinyModel(directory, config);
    model_ = LoadModel(directory, {"cpu", NumberType::kInt8});
    tokenizer_.emplace(Tokenizer::Load(directory));
    std::filesystem::remove_all(directory);
    trie_ = std::make_shared<const TokenTrie>(*tokenizer_);
    options_.num_sampled_ids = tokenizer_->VocabSize();
  }

  TokenConstraintFactory Constraint(JsonGrammar grammar) const {
    return JsonConstraint(
        std::make_shared<JsonTokenMasks>(trie_, std::move(grammar), std::vector<int32_t>{0}));
  }
  TokenConstraintFactory Constraint(const std::string& schema) const {
    return Constraint(CompileJsonSchema(OrderedJson::parse(schema)));
  }

  // Requests that draw in all ways, with the schema of each.
  std::vector<GenerationRequest> Requests(std::vector<std::string>* schemas) const {
    std::vector<GenerationRequest> requests;
    for (size_t i = 0; i < 16; ++i) {
      GenerationRequest request;
      for (size_t j = 0; j < 1 + i * 5 % 11; ++j) {
        request.prompt.push_back(static_cast<int32_t>(1 + (i * 31 + j * 7) % 256));
      }
      request.max_tokens = kMostTokens;
      request.stream = i;
      const double temperatures[] = {0, 0.7, 1, 5};
      request.sampling.temperature = temperatures[i / 4];
      if (i % 3 == 1) request.sampling.top_k = 5;
      if (i % 3 == 2) request.sampling.top_p = 0.5;
      if (i % 5 == 1) request.log_probabilities = 2;
      if (i % 7 == 1) request.left_padding = 0;
      schemas->push_back(EndingSchemas()[i % EndingSchemas().size()]);
      request.make_constraint = Constraint(schemas->back());
      requests.push_back(std::move(request));
    }
    return requests;
  }

  std::string TextOf(const std::vector<int32_t>& ids) const { return tokenizer_->Decode(ids); }

  ThreadLimit limit_;
  std::shared_ptr<const Model> model_;
  std::optional<Tokenizer> tokenizer_;
  std::shared_ptr<const TokenTrie> trie_;
  EngineOptions options_;
};

TEST_P(JsonConstraintTest, TextsObeyTheirSchemas) {
  std::vector<std::string> schemas;
  const std::vector<GenerationRequest> requests = Requests(&schemas);
  Engine engine(model_, options_);
  const std::vector<std::vector<int32_t>> texts = GenerateAll(&engine, requests);
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_LT(std::ssize(texts[i]), kMostTokens) << "has ended by itself";
    EXPECT_TRUE(JsonValidator(Json::parse(schemas[i])).AcceptsText(TextOf(texts[i])))
        << schemas[i] << "\n"
        << TextOf(texts[i]);
  }
}

TEST_P(JsonConstraintTest, BatchMatesAndPreemptionChangeNothing) {
  std::vector<std::string> schemas;
  std::vector<GenerationRequest> requests = Requests(&schemas);
  for (GenerationRequest& request : requests) request.max_tokens = 200;
  std::vector<std::vector<int32_t>> alone;
  EngineOptions one = options_;
  one.max_length = 220;
  one.max_sequences = 1;
  for (const GenerationRequest& request : requests) {
    Engine engine(model_, one);
    alone.push_back(GenerateAll(&engine, {request})[0]);
  }
  EngineOptions small = options_;
  small.max_sequences = 8;
  small.memory_bytes = Engine(model_, one).options().memory_bytes;
  small.max_length = one.max_length;
  EngineStats stats;
  for (const EngineOptions& options : {options_, small}) {
    Engine engine(model_, options);
    EXPECT_EQ(GenerateAll(&engine, requests), alone);
    stats = engine.stats();
  }
  EXPECT_GT(stats.preemptions, 0);
}

// An object without a schema may go on without end; a bias for quotes and brackets ends it.
TEST_P(JsonConstraintTest, AnyObject) {
  const JsonValidator any(Json::parse(R"({"type":"object"})"));
  std::vector<GenerationRequest> requests;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    GenerationRequest request;
    request.prompt = {65, 66};
    request.max_tokens = seed < 10 ? 37 : kMostTokens;
    request.stream = seed;
    request.make_constraint = Constraint(AnyJsonObject());
    request.sampling.temperature = 1;
    request.sampling.logit_bias = {{'"' + 1, 30.0}, {'}' + 1, 15.0}};
    requests.push_back(std::move(request));
  }
  Engine engine(model_, options_);
  const std::vector<std::vector<int32_t>> texts = GenerateAll(&engine, requests);
  JsonAutomaton automaton(std::make_shared<const JsonGrammar>(AnyJsonObject()));
  int whole = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = TextOf(texts[i]);
    ASSERT_NE(automaton.Next(automaton.start(), text), JsonAutomaton::kNoState) << text;
    if (std::ssize(texts[i]) == requests[i].max_tokens) continue;
    ++whole;
    EXPECT_TRUE(any.AcceptsText(text)) << text;
  }
  EXPECT_GE(whole, 10) << TextOf(texts.back());
}

// Allows the letter a three times, and then nothing.
class ThreeLetters : public TokenConstraint {
 public:
  std::span<const uint64_t> Allowed() override {
    allowed_.assign(5, 0);
    if (taken_ < 3) allowed_[('a' + 1) / 64] = uint64_t{1} << (('a' + 1) % 64);
    return allowed_;
  }
  void Take(int32_t) override { ++taken_; }

 private:
  int taken_ = 0;
  std::vector<uint64_t> allowed_;
};

TEST_P(JsonConstraintTest, AFormThatNoTokenObeysIsAnError) {
  for (const double temperature : {0.0, 1.0}) {
    for (const double top_p : {1.0, 0.5}) {
      for (const int64_t most : {3, 4, 9}) {
        GenerationRequest request;
        request.prompt = {65, 66};
        request.max_tokens = most;
        request.sampling.temperature = temperature;
        request.sampling.top_p = top_p;
        request.make_constraint = [] { return std::make_unique<ThreeLetters>(); };
        Engine engine(model_, options_);
        std::vector<int32_t> ids;
        std::optional<Error> failure;
        engine.Submit(
            request,
            [&](const GeneratedTokens& tokens) {
              ids.insert(ids.end(), tokens.ids.begin(), tokens.ids.end());
              return true;
            },
            [&](const Error& error) { failure = error; });
        engine.Run();
        EXPECT_EQ(ids, std::vector<int32_t>(3, 'a' + 1));
        ASSERT_EQ(failure.has_value(), most > 3);
        if (!failure) continue;
        EXPECT_EQ(failure->code(), ErrorCode::kUnsupported);
        EXPECT_THAT(failure->what(), testing::HasSubstr("after 3 generated tokens the vocabulary"));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, JsonConstraintTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Block" : "Vanilla"; });

}  // namespace
}  // namespace blockformer
