#include "data/result_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace blockformer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string RefusalOf(const ResultFields& fields, const std::string& line) {
  try {
    fields.RequireFree(JsonRecord(line, "in.jsonl: line 3"));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "no error";
}

TEST(ResultFieldsTest, TheLineIsKeptByteForByte) {
  const ResultFields fields("", {"text", "tokens"});
  const OrderedJson values = {{"text", "a\"\n"}, {"tokens", 2}};
  const std::string added = "\"text\":\"a\\\"\\n\",\"tokens\":2";
  const std::string record =
      "\"z\":1.10, \"a\" "
      ":123456789012345678901234567890,\"e\":1E5,\"n\":NaN,\"s\":\"\\ud83d\",\"u\":\"\\u00e9\\/\", "
      " \"{\":{}";
  for (const std::string end : {"}", " } ", "\t}\r"}) {
    for (const std::string begin : {"{", "  { "}) {
      EXPECT_EQ(fields.Append(JsonRecord(begin + record + end, "in"), values),
                begin + record + "," + added + end);
    }
  }
  EXPECT_EQ(fields.Append(JsonRecord("{}", "in"), values), "{" + added + "}");
  EXPECT_EQ(fields.Append(JsonRecord("{ }\r", "in"), values), "{" + added + " }\r");
}

TEST(ResultFieldsTest, AFieldOfTheUserIsNeverOverwritten) {
  const ResultFields fields("", {"text", "tokens"});
  EXPECT_EQ(RefusalOf(fields, R"({"prompt":"text","deep":{"text":1}})"), "no error");
  for (const char* line :
       {R"({"text":"a"})", R"({"text":null})", R"({"prompt":"a","te\u0078t":[]})"}) {
    EXPECT_THAT(RefusalOf(fields, line), AllOf(StartsWith("in.jsonl: line 3: "),
                                               HasSubstr("\"text\""), HasSubstr("`result_prefix`")))
        << line;
  }
  EXPECT_THAT(RefusalOf(fields, R"({"tokens":0})"), HasSubstr("\"tokens\""));
}

TEST(ResultFieldsTest, APrefixRenamesOurs) {
  const ResultFields fields("bf\"_", {"text", "tokens"});
  const std::string line = R"({"text":"a"})";
  EXPECT_EQ(RefusalOf(fields, line), "no error");
  const std::string result = fields.Append(JsonRecord(line, "in"), {{"tokens", 2}});
  EXPECT_EQ(result, R"({"text":"a","bf\"_tokens":2})");
  EXPECT_THAT(RefusalOf(fields, result), HasSubstr("\"bf\"_tokens\""));
  EXPECT_THROW(ResultFields("\xFF", {"text"}), Error);
}

TEST(ResultFieldsTest, FindsTheErrorsThatItAdded) {
  const ResultFields fields("my ", {"text", kErrorField});
  const auto with_error = [&](const std::string& line) {
    return fields.Append(JsonRecord(line, "in"), {{"text", "t"}, {kErrorField, "bad \"x\"}"}});
  };
  for (const std::string line : {"{}", "{ } ", R"({"a": {"my error": 1}})", "{\"a\": NaN}\r"}) {
    EXPECT_EQ(fields.ErrorIn(with_error(line)), "bad \"x\"}") << line;
    EXPECT_EQ(fields.ErrorIn(fields.Append(JsonRecord(line, "in"), {{"text", "t"}})), std::nullopt)
        << line;
  }
  for (const std::string line : {R"({"text":"\",\"my error\":\"x"})",
                                 R"({"a":{"b":1,"my error":"x"}})", R"({"my error":2})"}) {
    EXPECT_EQ(fields.ErrorIn(line), std::nullopt) << line;
  }
  ResultErrors errors(fields);
  errors.Add(fields.Append(JsonRecord("{}", "in"), {{"text", "t"}}));
  EXPECT_NO_THROW(errors.RequireNone("out"));
  errors.Add(with_error("{}"));
  errors.Add(with_error("{}"));
  try {
    errors.RequireNone("out");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "out: 2 of 3 texts failed; the first, line 2: bad \"x\"}");
  }
}

}  // namespace
}  // namespace blockformer
