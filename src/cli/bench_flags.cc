#include "cli/bench_flags.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "bench/batch_search.h"
#include "cli/flags.h"

namespace blockformer {
namespace {

// The whole of `text` as a number, or nothing.
template <typename Number>
std::optional<Number> ParseWhole(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

int64_t ParseMemory(const std::string& flag, const std::string& text) {
  constexpr std::string_view kSuffixes = "KMGT";
  constexpr double kMaxBytes = 1e15;
  std::string_view digits = text;
  double bytes = 1;
  const size_t power = text.empty() ? std::string_view::npos : kSuffixes.find(text.back());
  if (power != std::string_view::npos) {
    digits.remove_suffix(1);
    for (size_t i = 0; i <= power; ++i) bytes *= 1024;
  }
  const std::optional<double> number = ParseWhole<double>(digits);
  bytes *= number.value_or(0);
  Require(number && bytes >= 1 && bytes <= kMaxBytes, ErrorCode::kInvalidArgument,
          "{}: \"{}\" is not a size; a number of bytes such as 8G or 512M is wanted", flag, text);
  return static_cast<int64_t>(bytes);
}

std::vector<int64_t> ParseBatches(const std::vector<std::string>& texts) {
  std::vector<int64_t> batches;
  if (texts.size() == 1 && texts[0] == "auto") return batches;
  for (const std::string& text : texts) {
    const std::optional<int64_t> batch = ParseWhole<int64_t>(text);
    Require(batch && *batch >= 1 && *batch <= kMaxBatch, ErrorCode::kInvalidArgument,
            "--batch: \"{}\" is not possible; sizes from 1 to {}, or auto alone, are wanted", text,
            kMaxBatch);
    Require(std::find(batches.begin(), batches.end(), *batch) == batches.end(),
            ErrorCode::kInvalidArgument, "--batch: {} stands twice; each size is wanted once",
            text);
    batches.push_back(*batch);
  }
  return batches;
}

std::vector<NumberType> ParseKvTypes(const std::vector<std::string>& texts, size_t models) {
  Require(texts.size() == 1 || texts.size() == models, ErrorCode::kInvalidArgument,
          "--kv-dtype: {} values for {} models; one for all or one for each is wanted",
          texts.size(), models);
  std::vector<NumberType> types;
  for (size_t i = 0; i < models; ++i) {
    types.push_back(ParseType("--kv-dtype", texts[texts.size() == 1 ? 0 : i],
                              {NumberType::kF32, NumberType::kF16, NumberType::kInt8}));
  }
  return types;
}

}  // namespace blockformer
