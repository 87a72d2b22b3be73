#include "kernels/gemm.h"

#include "kernels/float_gemm.h"
#include "kernels/int8_gemm.h"

namespace blockformer {

PackedLinear::PackedLinear(const float* weights, const float* bias, int64_t out, int64_t in,
                           NumberType type)
    : out_(out), in_(in), kernel_(MakeFloatKernel(weights, bias, out, in, type)) {}

PackedLinear::PackedLinear(const int8_t* values, const float* scales, const float* input_scales,
                           const float* bias, int64_t out, int64_t in)
    : out_(out), in_(in), kernel_(MakeInt8Kernel(values, scales, input_scales, bias, out, in)) {}

}  // namespace blockformer
