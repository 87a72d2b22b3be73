#include "text/template.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/error.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr size_t kMaxTemplateLength = size_t{1} << 16;
constexpr size_t kMaxNamesShown = 20;

// Bytes of memory, roughly.
size_t SizeOf(const Json& value) {
  size_t size = sizeof(Json);
  if (value.is_string()) size += value.get_ref<const std::string&>().size();
  for (auto element = value.begin(); value.is_structured() && element != value.end(); ++element) {
    size += SizeOf(*element) + (value.is_object() ? element.key().size() : 0);
  }
  return size;
}

std::string FieldNames(const Json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) {
    if (names.size() < kMaxNamesShown) names.push_back(name);
  }
  return fmt::format("{}{}", fmt::join(names, ", "), object.size() > names.size() ? ", ..." : "");
}

// Evaluates the expressions of one template on one record.
class Evaluator {
 public:
  Evaluator(std::string_view text, const std::string& place, const Json& record)
      : text_(text), place_(place), record_(record) {}

  Json Evaluate(const Expression& expression) {
    Json sum = Evaluate(expression.terms[0]);
    for (size_t i = 1; i < expression.terms.size(); ++i) {
      const Term& term = expression.terms[i];
      Add(Evaluate(term), term.offset, &sum);
    }
    return sum;
  }

  // Runs what knows no place, and says where what it throws happened.
  template <typename Body>
  auto At(size_t offset, Body body) const {
    try {
      return body();
    } catch (const Error& error) {
      FailAt(offset, error.what());
    }
  }

  void Charge(size_t size, size_t offset) {
    if (size > budget_) {
      FailAt(offset,
             fmt::format("more than the {} bytes that one record may take", kMaxTemplateBytes));
    }
    budget_ -= size;
  }

 private:
  [[noreturn]] void FailAt(size_t offset, const std::string& problem) const {
    FailInTemplate(text_, place_, offset, problem);
  }

  Json Charged(Json value, size_t offset) {
    Charge(SizeOf(value), offset);
    return value;
  }

  void Add(const Json& value, size_t offset, Json* sum) {
    if (sum->is_string() && value.is_string()) {
      sum->get_ref<std::string&>() += value.get_ref<const std::string&>();
    } else if (sum->is_array() && value.is_array()) {
      sum->insert(sum->end(), value.begin(), value.end());
    } else if (sum->is_number_integer() && value.is_number_integer()) {
      int64_t result = 0;
      const bool overflows = At(offset, [&] {
        return __builtin_add_overflow(IntegerIn(*sum, "the sum"), IntegerIn(value, "this"),
                                      &result);
      });
      if (overflows) FailAt(offset, "the sum is too large");
      *sum = result;
    } else {
      FailAt(offset, fmt::format("{} and {} cannot be added up", KindOf(*sum), KindOf(value)));
    }
  }

  Json Evaluate(const Term& term) {
    Json value = Primary(term);
    for (const Operation& operation : term.operations) {
      value = Charged(Apply(operation, value), operation.offset);
    }
    return value;
  }

  Json Primary(const Term& term) {
    switch (term.kind) {
      case Term::Kind::kLiteral:
        return Charged(term.literal, term.offset);
      case Term::Kind::kField:
        return Member(record_, term.name, term.offset);
      case Term::Kind::kGroup:
        return Evaluate(term.items[0]);
      case Term::Kind::kList:
        break;
    }
    Json list = Json::array();
    for (const Expression& item : term.items) list.push_back(Evaluate(item));
    return list;
  }

  Json Member(const Json& object, const std::string& name, size_t offset) {
    if (!object.is_object()) {
      FailAt(offset, fmt::format("{} has no field {}; an object is wanted", KindOf(object), name));
    }
    const auto found = object.find(name);
    if (found == object.end()) {
      FailAt(offset, fmt::format("there is no field {}; there are {}", name, FieldNames(object)));
    }
    return Charged(*found, offset);
  }

  Json Apply(const Operation& operation, const Json& value) {
    switch (operation.kind) {
      case Operation::Kind::kMember:
        return Member(value, operation.name, operation.offset);
      case Operation::Kind::kItem:
        return Item(value, Evaluate(operation.arguments[0]), operation.offset);
      case Operation::Kind::kSlice:
        return Slice(value, operation);
      case Operation::Kind::kCall:
        break;
    }
    std::vector<Json> arguments;
    for (const Expression& argument : operation.arguments) arguments.push_back(Evaluate(argument));
    try {
      return operation.function->call(value, arguments);
    } catch (const Error& error) {
      FailAt(operation.offset, fmt::format("{}: {}", operation.function->name, error.what()));
    }
  }

  Json Item(const Json& value, const Json& index, size_t offset) {
    if (value.is_object()) {
      const auto key = [&] { return StringIn(index, "the name of a field"); };
      return Member(value, At(offset, key), offset);
    }
    const int64_t size = At(offset, [&] { return LengthOf(value); });
    const int64_t wanted = At(offset, [&] { return IntegerIn(index, "the index"); });
    if (wanted < -size || wanted >= size) {
      FailAt(offset, fmt::format("there is no element {}; there are {}", wanted, size));
    }
    const auto position = static_cast<size_t>(wanted < 0 ? wanted + size : wanted);
    return Range(value, {position, position + 1}, /*is_slice=*/false);
  }

  Json Slice(const Json& value, const Operation& operation) {
    const int64_t size = At(operation.offset, [&] { return LengthOf(value); });
    const auto end = [&](const Expression& expression) -> std::optional<int64_t> {
      if (expression.terms.empty()) return std::nullopt;
      const Json number = Evaluate(expression);
      return At(operation.offset, [&] { return IntegerIn(number, "the end of a slice"); });
    };
    const std::optional<int64_t> first = end(operation.arguments[0]);
    const std::optional<int64_t> last = end(operation.arguments[1]);
    return Range(value, SliceRange(first, last, static_cast<size_t>(size)), /*is_slice=*/true);
  }

  static int64_t LengthOf(const Json& value) {
    if (value.is_array()) return static_cast<int64_t>(value.size());
    return CountCharacters(StringIn(value, "the value before ["));
  }

  // Elements of a list or characters of a string; one element by itself unless it is a slice.
  static Json Range(const Json& value, std::pair<size_t, size_t> range, bool is_slice) {
    const auto [first, last] = range;
    if (value.is_string()) {
      return std::string(Substring(value.get_ref<const std::string&>(), first, last));
    }
    if (!is_slice) return value[first];
    Json list = Json::array();
    for (size_t i = first; i < last; ++i) list.push_back(value[i]);
    return list;
  }

  std::string_view text_;
  const std::string& place_;
  const Json& record_;
  size_t budget_ = kMaxTemplateBytes;
};

}  // namespace

Template Template::Parse(std::string_view text, std::string place) {
  Require(text.size() <= kMaxTemplateLength, ErrorCode::kInvalidArgument,
          "{}: a template of {} bytes; at most {} are read", place, text.size(),
          kMaxTemplateLength);
  Require(FindInvalidUtf8(text) == text.size(), ErrorCode::kInvalidArgument,
          "{}: a template that is not valid UTF-8", place);
  Template result;
  result.text_ = NormalizeLineEnds(text);
  if (result.text_.ends_with('\n')) result.text_.pop_back();
  result.place_ = std::move(place);
  const std::string_view source = result.text_;
  size_t offset = 0;
  while (offset < source.size()) {
    size_t open = source.find('{', offset);
    while (open != std::string_view::npos && source.substr(open, 2) != "{{") {
      const std::string_view start = source.substr(open, 2);
      if (start == "{%" || start == "{#") {
        FailInTemplate(source, result.place_, open,
                       fmt::format("\"{}\" is not read; only {{{{ expressions }}}} are", start));
      }
      open = source.find('{', open + 1);
    }
    Part part;
    part.text = source.substr(offset, open - offset);
    offset = source.size();
    if (open != std::string_view::npos) {
      part.offset = open;
      offset = open + 2;
      part.expression = ParseExpression(source, result.place_, &offset);
    }
    result.parts_.push_back(std::move(part));
  }
  return result;
}

Json Template::Evaluate(const Json& record) const {
  const bool is_value =
      parts_.size() == 1 && parts_[0].text.empty() && !parts_[0].expression.terms.empty();
  if (!is_value) return Render(record);
  return Evaluator(text_, place_, record).Evaluate(parts_[0].expression);
}

std::string Template::Render(const Json& record) const {
  Evaluator evaluator(text_, place_, record);
  std::string result;
  for (const Part& part : parts_) {
    result += part.text;
    if (part.expression.terms.empty()) continue;
    const Json value = evaluator.Evaluate(part.expression);
    const std::string text = evaluator.At(part.offset, [&] { return ToTemplateText(value); });
    evaluator.Charge(text.size(), part.offset);
    result += text;
  }
  return result;
}

}  // namespace blockformer
