// Tokenizers of characters with bytes for those they lack (Llama 2, Mistral), templates that put
// tokens before a text, and digits. The ids are those of Hugging Face's library.
#include "tests/text/character_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "text/metaspace.h"
#include "text/stream_decoder.h"

namespace blockformer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kMark(kMetaspace);
constexpr int32_t kFirstByte = 3;
constexpr int32_t kMarkId = 259;

Tokenizer Parse(const Json& json) { return Tokenizer::Parse(json.dump(), "characters"); }

TEST(CharacterTokenizerTest, MergesCharactersBehindAPrependedSpace) {
  const Tokenizer tokenizer = Parse(CharacterTokenizerJson());
  // "▁hel" "l" "o"
  EXPECT_THAT(tokenizer.Encode("hello"), ElementsAre(266, 262, 263));
  EXPECT_THAT(tokenizer.Encode("hello hel"), ElementsAre(266, 262, 263, 266));
  // The prepended space stands beside the text's own.
  EXPECT_THAT(tokenizer.Encode(" hel"), ElementsAre(kMarkId, 266));
  EXPECT_THAT(tokenizer.Encode(""), ElementsAre());
  // Each part between special tokens gets its space.
  EXPECT_THAT(tokenizer.Encode("hel</s>hel"), ElementsAre(266, 2, 266));
}

TEST(CharacterTokenizerTest, WritesUnknownCharactersAsBytes) {
  const Tokenizer tokenizer = Parse(CharacterTokenizerJson());
  EXPECT_THAT(tokenizer.Encode("h\xC3\xA9"),
              ElementsAre(264, kFirstByte + 0xC3, kFirstByte + 0xA9));
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode("h\xC3\xA9 hello")), "h\xC3\xA9 hello");
  // A stream keeps all spaces and holds back half characters.
  StreamDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.Push(264), " h");
  EXPECT_EQ(decoder.Push(kFirstByte + 0xC3), "");
  EXPECT_EQ(decoder.Push(kFirstByte + 0xA9), "\xC3\xA9");
}

TEST(CharacterTokenizerTest, PutsTheTemplatesTokensBeforeAText) {
  const Tokenizer tokenizer = Parse(CharacterTokenizerJson());
  EXPECT_THAT(tokenizer.EncodeWithPrefix("hel"), ElementsAre(1, 266));
  EXPECT_THAT(tokenizer.EncodeWithPrefix(""), ElementsAre(1));
}

TEST(CharacterTokenizerTest, FollowsTheSchemesOfMetaspace) {
  Json json = CharacterTokenizerJson();
  json["normalizer"] = nullptr;
  const auto with = [&](const char* scheme, bool split) {
    json["pre_tokenizer"] = {{"type", "Metaspace"},
                             {"replacement", kMark},
                             {"prepend_scheme", scheme},
                             {"split", split}};
    return Parse(json);
  };
  EXPECT_THAT(with("first", false).Encode("hel</s>hel"), ElementsAre(266, 2, 260, 265));
  EXPECT_THAT(with("always", false).Encode("hel</s>hel"), ElementsAre(266, 2, 266));
  EXPECT_THAT(with("always", false).Encode(" hel"), ElementsAre(266));  // it has one
  EXPECT_THAT(with("never", false).Encode("hel hel"), ElementsAre(260, 265, 266));
  // Two spaces are one token only where words are not cut.
  EXPECT_THAT(with("never", false).Encode("o  o"), ElementsAre(263, 267, 263));
  EXPECT_THAT(with("never", true).Encode("o  o"), ElementsAre(263, kMarkId, kMarkId, 263));
}

TEST(CharacterTokenizerTest, RefusesWhatItCannotDo) {
  const auto message = [](const char* pointer, const Json& value) {
    Json json = CharacterTokenizerJson();
    json[Json::json_pointer(pointer)] = value;
    try {
      Parse(json);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message("/added_tokens/1/normalized", true), HasSubstr("added_tokens[1].normalized"));
  EXPECT_THAT(message("/normalizer/normalizers/0/prepend", "x"), HasSubstr("normalizers[0]"));
  EXPECT_THAT(message("/post_processor/special_tokens/<s>/ids/0", 9999), HasSubstr("9999"));
  EXPECT_THAT(message("/pre_tokenizer", {{"type", "Whitespace"}}), HasSubstr("Whitespace"));
  EXPECT_THAT(message("/decoder/decoders/1/type", "CTC"), HasSubstr("CTC"));
  Json json = CharacterTokenizerJson();
  json["model"]["vocab"].erase("<0x0A>");
  EXPECT_THROW(Parse(json), Error);
}

TEST(DigitsTest, AreCutOneByOneOrByRuns) {
  const auto pieces = [](bool individual, const std::string& text) {
    const Tokenizer tokenizer = TinyTokenizer([&](Json* json) {
      (*json)["pre_tokenizer"] = {
          {"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Digits"}, {"individual_digits", individual}},
            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}}}};
    });
    std::string cut;
    for (const int32_t id : tokenizer.Encode(text)) {
      cut += std::string(tokenizer.TokenBytes(id)) + "|";
    }
    return cut;
  };
  EXPECT_EQ(pieces(true, "1859"), "1|8|5|9|");
  EXPECT_EQ(pieces(false, " 67"), " |67|");
}

}  // namespace
}  // namespace blockformer
