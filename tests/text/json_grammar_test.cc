// Trees of texts.
#include "text/json_grammar.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/random.h"
#include "text/json_schema.h"

namespace blockformer {
namespace {

// What a tree has to say of the place behind a prefix of some of its texts.
struct Expected {
  std::vector<int32_t> texts;
  int32_t text = ByteTree::kNone;
  bool has_children = false;
};

std::map<std::string, Expected> ExpectedOf(const std::vector<std::string>& texts) {
  std::map<std::string, Expected> places;
  for (int32_t number = 0; number < std::ssize(texts); ++number) {
    for (size_t size = 0; size <= texts[number].size(); ++size) {
      Expected& place = places[texts[number].substr(0, size)];
      place.texts.push_back(number);
      place.has_children |= size < texts[number].size();
      if (size == texts[number].size() && place.text == ByteTree::kNone) place.text = number;
    }
  }
  return places;
}

TEST(ByteTreeTest, HasTheTextsAndNoOthers) {
  Random random(5);
  for (int round = 0; round < 200; ++round) {
    ByteTree tree;
    std::vector<std::string> texts(1 + random.Below(12));
    for (std::string& text : texts) {
      const size_t size = random.Below(9);
      while (text.size() < size) text += static_cast<char>('a' + random.Below(3));
      tree.Insert(text);
    }
    const auto places = ExpectedOf(texts);
    for (const auto& [prefix, expected] : places) {
      int32_t place = ByteTree::kRoot;
      for (const char c : prefix) place = tree.Child(place, static_cast<uint8_t>(c));
      ASSERT_NE(place, ByteTree::kNone);
      EXPECT_EQ(tree.TextsFrom(place), expected.texts) << prefix;
      EXPECT_EQ(tree.TextAt(place), expected.text) << prefix;
      EXPECT_EQ(tree.HasChildren(place), expected.has_children) << prefix;
      for (char c = 'a'; c <= 'd'; ++c) {
        const bool goes_on = tree.Child(place, static_cast<uint8_t>(c)) != ByteTree::kNone;
        EXPECT_EQ(goes_on, places.contains(prefix + c)) << prefix << c;
      }
    }
  }
}

TEST(ByteTreeTest, TakesAFewBytesForEach) {
  const std::string text(60'000, 'x');
  for (const OrderedJson& schema : {OrderedJson{{"const", text}}, OrderedJson{{"required", {text}}},
                                    OrderedJson{{"enum", {text, text.substr(0, 5000)}}}}) {
    EXPECT_LT(CompileJsonSchema(schema).num_bytes(), 1'000'000) << schema.begin().key();
  }
}

}  // namespace
}  // namespace blockformer
