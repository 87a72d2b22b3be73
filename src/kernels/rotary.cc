#include "kernels/rotary.h"

#include <cmath>

namespace blockformer {

RotaryTable::RotaryTable(int64_t num_positions, int64_t size, double base)
    : num_positions_(num_positions), size_(size) {
  const int64_t half = size / 2;
  cosines_.resize(static_cast<size_t>(num_positions * half));
  sines_.resize(cosines_.size());
  for (int64_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(size);
    const float frequency = 1.0f / std::pow(static_cast<float>(base), exponent);
    for (int64_t position = 0; position < num_positions; ++position) {
      const float angle = static_cast<float>(position) * frequency;
      cosines_[static_cast<size_t>(position * half + i)] = std::cos(angle);
      sines_[static_cast<size_t>(position * half + i)] = std::sin(angle);
    }
  }
}

void Rotate(const RotaryTable& table, int64_t position, float* head) {
  const int64_t half = table.size() / 2;
  const float* cosines = table.Cosines(position);
  const float* sines = table.Sines(position);
  for (int64_t i = 0; i < half; ++i) {
    const float low = head[i];
    const float high = head[i + half];
    head[i] = low * cosines[i] - high * sines[i];
    head[i + half] = high * cosines[i] + low * sines[i];
  }
}

}  // namespace blockformer
