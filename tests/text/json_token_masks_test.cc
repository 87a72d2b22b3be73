// Masks of whole vocabularies, compared with one token after the other.
#include "text/json_token_masks.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "tests/text/character_tokenizer.h"
#include "tests/text/tiny_tokenizer.h"
#include "text/json_schema.h"

namespace blockformer {
namespace {

constexpr char kSchema[] =
    R"({"type":"object","properties":{"the":{"type":"string","maxLength":6},"was":{"enum":["it was",
        "it is",12]},"more":{"type":"array","items":{"type":["number","string","null"]}}},
        "required":["the"]})";

// Counts that are far from their limits and come near them, in arrays that begin alike.
constexpr char kCountsSchema[] =
    R"({"$defs":{"a":{"anyOf":[{"type":"array","minItems":3,"maxItems":9,"items":{"$ref":
        "#/$defs/a"}},{"type":"array","minItems":4,"maxItems":50,"items":{"$ref":"#/$defs/a"}},
        {"type":"string","minLength":12,"maxLength":30},{"type":"string","maxLength":35}]}},
        "type":"array","items":{"$ref":"#/$defs/a"},"minItems":2})";

bool HasBit(const TokenMask& mask, int32_t id) { return (mask.at(id / 64) >> (id % 64) & 1) != 0; }

// Ways of random tokens through a schema, with all masks on them.
void ExpectMasksOf(const Tokenizer& tokenizer, JsonGrammar grammar, int32_t end_id) {
  JsonTokenMasks masks(std::make_shared<const TokenTrie>(tokenizer), grammar, {end_id});
  JsonAutomaton automaton(std::make_shared<const JsonGrammar>(std::move(grammar)));
  Random random(1);
  int complete = 0;
  for (int text = 0; text < 30; ++text) {
    JsonTokenMasks::Place place = masks.Begin();
    int32_t state = automaton.start();
    for (int step = 0; step < 90; ++step) {
      const std::shared_ptr<const TokenMask> mask = masks.MaskAt(&place);
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < tokenizer.VocabSize(); ++id) {
        const std::string_view bytes = tokenizer.TokenBytes(id);
        const bool is_text = !tokenizer.IsSpecial(id) && !bytes.empty() && id != end_id;
        const bool expected =
            id == end_id ? automaton.IsComplete(state)
                         : is_text && automaton.Next(state, bytes) != JsonAutomaton::kNoState;
        ASSERT_EQ(HasBit(*mask, id), expected) << "token " << id << " '" << bytes << "'";
        if (expected) allowed.push_back(id);
      }
      ASSERT_FALSE(allowed.empty());
      // Quotes and brackets more often, so that texts end.
      std::vector<int32_t> closing;
      for (const int32_t id : allowed) {
        if (tokenizer.TokenBytes(id).find_first_of("\"]}") != std::string_view::npos) {
          closing.push_back(id);
        }
      }
      const std::vector<int32_t>& from = closing.empty() || random.Below(3) > 0 ? allowed : closing;
      const int32_t id = from[random.Below(from.size())];
      const bool goes_on = masks.Take(id, &place);
      ASSERT_EQ(goes_on, id != end_id);
      if (id == end_id) {
        ++complete;
        break;
      }
      state = automaton.Next(state, tokenizer.TokenBytes(id));
    }
  }
  EXPECT_GT(complete, 3);
}

TEST(JsonTokenMasksTest, AreThoseOfTheTokensOneByOne) {
  const Tokenizer bytes = TinyTokenizer();
  ExpectMasksOf(bytes, CompileJsonSchema(OrderedJson::parse(kSchema)), *bytes.EndOfText());
  ExpectMasksOf(bytes, AnyJsonObject(), *bytes.EndOfText());
  const Tokenizer characters = Tokenizer::Parse(CharacterTokenizerJson().dump(), "characters");
  ExpectMasksOf(characters, CompileJsonSchema(OrderedJson::parse(kSchema)), 2);
  ExpectMasksOf(characters, AnyJsonObject(), 2);
}

TEST(JsonTokenMasksTest, AreThoseOfTheTokensNearLimitsToo) {
  const Tokenizer bytes = TinyTokenizer();
  ExpectMasksOf(bytes, CompileJsonSchema(OrderedJson::parse(kCountsSchema)), *bytes.EndOfText());
  const Tokenizer characters = Tokenizer::Parse(CharacterTokenizerJson().dump(), "characters");
  ExpectMasksOf(characters, CompileJsonSchema(OrderedJson::parse(kCountsSchema)), 2);
}

// Far from the limits of a string there is one mask for all of its lengths.
TEST(JsonTokenMasksTest, AreFewInLongStrings) {
  const Tokenizer tokenizer = TinyTokenizer();
  const auto trie = std::make_shared<const TokenTrie>(tokenizer);
  const int32_t quote = *tokenizer.FindToken("\"");
  const int32_t letter = *tokenizer.FindToken("t");
  for (const char* schema :
       {R"({"type":"string","maxLength":500})", R"({"type":"string","minLength":500})",
        R"({"type":"string","minLength":500,"maxLength":1000})"}) {
    JsonTokenMasks masks(trie, CompileJsonSchema(OrderedJson::parse(schema)), {});
    JsonTokenMasks::Place place = masks.Begin();
    ASSERT_TRUE(masks.Take(quote, &place));
    std::set<std::shared_ptr<const TokenMask>> all;
    for (int i = 0; i < 500; ++i) {
      all.insert(masks.MaskAt(&place));
      ASSERT_TRUE(masks.Take(letter, &place));
    }
    EXPECT_LT(all.size(), 20U) << schema;
    EXPECT_TRUE(HasBit(*masks.MaskAt(&place), quote)) << schema;
  }
}

TEST(JsonTokenMasksTest, AnEndTokenWithBytesIsNoText) {
  const Tokenizer tokenizer = TinyTokenizer();
  const int32_t brace = *tokenizer.FindToken("}");
  JsonTokenMasks masks(std::make_shared<const TokenTrie>(tokenizer), AnyJsonObject(), {brace});
  JsonTokenMasks::Place place = masks.Begin();
  ASSERT_TRUE(masks.Take(*tokenizer.FindToken("{"), &place));
  EXPECT_FALSE(HasBit(*masks.MaskAt(&place), brace));
}

TEST(JsonTokenMasksTest, AWrongTokenLeavesThePlace) {
  const Tokenizer tokenizer = TinyTokenizer();
  JsonTokenMasks masks(std::make_shared<const TokenTrie>(tokenizer), AnyJsonObject(), {});
  JsonTokenMasks::Place place = masks.Begin();
  const TokenMask before = *masks.MaskAt(&place);
  EXPECT_FALSE(masks.Take(*tokenizer.FindToken("t"), &place));
  EXPECT_FALSE(masks.Take(*tokenizer.EndOfText(), &place));
  EXPECT_FALSE(masks.Take(-1, &place));
  EXPECT_FALSE(masks.Take(1 << 30, &place));
  EXPECT_EQ(*masks.MaskAt(&place), before);
}

// A long string with a maximum has a state for each of its lengths: more than a table keeps.
TEST(JsonTokenMasksTest, TablesAreRenewed) {
  const Tokenizer tokenizer = TinyTokenizer();
  const auto trie = std::make_shared<const TokenTrie>(tokenizer);
  const JsonGrammar grammar =
      CompileJsonSchema(OrderedJson::parse(R"({"type":"string","maxLength":9000})"));
  JsonTokenMasks masks(trie, grammar, {});
  const int32_t quote = *tokenizer.FindToken("\"");
  const int32_t letter = *tokenizer.FindToken("t");
  JsonTokenMasks::Place place = masks.Begin();
  JsonTokenMasks::Place early = masks.Begin();
  ASSERT_TRUE(masks.Take(quote, &place));
  ASSERT_TRUE(masks.Take(quote, &early));
  const auto first_table = early.table;
  for (int i = 0; i < 9000; ++i) {
    ASSERT_TRUE(HasBit(*masks.MaskAt(&place), letter)) << i;
    ASSERT_TRUE(masks.Take(letter, &place)) << i;
  }
  EXPECT_NE(place.table, first_table);
  EXPECT_FALSE(HasBit(*masks.MaskAt(&place), letter));
  EXPECT_TRUE(HasBit(*masks.MaskAt(&place), quote));
  EXPECT_TRUE(HasBit(*masks.MaskAt(&early), letter));
  EXPECT_NE(early.table, first_table);
}

}  // namespace
}  // namespace blockformer
