#include "base/rotary_angle.h"

#include <cmath>

namespace blockformer {

float RotaryFrequency(int64_t pair, int64_t size, double base) {
  const float exponent = static_cast<float>(2 * pair) / static_cast<float>(size);
  return 1.0F / static_cast<float>(std::pow(base, static_cast<double>(exponent)));
}

Rotation RotaryRotation(int64_t position, float frequency) {
  const float angle = static_cast<float>(position) * frequency;
  return {static_cast<float>(std::cos(static_cast<double>(angle))),
          static_cast<float>(std::sin(static_cast<double>(angle)))};
}

}  // namespace blockformer
