#include "engine/text_stream.h"

#include <gtest/gtest.h>

#include "tests/data/byte_tokenizer.h"

namespace blockformer {
namespace {

// The byte tokenizer: byte b has the id b + 1, the end of text the id 0.
class TextStreamTest : public testing::Test {
 protected:
  TextStreamTest() : tokenizer_(Load()) {}

  static Tokenizer Load() {
    const std::string path = testing::TempDir() + "/text-stream-test-tokenizer.json";
    WriteByteTokenizer(path);
    return Tokenizer::Load(path);
  }
  std::vector<int32_t> Ids(std::string_view bytes) const {
    std::vector<int32_t> ids;
    for (const char byte : bytes) ids.push_back(static_cast<uint8_t>(byte) + 1);
    return ids;
  }
  std::string Take(TextStream* stream, std::string_view bytes, bool finished = false) const {
    return stream->Take(Ids(bytes), finished);
  }

  Tokenizer tokenizer_;
};

TEST_F(TextStreamTest, GivesWholeCharactersAlone) {
  TextStream stream(tokenizer_, {}, 10);
  EXPECT_EQ(Take(&stream, "a\xC3"), "a");
  EXPECT_EQ(Take(&stream,
                 "\xA9"
                 "b"),
            "\xC3\xA9"
            "b");
  EXPECT_FALSE(stream.ended());
  EXPECT_EQ(Take(&stream, "\xE4", true), "\xEF\xBF\xBD");  // what will not become whole
  EXPECT_TRUE(stream.ended());
  EXPECT_EQ(stream.num_tokens(), 5);
}

TEST_F(TextStreamTest, EndsBeforeAStopText) {
  TextStream stream(tokenizer_, {"stop"}, 10);
  EXPECT_EQ(Take(&stream, "a st"), "a ");
  EXPECT_EQ(Take(&stream, "opxyz"), "");
  EXPECT_TRUE(stream.ended());
  EXPECT_EQ(stream.reason(), FinishReason::kStop);
  EXPECT_EQ(stream.num_tokens(), 6);  // none behind the stop text
}

TEST_F(TextStreamTest, WhatIsHeldBackForAStopTextComesAtTheEnd) {
  TextStream stream(tokenizer_, {"stop"}, 4);
  EXPECT_EQ(Take(&stream, "a st", true), "a st");
  EXPECT_EQ(stream.reason(), FinishReason::kLength);
}

TEST_F(TextStreamTest, AStopTextBeforeTheLastTokenCountsMoreThanTheLength) {
  TextStream stream(tokenizer_, {"b"}, 3);
  EXPECT_EQ(Take(&stream, "abc", true), "a");
  EXPECT_EQ(stream.reason(), FinishReason::kStop);
}

TEST_F(TextStreamTest, FewerTokensThanAskedForAreAnEndByTheModel) {
  TextStream stream(tokenizer_, {}, 4);
  EXPECT_EQ(Take(&stream, "ab"), "ab");
  EXPECT_EQ(stream.Take({}, true), "");
  EXPECT_EQ(stream.reason(), FinishReason::kEndOfText);
}

TEST_F(TextStreamTest, SpecialTokensHaveNoText) {
  TextStream stream(tokenizer_, {}, 4);
  const std::vector<int32_t> ids = {'a' + 1, 0, 'b' + 1};
  EXPECT_EQ(stream.Take(ids, false), "ab");
  EXPECT_EQ(stream.num_tokens(), 3);
}

TEST_F(TextStreamTest, FlushEndsATextEarly) {
  TextStream stream(tokenizer_, {"stop"}, 10);
  EXPECT_EQ(Take(&stream, "a st\xC3"), "a ");
  EXPECT_EQ(stream.Flush(), "st\xEF\xBF\xBD");
  EXPECT_TRUE(stream.ended());
}

}  // namespace
}  // namespace blockformer
