#include "data/json_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace blockformer {
namespace {

using ::testing::HasSubstr;

constexpr InvalidUtf8 kError = InvalidUtf8::kError;
constexpr InvalidUtf8 kReplace = InvalidUtf8::kReplace;

JsonRecord Record(const std::string& line) { return JsonRecord(line, "a.jsonl:7"); }

std::string FailureOf(const std::string& line, InvalidUtf8 invalid_utf8 = kError) {
  try {
    Record(line).Text("text", invalid_utf8);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(JsonRecord, DecodesStrings) {
  EXPECT_EQ(
      Record(R"( { "a":[{"text":"no"}], "te\u0078t" : "\"\\\/\b\f\n\r\t\u00e9\ud83d\uDE00" } )")
          .Text("text", kError),
      "\"\\/\b\f\n\r\t\u00e9\U0001F600");
  EXPECT_EQ(Record(R"({"text":"\u0000"})").Text("text", kError), std::string(1, '\0'));
}

TEST(JsonRecord, WhatStandsInOtherFieldsDoesNotMatter) {
  const std::string number(5000, '9');
  for (const char* value :
       {R"("\ud83d")", R"("\udc00x")", R"(["\ud83d", {"\ud83d": NaN}])", R"("\q")",
        R"({"a": 1, "a": 2})", R"("")", R"([])", R"({})", R"([[], {}, [{}]])", R"(-0.5E+7)",
        R"(NaN)", R"(Infinity)", R"([-Infinity])", R"(1e999999)"}) {
    EXPECT_EQ(Record("{\"x\": " + std::string(value) + ", \"text\": \"t\"}").Text("text", kError),
              "t")
        << value;
  }
  EXPECT_EQ(Record("{\"x\": -" + number + "." + number + ", \"text\": \"t\"}").Text("text", kError),
            "t");
  EXPECT_EQ(Record("{\"x\": \"\xFF\", \"\xFE\": \"\t\", \"text\": \"t\"}").Text("text", kError),
            "t");
}

TEST(JsonRecord, InvalidTextInAUsedField) {
  EXPECT_THAT(FailureOf("{\"text\": \"a\xFF\"}"),
              HasSubstr("a.jsonl:7: text: byte 11 of the line: 0xFF is not valid UTF-8; "
                        "`replace_invalid` replaces it"));
  EXPECT_THAT(FailureOf(R"({"text": "a\ud83d\u0041"})"),
              HasSubstr("byte 11 of the line: \\ud83d is half of a surrogate pair, which is no "
                        "character; `replace_invalid` replaces it"));
  EXPECT_EQ(Record("{\"text\": \"a\xFF"
                   R"(\ud83d\u0041\udc00\\ud83d\ud83d\ude00"})")
                .Text("text", kReplace),
            "a\uFFFD\uFFFDA\uFFFD\\ud83d\U0001F600");
}

TEST(JsonRecord, DamagedLines) {
  for (const char* line : {R"({"text": "t")",
                           R"({"text": "t)",
                           R"({"text": "t\)",
                           R"({"text")",
                           R"({"text":)",
                           "{",
                           R"({"text": "t"} x)",
                           R"({"text": "t"}{)",
                           R"({"text": "t",})",
                           R"({"text" "t"})",
                           R"({"x": 1 2, "text": "t"})",
                           R"({"x": [1}, "text": "t"})",
                           R"({"x": nan, "text": "t"})",
                           R"({"x": [1,], "text": "t"})",
                           R"({"x": {"a"}, "text": "t"})",
                           R"({"x": 1., "text": "t"})",
                           R"({"x": , "text": "t"})",
                           R"({'text': "t"})",
                           R"({"text": "\x"})",
                           R"({"text": "\u12g4"})",
                           R"({"text": "\u12"})",
                           "{\"text\": \"\t\"}",
                           "nonsense"}) {
    EXPECT_THAT(FailureOf(line), HasSubstr("a.jsonl:7: ")) << line;
    EXPECT_THAT(FailureOf(line), HasSubstr("not valid JSON")) << line;
    EXPECT_THAT(FailureOf(line, kReplace), HasSubstr("not valid JSON")) << line;
  }
  EXPECT_THAT(FailureOf(R"({"text": "a", "text": "b"})"), HasSubstr("stands twice"));
  EXPECT_THAT(FailureOf(R"({"text": null})"), HasSubstr("text: null is not possible"));
  EXPECT_THAT(FailureOf("[1]"), HasSubstr("an object is wanted, not an array"));
  EXPECT_THAT(FailureOf("\"text\""), HasSubstr("an object is wanted, not a string"));
  EXPECT_LT(FailureOf("{\"text\": " + std::string(100000, '1') + "}").size(), 200u);
}

TEST(JsonRecord, NullIsNotMissing) {
  const JsonRecord record = Record(R"({"a": null, "b": 1})");
  EXPECT_TRUE(record.IsNull("a"));
  EXPECT_FALSE(record.Has("a"));
  EXPECT_TRUE(record.Has("b"));
  EXPECT_FALSE(record.IsNull("c"));
  EXPECT_FALSE(record.Has("c"));
}

TEST(JsonRecord, ToJsonLeavesOutWhatItCannotHold) {
  std::string left_out;
  const JsonRecord record =
      Record(R"({"a": [1, "x"], "b": NaN, "c": "\ud83d", "d": ["\ud83d"], "e": "e"})");
  EXPECT_EQ(record.ToJson(kError, &left_out), Json::parse(R"({"a": [1, "x"], "e": "e"})"));
  EXPECT_THAT(left_out, HasSubstr("a.jsonl:7: b: not valid JSON"));
  EXPECT_EQ(record.ToJson(kReplace, &left_out),
            Json::parse(R"({"a": [1, "x"], "c": "\ufffd", "d": ["\ufffd"], "e": "e"})"));
  EXPECT_EQ(Record(R"({"a": 1})").ToJson(kError, &left_out), Json::parse(R"({"a": 1})"));
  EXPECT_EQ(left_out, "");
}

TEST(JsonRecord, ToJsonRefusesAFieldThatStandsTwice) {
  std::string left_out;
  try {
    Record(R"({"a": 1, "b": NaN, "c": 3, "b": 2})").ToJson(kError, &left_out);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("a.jsonl:7: the key \"b\" stands twice"));
  }
}

// Comparing each field with all the others would take some minutes.
TEST(JsonRecord, ToJsonTakesManyFields) {
  constexpr int kFields = 300'000;
  std::string line = "{";
  for (int i = 0; i < kFields; ++i) line += fmt::format("\"{:06}\":0,", i);
  line.back() = '}';
  std::string left_out;
  EXPECT_EQ(Record(line).ToJson(kError, &left_out).size(), static_cast<size_t>(kFields));
}

}  // namespace
}  // namespace blockformer
