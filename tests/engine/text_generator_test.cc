#include "blockformer/text_generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <stdexcept>
#include <thread>

#include "base/parallel.h"
#include "blockformer/error.h"
#include "tests/cpu/tiny_model_directory.h"
#include "text/tokenizer.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class TextGeneratorTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/text-generator-test-" + std::to_string(getpid());
    WriteTinyModel(directory_, TinyTextConfig());
    // The draws of a random model seldom end a text by themselves.
    options_.max_tokens = 20;
    options_.temperature = 1.0;
    options_.ignore_end_of_text = true;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  TextGenerator Load(std::function<bool()> keep_going = {}) const {
    GeneratorOptions options;
    options.dtype = "int8";  // a row's results depend on the row alone
    options.max_sequences = 4;
    options.keep_going = std::move(keep_going);
    return TextGenerator::Load(directory_, options);
  }

  std::string directory_;
  TextOptions options_;
};

TEST_F(TextGeneratorTest, CountsTokens) {
  const TextGenerator generator = Load();
  EXPECT_EQ(generator.CountTokens(""), 0);
  EXPECT_EQ(generator.CountPromptTokens("", {}), 1);
  EXPECT_EQ(generator.CountTokens("abc the"), 4);  // " the" is one token
  EXPECT_EQ(generator.max_length(), TinyTextConfig().max_length);
}

TEST_F(TextGeneratorTest, TextsObeyTheirFormat) {
  TextGenerator generator = Load();
  options_.ignore_end_of_text = false;
  options_.max_tokens = 40;
  options_.json_schema = R"({"enum": ["yes", "no", 17]})";
  int asked = 0;
  std::vector<std::string> texts;
  generator.GenerateBatch(
      [&] { return asked++ < 6 ? std::optional<std::string>("the end") : std::nullopt; }, options_,
      [&](int64_t, const GeneratedText& result) {
        EXPECT_EQ(result.reason, FinishReason::kEndOfText);
        texts.push_back(result.text.substr(result.text.find_first_not_of(" \n\r\t")));
        return true;
      });
  EXPECT_EQ(texts.size(), 6U);
  EXPECT_THAT(texts, testing::Each(testing::AnyOf("\"yes\"", "\"no\"", "17")));
  options_.json_schema.clear();
  options_.json_object = true;
  const std::string object = generator.Generate("the end", options_).text;
  EXPECT_EQ(object[object.find_first_not_of(" \n\r\t")], '{') << object;
}

// Of a batch too, before any of it is generated.
TEST_F(TextGeneratorTest, FormatsThatCannotBeAreErrors) {
  TextGenerator generator = Load();
  const auto message = [&] {
    int asked = 0;
    try {
      generator.GenerateBatch(
          [&] { return asked++ < 1 ? std::optional<std::string>("a") : std::nullopt; }, options_,
          [](int64_t, const GeneratedText&) { return true; });
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_EQ(asked, 0);
      return std::string(error.what());
    }
    return std::string();
  };
  options_.json_schema = R"({"properties": {"x": {"type": "date"}}})";
  EXPECT_THAT(message(), HasSubstr("`json_schema`: its texts end"));
  options_.ignore_end_of_text = false;
  EXPECT_THAT(message(), HasSubstr("json_schema.properties.x.type: "));
  options_.json_object = true;
  EXPECT_THAT(message(), HasSubstr("`json_schema`: is set beside json_object"));
}

TEST_F(TextGeneratorTest, ContinuesIdsAsTheyAre) {
  TextGenerator generator = Load();
  const std::vector<int32_t> ids = Tokenizer::Load(directory_).Encode("the end");
  const GeneratedText expected = generator.Generate("the end", options_);
  const GeneratedText result = generator.Generate(ids, options_);
  EXPECT_EQ(result.tokens, expected.tokens);
  EXPECT_EQ(result.prompt_tokens, std::ssize(ids));
  int asked = 0;
  std::vector<std::vector<int32_t>> texts(2);
  generator.GenerateBatch(
      [&]() -> std::optional<TextGenerator::Prompt> {
        if (asked++ == 2) return std::nullopt;
        return ids;
      },
      options_,
      [&](int64_t index, const GeneratedText& text) {
        texts[index] = text.tokens;
        return true;
      });
  EXPECT_EQ(texts[0], expected.tokens);
  EXPECT_NE(texts[1], texts[0]) << "it draws from another stream";
}

TEST_F(TextGeneratorTest, EndsAtTheLength) {
  TextGenerator generator = Load();
  std::string pieces;
  const GeneratedText result = generator.Generate("the end", options_, [&](std::string_view piece) {
    pieces += piece;
    return true;
  });
  EXPECT_EQ(result.reason, FinishReason::kLength);
  EXPECT_EQ(result.tokens.size(), 20U);
  EXPECT_EQ(result.prompt_tokens, generator.CountTokens("the end"));
  EXPECT_EQ(result.text, pieces);
}

TEST_F(TextGeneratorTest, EndsBeforeAStopText) {
  TextGenerator generator = Load();
  const std::string whole = generator.Generate("x", options_).text;
  ASSERT_GT(whole.size(), 8U);
  // A character in the middle, whole in UTF-8.
  size_t begin = whole.size() / 2;
  while ((static_cast<uint8_t>(whole[begin]) & 0xC0) == 0x80) --begin;
  size_t end = begin + 1;
  while (end < whole.size() && (static_cast<uint8_t>(whole[end]) & 0xC0) == 0x80) ++end;
  options_.stop = {"no such text", whole.substr(begin, end - begin)};
  const GeneratedText result = generator.Generate("x", options_);
  EXPECT_EQ(result.reason, FinishReason::kStop);
  EXPECT_EQ(result.text, whole.substr(0, whole.find(options_.stop[1])));
}

TEST_F(TextGeneratorTest, EndsWhereTheModelEndsItsText) {
  // A model whose end-of-text token is one that it has drawn ends there.
  const GeneratedText endless = Load().Generate("x", options_);
  ModelConfig config = TinyTextConfig();
  config.eos_token_id = endless.tokens[5];
  WriteModelConfig(directory_, config);
  options_.ignore_end_of_text = false;
  const GeneratedText result = Load().Generate("x", options_);
  EXPECT_EQ(result.reason, FinishReason::kEndOfText);
  const auto end = std::find(endless.tokens.begin(), endless.tokens.end(), endless.tokens[5]);
  EXPECT_EQ(result.tokens, std::vector<int32_t>(endless.tokens.begin(), end));
}

TEST_F(TextGeneratorTest, IdsWithoutATokenAreNeverDrawn) {
  // " the" moves to the model's largest id: those between are left without a token.
  const std::string path = directory_ + "/tokenizer.json";
  Json json = ParseJson(ReadFile(path), path);
  constexpr int32_t kLastId = kByteTokenizerVocabSize + 3;
  json["model"]["vocab"][ToByteAlphabet(" the")] = kLastId;
  WriteFileAtomically(path, json.dump());
  EXPECT_THAT(Tokenizer::Load(path).MissingIds(), testing::ElementsAre(259, 260, 261, 262));
  TextGenerator generator = Load();
  options_.max_tokens = 50;
  options_.temperature = 100;  // as good as uniform: a hole would be drawn within some 70 tokens
  options_.repetition_penalty = 100;
  for (options_.seed = 0; options_.seed < 20; ++options_.seed) {
    const GeneratedText result = generator.Generate(" the", options_);
    EXPECT_EQ(result.tokens.size(), 50U);
    for (const int32_t id : result.tokens) EXPECT_TRUE(id < 259 || id == kLastId) << id;
  }
}

TEST_F(TextGeneratorTest, EndsWhenTheCallerWantsNoMore) {
  TextGenerator generator = Load();
  const GeneratedText whole = generator.Generate("x", options_);
  std::string piece;
  const GeneratedText result = generator.Generate("x", options_, [&](std::string_view first) {
    piece = first;
    return false;
  });
  EXPECT_EQ(result.reason, FinishReason::kCancelled);
  EXPECT_EQ(result.text, piece);
  EXPECT_LT(result.text.size(), whole.text.size());
  EXPECT_EQ(generator.Generate("x", options_).text, whole.text);
}

TEST_F(TextGeneratorTest, AsksKeepGoingBeforeEveryStep) {
  int steps = 0;
  TextGenerator generator = Load([&] { return ++steps <= 2; });
  const GeneratedText result = generator.Generate("x", options_);
  EXPECT_EQ(result.reason, FinishReason::kCancelled);
  EXPECT_EQ(result.tokens.size(), 8U);  // two blocks

  steps = 2;
  int prompts = 0;
  const auto next = [&]() -> std::optional<std::string> {
    ++prompts;
    return "x";
  };
  generator.GenerateBatch(next, options_, [](int64_t, const GeneratedText&) {
    ADD_FAILURE() << "nothing can have ended";
    return true;
  });
  EXPECT_GT(prompts, 0);
}

TEST_F(TextGeneratorTest, GoesOnAfterAnExceptionOfACallback) {
  TextGenerator generator = Load();
  const std::string whole = generator.Generate("x", options_).text;
  const auto fail = [](std::string_view) -> bool { throw std::runtime_error("full"); };
  EXPECT_THROW(generator.Generate("x", options_, fail), std::runtime_error);
  EXPECT_EQ(generator.Generate("x", options_).text, whole);

  int left = 6;
  const auto next = [&]() -> std::optional<std::string> {
    if (left-- == 0) throw std::runtime_error("unreadable");
    return "y";
  };
  const auto ignore = [](int64_t, const GeneratedText&) { return true; };
  EXPECT_THROW(generator.GenerateBatch(next, options_, ignore), std::runtime_error);
  EXPECT_EQ(generator.Generate("x", options_).text, whole);
}

TEST_F(TextGeneratorTest, ATextIsTheSameAloneAndInABatch) {
  TextGenerator generator = Load();
  const std::vector<std::string> prompts = {"a", "the other", "", "abcdefgh", "zz", "q", "the"};
  size_t position = 0;
  const auto next = [&]() -> std::optional<std::string> {
    if (position == prompts.size()) return std::nullopt;
    return prompts[position++];
  };
  std::map<int64_t, GeneratedText> results;
  generator.GenerateBatch(next, options_, [&](int64_t index, const GeneratedText& result) {
    results[index] = result;
    return true;
  });
  ASSERT_EQ(results.size(), prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    bool asked = false;
    const auto alone = [&]() -> std::optional<std::string> {
      if (std::exchange(asked, true)) return std::nullopt;
      return prompts[i];
    };
    generator.GenerateBatch(
        alone, options_,
        [&](int64_t, const GeneratedText& result) {
          EXPECT_EQ(result.tokens, results[static_cast<int64_t>(i)].tokens) << prompts[i];
          return true;
        },
        i);
  }
}

TEST_F(TextGeneratorTest, ItsThreadsHoldForCallsFromAnyThread) {
  const int before = NumThreads();
  GeneratorOptions options;
  options.threads = before + 1;
  TextGenerator generator = TextGenerator::Load(directory_, options);
  int seen = 0;
  std::thread([&] {
    generator.Generate("a", options_, [&](std::string_view) {
      seen = NumThreads();
      return true;
    });
  }).join();
  EXPECT_EQ(seen, options.threads);
  EXPECT_EQ(NumThreads(), before);
  options.threads = -1;
  EXPECT_THROW(TextGenerator::Load(directory_, options), Error);
}

TEST_F(TextGeneratorTest, TwoGenerateAtOnce) {
  TextGenerator generators[] = {Load(), Load()};
  const std::string expected = generators[0].Generate("the other", options_).text;
  std::vector<std::thread> callers;
  for (TextGenerator& generator : generators) {
    callers.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(generator.Generate("the other", options_).text, expected);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST_F(TextGeneratorTest, ATextThatFailsEndsAlone) {
  for (const ModelConfig& config : {TinyTextConfig(), TinyVanillaTextConfig()}) {
    WriteTinyModel(directory_, config, 3, /*overflowing_id=*/'Z' + 1);
    options_.temperature = 0;
    GeneratorOptions in_f32;  // whose tables hold what overflows later
    in_f32.dtype = "f32";
    in_f32.max_sequences = 4;
    TextGenerator generator = TextGenerator::Load(directory_, in_f32);
    EXPECT_THROW(generator.Generate("aZ", options_), Error);
    const std::vector<std::string> prompts = {"a", "aZ", "b", "\xff", std::string(60, 'x'), "c"};
    size_t position = 0;
    const auto next = [&]() -> std::optional<std::string> {
      if (position == prompts.size()) return std::nullopt;
      return prompts[position++];
    };
    std::map<int64_t, GeneratedText> results;
    generator.GenerateBatch(next, options_, [&](int64_t index, const GeneratedText& result) {
      results[index] = result;
      return true;
    });
    ASSERT_EQ(results.size(), prompts.size());
    const std::map<int64_t, std::string> errors = {
        {1, "not finite"}, {3, "valid UTF-8"}, {4, "exceed the maximal length"}};
    for (const auto& [index, result] : results) {
      if (errors.contains(index)) {
        EXPECT_EQ(result.reason, FinishReason::kError);
        EXPECT_THAT(result.error, HasSubstr(errors.at(index)));
      } else {
        EXPECT_EQ(result.error, "");
        EXPECT_EQ(result.tokens, generator.Generate(prompts[index], options_).tokens);
      }
    }
  }
}

}  // namespace
}  // namespace blockformer
