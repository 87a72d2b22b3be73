#include "cli/option_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "cli/flags.h"

namespace blockformer {
namespace {

// Options whose value is a text that may be empty.
constexpr std::array<std::string_view, 5> kTexts = {"--prompt", "--system", "--stop", "--field",
                                                    "--result-prefix"};
// What help texts call an integer, or a list of them.
constexpr std::array<std::string_view, 3> kIntegers = {"INT", "N", "N,..."};
constexpr std::array<std::string_view, 2> kReals = {"FLOAT", "SECONDS"};

bool IsOneOf(const auto& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// Without the names of other checks, which stand behind a colon.
std::string TypeName(const CLI::Option& option) {
  const std::string name = option.get_type_name();
  return name.substr(0, name.find(':'));
}

std::string RefuseEmpty(const std::string& value) {
  return value.empty() ? "its value is empty" : "";
}

std::string ReadReal(const std::string& value) {
  const std::string_view digits = std::string_view(value).substr(value.starts_with('+') ? 1 : 0);
  if (ParseWhole<double>(digits)) return "";
  return fmt::format("\"{}\" is not possible; a number is wanted", value);
}

// Leaves a number that CLI11 takes for decimal, which is one without zeros before it.
std::string ReadDecimal(std::string& value) {
  const size_t sign = value.starts_with('-') || value.starts_with('+') ? 1 : 0;
  const std::string_view digits = std::string_view(value).substr(sign);
  const bool is_number = !digits.empty() && digits.find_first_not_of("0123456789") == digits.npos;
  if (!is_number) return fmt::format("\"{}\" is not possible; an integer is wanted", value);
  const size_t zeros = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  value.erase(sign, zeros);
  constexpr size_t kMostDigits = 18;  // of which every number is one of 64 bits
  if (value.size() - sign > kMostDigits) return fmt::format("{} is out of range", value);
  return "";
}

}  // namespace

void CheckOptionValues(CLI::App* app) {
  for (CLI::Option* option : app->get_options()) {
    const bool takes_values = option->get_items_expected_max() > 0;
    if (!takes_values) continue;
    // The last to be added is the first to be asked.
    if (IsOneOf(kIntegers, TypeName(*option))) {
      option->transform(CLI::Validator(ReadDecimal, "", ""));
    }
    if (IsOneOf(kReals, TypeName(*option))) option->transform(CLI::Validator(ReadReal, "", ""));
    if (!IsOneOf(kTexts, option->get_name())) {
      option->transform(CLI::Validator(RefuseEmpty, "", ""));
    }
  }
  for (CLI::App* command : app->get_subcommands([](CLI::App*) { return true; })) {
    CheckOptionValues(command);
  }
}

}  // namespace blockformer
