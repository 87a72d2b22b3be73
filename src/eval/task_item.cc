// Records into what has to be scored of them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/file.h"
#include "data/corpus.h"
#include "data/json_record.h"
#include "eval/task.h"
#include "text/python_text.h"

namespace blockformer {
namespace {

constexpr uint64_t kMaxRecordBytes = uint64_t{1} << 24;

template <typename... Args>
void RequireOf(bool condition, const DocRule& rule, fmt::format_string<Args...> problem,
               Args&&... args) {
  if (condition) return;
  Fail(ErrorCode::kInvalidArgument, "{}: {}", rule.place,
       fmt::format(problem, std::forward<Args>(args)...));
}

bool IsDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// A text that is hardly meant to be the same in all records.
bool IsName(std::string_view text) {
  const auto is_name_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !text.empty() && !IsDigits(text) &&
         std::all_of(text.begin(), text.end(), is_name_character);
}

bool IsField(const DocRule& rule, const Json& record) {
  return !rule.integer && record.contains(rule.text);
}

void RequireField(const DocRule& rule, const Json& record) {
  RequireOf(IsField(rule, record) || !IsName(rule.text), rule,
            "the record has no field {0}; \"{{{{'{0}'}}}}\" would be the text itself", rule.text);
}

// An integer, the value of a field, or what a template renders.
Json ValueOf(const DocRule& rule, const Json& record) {
  if (rule.integer) return *rule.integer;
  RequireField(rule, record);
  return IsField(rule, record) ? record[rule.text] : Json(rule.parsed.Render(record));
}

std::string TextOf(const DocRule& rule, const Json& record) {
  const Json value = ValueOf(rule, record);
  RequireOf(value.is_string(), rule, "{} is {}; a string is wanted", Quote(value), KindOf(value));
  return value;
}

std::optional<int64_t> ReadInteger(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_string() || !IsDigits(value.get_ref<const std::string&>())) return std::nullopt;
  const std::string& digits = value.get_ref<const std::string&>();
  int64_t integer = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), integer);
  return error == std::errc() ? integer : INT64_MAX;
}

std::vector<std::string> ChoicesOf(const Task& task, const Json& record) {
  if (!task.choices) return task.choice_list;
  const DocRule& rule = *task.choices;
  RequireField(rule, record);
  const Json value = IsField(rule, record) ? record[rule.text] : rule.parsed.Evaluate(record);
  RequireOf(value.is_array(), rule, "{} is {}; a list of strings is wanted", Quote(value),
            KindOf(value));
  RequireOf(!value.empty(), rule, "the list of choices is empty");
  std::vector<std::string> choices;
  for (const Json& choice : value) {
    RequireOf(choice.is_string(), rule, "the choice {} is {}; a string is wanted", Quote(choice),
              KindOf(choice));
    choices.push_back(choice);
  }
  return choices;
}

int64_t CheckIndex(const DocRule& rule, int64_t index, size_t choices) {
  RequireOf(index >= 0 && index < static_cast<int64_t>(choices), rule,
            "{} is not the index of one of the {} choices; 0 to {} is wanted", index, choices,
            choices - 1);
  return index;
}

// The index of the right choice: given as such or by the choice itself. Digits are an index first
// if they come from a template, and a choice first if they are a field's value.
int64_t LabelOf(const DocRule& rule, const Json& record, const std::vector<std::string>& choices) {
  const auto find = [&](const std::string& text) {
    return std::find(choices.begin(), choices.end(), text);
  };
  const auto same = find(rule.text);  // in all records
  if (IsName(rule.text) && !IsField(rule, record) && same != choices.end()) {
    return same - choices.begin();
  }
  const Json value = ValueOf(rule, record);
  const std::optional<int64_t> index = ReadInteger(value);
  const auto found = value.is_string() ? find(value.get_ref<const std::string&>()) : choices.end();
  const bool index_first = index && !IsField(rule, record);
  if (found != choices.end() && !index_first) return found - choices.begin();
  RequireOf(index.has_value(), rule, "{} is neither the index of a choice nor one of the choices",
            Quote(value));
  return CheckIndex(rule, *index, choices.size());
}

void AddMultipleChoice(const Task& task, const Json& record, const std::string& description,
                       TaskItem* item) {
  const std::vector<std::string> choices = ChoicesOf(task, record);
  const Json text = ValueOf(*task.text, record);
  // The digits of a field that is a string stay a text.
  const bool may_be_index = !text.is_string() || !IsField(*task.text, record);
  const std::optional<int64_t> index = may_be_index ? ReadInteger(text) : std::nullopt;
  item->has_several_contexts = index.has_value();
  if (index) {
    item->target = CheckIndex(*task.text, *index, choices.size());
    const std::string continuation = task.target_delimiter + TextOf(task.target, record);
    for (const std::string& choice : choices) {
      item->requests.push_back({description + choice, continuation});
    }
  } else {
    item->target = LabelOf(task.target, record, choices);
    const std::string context = description + TextOf(*task.text, record);
    for (const std::string& choice : choices) {
      item->requests.push_back({context, task.target_delimiter + choice});
    }
  }
  for (const std::string& choice : choices) {
    item->choice_lengths.push_back(static_cast<double>(CountCharacters(choice)));
  }
}

void CheckRequests(const Task& task, const TaskItem& item) {
  for (const ScoredText& request : item.requests) {
    Require(!request.text.empty(), ErrorCode::kInvalidArgument,
            "a continuation is empty; there is nothing to score");
  }
  if (std::find(task.metrics.begin(), task.metrics.end(), Metric::kAccNorm) == task.metrics.end()) {
    return;
  }
  for (const double length : item.choice_lengths) {
    Require(length > 0, ErrorCode::kInvalidArgument,
            "a choice is empty; acc_norm divides by its length");
  }
}

TaskItem ToItem(const Task& task, const Json& record) {
  Require(record.is_object(), ErrorCode::kInvalidArgument, "the record is {}; an object is wanted",
          KindOf(record));
  TaskItem item;
  if (task.output_type == OutputType::kLogLikelihoodRolling) {
    item.requests.push_back({std::nullopt, TextOf(task.target, record)});
    const std::string counted = task.length ? TextOf(*task.length, record) : item.requests[0].text;
    item.words = CountWords(counted);
    item.bytes = static_cast<int64_t>(counted.size());
    return item;
  }
  const std::string description = task.description.Render(record);
  if (task.output_type == OutputType::kMultipleChoice) {
    AddMultipleChoice(task, record, description, &item);
  } else {
    item.requests.push_back(
        {description + TextOf(*task.text, record), TextOf(task.target, record)});
  }
  CheckRequests(task, item);
  return item;
}

// A field of the record that has no value is missing where it is used.
TaskItem ReadItem(const Task& task, CorpusRecord record, InvalidUtf8 invalid_utf8) {
  const JsonRecord line(std::move(record.bytes), std::move(record.location));
  std::string left_out;
  const Json json = line.ToJson(invalid_utf8, &left_out);
  try {
    return MakeItem(task, json, line.place());
  } catch (const Error& error) {
    if (left_out.empty()) throw;
    Fail(error.code(), "{}; a field was left out: {}", error.what(), left_out);
  }
}

// The harness lets the first record decide what doc_to_text is.
void CheckAlike(const Task& task, const TaskItem& first, const TaskItem& item) {
  if (item.has_several_contexts == first.has_several_contexts) return;
  Fail(ErrorCode::kInvalidArgument, "{}: {}: {}, but {} in {}", item.place, task.text->place,
       item.has_several_contexts ? "an integer" : "a text",
       first.has_several_contexts ? "an integer" : "a text", first.place);
}

// Words and bytes are what a rolling task's metrics divide by.
void CheckTextToMeasure(const Task& task, const std::vector<TaskItem>& items) {
  if (task.output_type != OutputType::kLogLikelihoodRolling) return;
  const bool has_text =
      std::any_of(items.begin(), items.end(), [](const TaskItem& item) { return item.bytes > 0; });
  Require(has_text, ErrorCode::kInvalidArgument,
          "{}: the texts of task {} hold no byte, so there is nothing to measure",
          fmt::join(task.data_files, ", "), task.name);
}

}  // namespace

TaskItem MakeItem(const Task& task, const Json& record, const std::string& place) {
  try {
    TaskItem item = ToItem(task, record);
    item.place = place;
    return item;
  } catch (const Error& error) {
    Fail(error.code(), "{}: {}", place, error.what());
  }
}

std::vector<TaskItem> ReadItems(const Task& task, std::optional<int64_t> limit,
                                InvalidUtf8 invalid_utf8) {
  for (const std::string& path : task.data_files) {
    Require(FileExists(path), ErrorCode::kNotFound, "{}: the data of task {} are not there{}", path,
            task.name,
            task.is_built_in ? "; `blockformer eval-data` makes them of the official files" : "");
  }
  CorpusReader reader(task.data_files,
                      {.format = InputFormat::kJsonLines, .max_line_bytes = kMaxRecordBytes});
  std::vector<TaskItem> items;
  CorpusRecord record;
  while ((!limit || static_cast<int64_t>(items.size()) < *limit) && reader.NextRecord(&record)) {
    items.push_back(ReadItem(task, std::move(record), invalid_utf8));
    CheckAlike(task, items.front(), items.back());
  }
  Require(!items.empty(), ErrorCode::kInvalidArgument, "{}: holds no records",
          fmt::join(task.data_files, ", "));
  CheckTextToMeasure(task, items);
  return items;
}

}  // namespace blockformer
