#ifndef BLOCKFORMER_KERNELS_GEMM_H_
#define BLOCKFORMER_KERNELS_GEMM_H_

#include <cstdint>
#include <memory>

namespace blockformer {

// What happens to z = x W^T + b on its way to memory.
enum class Epilogue {
  kStore,  // y = z
  kGelu,   // y = GELU(z), the exact form with erf
  kRelu,   // y = max(z, 0)
  kAdd,    // y += z
};

// The weights of a linear layer, packed once into the layout that the processor's GEMM reads best.
// Immutable after construction; safe to use from several threads.
class PackedLinear {
 public:
  // Copies weights [out, in] and, unless it is null, bias [out].
  PackedLinear(const float* weights, const float* bias, int64_t out, int64_t in);
  PackedLinear(PackedLinear&&) noexcept;
  PackedLinear& operator=(PackedLinear&&) noexcept;
  ~PackedLinear();

  // x [rows, in] -> y [rows, out], both dense and not overlapping. Runs on all threads.
  void Apply(const float* x, int64_t rows, Epilogue epilogue, float* y) const;

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }

 private:
  struct Packed;
  int64_t out_;
  int64_t in_;
  std::unique_ptr<const Packed> packed_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_GEMM_H_
