#include "checkpoint/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/error.h"
#include "checkpoint/gguf_file.h"
#include "tests/checkpoint/gguf_writer.h"
#include "text/byte_alphabet.h"
#include "text/metaspace.h"
#include "text/tokenizer.h"
#include "text/tokenizer_file.h"

namespace blockformer {
namespace {

using testing::HasSubstr;
using TokenIds = std::vector<int32_t>;

// What a file says of a tokenizer.
struct GgufVocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;
  std::vector<std::string> merges;

  int32_t Add(const std::string& token, int32_t type = 1, float score = 0) {
    tokens.push_back(token);
    types.push_back(type);
    scores.push_back(score);
    return static_cast<int32_t>(tokens.size()) - 1;
  }
};

// <|end|>, the 256 bytes, and two merges.
GgufVocabulary ByteLevelVocabulary() {
  GgufVocabulary vocabulary;
  vocabulary.Add("<|end|>", 3);
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.Add(ToByteAlphabet(std::string(1, static_cast<char>(byte))));
  }
  vocabulary.Add("12");     // 257
  vocabulary.Add("Ġa");     // 258
  vocabulary.Add("123");    // 259
  vocabulary.Add("Ġab");    // 260: no merge makes it
  vocabulary.Add("  ", 4);  // 261
  vocabulary.Add("[PAD]", 5);
  vocabulary.merges = {"1 2", "Ġ a", "12 3"};
  return vocabulary;
}

// <unk>, <s>, </s>, the 256 bytes, and pieces.
GgufVocabulary SentencePieceVocabulary() {
  GgufVocabulary vocabulary;
  vocabulary.Add("<unk>", 2);
  vocabulary.Add("<s>", 3);
  vocabulary.Add("</s>", 3);
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.Add(ByteToken(static_cast<unsigned char>(byte)), 6);
  }
  for (const char* piece : {"\xE2\x96\x81", "a", "b", "c"}) vocabulary.Add(piece, 1, -100);
  return vocabulary;
}

class GgufTokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/gguf-tokenizer-" + std::to_string(getpid()) + ".gguf";
  }
  void TearDown() override { std::filesystem::remove(path_); }

  using Keys = std::function<void(GgufWriter*)>;

  GgufTokenizer Read(const GgufVocabulary& vocabulary, const char* model, const Keys& keys) const {
    GgufWriter writer;
    writer.AddText("tokenizer.ggml.model", model);
    writer.AddTexts("tokenizer.ggml.tokens", vocabulary.tokens);
    writer.AddNumbers("tokenizer.ggml.token_type", 5, vocabulary.types);
    if (model == std::string("llama")) {
      writer.AddNumbers("tokenizer.ggml.scores", 6, vocabulary.scores);
    } else {
      writer.AddTexts("tokenizer.ggml.merges", vocabulary.merges);
    }
    keys(&writer);
    writer.Write(path_);
    const std::optional<GgufTokenizer> read = ReadGgufTokenizer(GgufFile(path_));
    return read.value_or(GgufTokenizer());
  }
  static Keys Pre(const char* name) {
    return [name](GgufWriter* writer) { writer->AddText("tokenizer.ggml.pre", name); };
  }
  TokenIds Encode(const GgufTokenizer& files, std::string_view text) const {
    return Tokenizer::Parse(files.tokenizer_json, path_).EncodeWithPrefix(text);
  }
  std::string ErrorOf(const GgufVocabulary& vocabulary, const char* model, const Keys& keys) const {
    try {
      Read(vocabulary, model, keys);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(path_));
      return error.what();
    }
    return "no error";
  }

  std::string path_;
};

TEST_F(GgufTokenizerTest, PreTokenizersCutAsTheyAreNamed) {
  const GgufVocabulary vocabulary = ByteLevelVocabulary();
  const auto byte = [](char c) { return 1 + static_cast<unsigned char>(c); };
  const auto encode = [&](const char* pre, std::string_view text) {
    return Encode(Read(vocabulary, "gpt2", Pre(pre)), text);
  };
  EXPECT_EQ(encode("gpt-2", "1231"), (TokenIds{259, byte('1')}));
  EXPECT_EQ(encode("smollm", "123"), (TokenIds{byte('1'), byte('2'), byte('3')}));
  EXPECT_EQ(encode("starcoder", "123"), encode("smollm", "123"));
  EXPECT_EQ(encode("llama3", "1212 ab"), encode("llama-bpe", "1212 ab"));
  EXPECT_EQ(encode("qwen2", "12"), (TokenIds{byte('1'), byte('2')}));
  EXPECT_EQ(encode("deepseek-r1-qwen", "12"), encode("qwen2", "12"));
  EXPECT_EQ(encode("deepseek-r1-qwen", "e\xCC\x81").size(), 3);                   // no NFC
  EXPECT_EQ(encode("llama-bpe", "1212"), (TokenIds{257, byte('1'), byte('2')}));  // 121, 2
  EXPECT_EQ(encode("default", "1212"), (TokenIds{257, byte('1'), byte('2')}));
  EXPECT_EQ(encode("default", "a.12"), (TokenIds{byte('a'), byte('.'), 257}));
  EXPECT_EQ(encode("gpt-2", " ab"), (TokenIds{258, byte('b')}));
  EXPECT_EQ(encode("llama-bpe", " ab"), (TokenIds{260}));  // whole words, whatever the merges
  EXPECT_EQ(encode("qwen2", "e\xCC\x81"), (TokenIds{byte('\xC3'), byte('\xA9')}));  // NFC
  EXPECT_EQ(encode("gpt-2", "e\xCC\x81").size(), 3);
}

TEST_F(GgufTokenizerTest, SpecialAndAddedTokensAreFoundInTexts) {
  const GgufTokenizer files = Read(ByteLevelVocabulary(), "gpt2", Pre("gpt-2"));
  EXPECT_EQ(Encode(files, "1<|end|>  1"), (TokenIds{1 + '1', 0, 261, 1 + '1'}));
  const Tokenizer tokenizer = Tokenizer::Parse(files.tokenizer_json, path_);
  EXPECT_TRUE(tokenizer.IsSpecial(0));
  EXPECT_FALSE(tokenizer.IsSpecial(261));
  EXPECT_FALSE(tokenizer.FindToken("[PAD]"));
  EXPECT_EQ(tokenizer.Decode(TokenIds{258, 0, 261}), " a<|end|>  ");
}

TEST_F(GgufTokenizerTest, AddsTheBeginOfTextAsTheFileOrItsKindSays) {
  const GgufVocabulary vocabulary = ByteLevelVocabulary();
  const auto with = [&](const char* pre, std::optional<bool> add) {
    return Read(vocabulary, "gpt2", [&](GgufWriter* writer) {
      writer->AddText("tokenizer.ggml.pre", pre);
      writer->AddUint("tokenizer.ggml.bos_token_id", 0);
      if (add) writer->AddBool("tokenizer.ggml.add_bos_token", *add);
    });
  };
  EXPECT_EQ(Encode(with("gpt-2", {}), "12"), (TokenIds{257}));
  EXPECT_EQ(Encode(with("gpt-2", true), "12"), (TokenIds{0, 257}));
  EXPECT_EQ(Encode(with("llama-bpe", {}), "12"), (TokenIds{0, 257}));
  EXPECT_EQ(Encode(with("llama-bpe", false), "12"), (TokenIds{257}));
}

TEST_F(GgufTokenizerTest, WritesTheConfigurationWithTheChatTemplate) {
  const GgufTokenizer files = Read(ByteLevelVocabulary(), "gpt2", [](GgufWriter* writer) {
    writer->AddUint("tokenizer.ggml.eos_token_id", 0);
    writer->AddText("tokenizer.chat_template", "{{ messages }}");
  });
  const Json config = ParseJson(files.tokenizer_config_json, "test");
  EXPECT_EQ(config["eos_token"], "<|end|>");
  EXPECT_EQ(config["add_bos_token"], false);
  EXPECT_EQ(config["chat_template"], "{{ messages }}");
  EXPECT_FALSE(config.contains("bos_token"));

  const GgufTokenizer several = Read(ByteLevelVocabulary(), "gpt2", [](GgufWriter* writer) {
    writer->AddText("tokenizer.chat_template", "one");
    writer->AddTexts("tokenizer.chat_templates", {"tool_use"});
    writer->AddText("tokenizer.chat_template.tool_use", "two");
  });
  EXPECT_EQ(ParseJson(several.tokenizer_config_json, "test")["chat_template"],
            Json::parse(R"([{"name": "default", "template": "one"},
                            {"name": "tool_use", "template": "two"}])"));
}

// The order is that of transformers' generate_merges: scores, then the longer left parts.
TEST_F(GgufTokenizerTest, MergesFollowFromTheScoresOfPieces) {
  GgufVocabulary vocabulary = SentencePieceVocabulary();
  const int32_t a = 260;
  const int32_t b = 261;
  const int32_t c = 262;
  const int32_t bc = vocabulary.Add("bc", 1, -1);
  const int32_t ab = vocabulary.Add("ab", 1, -2);
  const int32_t abc = vocabulary.Add("abc", 1, -3);
  vocabulary.Add("<c>", 3);
  const int32_t spaced = vocabulary.Add(
      "\xE2\x96\x81"
      "a",
      1, -4);
  const GgufTokenizer files = Read(vocabulary, "llama", [](GgufWriter* writer) {
    writer->AddUint("tokenizer.ggml.bos_token_id", 1);
  });
  const TokenizerDescription description = ParseTokenizerJson(files.tokenizer_json, path_);
  std::vector<TokenIds> merges;
  for (const Merge& merge : description.merges) {
    merges.push_back({merge.left, merge.right, merge.result});
  }
  EXPECT_EQ(merges, (std::vector<TokenIds>{
                        {b, c, bc}, {a, b, ab}, {ab, c, abc}, {a, bc, abc}, {259, a, spaced}}));
  EXPECT_EQ(Encode(files, "a abc<c>\n"), (TokenIds{1, spaced, 259, abc, 266, 259, 3 + '\n'}));
  const Tokenizer tokenizer = Tokenizer::Parse(files.tokenizer_json, path_);
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("ab c\xC3\xA9")), "ab c\xC3\xA9");

  const GgufTokenizer bare = Read(vocabulary, "llama", [](GgufWriter* writer) {
    writer->AddUint("tokenizer.ggml.bos_token_id", 1);
    writer->AddBool("tokenizer.ggml.add_bos_token", false);
    writer->AddBool("tokenizer.ggml.add_space_prefix", false);
  });
  EXPECT_EQ(Encode(bare, "a abc"), (TokenIds{a, 259, abc}));
}

TEST_F(GgufTokenizerTest, AFileWithoutOneHasNone) {
  GgufWriter writer;
  writer.AddText("general.architecture", "llama");
  writer.Write(path_);
  EXPECT_FALSE(ReadGgufTokenizer(GgufFile(path_)));
}

TEST_F(GgufTokenizerTest, RefusesWhatItDoesNotKnowOrContradictsItself) {
  const Keys none = [](GgufWriter*) {};
  const GgufVocabulary bytes = ByteLevelVocabulary();
  const GgufVocabulary pieces = SentencePieceVocabulary();
  EXPECT_THAT(ErrorOf(bytes, "bert", none), HasSubstr("\"bert\" is not supported; gpt2 and llama"));
  EXPECT_THAT(ErrorOf(bytes, "gpt2", Pre("deepseek-llm")),
              HasSubstr("tokenizer.ggml.pre: \"deepseek-llm\" is not supported; one of default"));
  GgufVocabulary changed = bytes;
  changed.types.pop_back();
  EXPECT_THAT(ErrorOf(changed, "gpt2", none), HasSubstr("token_type: has 262 elements for 263"));
  changed = bytes;
  changed.tokens[258] = "12";
  EXPECT_THAT(ErrorOf(changed, "gpt2", none), HasSubstr("tokens[258]: \"12\" stands twice"));
  changed = bytes;
  changed.tokens[258] = "";
  EXPECT_THAT(ErrorOf(changed, "gpt2", none), HasSubstr("tokens[258]: is empty"));
  changed = bytes;
  changed.types[3] = 7;
  EXPECT_THAT(ErrorOf(changed, "gpt2", none), HasSubstr("token_type"));
  changed = bytes;
  changed.merges.emplace_back("1 9");
  EXPECT_THAT(ErrorOf(changed, "gpt2", none),
              HasSubstr("merges[3]: the merge of \"1\" and \"9\" needs the token \"19\""));
  changed.merges.back() = "19";
  EXPECT_THAT(ErrorOf(changed, "gpt2", none), HasSubstr("merges[3]: \"19\" is not a merge"));
  EXPECT_THAT(
      ErrorOf(bytes, "gpt2", [](GgufWriter* w) { w->AddUint("tokenizer.ggml.eos_token_id", 263); }),
      HasSubstr("eos_token_id: 263 is not possible; an integer from 0 to 262"));
  EXPECT_THAT(
      ErrorOf(bytes, "gpt2", [](GgufWriter* w) { w->AddUint("tokenizer.ggml.eos_token_id", 262); }),
      HasSubstr("262 is the id of an unused token"));
  changed = pieces;
  changed.tokens[3 + 10] = "<0xZZ>";
  EXPECT_THAT(ErrorOf(changed, "llama", none), HasSubstr("there is no token <0x0A>"));
  changed = pieces;
  changed.scores.pop_back();
  EXPECT_THAT(ErrorOf(changed, "llama", none), HasSubstr("scores: has 262 elements for 263"));
  changed = pieces;
  changed.scores[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(ErrorOf(changed, "llama", none), HasSubstr("scores: holds something"));
  changed = pieces;
  changed.Add(std::string(1024, 'a'));
  EXPECT_EQ(ErrorOf(changed, "llama", none), "no error");
  changed.tokens.back() += 'a';
  EXPECT_THAT(ErrorOf(changed, "llama", none),
              HasSubstr("tokens[263]: a piece of 1025 bytes is not supported; at most 1024"));
  // Hours, if all its ways to be cut in two were looked up.
  changed.tokens.back().resize(size_t{1} << 23, 'a');
  EXPECT_THAT(ErrorOf(changed, "llama", none), HasSubstr("a piece of 8388608 bytes"));
  EXPECT_THAT(
      ErrorOf(pieces, "llama",
              [](GgufWriter* w) { w->AddBool("tokenizer.ggml.remove_extra_whitespaces", true); }),
      HasSubstr("remove_extra_whitespaces: true is not supported"));
}

// What is written says all that was read.
TEST(WriteTokenizerJson, IsReadAsWhatItWasWrittenFrom) {
  TokenizerDescription description;
  description.vocabulary = {{"a", 0}, {"b", 1}, {"ab", 2}, {"<s>", 3}};
  description.merges = {{0, 1, 2}};
  description.added_tokens = {{.id = 3, .content = "<s>", .special = true}};
  description.nfc = true;
  description.gpt2_pattern = false;
  description.split_patterns = {"\\p{N}", "[a-z]+"};
  description.ignore_merges = true;
  description.text_prefix = {3, 3};
  const TokenizerDescription read = ParseTokenizerJson(WriteTokenizerJson(description), "test");
  EXPECT_EQ(read.vocabulary, description.vocabulary);
  EXPECT_EQ(read.merges.size(), 1);
  EXPECT_EQ(read.split_patterns, description.split_patterns);
  EXPECT_EQ(read.text_prefix, description.text_prefix);
  EXPECT_TRUE(read.nfc && read.ignore_merges && !read.gpt2_pattern);
  ASSERT_EQ(read.added_tokens.size(), 1);
  EXPECT_TRUE(read.added_tokens[0].special);
}

}  // namespace
}  // namespace blockformer
