// Which bytes the automaton reads, and which schemas are compiled.
#include "text/json_automaton.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/text/json_validator.h"
#include "text/json_schema.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

JsonAutomaton AutomatonOf(const std::string& schema) {
  return JsonAutomaton(
      std::make_shared<const JsonGrammar>(CompileJsonSchema(OrderedJson::parse(schema))));
}

JsonAutomaton ObjectAutomaton() {
  return JsonAutomaton(std::make_shared<const JsonGrammar>(AnyJsonObject()));
}

enum class Reading { kDead, kPrefix, kComplete };

Reading Read(JsonAutomaton* automaton, const std::string& text) {
  const int32_t state = automaton->Next(automaton->start(), text);
  if (state == JsonAutomaton::kNoState) return Reading::kDead;
  return automaton->IsComplete(state) ? Reading::kComplete : Reading::kPrefix;
}

std::string Nested(int levels) {
  std::string text = R"({"a":)";
  for (int i = 1; i < levels; ++i) text += '[';
  return text;
}

std::string Closed(int levels) {
  std::string text = Nested(levels);
  for (int i = 1; i < levels; ++i) text += ']';
  return text + '}';
}

TEST(JsonAutomatonTest, ReadsObjects) {
  JsonAutomaton automaton = ObjectAutomaton();
  const std::string complete[] = {
      "{}",
      " {\n \"a\": 1\n}",
      R"({"a":[1,-2.5e-7,0.1E+2,"x",true,false,null,{},[]],"":{"\u00e9\n\ud83d\ude00":"é😀"}})",
      "{\"a\":\"\x7F\xF4\x8F\xBF\xBF\"}",
      "{\"a\":123456789012345678.123456789012345678e-99}",
      std::string(20, ' ') + "{}",
      Closed(32),
  };
  for (const std::string& text : complete) {
    EXPECT_EQ(Read(&automaton, text), Reading::kComplete) << text;
    EXPECT_TRUE(Json::accept(text)) << text;
    for (size_t size = 0; size < text.size(); ++size) {
      EXPECT_EQ(Read(&automaton, text.substr(0, size)), Reading::kPrefix) << text << size;
    }
  }
}

TEST(JsonAutomatonTest, RefusesWhatIsNone) {
  JsonAutomaton automaton = ObjectAutomaton();
  const std::string dead[] = {
      "[", "1", "\"", "t", "{}}", "{} ", "{,", "{a", "{'", "{\"a\",", "{\"a\":,", "{\"a\":1,}",
      "{\"a\":[1,]", "{\"a\":[,", "{\"a\":01", "{\"a\":+", "{\"a\":.", "{\"a\":1.}", "{\"a\":1e}",
      "{\"a\":--", "{\"a\":-}", "{\"a\":tru ", "{\"a\":nul}", "{\"a\":N", "{\"a\":1]", "{\"a\":[1}",
      "{\"\n", "{\"\\x", "{\"\\u12g", "{\"\\ud800\"", "{\"\\ud800\\n", "{\"\\ud800\\u0", "{\"\\udc",
      "{\"\x80", "{\"\xC0", "{\"\xC1", "{\"\xC3\"", "{\"\xE0\x80", "{\"\xED\xA0", "{\"\xF0\x80",
      "{\"\xF4\x90", "{\"\xF5", "{\"\xFF", std::string("{\"\0", 3),
      // Limits.
      std::string(21, ' '), "{\"a\":1234567890123456789", "{\"a\":1.1234567890123456789",
      "{\"a\":1e100", Nested(33)};
  for (const std::string& text : dead) {
    EXPECT_EQ(Read(&automaton, text), Reading::kDead) << text;
    EXPECT_EQ(Read(&automaton, text.substr(0, text.size() - 1)) == Reading::kDead, false) << text;
  }
}

// Texts with and without an error, read by nlohmann's parser too.
TEST(JsonAutomatonTest, AgreesWithAParser) {
  JsonAutomaton automaton = ObjectAutomaton();
  RandomJson documents({{"type", "object"}}, 1);
  int valid = 0;
  int invalid = 0;
  for (int i = 0; i < 8000; ++i) {
    const std::string text = documents.Next();
    ASSERT_EQ(Read(&automaton, text), Reading::kComplete) << text;
    const std::string mutated = documents.Mutated(text, "{}[]:,\"\\u0d89-.tn\xC3\xA9\xED\xF0\x1F");
    const Json parsed = Json::parse(mutated, nullptr, false);
    const bool is_object = parsed.is_object();
    ASSERT_EQ(Read(&automaton, mutated) == Reading::kComplete, is_object) << mutated;
    ++(is_object ? valid : invalid);
  }
  EXPECT_GT(valid, 1000);
  EXPECT_GT(invalid, 1000);
}

const std::vector<std::string>& Schemas() {
  static const std::vector<std::string> schemas = {
      R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},
          "required":["name","age"],"additionalProperties":false})",
      R"({"type":"object","properties":{"b":{"type":"boolean"},"a":{"type":["number","null"]},
          "ab":{"enum":["x","xy",1,12,null,{"k":[1]}]},"é\"":{"const":"é\""}},"required":["a"]})",
      R"({"type":"array","items":{"type":"string","minLength":1,"maxLength":3},
          "minItems":2,"maxItems":4})",
      R"({"type":"object","properties":{"a":{"type":"string"}},
          "additionalProperties":{"type":"integer"}})",
      R"({"type":"object","required":["z"],"properties":{"y":true}, "additionalProperties":true})",
      R"({"$defs":{"tree":{"type":"object","properties":{"value":{"type":"number"},
          "children":{"type":"array","items":{"$ref":"#/$defs/tree"},"maxItems":2}},
          "required":["value","children"]}},"$ref":"#/$defs/tree","title":"A tree"})",
      R"({"anyOf":[{"type":"null"},{"type":"object","properties":{"kind":{"const":"a"},
          "next":{"$ref":"#"}},"required":["kind","next"]},
          {"type":"object","properties":{"kind":{"const":"ab"},"next":{"type":"string"}},
          "required":["kind"]}]})",
      R"({"type":"array","items":{"oneOf":[{"type":"integer"},{"type":"string","maxLength":2},
          {"type":"array","items":{"type":"boolean"}}]}})",
      R"({"type":"object","additionalProperties":{"allOf":[{"enum":["a","b"]}]}})",
      R"({"properties":{"list":{"items":{"minLength":2}}},"required":["list"]})",
      R"({})",
  };
  return schemas;
}

// What is found out of one byte holds for others that are alike.
TEST(JsonAutomatonTest, BytesDoNotDependOnWhichWasReadBefore) {
  const std::string schema = R"({"anyOf":[{"type":"string","maxLength":2},{"type":"string"}]})";
  for (const char* const begin : {"", "\"", "\"a", "\"ab", "\"\\", "\"\\u", "\"\xC3", "\"\xE0",
                                  "\"\xE1", "\"\xED", "\"\xF0", "\"\xF1", "\"\xF1\x80", "\"\xF4"}) {
    JsonAutomaton up = AutomatonOf(schema);
    JsonAutomaton down = AutomatonOf(schema);
    const int32_t from_up = up.Next(up.start(), begin);
    const int32_t from_down = down.Next(down.start(), begin);
    for (int byte = 255; byte >= 0; --byte) down.Next(from_down, static_cast<uint8_t>(byte));
    for (int byte = 0; byte < 256; ++byte) {
      JsonAutomaton alone = AutomatonOf(schema);
      const int32_t from = alone.Next(alone.start(), begin);
      const int32_t next = alone.Next(from, static_cast<uint8_t>(byte));
      const int32_t next_up = up.Next(from_up, static_cast<uint8_t>(byte));
      const int32_t next_down = down.Next(from_down, static_cast<uint8_t>(byte));
      ASSERT_EQ(next_up < 0, next < 0) << begin << byte;
      ASSERT_EQ(next_down < 0, next < 0) << begin << byte;
      if (next < 0) continue;
      EXPECT_EQ(up.StacksOf(next_up), alone.StacksOf(next)) << begin << byte;
      EXPECT_EQ(down.StacksOf(next_down), alone.StacksOf(next)) << begin << byte;
    }
  }
}

TEST(JsonSchemaTest, DocumentsAreRead) {
  for (const std::string& schema : Schemas()) {
    SCOPED_TRACE(schema);
    JsonAutomaton automaton = AutomatonOf(schema);
    RandomJson documents(OrderedJson::parse(schema), 2);
    const JsonValidator validator(Json::parse(schema));
    for (int i = 0; i < 400; ++i) {
      const std::string text = documents.Next();
      ASSERT_TRUE(validator.AcceptsText(text)) << text;
      ASSERT_EQ(Read(&automaton, text), Reading::kComplete) << text;
    }
  }
}

TEST(JsonSchemaTest, WhatIsReadObeysTheSchema) {
  int read = 0;
  int refused = 0;
  for (const std::string& schema : Schemas()) {
    SCOPED_TRACE(schema);
    JsonAutomaton automaton = AutomatonOf(schema);
    RandomJson documents(OrderedJson::parse(schema), 3);
    const JsonValidator validator(Json::parse(schema));
    for (int i = 0; i < 1500; ++i) {
      const std::string text =
          documents.Mutated(documents.Next(), "{}[]:,\" \\ux01-.tnabyz\xC3\xA9");
      const bool is_read = Read(&automaton, text) == Reading::kComplete;
      ASSERT_TRUE(!is_read || validator.AcceptsText(text)) << text;
      // What is refused is wrong, or written in another order or with names that have escapes.
      ++(is_read ? read : refused);
    }
  }
  EXPECT_GT(read, 1000);
  EXPECT_GT(refused, 1000);
}

// From wherever a random way of bytes leads, a whole text can be reached.
TEST(JsonSchemaTest, EveryPrefixHasAnEnd) {
  constexpr size_t kMostBytes = 4000;
  for (const std::string& schema : Schemas()) {
    SCOPED_TRACE(schema);
    JsonAutomaton automaton = AutomatonOf(schema);
    const JsonValidator validator(Json::parse(schema));
    Random random(4);
    for (int i = 0; i < 100; ++i) {
      std::string text;
      int32_t state = automaton.start();
      const uint64_t random_bytes = random.Below(60);
      while (text.size() < random_bytes || !automaton.IsComplete(state)) {
        ASSERT_LT(text.size(), kMostBytes) << text;
        std::vector<uint8_t> bytes;
        for (int byte = 0; byte < 256; ++byte) {
          if (automaton.Next(state, static_cast<uint8_t>(byte)) >= 0) {
            bytes.push_back(static_cast<uint8_t>(byte));
          }
        }
        if (bytes.empty()) break;  // only at the end
        uint8_t byte = bytes[random.Below(bytes.size())];
        for (const char closing : {']', '}', '"'}) {
          const bool is_there = std::ranges::count(bytes, static_cast<uint8_t>(closing)) > 0;
          if (text.size() >= random_bytes && is_there) byte = static_cast<uint8_t>(closing);
        }
        text += static_cast<char>(byte);
        state = automaton.Next(state, byte);
      }
      ASSERT_TRUE(automaton.IsComplete(state)) << text;
      ASSERT_TRUE(validator.AcceptsText(text)) << text;
    }
  }
}

TEST(JsonSchemaTest, PropertiesComeInTheOrderOfTheSchema) {
  JsonAutomaton automaton = AutomatonOf(
      R"({"properties":{"z":{"type":"integer"},"a":{"type":"integer"},"m":{"type":"integer"}},
          "required":["a"]})");
  EXPECT_EQ(Read(&automaton, R"({"z":1,"a":2,"m":3})"), Reading::kComplete);
  EXPECT_EQ(Read(&automaton, R"({"a":2})"), Reading::kComplete);
  EXPECT_EQ(Read(&automaton, R"({"a":2,"z)"), Reading::kDead);
  EXPECT_EQ(Read(&automaton, R"({"m)"), Reading::kDead) << "a is required";
  EXPECT_EQ(Read(&automaton, R"({"z":1})"), Reading::kDead);
  EXPECT_EQ(Read(&automaton, R"({"a":2,"m":3,)"), Reading::kDead) << "none is left";
}

TEST(JsonSchemaTest, OtherNamesAreNoneOfTheProperties) {
  JsonAutomaton automaton = AutomatonOf(
      R"({"properties":{"ab":{"type":"integer"}},"additionalProperties":{"type":"string"}})");
  EXPECT_EQ(Read(&automaton, R"({"ab":1,"a":"x","abc":"y"})"), Reading::kComplete);
  EXPECT_EQ(Read(&automaton, R"({"ab":"x)"), Reading::kDead);
  EXPECT_EQ(Read(&automaton, R"({"\u0061b)"), Reading::kDead);
  EXPECT_EQ(Read(&automaton, R"({"a":"x","ab")"), Reading::kDead);
}

TEST(JsonSchemaTest, ADeepTextIsOnlyBegunWhereItCanEnd) {
  // 30 levels around a list that takes three more.
  std::string schema = R"({"type":"array","items":{"type":"array","minItems":1,
                           "items":{"type":"array"}}})";
  for (int i = 0; i < 30; ++i) schema = R"({"type":"array","items":)" + schema + "}";
  JsonAutomaton automaton = AutomatonOf(schema);
  EXPECT_EQ(Read(&automaton, std::string(31, '[')), Reading::kPrefix);
  EXPECT_EQ(Read(&automaton, std::string(32, '[')), Reading::kDead);
  EXPECT_EQ(Read(&automaton, std::string(31, '[') + std::string(31, ']')), Reading::kComplete);
}

TEST(JsonSchemaTest, AMemberIsOnlyBegunWhereItCanEnd) {
  std::string schema = R"({"properties":{"a":{"type":"number"},
                           "b":{"type":"array","minItems":1,"items":{"type":"array"}}}})";
  for (int i = 0; i < 30; ++i) schema = R"({"type":"array","items":)" + schema + "}";
  JsonAutomaton automaton = AutomatonOf(schema);
  const std::string begin(30, '[');
  EXPECT_EQ(Read(&automaton, begin + R"({"a":1})" + std::string(30, ']')), Reading::kComplete);
  EXPECT_EQ(Read(&automaton, begin + R"({"b)"), Reading::kDead);
  EXPECT_EQ(Read(&automaton, begin + R"({"a":1,)"), Reading::kDead);
}

TEST(JsonSchemaTest, ErrorsNameThePlace) {
  const std::tuple<std::string, std::string, std::string> cases[] = {
      {R"({"type":"text"})", "type", "\"text\" is none of string, number"},
      {R"({"type":[]})", "type", "names no type"},
      {R"({"type":5})", "type", "5 is none of"},
      {R"({"properties":{"x":{"type":"date"}}})", "properties.x.type", "is none of"},
      {R"({"properties":[]})", "properties", "an object is wanted"},
      {R"({"properties":{"x":5}})", "properties.x", "a schema"},
      {R"({"type":"string","pattern":"a+"})", "pattern", "not supported"},
      {R"({"type":"string","format":"date"})", "format", "not supported"},
      {R"({"type":"integer","minimum":3})", "minimum", "not supported"},
      {R"({"items":{"uniqueItems":true}})", "items.uniqueItems", "not supported"},
      {R"({"not":{}})", "not", "not supported"},
      {R"({"allOf":[{},{}]})", "allOf", "a list of one schema"},
      {R"({"anyOf":[]})", "anyOf", "a list of 1 to 32"},
      {R"({"anyOf":[{"type":"string"},{"const":1,"minLength":2}]})", "anyOf[1].minLength",
       "beside \"const\""},
      {R"({"anyOf":[{}],"type":"string"})", "type", "beside \"anyOf\""},
      {R"({"enum":[]})", "enum", "a list of values"},
      {R"({"enum":5})", "enum", "a list of values"},
      {R"({"enum":[1.5,123456789012345678901234567890]})", "enum[1]", "beyond the integers of 64"},
      {R"({"properties":{"a":{"const":{"b":[-9223372036854775809]}}}})", "properties.a.const.b[0]",
       "beyond the integers of 64"},
      {R"({"$ref":"#/$defs/a"})", "$ref", "is not there"},
      {R"({"$ref":"other.json"})", "$ref", "is not there"},
      {R"({"$ref":5})", "$ref", "a text is wanted"},
      {R"({"$ref":"#/$defs/a","$defs":{"a":{"x":1}}})", "$defs.a.x", "not supported"},
      {R"({"minLength":-1})", "minLength", "-1 is not an integer of 0 to 65536"},
      {R"({"maxItems":1.5})", "maxItems", "1.5 is not"},
      {R"({"required":["a"],"properties":{"b":{}}})", "required", "\"a\" is not in `properties`"},
      {R"({"required":"a"})", "required", "a list of texts"},
      // What no text obeys.
      {R"({"minItems":2,"maxItems":1})", "", "no JSON text"},
      {R"({"properties":{"a":false},"required":["a"]})", "properties.a", "false allows no value"},
      {R"({"properties":{"a":{"items":{"type":"string","const":5},"minItems":1}},"required":["a"]})",
       "properties.a.items.const", "no value in it is of type string"},
      {R"({"anyOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"type":"string","minLength":3,
           "maxLength":2}}})",
       "$defs.a", "minLength is above maxLength"},
      {R"({"items":{"type":["array","null"],"items":{"enum":[1],"type":"string"},"minItems":2,
           "maxItems":1},"minItems":1,"maxItems":0})",
       "", "minItems is above maxItems"},
      // What is wrong with an optional part is not why.
      {R"({"properties":{"a":{"$ref":"#"},"b":false},"required":["a"]})", "", "32 levels"},
      {R"({"properties":{"a":{"$ref":"#"}},"required":["a"]})", "", "no JSON text"},
      {R"({"$ref":"#"})", "", "no JSON text"},
      {R"({"enum":["a"],"type":["integer","null"]})", "enum", "is of type integer or null"},
      {"false", "", "no JSON text"},
      {"[]", "", "a schema"},
  };
  for (const auto& [schema, path, problem] : cases) {
    SCOPED_TRACE(schema);
    try {
      AutomatonOf(schema);
      ADD_FAILURE() << "is compiled";
    } catch (const JsonSchemaError& error) {
      EXPECT_EQ(error.path(), path);
      EXPECT_THAT(error.problem(), HasSubstr(problem));
    }
  }
}

TEST(JsonSchemaTest, LargeSchemasAreRefused) {
  OrderedJson many = {{"properties", OrderedJson::object()}};
  for (int i = 0; i < kMaxSchemaValues; ++i) many["properties"]["p" + std::to_string(i)] = true;
  EXPECT_THROW(CompileJsonSchema(many), JsonSchemaError);
  const OrderedJson large = {{"const", std::string(kMaxSchemaBytes + 1, 'x')}};
  EXPECT_THROW(CompileJsonSchema(large), JsonSchemaError);
  for (const bool is_name : {false, true}) {
    OrderedJson escaped;  // six bytes for each
    const std::string text(kMaxSchemaBytes / 6 + 1, '\x01');
    escaped[is_name ? "required" : "enum"] = {text};
    EXPECT_THROW(CompileJsonSchema(escaped), JsonSchemaError);
  }
  // 2 to the power of 20 alternatives, if each were counted.
  OrderedJson doubled = {{"$defs", {{"d0", {{"type", "null"}}}}}, {"$ref", "#/$defs/d20"}};
  for (int i = 1; i <= 20; ++i) {
    const OrderedJson one = {{"$ref", "#/$defs/d" + std::to_string(i - 1)}};
    doubled["$defs"]["d" + std::to_string(i)] = {{"anyOf", {one, one}}};
  }
  EXPECT_NO_THROW(CompileJsonSchema(doubled));
  OrderedJson wide = {{"$defs", OrderedJson::object()}, {"anyOf", OrderedJson::array()}};
  for (int i = 0; i < 8; ++i) {
    const std::string name = "d" + std::to_string(i);
    wide["$defs"][name] = {{"anyOf", OrderedJson::array()}};
    for (int j = 0; j < 8; ++j) {
      wide["$defs"][name]["anyOf"].push_back({{"const", 100 * i + j}});
    }
    wide["anyOf"].push_back({{"$ref", "#/$defs/" + name}});
  }
  EXPECT_THROW(CompileJsonSchema(wide), JsonSchemaError) << "64 alternatives";
}

TEST(JsonSchemaTest, NumbersOfAnEnumAreWrittenAsTheyAre) {
  const std::string numbers[] = {"18446744073709551615", "-9223372036854775808", "1.5", "-0.001"};
  JsonAutomaton automaton = AutomatonOf(fmt::format(R"({{"enum":[{}]}})", fmt::join(numbers, ",")));
  for (const std::string& number : numbers) {
    EXPECT_EQ(Read(&automaton, number), Reading::kComplete) << number;
  }
}

// Alternatives that stay alike as long as they go on are as many stacks; what is left of them is
// read well.
TEST(JsonSchemaTest, ManyStacksAreBounded) {
  const std::string item = R"({"$ref":"#/$defs/n"})";
  JsonAutomaton automaton = AutomatonOf(R"({"$defs":{"n":{"anyOf":[{"type":"array","items":)" +
                                        item + R"(},{"type":"array","items":)" + item +
                                        R"(,"maxItems":9},{"type":"null"}]}},"$ref":"#/$defs/n"})");
  const std::string text = std::string(20, '[') + "null,null" + std::string(20, ']');
  EXPECT_EQ(Read(&automaton, text), Reading::kComplete);
  EXPECT_LE(automaton.StacksOf(automaton.Next(0, std::string(20, '['))).size(), 32U);
}

}  // namespace
}  // namespace blockformer
