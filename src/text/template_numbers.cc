#include "text/template_numbers.h"

#include <cmath>
#include <cstdint>

#include "base/error.h"
#include "text/template_functions.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxRange = 100'000;

double CalculateReal(const std::string& name, double a, double b) {
  const bool divides = name == "/" || name == "//" || name == "%";
  Require(!divides || b != 0, ErrorCode::kInvalidArgument, "a division by 0");
  const double floor = divides ? std::floor(a / b) : 0;
  const double result = name == "+"    ? a + b
                        : name == "-"  ? a - b
                        : name == "*"  ? a * b
                        : name == "/"  ? a / b
                        : name == "//" ? floor
                                       : a - floor * b;
  Require(std::isfinite(result), ErrorCode::kInvalidArgument, "the result is not a finite number");
  return result;
}

int64_t CalculateWhole(const std::string& name, int64_t x, int64_t y) {
  int64_t result = 0;
  if (name == "//" || name == "%") {
    Require(y != 0, ErrorCode::kInvalidArgument, "a division by 0");
    if (y == -1) return name == "%" ? 0 : CalculateWhole("-", 0, x);
    const int64_t quotient = x / y - ((x % y != 0) && ((x < 0) != (y < 0)) ? 1 : 0);
    return name == "//" ? quotient : x - quotient * y;
  }
  const bool overflows = name == "+"   ? __builtin_add_overflow(x, y, &result)
                         : name == "-" ? __builtin_sub_overflow(x, y, &result)
                                       : __builtin_mul_overflow(x, y, &result);
  Require(!overflows, ErrorCode::kInvalidArgument, "the {} is too large",
          name == "+" ? "sum" : "result");
  return result;
}

}  // namespace

Json CalculateInTemplate(const std::string& name, const Json& a, const Json& b) {
  if (a.is_number_float() || b.is_number_float() || name == "/") {
    return CalculateReal(name, a.get<double>(), b.get<double>());
  }
  return CalculateWhole(name, IntegerIn(a, "the left side"), IntegerIn(b, "the right side"));
}

Json TemplateRange(const std::vector<Json>& arguments) {
  Require(!arguments.empty() && arguments.size() <= 3, ErrorCode::kInvalidArgument,
          "range has {} arguments; 1 to 3 are wanted", arguments.size());
  std::vector<int64_t> numbers;
  for (const Json& argument : arguments) {
    numbers.push_back(IntegerIn(argument, "a range's end"));
    Require(numbers.back() >= -kMaxRange && numbers.back() <= kMaxRange,
            ErrorCode::kInvalidArgument, "a range's end is {}; at most {} is taken", numbers.back(),
            kMaxRange);
  }
  const int64_t begin = numbers.size() > 1 ? numbers[0] : 0;
  const int64_t end = numbers.size() > 1 ? numbers[1] : numbers[0];
  const int64_t step = numbers.size() > 2 ? numbers[2] : 1;
  Require(step != 0, ErrorCode::kInvalidArgument, "a range's step is 0");
  Json list = Json::array();
  for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) list.push_back(i);
  return list;
}

}  // namespace blockformer
