#include "text/stream_decoder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "tests/text/tiny_tokenizer.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

TEST(StreamDecoder, HoldsIncompleteCharactersBack) {
  const Tokenizer tokenizer = TinyTokenizer([](Json* json) { (*json)["model"]["merges"].clear(); });
  const std::vector<int32_t> ids = tokenizer.Encode("a\xE4\xBD\xA0");
  StreamDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.Push(ids[0]), "a");
  EXPECT_EQ(decoder.Push(ids[1]), "");
  EXPECT_EQ(decoder.Push(ids[2]), "");
  EXPECT_EQ(decoder.Push(ids[3]), "\xE4\xBD\xA0");
  EXPECT_EQ(decoder.Push(ids[1]), "");
  EXPECT_EQ(decoder.Push(ids[0]),
            "\xEF\xBF\xBD"
            "a");
  decoder.Push(ids[1]);
  EXPECT_EQ(decoder.Flush(), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder.Flush(), "");
}

TEST(StreamDecoder, GivesTheTextOfAnyIds) {
  const Tokenizer tokenizer = TinyTokenizer();
  Random random(7);
  for (int round = 0; round < 2000; ++round) {
    StreamDecoder decoder(tokenizer);
    std::vector<int32_t> ids;
    std::string text;
    for (uint64_t left = random.Below(30); left > 0; --left) {
      ids.push_back(static_cast<int32_t>(random.Below(330)));
      const std::string piece = decoder.Push(ids.back());
      EXPECT_EQ(FindInvalidUtf8(piece), piece.size());
      text += piece;
    }
    text += decoder.Flush();
    EXPECT_EQ(text, ReplaceInvalidUtf8(tokenizer.Decode(ids)));
  }
}

TEST(StreamDecoder, LeavesSpecialTokensOutIfAsked) {
  const Tokenizer tokenizer = TinyTokenizer();
  EXPECT_EQ(StreamDecoder(tokenizer, true).Push(0), "");
  EXPECT_EQ(StreamDecoder(tokenizer).Push(0), "<|endoftext|>");
  EXPECT_THROW(StreamDecoder(tokenizer).Push(-1), Error);
}

}  // namespace
}  // namespace blockformer
