#ifndef BLOCKFORMER_KERNELS_ROTARY_H_
#define BLOCKFORMER_KERNELS_ROTARY_H_

#include <cstdint>
#include <vector>

#include "base/rotary_angle.h"

namespace blockformer {

// Cosines and sines of the rotary position embedding (Su et al., arXiv 2104.09864) in the
// half-split pairing of GPT-NeoX, by the rule of base/rotary_angle.h. Immutable; safe to use from
// several threads.
class RotaryTable {
 public:
  // Positions are [0, num_positions).
  RotaryTable(int64_t num_positions, const RotaryRule& rule);

  int64_t size() const { return size_; }
  int64_t num_positions() const { return num_positions_; }
  const float* Cosines(int64_t position) const { return cosines_.data() + position * size_ / 2; }
  const float* Sines(int64_t position) const { return sines_.data() + position * size_ / 2; }

 private:
  int64_t num_positions_;
  int64_t size_;
  std::vector<float> cosines_;  // [num_positions, size / 2]
  std::vector<float> sines_;
};

// Turns the first table.size() entries of one head's vector in place.
void Rotate(const RotaryTable& table, int64_t position, float* head);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_ROTARY_H_
