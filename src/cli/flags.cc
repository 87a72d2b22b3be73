#include "cli/flags.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/error.h"

namespace blockformer {

NumberType ParseType(const std::string& flag, const std::string& text,
                     std::initializer_list<NumberType> choices) {
  const std::optional<NumberType> type = ParseNumberType(text);
  if (type && std::find(choices.begin(), choices.end(), *type) != choices.end()) return *type;
  std::vector<std::string> names;
  for (const NumberType choice : choices) names.push_back(NumberTypeName(choice));
  Fail(ErrorCode::kInvalidArgument, "{}: \"{}\" is not possible; one of {} is wanted", flag, text,
       fmt::join(names, ", "));
}

void RequireInRange(const std::string& flag, int64_t value, int64_t min, int64_t max) {
  Require(value >= min && value <= max, ErrorCode::kInvalidArgument,
          "{}: {} is out of range; {} to {} is wanted", flag, value, min, max);
}

void AddDeviceFlag(CLI::App* command, std::string* device) {
  command
      ->add_option("--device", *device,
                   "Where the model runs: auto (the fastest that is there), cpu, cuda or cuda:N")
      ->capture_default_str();
}

}  // namespace blockformer
