#include "bench/compare.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxCount = int64_t{1} << 40;
constexpr double kMaxRate = 1e15;
constexpr double kMinRate = 1e-9;
constexpr double kMaxSpread = 1e6;

// What of a result a comparison needs.
struct Rate {
  OrderedJson key;
  double tokens_per_s = 0;
  double spread = 0;
};

OrderedJson ReadKey(const ObjectReader& reader) {
  OrderedJson key;
  for (const char* name : {"model", "dtype", "kv_dtype"}) key[name] = reader.String(name);
  for (const char* name : {"batch", "prompt", "generate"})
    key[name] = reader.Int(name, 1, kMaxCount);
  return key;
}

std::string KeyText(const OrderedJson& key) {
  return fmt::format("{} {} (cache {}), batch {}, {}+{} tokens", key["model"].get<std::string>(),
                     key["dtype"].get<std::string>(), key["kv_dtype"].get<std::string>(),
                     key["batch"].get<int64_t>(), key["prompt"].get<int64_t>(),
                     key["generate"].get<int64_t>());
}

// In the order of the file; no two have the same key.
std::vector<Rate> ReadRates(const std::string& path) {
  const Json json = ReadJsonFile(path);
  const ObjectReader report(json, path);
  const Json& results = report.Raw("results");
  if (!results.is_array()) report.FailField("results", "a list of results is wanted");
  std::vector<Rate> rates;
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string field = fmt::format("results[{}]", i);
    const ObjectReader reader(results[i], path, field);
    const Rate rate = {ReadKey(reader), reader.Number("total_tokens_per_s", kMinRate, kMaxRate),
                       reader.Number("spread", 0, kMaxSpread)};
    const bool is_new = std::none_of(rates.begin(), rates.end(),
                                     [&](const Rate& other) { return other.key == rate.key; });
    if (!is_new) report.FailField(field, "is a second result of " + KeyText(rate.key));
    rates.push_back(rate);
  }
  return rates;
}

OrderedJson CompareRates(const Rate& a, const Rate& b) {
  const double ratio = b.tokens_per_s / a.tokens_per_s;
  const double spread = std::max(a.spread, b.spread);
  OrderedJson result = a.key;
  result["a"] = a.tokens_per_s;
  result["b"] = b.tokens_per_s;
  result["ratio"] = ratio;
  result["spread"] = spread;
  result["exceeds_spread"] = std::max(ratio, 1 / ratio) > 1 + spread;
  return result;
}

}  // namespace

OrderedJson CompareReports(const std::string& path_a, const std::string& path_b) {
  const std::vector<Rate> rates_a = ReadRates(path_a);
  std::vector<Rate> rates_b = ReadRates(path_b);
  OrderedJson comparison = {{"a", path_a},
                            {"b", path_b},
                            {"results", OrderedJson::array()},
                            {"only_in_a", OrderedJson::array()},
                            {"only_in_b", OrderedJson::array()}};
  for (const Rate& a : rates_a) {
    const auto b = std::find_if(rates_b.begin(), rates_b.end(),
                                [&](const Rate& rate) { return rate.key == a.key; });
    if (b == rates_b.end()) {
      comparison["only_in_a"].push_back(a.key);
      continue;
    }
    comparison["results"].push_back(CompareRates(a, *b));
    rates_b.erase(b);
  }
  for (const Rate& b : rates_b) comparison["only_in_b"].push_back(b.key);
  Require(
      !comparison["results"].empty(), ErrorCode::kInvalidArgument,
      "{} and {}: no result of one has the model, dtype, kv_dtype, batch, prompt and generate of "
      "one of the other",
      path_a, path_b);
  return comparison;
}

std::string ComparisonTable(const OrderedJson& comparison) {
  std::string text =
      fmt::format("A: {}\nB: {}\nTotal tokens/s, prompts in the time.\n\n",
                  comparison["a"].get<std::string>(), comparison["b"].get<std::string>());
  text += fmt::format("{:>10}  {:>10}  {:>6}  {:>6}\n", "A", "B", "B/A", "spread");
  for (const OrderedJson& result : comparison["results"]) {
    const double ratio = result["ratio"].get<double>();
    const char* verdict = !result["exceeds_spread"].get<bool>() ? "within the spread"
                          : ratio > 1                           ? "faster"
                                                                : "slower";
    text += fmt::format("{:>10.1f}  {:>10.1f}  {:>6.3f}  {:>5.1f}%  {}: {}\n",
                        result["a"].get<double>(), result["b"].get<double>(), ratio,
                        result["spread"].get<double>() * 100, KeyText(result), verdict);
  }
  for (const char* side : {"only_in_a", "only_in_b"}) {
    for (const OrderedJson& key : comparison[side]) {
      text += fmt::format("only in {}: {}\n", side == std::string("only_in_a") ? "A" : "B",
                          KeyText(key));
    }
  }
  return text;
}

}  // namespace blockformer
