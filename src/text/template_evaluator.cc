// Evaluates the expressions of a template that template.cc has read.
#include "text/template_evaluator.h"

#include <fmt/format.h>

#include <ctime>

#include "text/python_text.h"
#include "text/template_numbers.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

using Expression = TemplateExpression;
using Operation = TemplateOperation;
using Operand = TemplateOperand;

constexpr size_t kMaxNamesShown = 20;
constexpr int64_t kMaxTemplateSteps = 10'000'000;

const Json kUndefined(Json::value_t::discarded);

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

}  // namespace

void TemplateEvaluator::FailAt(size_t offset, const std::string& problem) const {
  FailInTemplate(program_.text, program_.place, offset, problem);
}

void TemplateEvaluator::Charge(size_t size, size_t offset) {
  if (size > budget_) {
    FailAt(offset,
           fmt::format("more than the {} bytes that one record may take", kMaxTemplateBytes));
  }
  budget_ -= size;
}

Json TemplateEvaluator::Charged(Json value, size_t offset) {
  Charge(SizeOf(value), offset);
  return value;
}

void TemplateEvaluator::CountStep(size_t offset) {
  if (++steps_ > kMaxTemplateSteps) {
    FailAt(offset,
           fmt::format("more than the {} steps that one record may take", kMaxTemplateSteps));
  }
}

std::string TemplateEvaluator::TextOfValue(const Json& value) const {
  if (!program_.dialect.strict && value.is_discarded()) return "";
  if (!program_.dialect.strict && value.is_null()) return "None";
  return ToTemplateText(value);
}

const TemplateFunction* TemplateEvaluator::FilterNamed(std::string_view name) {
  for (const TemplateFunction& filter : TemplateFilters()) {
    if (filter.name == name) return &filter;
  }
  return nullptr;
}

Operand TemplateEvaluator::EvaluateOperand(const Expression& expression) {
  CountStep(expression.offset);
  switch (expression.kind) {
    case Expression::Kind::kNothing:
      return Operand(kUndefined);
    case Expression::Kind::kLiteral:
      return Operand(Charged(expression.literal, expression.offset));
    case Expression::Kind::kName: {
      const Json* value = FindName(expression.name);
      if (value != nullptr) return Operand(value);
      if (!program_.dialect.strict) return Operand(kUndefined);
      FailNoField(record_, expression.name, expression.offset);
    }
    case Expression::Kind::kList: {
      Json list = Json::array();
      for (const Expression& item : expression.items) {
        list.push_back(Charged(Evaluate(item), item.offset));
      }
      return Operand(std::move(list));
    }
    case Expression::Kind::kObject:
      return Operand(MakeObject(expression));
    case Expression::Kind::kOperations:
      return Operations(expression);
    case Expression::Kind::kConditional:
      return EvaluateOperand(expression.items[Truth(expression.items[1]) ? 0 : 2]);
    case Expression::Kind::kOr:
    case Expression::Kind::kAnd: {
      const bool until = expression.kind == Expression::Kind::kOr;
      for (size_t i = 0; i + 1 < expression.items.size(); ++i) {
        Operand value = EvaluateOperand(expression.items[i]);
        if (IsTrue(value.get()) == until) return value;
      }
      return EvaluateOperand(expression.items.back());
    }
    case Expression::Kind::kNot:
      return Operand(Json(!Truth(expression.items[0])));
    case Expression::Kind::kNegative:
      return Operand(Arithmetic("-", Json(0), Evaluate(expression.items[0]), expression.offset));
  }
  return Operand(kUndefined);
}

Json TemplateEvaluator::MakeObject(const Expression& expression) {
  Json object = Json::object();
  for (size_t i = 0; i < expression.items.size(); i += 2) {
    const Json key = Evaluate(expression.items[i]);
    const auto name = [&] { return StringIn(key, "the name of a field"); };
    object[At(expression.items[i].offset, name)] =
        Charged(Evaluate(expression.items[i + 1]), expression.items[i + 1].offset);
  }
  return object;
}

const Json* TemplateEvaluator::FindName(const std::string& name) const {
  // Inside a macro, only the call's own scopes and the outermost one are visible.
  for (size_t i = scopes_.size(); i > first_scope_; --i) {
    const auto found = scopes_[i - 1].find(name);
    if (found != scopes_[i - 1].end()) return &found->second;
  }
  const auto found = scopes_[0].find(name);
  if (found != scopes_[0].end()) return &found->second;
  const auto field = record_.find(name);
  return record_.is_object() && field != record_.end() ? &*field : nullptr;
}

void TemplateEvaluator::FailNoField(const Json& object, const std::string& name,
                                    size_t offset) const {
  FailAt(offset, fmt::format("there is no field {}; there are {}", name, FieldNames(object)));
}

bool TemplateEvaluator::TakesUndefined(const Operation& operation) {
  if (operation.kind == Operation::Kind::kTest) {
    return operation.name == "defined" || operation.name == "undefined";
  }
  return operation.kind == Operation::Kind::kFilter &&
         (operation.name == "default" || operation.name == "d");
}

Operand TemplateEvaluator::Operations(const Expression& expression) {
  const std::vector<Operation>& operations = expression.operations;
  const Expression& first = expression.items[0];
  size_t next = 0;
  Operand value = FirstOperand(first, operations, &next);
  for (; next < operations.size(); ++next) {
    const Operation& operation = operations[next];
    CountStep(operation.offset);
    const bool may_lack = next + 1 < operations.size() && TakesUndefined(operations[next + 1]);
    value = Apply(operation, std::move(value), may_lack || !program_.dialect.strict);
  }
  return value;
}

Operand TemplateEvaluator::FirstOperand(const Expression& first,
                                        const std::vector<Operation>& operations, size_t* next) {
  const bool is_name = first.kind == Expression::Kind::kName;
  if (is_name && operations[0].kind == Operation::Kind::kCall) {
    *next = 1;
    return Operand(CallGlobal(operations[0]));
  }
  const Json* value = is_name ? FindName(first.name) : nullptr;
  if (value != nullptr) return Operand(value);
  if (is_name && first.name == "loop" && loop_ != nullptr &&
      operations[0].kind == Operation::Kind::kMember) {
    *next = 1;
    return LoopMember(operations[0]);
  }
  if (is_name && TakesUndefined(operations[0])) return Operand(kUndefined);
  return EvaluateOperand(first);
}

Operand TemplateEvaluator::LoopMember(const Operation& operation) const {
  const auto index = static_cast<int64_t>(loop_->index);
  const auto length = static_cast<int64_t>(loop_->list->size());
  if (operation.name == "index") return Operand(Json(index + 1));
  if (operation.name == "index0") return Operand(Json(index));
  if (operation.name == "revindex") return Operand(Json(length - index));
  if (operation.name == "revindex0") return Operand(Json(length - index - 1));
  if (operation.name == "first") return Operand(Json(index == 0));
  if (operation.name == "last") return Operand(Json(index + 1 == length));
  if (operation.name == "length") return Operand(Json(length));
  if (operation.name == "previtem") {
    return index == 0 ? Operand(kUndefined) : Operand(&(*loop_->list)[loop_->index - 1]);
  }
  if (operation.name == "nextitem") {
    return index + 1 == length ? Operand(kUndefined) : Operand(&(*loop_->list)[loop_->index + 1]);
  }
  FailAt(operation.offset, fmt::format("loop has no member {}", operation.name));
}

Operand TemplateEvaluator::Apply(const Operation& operation, Operand value, bool may_lack) {
  switch (operation.kind) {
    case Operation::Kind::kMember:
      return Member(value, operation.name, operation.offset, may_lack);
    case Operation::Kind::kItem:
      return Item(value, Evaluate(operation.arguments[0]), operation.offset, may_lack);
    case Operation::Kind::kSlice:
      return Operand(Charged(Slice(value.get(), operation), operation.offset));
    case Operation::Kind::kBinary:
      return Operand(Binary(operation, std::move(value)));
    case Operation::Kind::kTest: {
      const std::vector<Json> arguments = Arguments(operation, {});
      const bool result = At(operation.offset, [&] {
        return RunTemplateTest(operation.name, value.get(), arguments);
      });
      return Operand(Json(result != operation.negated));
    }
    case Operation::Kind::kFilter:
      if (operation.function == nullptr) {
        return Operand(Charged(FilterItems(operation, value.get()), operation.offset));
      }
      break;
    case Operation::Kind::kMethod:
      break;
    case Operation::Kind::kCall:
      FailAt(operation.offset, "only functions and macros can be called");
  }
  return Operand(Charged(Call(operation, value.get()), operation.offset));
}

std::vector<Json> TemplateEvaluator::Arguments(const Operation& operation, std::string_view name) {
  std::vector<Json> arguments;
  for (const Expression& argument : operation.arguments) arguments.push_back(Evaluate(argument));
  for (const auto& [key, argument] : operation.named) {
    if (key != name || !arguments.empty()) {
      FailAt(operation.offset,
             fmt::format("{}: the argument {} is not known", operation.name, key));
    }
    arguments.push_back(Evaluate(argument));
  }
  return arguments;
}

Json TemplateEvaluator::Call(const Operation& operation, const Json& value) {
  const TemplateFunction* function = operation.function;
  if (function == nullptr) {
    FailAt(operation.offset, fmt::format("{} is not known", operation.name));
  }
  const std::vector<Json> arguments = Arguments(operation, function->argument_name);
  if (arguments.size() < function->min_arguments || arguments.size() > function->max_arguments) {
    FailAt(operation.offset,
           fmt::format("{} has {} arguments; {} to {} are wanted", operation.name, arguments.size(),
                       function->min_arguments, function->max_arguments));
  }
  try {
    return function->call(value, arguments);
  } catch (const Error& error) {
    FailAt(operation.offset, fmt::format("{}: {}", operation.name, error.what()));
  }
}

Json TemplateEvaluator::FilterItems(const Operation& operation, const Json& value) {
  if (operation.name == "default" || operation.name == "d") return Default(operation, value);
  if (!IsTemplateFilterOfItems(operation.name)) {
    FailAt(operation.offset, fmt::format("the filter {} is not known", operation.name));
  }
  if (!value.is_array()) {
    FailAt(operation.offset, fmt::format("{}: the value before it is {}; a list is wanted",
                                         operation.name, KindOf(value)));
  }
  std::vector<Json> arguments = Arguments(operation, "attribute");
  const bool by_attribute = operation.name == "selectattr" || operation.name == "rejectattr" ||
                            (operation.name == "map" && !operation.named.empty());
  std::string attribute;
  if (by_attribute && !arguments.empty()) {
    attribute = At(operation.offset, [&] { return StringIn(arguments[0], "the attribute"); });
    arguments.erase(arguments.begin());
  }
  Json list = Json::array();
  for (const Json& element : value) {
    CountStep(operation.offset);
    const Json part = by_attribute ? MemberOrUndefined(element, attribute) : element;
    if (operation.name == "map") {
      list.push_back(by_attribute ? part : MapElement(operation, part, arguments));
    } else if (Selects(operation, part, arguments) == operation.name.starts_with("select")) {
      list.push_back(element);
    }
  }
  return list;
}

Json TemplateEvaluator::MemberOrUndefined(const Json& value, const std::string& name) {
  if (!value.is_object()) return kUndefined;
  const auto found = value.find(name);
  return found == value.end() ? kUndefined : *found;
}

Json TemplateEvaluator::MapElement(const Operation& operation, const Json& element,
                                   const std::vector<Json>& arguments) const {
  return At(operation.offset, [&] {
    Require(!arguments.empty(), ErrorCode::kInvalidArgument, "map: a filter's name is wanted");
    const std::string& name = StringIn(arguments[0], "the name of a filter");
    const TemplateFunction* filter = FilterNamed(name);
    Require(filter != nullptr && filter->min_arguments == 0, ErrorCode::kInvalidArgument,
            "map: the filter {} is not known", name);
    return filter->call(element, {});
  });
}

bool TemplateEvaluator::Selects(const Operation& operation, const Json& value,
                                const std::vector<Json>& arguments) const {
  if (arguments.empty()) return IsTrue(value);
  return At(operation.offset, [&] {
    const std::string& test = StringIn(arguments[0], "the name of a test");
    Require(IsTemplateTest(test), ErrorCode::kInvalidArgument, "the test {} is not known", test);
    return RunTemplateTest(test, value, {arguments.begin() + 1, arguments.end()});
  });
}

Json TemplateEvaluator::Default(const Operation& operation, const Json& value) {
  std::vector<Json> arguments;
  bool falsy_too = false;
  for (const Expression& argument : operation.arguments) arguments.push_back(Evaluate(argument));
  for (const auto& [name, argument] : operation.named) {
    if (name == "boolean") {
      falsy_too = Truth(argument);
    } else if (name == "default_value" && arguments.empty()) {
      arguments.push_back(Evaluate(argument));
    } else {
      FailAt(operation.offset, fmt::format("default: the argument {} is not known", name));
    }
  }
  if (arguments.size() > 1) falsy_too = IsTrue(arguments[1]);
  const bool is_missing = value.is_discarded() || (falsy_too && !IsTrue(value));
  if (!is_missing) return value;
  return arguments.empty() ? Json("") : arguments[0];
}

Json TemplateEvaluator::CallGlobal(const Operation& operation) {
  const auto macro = macros_.find(operation.name);
  if (macro != macros_.end()) return CallMacro(*macro->second, operation);
  if (operation.name == "namespace" || operation.name == "dict") {
    Json object = Json::object();
    for (const auto& [name, argument] : operation.named) object[name] = Evaluate(argument);
    return object;
  }
  const std::vector<Json> arguments = Arguments(operation, "");
  if (operation.name == "range") {
    return At(operation.offset, [&] { return TemplateRange(arguments); });
  }
  if (operation.name == "raise_exception" && arguments.size() == 1) {
    FailAt(operation.offset,
           arguments[0].is_string() ? arguments[0].get<std::string>() : ToText(arguments[0]));
  }
  if (operation.name == "strftime_now" && arguments.size() == 1) {
    return TimeText(
        At(operation.offset, [&] { return StringIn(arguments[0], "the format of the time"); }));
  }
  FailAt(operation.offset, fmt::format("there is no function {} with {} arguments", operation.name,
                                       arguments.size()));
}

Json TemplateEvaluator::TimeText(const std::string& format) {
  constexpr size_t kMostBytes = 256;
  char text[kMostBytes];
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  localtime_r(&now, &parts);
  return std::string(text, std::strftime(text, sizeof(text), format.c_str(), &parts));
}

Operand TemplateEvaluator::Member(const Operand& value, const std::string& name, size_t offset,
                                  bool may_lack) {
  const Json& object = value.get();
  if (!object.is_object()) {
    if (may_lack && !object.is_discarded()) return Operand(kUndefined);
    FailAt(offset, fmt::format("{} has no field {}; an object is wanted", KindOf(object), name));
  }
  const auto found = object.find(name);
  if (found == object.end()) {
    if (may_lack) return Operand(kUndefined);
    FailNoField(object, name, offset);
  }
  return Part(value, *found, offset);
}

Operand TemplateEvaluator::Part(const Operand& value, const Json& part, size_t offset) {
  return value.is_own() ? Operand(Charged(part, offset)) : Operand(&part);
}

Operand TemplateEvaluator::Item(const Operand& value, const Json& index, size_t offset,
                                bool may_lack) {
  const Json& whole = value.get();
  if (whole.is_object()) {
    const auto key = [&] { return StringIn(index, "the name of a field"); };
    const std::string name = At(offset, key);
    return Member(value, name, offset, may_lack);
  }
  if (index.is_string() && may_lack && !whole.is_discarded()) return Operand(kUndefined);
  const int64_t size = At(offset, [&] { return LengthOf(whole); });
  const int64_t wanted = At(offset, [&] { return IntegerIn(index, "the index"); });
  if (wanted < -size || wanted >= size) {
    if (may_lack) return Operand(kUndefined);
    FailAt(offset, fmt::format("there is no element {}; there are {}", wanted, size));
  }
  const auto position = static_cast<size_t>(wanted < 0 ? wanted + size : wanted);
  if (whole.is_array()) return Part(value, whole[position], offset);
  return Operand(Charged(
      std::string(Substring(whole.get_ref<const std::string&>(), position, position + 1)), offset));
}

std::optional<int64_t> TemplateEvaluator::SliceEnd(const Operation& operation, size_t part) {
  const Expression& expression = operation.arguments[part];
  if (expression.kind == Expression::Kind::kNothing) return std::nullopt;
  const Json number = Evaluate(expression);
  if (number.is_null()) return std::nullopt;
  return At(operation.offset, [&] { return IntegerIn(number, "the end of a slice"); });
}

Json TemplateEvaluator::Slice(const Json& value, const Operation& operation) {
  const int64_t size = At(operation.offset, [&] { return LengthOf(value); });
  const std::optional<int64_t> first = SliceEnd(operation, 0);
  const std::optional<int64_t> last = SliceEnd(operation, 1);
  const int64_t step = SliceEnd(operation, 2).value_or(1);
  const bool is_whole_reversed = step == -1 && !first && !last;
  if (step != 1 && !is_whole_reversed) {
    FailAt(operation.offset, "of steps of slices only [::-1] is read");
  }
  if (is_whole_reversed) {
    Json list = At(operation.offset, [&] { return FilterNamed("reverse")->call(value, {}); });
    if (!value.is_string()) return list;
    std::string text;
    for (const Json& character : list) text += character.get<std::string>();
    return text;
  }
  const auto [begin, end] = SliceRange(first, last, static_cast<size_t>(size));
  if (value.is_string()) {
    return std::string(Substring(value.get_ref<const std::string&>(), begin, end));
  }
  Json list = Json::array();
  for (size_t i = begin; i < end; ++i) list.push_back(value[i]);
  return list;
}

int64_t TemplateEvaluator::LengthOf(const Json& value) {
  if (value.is_array()) return static_cast<int64_t>(value.size());
  return CountCharacters(StringIn(value, "the value before ["));
}

Json TemplateEvaluator::Binary(const Operation& operation, Operand value) {
  const Operand right = EvaluateOperand(operation.arguments[0]);
  const std::string& name = operation.name;
  const Json& a = value.get();
  const Json& b = right.get();
  if (name == "==" || name == "!=") {
    return EqualTemplateValues(a, b) == (name == "==");
  }
  if (name == "in" || name == "not in") {
    return At(operation.offset, [&] { return TemplateHolds(b, a); }) == (name == "in");
  }
  if (name[0] == '<' || name[0] == '>') {
    const int order = At(operation.offset, [&] { return CompareTemplateValues(a, b); });
    if (order == 0) return name.size() == 2;
    return (order < 0) == (name[0] == '<');
  }
  return Arithmetic(name, value.Take(), b, operation.offset);
}

Json TemplateEvaluator::Arithmetic(const std::string& name, Json a, const Json& b, size_t offset) {
  if (name == "~") {
    const auto text = [&] { return TextOfValue(a) + TextOfValue(b); };
    return Charged(At(offset, text), offset);
  }
  if (name == "+" && a.is_string() && b.is_string()) {
    Charge(b.get_ref<const std::string&>().size(), offset);
    a.get_ref<std::string&>() += b.get_ref<const std::string&>();
    return a;
  }
  if (name == "+" && a.is_array() && b.is_array()) {
    Charge(SizeOf(b), offset);
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
  if (!a.is_number() || !b.is_number()) {
    FailAt(offset, name == "+" ? fmt::format("{} and {} cannot be added up", KindOf(a), KindOf(b))
                               : fmt::format("{} and {} cannot be joined by {}", KindOf(a),
                                             KindOf(b), name));
  }
  return At(offset, [&] { return CalculateInTemplate(name, a, b); });
}

}  // namespace blockformer
