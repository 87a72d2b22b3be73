#include "eval/official_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "data/corpus.h"

namespace blockformer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kHellaSwag[] =
    R"({"ind": 7, "activity_label": "Baking bread", "ctx_a": "A baker weighs flour.", )"
    R"("ctx_b": "the Young baker", "ctx": "A baker weighs flour. the Young baker", )"
    R"("split": "val", "split_type": "indomain", "source_id": "activitynet~v_x", "label": 2, )"
    R"("endings": ["eats the scale.", "paints a wall.", "pours it into a bowl.", "swims."]})"
    "\n";
constexpr char kQuestion[] =
    R"({"id": "Test_9", "question": {"stem": "What melts ice?", "choices": [)"
    R"({"text": "Cold", "label": "A"}, {"text": "Heat", "label": "B"}, )"
    R"({"text": "Darkness", "label": "C"}]}, "answerKey": "B"})"
    "\n";
constexpr char kWinoGrande[] =
    R"({"qID": "X1-2", "sentence": "The lid did not fit the jar because _ was too wide.", )"
    R"("option1": "jar", "option2": "lid", "answer": "2"})"
    "\n";
constexpr char kPiqa[] =
    R"({"goal": "To dry socks,", "sol1": "hang them up.", "sol2": "drown them."})"
    "\n"
    R"({"goal": "To cool tea,", "sol1": "boil it.", "sol2": "wait  "})"
    "\n";
constexpr char kLambada[] = R"({"text": "\"Is that Anna?\"\n\nIt was Anna"})"
                            "\n";

// A text with its first occurrence of `from` replaced.
std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t position = text.find(from);
  EXPECT_NE(position, text.npos) << from;
  return text.replace(position, from.size(), to);
}

class OfficialDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = ::testing::TempDir() + "official_data_" + test->name() + "/";
    std::filesystem::remove_all(directory_);
    MakeDirectories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& contents) const {
    WriteFileAtomically(directory_ + name, contents);
    return directory_ + name;
  }

  // The records as JSON text.
  static std::vector<std::string> Convert(const std::string& set,
                                          const std::vector<std::string>& paths) {
    std::vector<std::string> lines;
    for (const OrderedJson& record : ConvertOfficialSet(FindOfficialSet(set), paths)) {
      lines.push_back(ToText(record));
    }
    return lines;
  }

  // Converts a set of one file, which holds `contents`.
  std::vector<std::string> ConvertText(const std::string& set, const std::string& contents) const {
    return Convert(set, {Write(set == "wikitext" ? "in.raw" : "in.jsonl", contents)});
  }

  static std::string FailureOf(const std::string& set, const std::vector<std::string>& paths) {
    try {
      Convert(set, paths);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  std::string FailureOfText(const std::string& set, const std::string& contents) const {
    return FailureOf(set, {Write(set == "wikitext" ? "in.raw" : "in.jsonl", contents)});
  }

  std::string directory_;
};

TEST_F(OfficialDataTest, SetsHaveNames) {
  std::vector<std::string> names;
  for (const OfficialSet& set : OfficialSets()) names.push_back(set.name);
  EXPECT_THAT(names, ElementsAre("hellaswag", "piqa", "arc_easy", "arc_challenge", "openbookqa",
                                 "winogrande", "lambada_openai", "wikitext"));
  EXPECT_EQ(FindOfficialSet("arc_easy").output, "arc_easy_test.jsonl");
  EXPECT_THAT(FailureOf("boolq", {}),
              HasSubstr("\"boolq\" is no evaluation set; one of hellaswag, piqa, arc_easy, "
                        "arc_challenge, openbookqa, winogrande, lambada_openai, wikitext is "
                        "wanted"));
}

TEST_F(OfficialDataTest, HellaSwagJoinsItsContext) {
  EXPECT_THAT(ConvertText("hellaswag", kHellaSwag),
              ElementsAre(R"({"ctx":"Baking bread: A baker weighs flour. The young baker",)"
                          R"("choices":["eats the scale.","paints a wall.",)"
                          R"("pours it into a bowl.","swims."],"label":2})"));
}

// The context that HellaSwag's parts make.
TEST_F(OfficialDataTest, HellaSwagTextsAreThoseOfTheHarness) {
  const auto context = [&](const std::string& a, const std::string& b) {
    const Json line = {{"activity_label", "L"},
                       {"ctx_a", a},
                       {"ctx_b", b},
                       {"endings", {" x [title] y ", "z"}},
                       {"label", 0}};
    const Json record = ParseJson(ConvertText("hellaswag", ToText(line)).at(0), "record");
    EXPECT_EQ(record["choices"][0], "x. y");
    return record["ctx"].get<std::string>();
  };
  EXPECT_EQ(context("A.", ""), "L: A.");
  EXPECT_EQ(context("A.", "\u00E9t\u00C9"), "L: A. \u00C9t\u00E9");
  EXPECT_EQ(context("A [title] B [step] C", "d"), "L: A. B C D");
  EXPECT_EQ(context("A [substeps]", "x"), "L: A X");
  EXPECT_EQ(context("A [ok] [b", "x]"), "L: A ");
  EXPECT_EQ(context("[a\nb] [c]d]", ""), "L: [a\nb] d]");
  EXPECT_EQ(context("a    b", ""), "L: a  b");
  EXPECT_EQ(context("a[x]", "\u00A0"), "L: a");
}

TEST_F(OfficialDataTest, HellaSwagRefusesTestSetAndWrongLabels) {
  EXPECT_THAT(FailureOfText("hellaswag", kHellaSwag + Replaced(kHellaSwag, R"("label": 2, )", "")),
              HasSubstr("in.jsonl:2: label: is missing; the test set has no labels: take "
                        "hellaswag_val.jsonl"));
  EXPECT_THAT(FailureOfText("hellaswag", Replaced(kHellaSwag, "2", "4")),
              HasSubstr("in.jsonl:1: label: 4 is not possible; an integer from 0 to 3"));
  EXPECT_THAT(FailureOfText("hellaswag", Replaced(kHellaSwag, "2", "-1")), HasSubstr("-1 is not"));
  EXPECT_THAT(FailureOfText("hellaswag", Replaced(kHellaSwag, "\"swims.\"", "4")),
              HasSubstr("in.jsonl:1: endings: a list of strings is wanted"));
  EXPECT_THAT(FailureOfText("hellaswag", Replaced(kHellaSwag,
                                                  R"(, "paints a wall.", )"
                                                  R"("pours it into a bowl.", "swims.")",
                                                  "")),
              HasSubstr("in.jsonl:1: endings: a list of two or more"));
}

TEST_F(OfficialDataTest, ArcFindsTheAnswerAmongItsLabels) {
  EXPECT_THAT(ConvertText("arc_easy", kQuestion),
              ElementsAre(R"({"id":"Test_9","ctx":"What melts ice?",)"
                          R"("choices":["Cold","Heat","Darkness"],"label":1})"));
  std::string numbered = Replaced(kQuestion, R"("label": "A")", R"("label": "1")");
  numbered = Replaced(numbered, R"("label": "B")", R"("label": "2")");
  numbered = Replaced(numbered, R"("label": "C")", R"("label": "3")");
  EXPECT_THAT(FailureOfText("arc_challenge", numbered),
              HasSubstr("in.jsonl:1: answerKey: \"B\" is none of the choices' labels 1, 2, 3"));
  numbered = Replaced(numbered, R"("answerKey": "B")", R"("answerKey": "3")");
  EXPECT_THAT(ConvertText("arc_challenge", numbered), ElementsAre(HasSubstr("\"label\":2}")));
}

TEST_F(OfficialDataTest, ArcRefusesWrongFields) {
  const std::pair<std::string, std::string> cases[] = {
      {Replaced(kQuestion, R"("id": "Test_9", )", ""), "in.jsonl:1: id: is missing"},
      {Replaced(kQuestion, R"("stem": "What melts ice?", )", ""),
       "in.jsonl:1: question.stem: is missing"},
      {Replaced(kQuestion, R"("text": "Heat")", R"("text": 4)"),
       "in.jsonl:1: question.choices[1].text: 4 is not possible"},
      {Replaced(kQuestion, R"({"text": "Heat", "label": "B"})", "\"Heat\""),
       "in.jsonl:1: question.choices[1]: an object is wanted, not string"},
      {R"({"id": "x", "question": {"stem": "?", "choices": []}, "answerKey": "A"})",
       "in.jsonl:1: question.choices: a list of two or more"},
      {R"({"id": "x", "question": "?", "answerKey": "A"})", "in.jsonl:1: question: an object"},
      {R"({"id": "x", "question": {"stem": "?"}, "answerKey": "A"})",
       "in.jsonl:1: question.choices: a list"},
  };
  for (const auto& [line, message] : cases) {
    EXPECT_THAT(FailureOfText("arc_easy", line), HasSubstr(message));
  }
}

TEST_F(OfficialDataTest, OpenBookQaHasNoId) {
  EXPECT_THAT(
      ConvertText("openbookqa", Replaced(kQuestion, R"("answerKey": "B")", R"("answerKey": " B")")),
      ElementsAre(R"({"ctx":"What melts ice?","choices":["Cold","Heat","Darkness"],)"
                  R"("label":1})"));
}

TEST_F(OfficialDataTest, WinoGrandeKeepsTheBlank) {
  EXPECT_THAT(ConvertText("winogrande", kWinoGrande),
              ElementsAre(R"({"ctx":"The lid did not fit the jar because _ was too wide.",)"
                          R"("choices":["jar","lid"],"label":1})"));
  EXPECT_THAT(FailureOfText("winogrande", Replaced(kWinoGrande, "_", "it")),
              HasSubstr("in.jsonl:1: sentence: has no \"_\""));
  EXPECT_THAT(FailureOfText("winogrande", Replaced(kWinoGrande, R"("2")", R"("3")")),
              HasSubstr("in.jsonl:1: answer: \"3\" is not known; one of 1, 2 is wanted"));
  EXPECT_THAT(FailureOfText("winogrande", Replaced(kWinoGrande, R"(, "answer": "2")", "")),
              HasSubstr("in.jsonl:1: answer: is missing; the test set has no answers"));
}

TEST_F(OfficialDataTest, PiqaTakesItsFilesInEitherOrder) {
  const std::string questions = Write("valid.jsonl", kPiqa);
  const std::string labels = Write("valid-labels.lst", "0\r\n1\r\n");
  const std::vector<std::string> records = Convert("piqa", {questions, labels});
  EXPECT_THAT(
      records,
      ElementsAre(R"({"ctx":"To dry socks,","choices":["hang them up.","drown them."],"label":0})",
                  R"({"ctx":"To cool tea,","choices":["boil it.","wait  "],"label":1})"));
  EXPECT_EQ(Convert("piqa", {labels, questions}), records);
}

TEST_F(OfficialDataTest, PiqaRefusesLabelsThatDoNotFit) {
  const std::string questions = Write("valid.jsonl", kPiqa);
  EXPECT_THAT(FailureOf("piqa", {questions}),
              HasSubstr("piqa: the number of files is 1; 2 is wanted: valid.jsonl and "
                        "valid-labels.lst"));
  EXPECT_THAT(FailureOf("piqa", {questions, questions}), HasSubstr("ends in .lst"));
  const std::pair<std::string, std::string> cases[] = {
      {"0", "x.lst: has 1 labels, but " + questions + " has 2 questions"},
      {"0\n1\n0\n", "x.lst: has 3 labels"},
      {"0\n2\n", "x.lst:2: \"2\" is no label; 0 or 1 is wanted"},
      {"\n0\n1\n", "x.lst:1: \"\" is no label"},
      {"0\n\xFF\n", "x.lst:2: is not valid UTF-8"},
  };
  for (const auto& [labels, message] : cases) {
    EXPECT_THAT(FailureOf("piqa", {questions, Write("x.lst", labels)}), HasSubstr(message));
  }
}

TEST_F(OfficialDataTest, LambadaKeepsItsText) {
  EXPECT_THAT(ConvertText("lambada_openai", kLambada),
              ElementsAre(R"({"text":"\"Is that Anna?\"\n\nIt was Anna"})"));
}

TEST_F(OfficialDataTest, CompressedFiles) {
  // A zstd frame of one block that holds the bytes as they are.
  constexpr size_t kSize = sizeof(kLambada) - 1;
  static_assert(kSize < 256);
  const std::string frame = std::string("\x28\xB5\x2F\xFD\x20") + static_cast<char>(kSize) +
                            static_cast<char>(kSize << 3 | 1) + static_cast<char>(kSize >> 5) +
                            '\0' + kLambada;
  EXPECT_THAT(Convert("lambada_openai", {Write("a.jsonl.zst", frame)}),
              ElementsAre(HasSubstr("Anna")));
}

TEST_F(OfficialDataTest, DamagedFilesNameTheirLine) {
  const std::pair<std::string, std::string> cases[] = {
      {kLambada + std::string("{\"text\": \"\xFF\"}\n"), "in.jsonl:2: not valid JSON"},
      {"{\"text\": \"cut", "in.jsonl:1: not valid JSON"},
      {"[1]\n", "in.jsonl:1: the top level: an object is wanted, not array"},
      {"{\"text\": [\"a\"]}\n", "in.jsonl:1: text: [\"a\"] is not possible; a string is wanted"},
      {"\n \n", "in.jsonl: holds no records of lambada_openai"},
  };
  for (const auto& [contents, message] : cases) {
    EXPECT_THAT(FailureOfText("lambada_openai", contents), HasSubstr(message));
  }
  EXPECT_THAT(FailureOf("lambada_openai", {Write("a.txt", "= Title =\n")}),
              HasSubstr("a.txt:1: not valid JSON"));
  EXPECT_THAT(FailureOf("lambada_openai", {directory_ + "absent.jsonl"}), HasSubstr("absent"));
}

TEST_F(OfficialDataTest, WikiTextPages) {
  EXPECT_THAT(SplitWikiTextPages(" \n = One = \n \n Text = x \n = = Part = = \n"
                                 " = = = Level 3 = = = \n = = = = Level 4 = = = = \n = Legend \n"
                                 " \n = Two ( 2 ) = \n \n more"),
              ElementsAre(" = One = \n \n Text = x \n = = Part = = \n = = = Level 3 = = = \n"
                          " = = = = Level 4 = = = = \n = Legend \n ",
                          " = Two ( 2 ) = \n \n more"));
  EXPECT_THAT(SplitWikiTextPages("= A =\n\n = b k = \n"), ElementsAre("= A =\n", " = b k = \n"));
  EXPECT_THAT(SplitWikiTextPages("before\n = A = "), ElementsAre("before", " = A = "));
  EXPECT_THAT(SplitWikiTextPages(" = = A = = \n = = = B = = = "),
              ElementsAre(" = = A = = \n = = = B = = = "));
  EXPECT_THAT(SplitWikiTextPages(" \n \u00A0\n"), IsEmpty());
  EXPECT_THAT(SplitWikiTextPages(""), IsEmpty());
}

TEST_F(OfficialDataTest, WikiTextRecords) {
  EXPECT_THAT(
      ConvertText("wikitext", " \r\n = One = \r\n \r\n caf\u00E9 \r\n = Two = \r\n"),
      ElementsAre("{\"page\":\" = One = \\n \\n caf\u00E9 \"}", R"({"page":" = Two = \n"})"));
  EXPECT_THAT(FailureOfText("wikitext", ""), HasSubstr("in.raw: holds no records"));
  EXPECT_THAT(FailureOfText("wikitext", " = A = \n\n\xC3("),
              HasSubstr("in.raw:3: is not valid UTF-8"));
  EXPECT_THAT(FailureOfText("wikitext", "Chapter 1\n = A = \n"),
              HasSubstr("in.raw: does not begin with a page's title"));
  EXPECT_THAT(FailureOf("wikitext", {Write("pages.jsonl", R"({"page": "x"})")}),
              HasSubstr("pages.jsonl: plain text is wanted"));
}

// The pages of the WikiText-2 test set. Those of the file keep the blank line before the first
// title, which the harness drops, and lack the end of the last line, which it keeps.
TEST(OfficialDataShared, WikiText2Pages) {
  const char* variable = std::getenv("BLOCKFORMER_SHARED_DIR");
  const std::string shared = variable != nullptr ? variable : "../shared";
  const std::string path = shared + "/eval/wikitext2_test_pages.jsonl";
  if (!FileExists(path)) GTEST_SKIP() << path << " is not there; set BLOCKFORMER_SHARED_DIR";
  CorpusReader reader({path}, {.text_field = "page"});
  std::vector<std::string> pages;
  std::string raw;
  for (std::string page; reader.Next(&page);) {
    pages.push_back(page);
    raw += page + "\n";
  }
  ASSERT_EQ(pages.size(), 62U);
  EXPECT_EQ(raw.size(), 1290590U);  // of the official wiki.test.raw
  ASSERT_TRUE(pages.front().starts_with(" \n"));
  pages.front().erase(0, 2);
  pages.back() += "\n";
  EXPECT_THAT(SplitWikiTextPages(raw), ::testing::ElementsAreArray(pages));
}

}  // namespace
}  // namespace blockformer
