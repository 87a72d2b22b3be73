#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "config/json.h"
#include "tests/text/random_text.h"
#include "tests/text/tiny_tokenizer.h"
#include "text/byte_alphabet.h"

namespace blockformer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The tokens of a text as bytes.
std::vector<std::string> Tokens(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::string> tokens;
  for (const int32_t id : tokenizer.Encode(text)) tokens.emplace_back(tokenizer.TokenBytes(id));
  return tokens;
}

std::string ErrorOf(const std::function<void()>& work, ErrorCode code) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "no error";
}

std::string LoadError(ErrorCode code, const std::function<void(Json*)>& change) {
  return ErrorOf([&] { TinyTokenizer(change); }, code);
}

TEST(ByteAlphabet, MapsEveryByteAndBack) {
  EXPECT_EQ(ToByteAlphabet(" A\n\xAD\xFF"), "ĠAĊŃÿ");
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(1, static_cast<char>(byte));
    EXPECT_EQ(FromByteAlphabet(ToByteAlphabet(bytes)), bytes);
  }
  EXPECT_EQ(FromByteAlphabet("a b"), std::nullopt);
  EXPECT_EQ(FromByteAlphabet("ń"), std::nullopt);
}

TEST(Tokenizer, EveryNfcTextSurvives) {
  const Tokenizer tokenizer = TinyTokenizer([](Json* json) { (*json)["normalizer"] = nullptr; });
  Random random(5);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = RandomText(&random, 200);
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text);
  }
}

TEST(Tokenizer, NormalisesToNfc) {
  const Tokenizer tokenizer = TinyTokenizer();
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("cafe\xCC\x81")), "caf\xC3\xA9");
}

TEST(Tokenizer, NamesTheInvalidByteOrReplacesIt) {
  const Tokenizer tokenizer = TinyTokenizer();
  EXPECT_THAT(ErrorOf([&] { tokenizer.Encode("abc\xFFxyz"); }, ErrorCode::kInvalidArgument),
              HasSubstr("byte 3 of the text, 0xFF"));
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("abc\xFFxyz", InvalidUtf8::kReplace)),
            "abc\xEF\xBF\xBDxyz");
}

TEST(Tokenizer, KnowsItsTokens) {
  const Tokenizer tokenizer = TinyTokenizer();
  EXPECT_EQ(tokenizer.VocabSize(), 330);
  EXPECT_EQ(tokenizer.EndOfText(), 0);
  EXPECT_TRUE(tokenizer.IsSpecial(0));
  EXPECT_FALSE(tokenizer.IsSpecial(2));
  EXPECT_EQ(tokenizer.TokenBytes(330), "");
  EXPECT_EQ(tokenizer.FindToken(" the"), tokenizer.Encode(" the")[0]);
  EXPECT_EQ(tokenizer.FindToken("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.Decode(std::vector<int32_t>{0, 35, 1}, true), tokenizer.TokenBytes(35));
  EXPECT_THAT(
      ErrorOf([&] { tokenizer.Decode(std::vector<int32_t>{330}); }, ErrorCode::kInvalidArgument),
      HasSubstr("330"));
}

TEST(Tokenizer, CutsOutSpecialTokens) {
  const Tokenizer tokenizer = TinyTokenizer();
  EXPECT_THAT(
      Tokens(tokenizer, "a<|endoftext|><|padding|>a <|endof"),
      ElementsAre("a", "<|endoftext|>", "<|padding|>", "a", " ", "<", "|", "e", "n", "d", "of"));
}

TEST(Tokenizer, LeavesSpecialTokensInTheTextIfAsked) {
  const std::string json = TinyJson([](Json* tokenizer) {
    (*tokenizer)["added_tokens"].push_back(MakeAddedToken(330, "  "));
    (*tokenizer)["added_tokens"].push_back(MakeAddedToken(331, "<s>", {{"special", true}}));
    // As one word, which the vocabulary holds.
    (*tokenizer)["model"]["ignore_merges"] = true;
    (*tokenizer)["pre_tokenizer"]["use_regex"] = false;
  });
  const Tokenizer parses = Tokenizer::Parse(json, "tiny");
  const Tokenizer plain = Tokenizer::Parse(json, "tiny", SpecialTokens::kPlainText);
  for (const std::string text : {"<|endoftext|>", "a  <s>b<|padding|>"}) {
    const std::vector<int32_t> ids = plain.Encode(text);
    EXPECT_TRUE(std::ranges::none_of(ids, [&](int32_t id) { return plain.IsSpecial(id); })) << text;
    EXPECT_EQ(plain.Decode(ids), text);
    EXPECT_EQ(plain.CountSpecialTokens(text), parses.CountSpecialTokens(text));
  }
  EXPECT_THAT(plain.Encode("a  <s>"), testing::Contains(330));  // is not special
  EXPECT_THAT(parses.Encode("a  <s>"), testing::Contains(331));
  EXPECT_EQ(parses.CountSpecialTokens("<s><|endoftext|>  <|endoftext"), 2);
}

// As in Hugging Face's library: an added token that is no word of its own here is none.
TEST(Tokenizer, WholeWordsAreLookedForInTheVocabularyAlone) {
  const auto json = [](bool ignore_merges) {
    return TinyJson([&](Json* tokenizer) {
      (*tokenizer)["added_tokens"].push_back(MakeAddedToken(330, "qqq", {{"single_word", true}}));
      (*tokenizer)["model"]["ignore_merges"] = ignore_merges;
    });
  };
  const Tokenizer tokenizer = Tokenizer::Parse(json(true), "tiny");
  EXPECT_EQ(tokenizer.Encode("1qqq "), Tokenizer::Parse(json(false), "tiny").Encode("1qqq "));
  EXPECT_THAT(tokenizer.Encode("qqq"), ElementsAre(330));
}

// The parts that are marked are text, what stands around them is parsed.
TEST(Tokenizer, ShieldsTheSpecialTokensOfParts) {
  const auto json = [](bool normalized) {
    return TinyJson([&](Json* tokenizer) {
      (*tokenizer)["added_tokens"].push_back(MakeAddedToken(330, "  "));
      for (const char* content : {"<s>", "<s><|", "→"}) {
        (*tokenizer)["added_tokens"].push_back(
            MakeAddedToken(331 + static_cast<int>((*tokenizer)["added_tokens"].size()), content,
                           {{"special", true}, {"normalized", normalized}}));
      }
    });
  };
  for (const bool normalized : {false, true}) {
    const Tokenizer parses = Tokenizer::Parse(json(normalized), "tiny");
    const Tokenizer plain = Tokenizer::Parse(json(normalized), "tiny", SpecialTokens::kPlainText);
    for (const std::string part : {"<|endoftext|>", "a  <s><|padding|>é→", "→→", "it was", ""}) {
      EXPECT_EQ(parses.EncodeShielded("the" + parses.Shield(part) + " the"),
                plain.Encode("the" + part + " the"))
          << part;
      std::vector<int32_t> expected = parses.Encode("<|endoftext|>");
      std::ranges::copy(plain.Encode(part), std::back_inserter(expected));
      std::ranges::copy(parses.Encode("<s>  the"), std::back_inserter(expected));
      EXPECT_EQ(parses.EncodeShielded("<|endoftext|>" + parses.Shield(part) + "<s>  the"), expected)
          << part;
    }
    // Marks of a part change nothing: not what is behind it, and not what they stand in.
    EXPECT_EQ(parses.EncodeShielded(parses.Shield("the\uFDD0") + "<|endoftext|>"),
              parses.Encode("the<|endoftext|>"));
    EXPECT_EQ(parses.EncodeShielded(parses.Shield("<|endof\uFDD0text|>")),
              plain.Encode("<|endoftext|>"));
  }
}

TEST(Tokenizer, SharesTheWordCacheWithOthers) {
  const Tokenizer with_merges = TinyTokenizer();
  const Tokenizer without = TinyTokenizer([](Json* json) { (*json)["model"]["merges"].clear(); });
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(with_merges.Encode("the").size(), 2u);
    EXPECT_EQ(without.Encode("the").size(), 3u);
  }
}

// What Hugging Face's library gives for the options of added tokens.
TEST(AddedTokens, AreLookedForBeforeOrAfterNormalisation) {
  const Tokenizer tokenizer = TinyTokenizer([](Json* json) {
    (*json)["added_tokens"].push_back(MakeAddedToken(330, "<\xC3\xA9>"));
    (*json)["added_tokens"].push_back(MakeAddedToken(331, "[\xC3\xA9]", {{"normalized", false}}));
  });
  EXPECT_THAT(tokenizer.Encode("<e\xCC\x81>"), ElementsAre(330));
  EXPECT_THAT(tokenizer.Encode("[\xC3\xA9]"), ElementsAre(331));
  EXPECT_GT(tokenizer.Encode("[e\xCC\x81]").size(), 2u);
}

TEST(AddedTokens, PreferTheLongest) {
  const Tokenizer tokenizer = TinyTokenizer([](Json* json) {
    (*json)["added_tokens"].push_back(MakeAddedToken(330, "  "));
    (*json)["added_tokens"].push_back(MakeAddedToken(331, "    "));
  });
  EXPECT_THAT(tokenizer.Encode(std::string(7, ' ')),
              ElementsAre(331, 330, *tokenizer.FindToken(" ")));
}

TEST(AddedTokens, TakeSpaceAlong) {
  const Tokenizer tokenizer = TinyTokenizer([](Json* json) {
    (*json)["added_tokens"].push_back(MakeAddedToken(330, "<l>", {{"lstrip", true}}));
    (*json)["added_tokens"].push_back(MakeAddedToken(331, "<r>", {{"rstrip", true}}));
  });
  EXPECT_THAT(Tokens(tokenizer, "a \t<l> a"), ElementsAre("a", "<l>", " ", "a"));
  EXPECT_THAT(Tokens(tokenizer,
                     "a <r>\n\xE3\x80\x80"
                     "a"),
              ElementsAre("a", " ", "<r>", "a"));
  EXPECT_THAT(Tokens(tokenizer, "<r>  <l>"), ElementsAre("<r>", "<l>"));
}

TEST(AddedTokens, MayStandAloneOnly) {
  const Tokenizer tokenizer = TinyTokenizer([](Json* json) {
    (*json)["added_tokens"].push_back(MakeAddedToken(330, "<w>", {{"single_word", true}}));
  });
  EXPECT_EQ(Tokens(tokenizer, "<w>, <w>").size(), 4u);
  EXPECT_EQ(Tokens(tokenizer, "_<w>").size(), 4u);
  EXPECT_EQ(Tokens(tokenizer, "<w>\xCC\x81").size(), 5u);
}

TEST(Tokenizer, AddsAPrefixSpace) {
  const Tokenizer tokenizer =
      TinyTokenizer([](Json* json) { (*json)["pre_tokenizer"]["add_prefix_space"] = true; });
  EXPECT_EQ(tokenizer.Encode("the"), tokenizer.Encode(" the"));
  EXPECT_TRUE(tokenizer.Encode("").empty());
}

TEST(Tokenizer, CutsWithPatternsOfTheFile) {
  const Tokenizer tokenizer = TinyTokenizer([](Json* json) {
    Json byte_level = (*json)["pre_tokenizer"];
    byte_level["use_regex"] = false;
    const Json split = {{"type", "Split"}, {"pattern", {{"Regex", "h"}}}, {"behavior", "Isolated"}};
    (*json)["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}};
  });
  EXPECT_THAT(Tokens(tokenizer, "the"), ElementsAre("t", "h", "e"));
}

TEST(Tokenizer, IgnoresMergesForWholeWordsIfAsked) {
  const auto change = [](bool ignore) {
    return [=](Json* json) {
      (*json)["model"]["merges"].clear();
      (*json)["model"]["ignore_merges"] = ignore;
    };
  };
  EXPECT_EQ(TinyTokenizer(change(true)).Encode(" the").size(), 1u);
  EXPECT_EQ(TinyTokenizer(change(false)).Encode(" the").size(), 4u);
}

TEST(Tokenizer, ReadsMergesAsPairs) {
  const Tokenizer tokenizer = TinyTokenizer([](Json* json) {
    for (Json& merge : (*json)["model"]["merges"]) {
      const std::string text = merge;
      merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
    }
  });
  EXPECT_EQ(tokenizer.Encode(kTinyCorpus), TinyTokenizer().Encode(kTinyCorpus));
}

TEST(Tokenizer, ReadsGpt2sFiles) {
  const Json json = ParseJson(TinyJson(), "tiny");
  const std::string directory = testing::TempDir() + "/gpt2_tokenizer" + std::to_string(getpid());
  std::string merges = "#version: 0.2\n";
  for (const auto& merge : json["model"]["merges"]) merges += merge.get<std::string>() + "\n";
  MakeDirectories(directory);
  for (const auto& [vocabulary_name, merges_name] :
       {std::pair{"vocab.json", "merges.txt"}, std::pair{"encoder.json", "vocab.bpe"}}) {
    WriteFileAtomically(directory + "/" + vocabulary_name, json["model"]["vocab"].dump());
    WriteFileAtomically(directory + "/" + merges_name, merges);
    for (const std::string& path :
         {directory, directory + "/" + vocabulary_name, directory + "/" + merges_name}) {
      const Tokenizer tokenizer = Tokenizer::Load(path);
      EXPECT_EQ(tokenizer.Encode("<|endoftext|> it was the"),
                TinyTokenizer().Encode("<|endoftext|> it was the"));
    }
    std::remove((directory + "/" + vocabulary_name).c_str());
    std::remove((directory + "/" + merges_name).c_str());
  }
  EXPECT_THAT(ErrorOf([&] { Tokenizer::Load(directory); }, ErrorCode::kNotFound),
              HasSubstr(directory));
}

// GPT-2's pair of files, whose vocabulary has the token "12", and a tokenizer_config.json.
class TokenizerPair : public testing::Test {
 protected:
  TokenizerPair() : directory_(testing::TempDir() + "/tokenizer_pair" + std::to_string(getpid())) {
    Json json = ParseJson(TinyJson(), "tiny");
    Json& vocabulary = json["model"]["vocab"];
    vocabulary.emplace("12", 400);
    MakeDirectories(directory_);
    WriteFileAtomically(directory_ + "/vocab.json", vocabulary.dump());
    WriteFileAtomically(directory_ + "/merges.txt", "1 2\n");
  }
  ~TokenizerPair() override { std::filesystem::remove_all(directory_); }

  Tokenizer Load(const Json& config) const {
    WriteFileAtomically(directory_ + "/tokenizer_config.json", config.dump());
    return Tokenizer::Load(directory_);
  }

  std::string directory_;
};

TEST_F(TokenizerPair, IsCutByTheRulesOfItsClass) {
  constexpr char kDecomposed[] = "e\xCC\x81";
  for (const Json& config : {Json::object(), Json{{"tokenizer_class", "GPT2Tokenizer"}},
                             Json{{"tokenizer_class", "GPT2TokenizerFast"}}}) {
    const Tokenizer gpt2 = Load(config);
    EXPECT_THAT(Tokens(gpt2, "12"), ElementsAre("12"));
    EXPECT_EQ(gpt2.Decode(gpt2.Encode(kDecomposed)), kDecomposed);
  }
  const Tokenizer neox = Load({{"tokenizer_class", "GPTNeoXTokenizerFast"}});
  EXPECT_THAT(Tokens(neox, "12"), ElementsAre("12"));
  EXPECT_EQ(neox.Decode(neox.Encode(kDecomposed)), "\xC3\xA9");
  for (const char* name : {"Qwen2Tokenizer", "Qwen2TokenizerFast"}) {
    const Tokenizer qwen2 = Load({{"tokenizer_class", name}});
    EXPECT_THAT(Tokens(qwen2, "12"), ElementsAre("1", "2"));
    EXPECT_EQ(qwen2.Decode(qwen2.Encode(kDecomposed)), "\xC3\xA9");
    EXPECT_THAT(Tokens(Tokenizer::Load(directory_ + "/merges.txt"), "12"), ElementsAre("1", "2"));
  }
}

TEST_F(TokenizerPair, OfAClassThatIsNotKnownIsRefused) {
  const std::string message = ErrorOf(
      [&] {
        Load({{"tokenizer_class", "CLIPTokenizer"}});
      },
      ErrorCode::kUnsupported);
  EXPECT_THAT(message, HasSubstr("tokenizer_config.json: tokenizer_class: \"CLIPTokenizer\""));
  EXPECT_THAT(message, HasSubstr("GPT2Tokenizer, GPTNeoXTokenizer, Qwen2Tokenizer"));
  EXPECT_THAT(message, HasSubstr("AutoTokenizer.from_pretrained"));
}

TEST_F(TokenizerPair, HasTheTokensThatItsConfigurationAdds) {
  const auto config = [](const std::string& id, const std::string& content) {
    return Json{{"tokenizer_class", "Qwen2Tokenizer"},
                {"added_tokens_decoder", {{id, {{"content", content}, {"special", true}}}}},
                {"bos_token", content},
                {"add_bos_token", true}};
  };
  const Tokenizer tokenizer = Load(config("401", "<|im_start|>"));
  EXPECT_THAT(tokenizer.Encode("<|im_start|>"), ElementsAre(401));
  EXPECT_TRUE(tokenizer.IsSpecial(401));
  EXPECT_EQ(tokenizer.EncodeWithPrefix("1").front(), 401);
  EXPECT_THAT(ErrorOf([&] { Load(config("x", "y")); }, ErrorCode::kInvalidArgument),
              HasSubstr("added_tokens_decoder.x: is no id"));
  EXPECT_THAT(ErrorOf([&] { Load(config("400", "<y>")); }, ErrorCode::kInvalidArgument),
              HasSubstr("added_tokens_decoder.400.id: 400 is that of \"12\" already"));
  EXPECT_THAT(ErrorOf(
                  [&] {
                    Load({{"add_bos_token", true}});
                  },
                  ErrorCode::kInvalidArgument),
              HasSubstr("add_bos_token: is true, and bos_token names no token"));
}

TEST(Tokenizer, FilesThatAreNotReadAreNamed) {
  const std::string directory = testing::TempDir() + "/unread" + std::to_string(getpid());
  MakeDirectories(directory);
  WriteFileAtomically(directory + "/tokenizer.model", "x");
  EXPECT_THAT(ErrorOf([&] { Tokenizer::Load(directory); }, ErrorCode::kNotFound),
              HasSubstr("; its tokenizer.model is in SentencePiece's or tiktoken's form, which is "
                        "not read; a tokenizer.json is wanted"));
  std::filesystem::remove_all(directory);
}

TEST(TokenizerJson, UnsupportedPartsAreNamed) {
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  const auto set = [](const char* pointer, Json value) {
    return [=](Json* json) { (*json)[Json::json_pointer(pointer)] = value; };
  };
  const auto type = [](const char* name) { return Json{{"type", name}}; };
  EXPECT_THAT(LoadError(kUnsupported, set("/model/type", "Unigram")),
              HasSubstr("tiny: model.type"));
  EXPECT_THAT(LoadError(kUnsupported, set("/model/dropout", 0.1)), HasSubstr("model.dropout: 0.1"));
  EXPECT_THAT(LoadError(kUnsupported, set("/model/unk_token", "<unk>")), HasSubstr("unk_token"));
  EXPECT_THAT(LoadError(kUnsupported, set("/model/byte_fallback", true)),
              HasSubstr("byte_fallback: true without a token <0x00>"));
  EXPECT_THAT(LoadError(kUnsupported, set("/normalizer", type("NFKC"))), HasSubstr("NFKC"));
  EXPECT_THAT(LoadError(kUnsupported, set("/pre_tokenizer", type("Metaspace"))),
              HasSubstr("pre_tokenizer.type: Metaspace is not supported"));
  EXPECT_THAT(LoadError(kUnsupported, set("/pre_tokenizer", nullptr)), HasSubstr("pre_tokenizer"));
  EXPECT_THAT(LoadError(kUnsupported, set("/decoder", type("WordPiece"))), HasSubstr("decoder"));
  EXPECT_THAT(LoadError(kUnsupported, set("/post_processor", type("BertProcessing"))),
              HasSubstr("post_processor.type"));
}

TEST(TokenizerJson, ManyStepsAreRefused) {
  const auto with_splits = [](size_t count) {
    return [count](Json* json) {
      Json steps(count,
                 Json{{"type", "Split"}, {"pattern", {{"Regex", "h"}}}, {"behavior", "Isolated"}});
      steps.push_back((*json)["pre_tokenizer"]);
      (*json)["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
    };
  };
  EXPECT_EQ(Tokens(TinyTokenizer(with_splits(15)), "the").size(), 3U);
  EXPECT_THAT(LoadError(ErrorCode::kUnsupported, with_splits(16)),
              HasSubstr("pre_tokenizer.pretokenizers: has 17 steps; at most 16"));
  EXPECT_THAT(LoadError(ErrorCode::kUnsupported, with_splits(60000)), HasSubstr("has 60001 steps"));
  EXPECT_THAT(LoadError(ErrorCode::kUnsupported,
                        [](Json* json) {
                          const Json steps(17, Json{{"type", "NFC"}});
                          (*json)["normalizer"] = {{"type", "Sequence"}, {"normalizers", steps}};
                        }),
              HasSubstr("normalizer.normalizers: has 17 steps"));
}

TEST(TokenizerJson, ContradictionsAreNamed) {
  EXPECT_THAT(
      LoadError(ErrorCode::kCorrupt, [](Json* json) { (*json)["model"]["vocab"]["zz"] = 5; }),
      HasSubstr("have the same id 5"));
  EXPECT_THAT(LoadError(ErrorCode::kInvalidArgument,
                        [](Json* json) { (*json)["model"]["vocab"]["zz"] = 1LL << 40; }),
              HasSubstr("the id 1099511627776 of \"zz\""));
  EXPECT_THAT(
      LoadError(ErrorCode::kCorrupt, [](Json* json) { (*json)["model"]["merges"][3] = "q zz"; }),
      HasSubstr("model.merges[3]: the merge of \"q\" and \"zz\" needs the token \"zz\""));
  EXPECT_THAT(
      LoadError(ErrorCode::kCorrupt, [](Json* json) { (*json)["model"]["merges"][3] = "a b c"; }),
      HasSubstr("\"a b c\" is not a merge"));
  EXPECT_THAT(LoadError(ErrorCode::kInvalidArgument,
                        [](Json* json) { (*json)["added_tokens"][1]["id"] = 7; }),
              HasSubstr("added_tokens[1].id: 7 contradicts model.vocab"));
  EXPECT_THAT(
      LoadError(ErrorCode::kInvalidArgument,
                [](Json* json) { (*json)["added_tokens"].push_back(MakeAddedToken(7, "<new>")); }),
      HasSubstr("added_tokens[2].id: 7 is that of"));
}

TEST(TokenizerJson, EveryTruncationIsAnError) {
  const std::string json = TinyJson();
  for (size_t size = 0; size < json.size(); size += 97) {
    EXPECT_THROW(Tokenizer::Parse(std::string_view(json).substr(0, size), "cut"), Error);
  }
}

// A text without a space is one word, which must not cost quadratic time.
TEST(Tokenizer, EncodesAMegabyteWithoutASpace) {
  const Tokenizer tokenizer = TinyTokenizer();
  for (const std::string unit : {"a", " ", "\xF0\x9F\x98\x80", "th", "\xCC\x81"}) {
    std::string text;
    while (text.size() < 1000000) text += unit;
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text);
  }
}

// Pairs of text and ids from the reference, for the tokenizers that lie beside the project.
class TokenizerVectors : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerVectors, Match) {
  const char* variable = std::getenv("BLOCKFORMER_SHARED_DIR");
  const std::string shared = variable != nullptr ? variable : "../shared";
  const std::string tokenizer_path = shared + "/tokenizer/" + GetParam();
  std::ifstream vectors(shared + "/tokenizer/vectors/" + GetParam() + ".jsonl");
  if (!vectors || !FileExists(tokenizer_path)) {
    GTEST_SKIP() << tokenizer_path << " or its vectors are not there; set BLOCKFORMER_SHARED_DIR";
  }
  const Tokenizer tokenizer = Tokenizer::Load(tokenizer_path);
  int count = 0;
  for (std::string line; std::getline(vectors, line); ++count) {
    const Json json = ParseJson(line, "vectors");
    const std::string text = json["text"];
    EXPECT_EQ(tokenizer.Encode(text), json["ids"].get<std::vector<int32_t>>()) << text;
  }
  EXPECT_GT(count, 0);
}

INSTANTIATE_TEST_SUITE_P(Published, TokenizerVectors, testing::Values("gpt-neox-20b", "gpt2"),
                         [](const auto& test) {
                           return std::string(test.param) == "gpt2" ? "Gpt2" : "GptNeox";
                         });

}  // namespace
}  // namespace blockformer
