#ifndef BLOCKFORMER_CUDA_GEMM_H_
#define BLOCKFORMER_CUDA_GEMM_H_

#include <cstdint>
#include <memory>

#include "cuda/device.h"
#include "cuda/kernels.h"

namespace blockformer::cuda {

// Bytes of scratch memory that a stream has to have for products.
inline constexpr int64_t kGemmScratchBytes = 8 << 20;

// cuBLASLt for one device. Safe to use from several threads.
class GemmLibrary {
 public:
  GemmLibrary();
  ~GemmLibrary();
  GemmLibrary(const GemmLibrary&) = delete;
  GemmLibrary& operator=(const GemmLibrary&) = delete;

  void* handle() const { return handle_; }

 private:
  void* handle_ = nullptr;
};

// What follows a product.
enum class Finish {
  kStore,  // y = x w^T + bias
  kGelu,   // y = GELU(x w^T + bias): in f32 the exact form, in bf16 cuBLASLt's, by tanh
  kRelu,   // y = max(x w^T + bias, 0)
  kAdd,    // y += x w^T + bias
};

// The numbers of a product and how they lie. Strides count numbers from a row to the next.
struct GemmShape {
  int64_t out = 0;
  int64_t in = 0;
  Element type = Element::kF32;    // of x and w
  Element y_type = Element::kF32;  // and of the bias
  int64_t x_stride = 0;
  int64_t y_stride = 0;
  // The column at which x or y begins in rows that are wider; the first such row begins at aligned
  // memory.
  int64_t x_column = 0;
  int64_t y_column = 0;
  Finish finish = Finish::kStore;
  bool has_bias = false;
};

// Products of one shape with any number of rows: y [rows, out] from x [rows, in] and w [out, in].
// f32 is multiplied in full, not as TF32. One algorithm is chosen at construction for any number of
// rows, and none that adds up parts of a sum in another order, so that a row's results depend on
// the row alone. Where cuBLASLt does not take the bias and GELU along, a kernel of ours follows.
class Gemm {
 public:
  Gemm() = default;
  // Throws Error(kUnsupported) that names the shape if the device cannot multiply it.
  Gemm(const GemmLibrary* library, const GemmShape& shape);

  void Run(Stream* stream, const void* x, int64_t rows, const void* w, const void* bias,
           void* y) const;

  const GemmShape& shape() const { return shape_; }
  bool is_fused() const;

 private:
  struct Plan;

  GemmShape shape_;
  std::shared_ptr<const Plan> plan_;
};

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_GEMM_H_
