#include "kernels/rotary.h"

#include <cstddef>

namespace blockformer {

RotaryTable::RotaryTable(int64_t num_positions, const RotaryRule& rule)
    : num_positions_(num_positions), size_(rule.size) {
  const int64_t half = size_ / 2;
  const std::vector<float> frequencies = RotaryFrequencies(rule);
  cosines_.resize(num_positions * half);
  sines_.resize(cosines_.size());
  for (int64_t i = 0; i < half; ++i) {
    const float frequency = frequencies[i];
    for (int64_t position = 0; position < num_positions; ++position) {
      const Rotation rotation = RotaryRotation(position, frequency, rule.scaling.attention_factor);
      cosines_[position * half + i] = rotation.cosine;
      sines_[position * half + i] = rotation.sine;
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
