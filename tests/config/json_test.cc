#include "config/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

// The message of the error that `body` throws.
template <typename Body>
std::string MessageOf(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ParseJsonTest, ReadsADocument) {
  const Json json = ParseJson(R"({"a": [1, 2.5, "x"], "b": {"c": null}})", "test");
  EXPECT_EQ(json["a"][1], 2.5);
  EXPECT_TRUE(json["b"]["c"].is_null());
}

TEST(ParseJsonTest, RefusesWhatTheLibraryAccepts) {
  EXPECT_THAT(MessageOf([] { ParseJson(R"({"a": 1, "b": {"a": 2, "a": 3}})", "f.json"); }),
              testing::AllOf(HasSubstr("f.json"), HasSubstr("\"a\" stands twice")));
  EXPECT_THAT(MessageOf([] { ParseJson(std::string(100'000, '['), "f.json"); }),
              HasSubstr("nested deeper"));
  EXPECT_THAT(MessageOf([] { ParseJson("{\"a\": 1,\n \"b\": }", "f.json"); }),
              testing::AllOf(HasSubstr("f.json"), HasSubstr("line 2")));
  EXPECT_THAT(MessageOf([] { ParseJson("", "f.json"); }), HasSubstr("not valid JSON"));
  EXPECT_THAT(MessageOf([] { ParseJson("{} x", "f.json"); }), HasSubstr("not valid JSON"));
  EXPECT_THAT(MessageOf([] { ParseJson("\"\xff\"", "f.json"); }), HasSubstr("not valid JSON"));
  EXPECT_THAT(MessageOf([] { ParseJson(std::string("{}\n\0 x", 6), "f.json"); }),
              HasSubstr("f.json: not valid JSON: byte 3 is 0"));
}

TEST(ParseYamlTest, ReadsScalarsAsTheCoreSchemaHasThem) {
  const Json json = ParseYaml(
      "a: 1\nb: 2.5\nc: true\nd: null\ne: text\nf: '1'\ng: 1e-3\nh: [1, x]\ni: {j: -4}\nk:\n", "t");
  EXPECT_EQ(json["a"], 1);
  EXPECT_EQ(json["b"], 2.5);
  EXPECT_EQ(json["c"], true);
  EXPECT_TRUE(json["d"].is_null());
  EXPECT_EQ(json["e"], "text");
  EXPECT_EQ(json["f"], "1");
  EXPECT_EQ(json["g"], 1e-3);
  EXPECT_EQ(json["h"], Json({1, "x"}));
  EXPECT_EQ(json["i"]["j"], -4);
  EXPECT_TRUE(json["k"].is_null());
}

TEST(ParseYamlTest, TellsTheLinesOfTheTopLevel) {
  std::map<std::string, int> lines;
  ParseYaml("# a comment\na: 1\nb:\n  c: [1]\n  d: 2\n'e': |\n  text\n\nf: x\n", "t", &lines);
  const std::map<std::string, int> expected = {{"a", 2}, {"b", 3}, {"e", 6}, {"f", 9}};
  EXPECT_EQ(lines, expected);
}

TEST(ParseYamlTest, RefusesDuplicatesAnchorsAndBrokenText) {
  EXPECT_THAT(MessageOf([] { ParseYaml("a: 1\nb: 2\na: 3\n", "r.yaml"); }),
              testing::AllOf(HasSubstr("r.yaml: line 3"), HasSubstr("\"a\" stands twice")));
  EXPECT_THAT(MessageOf([] { ParseYaml("a: &x 1\nb: *x\n", "r.yaml"); }), HasSubstr("anchors"));
  EXPECT_THAT(MessageOf([] { ParseYaml("a: !!binary 1\n", "r.yaml"); }), HasSubstr("tags"));
  EXPECT_THAT(MessageOf([] { ParseYaml("a: 1\nb: !function utils.f\n", "t.yaml"); }),
              HasSubstr("t.yaml: line 2, column 4: tags are not read: !function; a plain value"));
  EXPECT_THAT(MessageOf([] { ParseYaml("a: [1, 2\nb: 3", "r.yaml"); }),
              HasSubstr("not valid YAML"));
  EXPECT_THAT(MessageOf([] { ParseYaml("[a]: 1\n", "r.yaml"); }), HasSubstr("a key must be"));
  EXPECT_THAT(MessageOf([] { ParseYaml("a: 9\xBC\n", "r.yaml"); }), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(MessageOf([] { ParseYaml("a: 1\n\x04\nb: 2\n", "r.yaml"); }),
              HasSubstr("byte 5 is a control character"));
  EXPECT_THAT(MessageOf([] { ParseYaml("a: 1\n---\nb: 2\n", "r.yaml"); }),
              HasSubstr("r.yaml: holds more than one YAML document"));
}

TEST(ParseYamlTest, ReadsOneDocumentBetweenItsMarks) {
  EXPECT_EQ(ParseYaml("---\r\na: 1\r\n...\r\n# end\r\n", "r.yaml"), Json({{"a", 1}}));
}

TEST(ObjectReaderTest, NamesTheFieldTheValueAndWhatIsWanted) {
  const Json json =
      ParseJson(R"({"n": 7, "big": 18446744073709551615, "s": "x", "o": {"k": 1.5}})", "test");
  const ObjectReader reader(json, "f.json");
  EXPECT_EQ(reader.Int("n", 1, 7), 7);
  EXPECT_THAT(MessageOf([&] { reader.Int("n", 1, 6); }),
              testing::AllOf(HasSubstr("f.json: n: 7"), HasSubstr("1 to 6")));
  EXPECT_THAT(MessageOf([&] { reader.Int("big", 0, INT64_MAX); }), HasSubstr("big"));
  EXPECT_THAT(MessageOf([&] { reader.Int("s", 0, 1); }), HasSubstr("an integer"));
  EXPECT_THAT(MessageOf([&] { reader.Int("none", 0, 1); }), HasSubstr("none: is missing"));
  EXPECT_EQ(reader.Int("none", 0, 9, 4), 4);
  EXPECT_THAT(MessageOf([&] { reader.Object("o").Int("k", 0, 9); }), HasSubstr("o.k: 1.5"));
  EXPECT_THAT(MessageOf([&] {
                reader.Choice<int>("s", {{"y", 0}, {"z", 1}});
              }),
              HasSubstr("one of y, z"));
}

TEST(ObjectReaderTest, RejectsFieldsThatNobodyReads) {
  const Json json = {{"known", 1}, {"unknwon", 2}};
  const ObjectReader reader(json, "f.json");
  reader.Int("known", 0, 9);
  EXPECT_THAT(MessageOf([&] { reader.RejectUnknown(); }),
              testing::AllOf(HasSubstr("unknwon"), HasSubstr("known are known")));
}

}  // namespace
}  // namespace blockformer
