#include "base/rotary_angle.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace blockformer {
namespace {

// The frequency of pair `pair` before scaling.
float PlainFrequency(int64_t pair, const RotaryRule& rule) {
  const float exponent = static_cast<float>(2 * pair) / static_cast<float>(rule.size);
  return 1.0F / static_cast<float>(std::pow(rule.base, static_cast<double>(exponent)));
}

float Llama3Frequency(float frequency, const RotaryScaling& scaling) {
  const auto factor = static_cast<float>(scaling.factor);
  const auto context = static_cast<float>(scaling.original_positions);
  const auto low = static_cast<float>(scaling.low_freq_factor);
  const auto high = static_cast<float>(scaling.high_freq_factor);
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
  if (wavelength > context / low) return frequency / factor;
  if (wavelength < context / high) return frequency;
  const float kept = (context / wavelength - low) / (high - low);
  return (1 - kept) * frequency / factor + kept * frequency;
}

// The dimension pair that turns so often within the original context.
double YarnPair(double turns, const RotaryRule& rule) {
  const auto context = static_cast<double>(rule.scaling.original_positions);
  return static_cast<double>(rule.size) * std::log(context / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(rule.base));
}

float YarnFrequency(int64_t pair, float frequency, const RotaryRule& rule) {
  const RotaryScaling& scaling = rule.scaling;
  double first = YarnPair(scaling.beta_fast, rule);
  double last = YarnPair(scaling.beta_slow, rule);
  if (scaling.truncate) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, static_cast<double>(rule.size - 1));
  if (first == last) last += 0.001;
  const auto divided = static_cast<float>(
      std::clamp((static_cast<double>(pair) - first) / (last - first), 0.0, 1.0));
  return frequency / static_cast<float>(scaling.factor) * divided + frequency * (1 - divided);
}

}  // namespace

std::vector<float> RotaryFrequencies(const RotaryRule& rule) {
  std::vector<float> frequencies;
  for (int64_t pair = 0; pair < rule.size / 2; ++pair) {
    const float plain = PlainFrequency(pair, rule);
    switch (rule.scaling.type) {
      case RotaryScalingType::kDefault:
        frequencies.push_back(plain);
        break;
      case RotaryScalingType::kLinear:
        frequencies.push_back(plain / static_cast<float>(rule.scaling.factor));
        break;
      case RotaryScalingType::kLlama3:
        frequencies.push_back(Llama3Frequency(plain, rule.scaling));
        break;
      case RotaryScalingType::kYarn:
        frequencies.push_back(YarnFrequency(pair, plain, rule));
        break;
    }
  }
  return frequencies;
}

Rotation RotaryRotation(int64_t position, float frequency, double attention_factor) {
  const float angle = static_cast<float>(position) * frequency;
  return {static_cast<float>(std::cos(static_cast<double>(angle)) * attention_factor),
          static_cast<float>(std::sin(static_cast<double>(angle)) * attention_factor)};
}

}  // namespace blockformer
