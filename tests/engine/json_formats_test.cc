#include "engine/json_formats.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cpu/tiny_model_directory.h"
#include "tests/text/tiny_tokenizer.h"
#include "text/json_schema.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

std::string MessageOf(JsonFormats* formats, const TextOptions& options, const ModelConfig& config) {
  try {
    formats->Constraint(options, TinyTokenizer(), config);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(JsonFormatsTest, AnyTextNeedsNoConstraint) {
  JsonFormats formats;
  EXPECT_FALSE(formats.Constraint({}, TinyTokenizer(), TinyTextConfig()));
  TextOptions options;
  options.json_object = true;
  EXPECT_TRUE(formats.Constraint(options, TinyTokenizer(), TinyTextConfig()));
}

TEST(JsonFormatsTest, ErrorsNameThePart) {
  JsonFormats formats;
  TextOptions options;
  options.json_schema = R"({"properties":{"x":{"type":"date"}}})";
  EXPECT_THAT(MessageOf(&formats, options, TinyTextConfig()),
              testing::StartsWith("json_schema.properties.x.type: "));
  options.json_schema = "{\"enum\":[1";
  for (int i = 0; i < 5000; ++i) options.json_schema += ",1";
  EXPECT_THAT(MessageOf(&formats, options, TinyTextConfig()), HasSubstr("not valid JSON"));
  options.json_schema += "]}";
  EXPECT_THAT(MessageOf(&formats, options, TinyTextConfig()), HasSubstr("5003 JSON values"));
}

TEST(JsonFormatsTest, AModelThatCannotEndATextIsRefused) {
  JsonFormats formats;
  TextOptions options;
  options.json_object = true;
  ModelConfig config = TinyTextConfig();
  config.eos_token_id = TinyTokenizer().VocabSize();
  EXPECT_THAT(MessageOf(&formats, options, config), HasSubstr("no end-of-text token"));
}

// What is kept of the schemas that were asked for last is bounded in bytes too.
TEST(JsonFormatsTest, KeepsAFewMegabytes) {
  const Tokenizer tokenizer = TinyTokenizer();
  JsonFormats formats;
  std::vector<std::weak_ptr<JsonTokenMasks>> all;
  for (int i = 0; i < 14; ++i) {
    const std::string schema = fmt::format(R"({{"type":"string","maxLength":{}}})", 9000 + i);
    const auto masks = formats.Masks(schema, tokenizer, TinyTextConfig());
    all.push_back(masks);
    JsonTokenMasks::Place place = masks->Begin();
    ASSERT_TRUE(masks->Take(*tokenizer.FindToken("\""), &place));
    for (int j = 0; j < 6000; ++j) {
      ASSERT_TRUE(masks->Take(*tokenizer.FindToken("t"), &place));
    }
    masks->MaskAt(&place);
    EXPECT_GT(masks->num_bytes(), 5'000'000);
    EXPECT_EQ(formats.Masks(schema, tokenizer, TinyTextConfig()), masks);
  }
  int64_t bytes = 0;
  for (const auto& kept : all) {
    if (const auto masks = kept.lock()) bytes += masks->num_bytes();
  }
  EXPECT_LT(bytes, 64 << 20);
  EXPECT_GT(bytes, 50'000'000);
  EXPECT_TRUE(all.front().expired());
  EXPECT_FALSE(all.back().expired());
}

}  // namespace
}  // namespace blockformer
