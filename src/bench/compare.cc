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
  ThroughputKey key;
  double tokens_per_s = 0;
  double spread = 0;
};

ThroughputKey ReadKey(const ObjectReader& reader) {
  return {reader.String("model"),
          reader.String("dtype"),
          reader.String("kv_dtype"),
          reader.Int("batch", 1, kMaxCount),
          reader.Int("prompt", 1, kMaxCount),
          reader.Int("generate", 1, kMaxCount)};
}

std::string KeyText(const ThroughputKey& key) {
  return fmt::format("{} {} (cache {}), batch {}, {}+{} tokens", key.model, key.dtype, key.kv_dtype,
                     key.batch, key.prompt, key.generate);
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

RateComparison CompareRates(const Rate& a, const Rate& b) {
  const double ratio = b.tokens_per_s / a.tokens_per_s;
  const double spread = std::max(a.spread, b.spread);
  return {a.key, a.tokens_per_s, b.tokens_per_s,
          ratio, spread,         std::max(ratio, 1 / ratio) > 1 + spread};
}

OrderedJson KeyJson(const ThroughputKey& key) {
  return {{"model", key.model}, {"dtype", key.dtype},   {"kv_dtype", key.kv_dtype},
          {"batch", key.batch}, {"prompt", key.prompt}, {"generate", key.generate}};
}

OrderedJson KeysJson(const std::vector<ThroughputKey>& keys) {
  OrderedJson json = OrderedJson::array();
  for (const ThroughputKey& key : keys) json.push_back(KeyJson(key));
  return json;
}

}  // namespace

ThroughputComparison CompareThroughput(const std::string& path_a, const std::string& path_b) {
  const std::vector<Rate> rates_a = ReadRates(path_a);
  std::vector<Rate> rates_b = ReadRates(path_b);
  ThroughputComparison comparison = {path_a, path_b, {}, {}, {}};
  for (const Rate& a : rates_a) {
    const auto b = std::find_if(rates_b.begin(), rates_b.end(),
                                [&](const Rate& rate) { return rate.key == a.key; });
    if (b == rates_b.end()) {
      comparison.only_in_a.push_back(a.key);
      continue;
    }
    comparison.results.push_back(CompareRates(a, *b));
    rates_b.erase(b);
  }
  for (const Rate& b : rates_b) comparison.only_in_b.push_back(b.key);
  Require(
      !comparison.results.empty(), ErrorCode::kInvalidArgument,
      "{} and {}: no result of one has the model, dtype, kv_dtype, batch, prompt and generate of "
      "one of the other",
      path_a, path_b);
  return comparison;
}

OrderedJson ThroughputComparisonJson(const ThroughputComparison& comparison) {
  OrderedJson results = OrderedJson::array();
  for (const RateComparison& result : comparison.results) {
    OrderedJson& json = results.emplace_back(KeyJson(result.key));
    json["a"] = result.a;
    json["b"] = result.b;
    json["ratio"] = result.ratio;
    json["spread"] = result.spread;
    json["exceeds_spread"] = result.exceeds_spread;
  }
  return {{"a", comparison.a},
          {"b", comparison.b},
          {"results", results},
          {"only_in_a", KeysJson(comparison.only_in_a)},
          {"only_in_b", KeysJson(comparison.only_in_b)}};
}

std::string ThroughputComparisonTable(const ThroughputComparison& comparison) {
  std::string text = fmt::format("A: {}\nB: {}\nTotal tokens/s, prompts in the time.\n\n",
                                 comparison.a, comparison.b);
  text += fmt::format("{:>10}  {:>10}  {:>6}  {:>6}\n", "A", "B", "B/A", "spread");
  for (const RateComparison& result : comparison.results) {
    const char* verdict = !result.exceeds_spread ? "within the spread"
                          : result.ratio > 1     ? "faster"
                                                 : "slower";
    text += fmt::format("{:>10.1f}  {:>10.1f}  {:>6.3f}  {:>5.1f}%  {}: {}\n", result.a, result.b,
                        result.ratio, result.spread * 100, KeyText(result.key), verdict);
  }
  for (const ThroughputKey& key : comparison.only_in_a) {
    text += fmt::format("only in A: {}\n", KeyText(key));
  }
  for (const ThroughputKey& key : comparison.only_in_b) {
    text += fmt::format("only in B: {}\n", KeyText(key));
  }
  return text;
}

}  // namespace blockformer
