#include "eval/official_data.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "data/compression.h"
#include "data/corpus.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

using Paths = std::vector<std::string>;
using Records = std::vector<OrderedJson>;

// Drops each "[" with what follows up to the next "]" on its line.
std::string RemoveBrackets(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t open = std::min(text.find('['), text.size());
    const size_t close = std::min(text.find_first_of("]\n", open), text.size());
    const bool is_bracket = close < text.size() && text[close] == ']';
    result.append(text.substr(0, is_bracket ? open : close));
    text.remove_prefix(is_bracket ? close + 1 : close);
    if (!is_bracket && !text.empty()) {
      result += '\n';
      text.remove_prefix(1);
    }
  }
  return result;
}

// Takes marks of the WikiHow articles out of HellaSwag's texts.
std::string CleanHellaSwag(std::string_view text) {
  const std::string titled = ReplaceAll(Strip(text), " [title]", ". ");
  return ReplaceAll(RemoveBrackets(titled), "  ", " ");
}

OrderedJson HellaSwag(const ObjectReader& line) {
  const std::string context = line.String("activity_label") + ": " + line.String("ctx_a") + " " +
                              Capitalize(line.String("ctx_b"));
  std::vector<std::string> endings = line.Strings("endings");
  if (endings.size() < 2) line.FailField("endings", "a list of two or more texts is wanted");
  for (std::string& ending : endings) ending = CleanHellaSwag(ending);
  if (!line.Has("label")) {
    line.FailField("label", "is missing; the test set has no labels: take hellaswag_val.jsonl");
  }
  return {{"ctx", CleanHellaSwag(context)},
          {"choices", endings},
          {"label", line.Int("label", 0, static_cast<int64_t>(endings.size()) - 1)}};
}

// The layout that ARC and OpenBookQA share.
OrderedJson ScienceQuestion(const ObjectReader& line) {
  const ObjectReader question = line.Object("question");
  const Json& choices = question.Raw("choices");
  if (!choices.is_array() || choices.size() < 2) {
    question.FailField("choices", "a list of two or more choices is wanted");
  }
  std::vector<std::string> texts;
  std::vector<std::string> labels;
  for (const Json& element : choices) {
    const ObjectReader choice(element, line.source(),
                              fmt::format("question.choices[{}]", texts.size()));
    texts.push_back(choice.String("text"));
    labels.push_back(choice.String("label"));
  }
  const std::string answer = line.String("answerKey");
  const auto label = std::find(labels.begin(), labels.end(), Strip(answer));
  if (label == labels.end()) {
    line.FailField("answerKey", fmt::format("\"{}\" is none of the choices' labels {}", answer,
                                            fmt::join(labels, ", ")));
  }
  return {{"ctx", question.String("stem")}, {"choices", texts}, {"label", label - labels.begin()}};
}

OrderedJson Arc(const ObjectReader& line) {
  OrderedJson record = {{"id", line.String("id")}};
  record.update(ScienceQuestion(line));
  return record;
}

OrderedJson WinoGrande(const ObjectReader& line) {
  const std::string sentence = line.String("sentence");
  if (sentence.find('_') == sentence.npos) {
    line.FailField("sentence", "has no \"_\" where an option would stand");
  }
  const std::vector<std::string> options = {line.String("option1"), line.String("option2")};
  if (!line.Has("answer")) {
    line.FailField("answer", "is missing; the test set has no answers: take dev.jsonl");
  }
  const int label = line.Choice<int>("answer", {{"1", 0}, {"2", 1}});
  return {{"ctx", sentence}, {"choices", options}, {"label", label}};
}

OrderedJson Lambada(const ObjectReader& line) { return {{"text", line.String("text")}}; }

template <OrderedJson (*ConvertLine)(const ObjectReader&)>
Records ConvertLines(const Paths& paths) {
  CorpusReader reader(paths, {.format = InputFormat::kJsonLines});
  CorpusRecord line;
  Records records;
  while (reader.NextRecord(&line)) {
    const Json json = ParseJson(line.bytes, line.location);
    records.push_back(ConvertLine(ObjectReader(json, line.location)));
  }
  return records;
}

// The whole of a plain text, with line ends as Python reads them.
std::string ReadPlainText(const std::string& path) {
  CorpusReader reader({path});
  CorpusRecord record;
  Require(reader.NextRecord(&record), ErrorCode::kInvalidArgument,
          "{}: is empty; plain text is wanted", path);
  Require(!record.is_json, ErrorCode::kInvalidArgument, "{}: plain text is wanted, not JSON lines",
          path);
  const size_t invalid = FindInvalidUtf8(record.bytes);
  Require(
      invalid == record.bytes.size(), ErrorCode::kCorrupt, "{}:{}: is not valid UTF-8", path,
      std::count(record.bytes.begin(), record.bytes.begin() + static_cast<int64_t>(invalid), '\n') +
          1);
  return NormalizeLineEnds(record.bytes);
}

OrderedJson PiqaQuestion(const ObjectReader& line) {
  return {{"ctx", line.String("goal")}, {"choices", {line.String("sol1"), line.String("sol2")}}};
}

bool HoldsLabels(std::string_view path) { return HasEnding(WithoutCompression(path), ".lst"); }

std::vector<int> ReadPiqaLabels(const std::string& path) {
  const std::string text = ReadPlainText(path);
  std::vector<int> labels;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    Require(line == "0" || line == "1", ErrorCode::kCorrupt,
            "{}:{}: \"{}\" is no label; 0 or 1 is wanted", path, labels.size() + 1, line);
    labels.push_back(line == "1" ? 1 : 0);
    begin = end + 1;
  }
  return labels;
}

Records ConvertPiqa(const Paths& paths) {
  Require(HoldsLabels(paths[0]) != HoldsLabels(paths[1]), ErrorCode::kInvalidArgument,
          "piqa: one of {} and {} has to be the labels, with a name that ends in .lst", paths[0],
          paths[1]);
  const size_t labels_at = HoldsLabels(paths[0]) ? 0 : 1;
  const std::string& questions_path = paths[1 - labels_at];
  Records records = ConvertLines<PiqaQuestion>({questions_path});
  const std::vector<int> labels = ReadPiqaLabels(paths[labels_at]);
  Require(labels.size() == records.size(), ErrorCode::kCorrupt,
          "{}: has {} labels, but {} has {} questions", paths[labels_at], labels.size(),
          questions_path, records.size());
  for (size_t i = 0; i < records.size(); ++i) records[i]["label"] = labels[i];
  return records;
}

bool StartsPage(std::string_view line) {
  // Headings of lower levels have "= =" or "= = =" on each side.
  const std::string closed = ReplaceAll(ReplaceAll(line, "= = =", "==="), "= =", "==");
  const std::string_view heading = Strip(closed);
  return heading.starts_with("= ") && heading.ends_with(" =");
}

Records ConvertWikiText(const Paths& paths) {
  const std::string text = ReadPlainText(paths[0]);
  Records records;
  for (const std::string_view page : SplitWikiTextPages(text)) {
    Require(
        StartsPage(page.substr(0, page.find('\n'))), ErrorCode::kCorrupt,
        "{}: does not begin with a page's title, such as \" = Title = \"; wiki.test.raw is wanted",
        paths[0]);
    records.push_back({{"page", std::string(page)}});
  }
  return records;
}

}  // namespace

std::vector<std::string_view> SplitWikiTextPages(std::string_view text) {
  std::vector<std::string_view> pages;
  const auto add = [&](std::string_view page) {
    if (!Strip(page).empty()) pages.push_back(page);
  };
  size_t page = 0;
  for (size_t line = 0; line < text.size();) {
    const size_t end = std::min(text.find('\n', line), text.size());
    if (line > page && StartsPage(text.substr(line, end - line))) {
      add(text.substr(page, line - 1 - page));
      page = line;
    }
    line = end + 1;
  }
  add(text.substr(page));
  return pages;
}

const std::vector<OfficialSet>& OfficialSets() {
  static const std::vector<OfficialSet> sets = {
      {"hellaswag", {"hellaswag_val.jsonl"}, "hellaswag_val.jsonl", ConvertLines<HellaSwag>},
      {"piqa", {"valid.jsonl", "valid-labels.lst"}, "piqa_val.jsonl", ConvertPiqa},
      {"arc_easy", {"ARC-Easy-Test.jsonl"}, "arc_easy_test.jsonl", ConvertLines<Arc>},
      {"arc_challenge",
       {"ARC-Challenge-Test.jsonl"},
       "arc_challenge_test.jsonl",
       ConvertLines<Arc>},
      {"openbookqa", {"test.jsonl"}, "openbookqa_test.jsonl", ConvertLines<ScienceQuestion>},
      {"winogrande", {"dev.jsonl"}, "winogrande_val.jsonl", ConvertLines<WinoGrande>},
      {"lambada_openai",
       {"lambada_test.jsonl"},
       "lambada_openai_test.jsonl",
       ConvertLines<Lambada>},
      {"wikitext", {"wiki.test.raw"}, "wikitext2_test_pages.jsonl", ConvertWikiText},
  };
  return sets;
}

const OfficialSet& FindOfficialSet(const std::string& name) {
  std::vector<std::string> names;
  for (const OfficialSet& set : OfficialSets()) {
    if (set.name == name) return set;
    names.push_back(set.name);
  }
  Fail(ErrorCode::kInvalidArgument, "\"{}\" is no evaluation set; one of {} is wanted", name,
       fmt::join(names, ", "));
}

Records ConvertOfficialSet(const OfficialSet& set, const Paths& paths) {
  Require(paths.size() == set.inputs.size(), ErrorCode::kInvalidArgument,
          "{}: the number of files is {}; {} is wanted: {}", set.name, paths.size(),
          set.inputs.size(), fmt::join(set.inputs, " and "));
  Records records = set.convert(paths);
  Require(!records.empty(), ErrorCode::kCorrupt, "{}: holds no records of {}",
          fmt::join(paths, " and "), set.name);
  return records;
}

}  // namespace blockformer
