#include "train/kernels/gemm.h"

#include <dnnl.h>

#include "base/error.h"

namespace blockformer::train {

void MatMulRows(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_stride,
                bool transpose_a, const float* b, int64_t b_stride, bool transpose_b, float* out,
                int64_t out_stride, bool accumulate) {
  const dnnl_status_t status =
      dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', rows, columns, depth, 1.0F, a,
                 a_stride, b, b_stride, accumulate ? 1.0F : 0.0F, out, out_stride);
  Require(status == dnnl_success, ErrorCode::kInternal, "oneDNN refuses a product of {} x {} x {}",
          rows, columns, depth);
}

void MatMulInto(torch::Tensor& out, const torch::Tensor& a, bool transpose_a,
                const torch::Tensor& b, bool transpose_b, bool accumulate) {
  const bool fits = out.is_cpu() && out.scalar_type() == torch::kFloat32 && out.numel() > 0 &&
                    a.is_contiguous() && b.is_contiguous() && out.is_contiguous();
  if (fits) {
    MatMulRows(out.size(0), out.size(1), a.size(transpose_a ? 0 : 1), a.data_ptr<float>(),
               a.size(1), transpose_a, b.data_ptr<float>(), b.size(1), transpose_b,
               out.data_ptr<float>(), out.size(1), accumulate);
    return;
  }
  const torch::Tensor left = transpose_a ? a.t() : a;
  const torch::Tensor right = transpose_b ? b.t() : b;
  if (accumulate) {
    out.addmm_(left, right);
  } else {
    torch::mm_out(out, left, right);
  }
}

}  // namespace blockformer::train
