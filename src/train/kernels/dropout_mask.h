#ifndef BLOCKFORMER_TRAIN_KERNELS_DROPOUT_MASK_H_
#define BLOCKFORMER_TRAIN_KERNELS_DROPOUT_MASK_H_

#include <cstdint>

namespace blockformer::train {

// Which elements of a tensor dropout removes: a function of a key and an element's index, so that
// the backward pass computes it again and any number of threads gives the same.
class DropoutMask {
 public:
  // `rate` is in [0, 1).
  DropoutMask(double rate, uint64_t key)
      : low_(static_cast<uint32_t>(key)),
        high_(static_cast<uint32_t>(key >> 32)),
        threshold_(static_cast<uint32_t>(rate * 4294967296.0)),
        scale_(static_cast<float>(1.0 / (1.0 - rate))) {}

  // 0 for an element that is removed; otherwise what keeps the mean as it was, 1 / (1 - rate).
  [[gnu::always_inline]] float Factor(int64_t index) const {
    const uint32_t bits = Mix(Mix(static_cast<uint32_t>(index) ^ low_) ^ high_);
    return bits < threshold_ ? 0.0F : scale_;
  }

 private:
  // A bijective mixing of 32 bits: "lowbias32" of Wellons' hash prospector.
  [[gnu::always_inline]] static uint32_t Mix(uint32_t x) {
    x = (x ^ (x >> 16)) * 0x7feb352dU;
    x = (x ^ (x >> 15)) * 0x846ca68bU;
    return x ^ (x >> 16);
  }

  uint32_t low_;
  uint32_t high_;
  uint32_t threshold_;
  float scale_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_KERNELS_DROPOUT_MASK_H_
