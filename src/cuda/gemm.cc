#include "cuda/gemm.h"

#include <cublasLt.h>

#include <numeric>
#include <optional>

#include "base/error.h"

namespace blockformer::cuda {
namespace {

// Rows for which the one algorithm of a shape is chosen.
constexpr int64_t kTypicalRows = 256;

void Check(cublasStatus_t status, const char* what) {
  Require(status == CUBLAS_STATUS_SUCCESS, ErrorCode::kInternal, "cuBLASLt: {}: {}", what,
          cublasLtGetStatusString(status));
}

cudaDataType_t TypeOf(Element element) {
  return element == Element::kF32 ? CUDA_R_32F : CUDA_R_16BF;
}

// The largest power of two up to 256 that divides the place of every row, in bytes.
uint32_t AlignmentOf(int64_t stride, Element element, int64_t column = 0) {
  const int64_t bytes = std::gcd(stride, column) * ElementBytes(element);
  return static_cast<uint32_t>(std::gcd(bytes, int64_t{256}));
}

struct Layout {
  cublasLtMatrixLayoutOpaque_t opaque;

  // cuBLASLt's matrices are by columns: rows of ours are its columns.
  Layout(Element element, int64_t row_length, int64_t rows, int64_t stride) {
    Check(cublasLtMatrixLayoutInit(&opaque, TypeOf(element), static_cast<uint64_t>(row_length),
                                   static_cast<uint64_t>(rows), stride),
          "layout");
  }
};

template <typename T>
void Set(cublasLtMatmulDescOpaque_t* descriptor, cublasLtMatmulDescAttributes_t attribute,
         const T& value) {
  Check(cublasLtMatmulDescSetAttribute(descriptor, attribute, &value, sizeof value), "descriptor");
}

class Preference {
 public:
  Preference() { Check(cublasLtMatmulPreferenceInit(&opaque_), "preference"); }

  template <typename T>
  void Set(cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
    Check(cublasLtMatmulPreferenceSetAttribute(&opaque_, attribute, &value, sizeof value),
          "preference");
  }
  cublasLtMatmulPreference_t get() { return &opaque_; }

 private:
  cublasLtMatmulPreferenceOpaque_t opaque_;
};

cublasLtEpilogue_t EpilogueOf(const GemmShape& shape) {
  if (shape.finish == Finish::kGelu) {
    return shape.has_bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
  }
  if (shape.finish == Finish::kRelu) {
    return shape.has_bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
  }
  return shape.has_bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

cublasLtMatmulDescOpaque_t DescriptorOf(cublasLtEpilogue_t epilogue, Element bias_type,
                                        const void* bias) {
  cublasLtMatmulDescOpaque_t descriptor;
  Check(cublasLtMatmulDescInit(&descriptor, CUBLAS_COMPUTE_32F, CUDA_R_32F), "descriptor");
  Set(&descriptor, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  Set(&descriptor, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  Set(&descriptor, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_BIAS ||
      epilogue == CUBLASLT_EPILOGUE_RELU_BIAS) {
    Set(&descriptor, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, TypeOf(bias_type));
    Set(&descriptor, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  return descriptor;
}

std::optional<cublasLtMatmulAlgo_t> ChooseAlgorithm(const GemmLibrary& library,
                                                    const GemmShape& shape,
                                                    cublasLtEpilogue_t epilogue) {
  cublasLtMatmulDescOpaque_t descriptor = DescriptorOf(epilogue, shape.y_type, nullptr);
  Layout w(shape.type, shape.in, shape.out, shape.in);
  Layout x(shape.type, shape.in, kTypicalRows, shape.x_stride);
  Layout y(shape.y_type, shape.out, kTypicalRows, shape.y_stride);
  Preference preference;
  preference.Set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                 static_cast<uint64_t>(kGemmScratchBytes));
  // No sums in parts: their order, and whether they are made, depends on the number of rows.
  preference.Set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                 static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
  preference.Set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, AlignmentOf(shape.in, shape.type));
  preference.Set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                 AlignmentOf(shape.x_stride, shape.type, shape.x_column));
  preference.Set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                 AlignmentOf(shape.y_stride, shape.y_type, shape.y_column));
  preference.Set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                 AlignmentOf(shape.y_stride, shape.y_type, shape.y_column));
  cublasLtMatmulHeuristicResult_t result = {};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      static_cast<cublasLtHandle_t>(library.handle()), &descriptor, &w.opaque, &x.opaque, &y.opaque,
      &y.opaque, preference.get(), 1, &result, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || found == 0) return std::nullopt;
  Check(status, "heuristics");
  return result.algo;
}

}  // namespace

GemmLibrary::GemmLibrary() {
  cublasLtHandle_t handle = nullptr;
  Check(cublasLtCreate(&handle), "start");
  handle_ = handle;
}

GemmLibrary::~GemmLibrary() { cublasLtDestroy(static_cast<cublasLtHandle_t>(handle_)); }

struct Gemm::Plan {
  const GemmLibrary* library;
  cublasLtEpilogue_t epilogue;  // the rest is done by FinishProduct
  cublasLtMatmulAlgo_t algorithm;
};

Gemm::Gemm(const GemmLibrary* library, const GemmShape& shape) : shape_(shape) {
  cublasLtEpilogue_t epilogue = EpilogueOf(shape);
  // cuBLASLt knows GELU by tanh alone, which is good enough for bf16.
  if (shape.finish == Finish::kGelu && shape.y_type == Element::kF32) {
    epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  }
  std::optional<cublasLtMatmulAlgo_t> algorithm = ChooseAlgorithm(*library, shape, epilogue);
  if (!algorithm && epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
    epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    algorithm = ChooseAlgorithm(*library, shape, epilogue);
  }
  Require(algorithm.has_value(), ErrorCode::kUnsupported,
          "cuBLASLt has no product of {} inputs and {} outputs of {} with rows of {} and {}",
          shape.in, shape.out, shape.type == Element::kF32 ? "f32" : "bf16", shape.x_stride,
          shape.y_stride);
  plan_ = std::make_shared<const Plan>(Plan{library, epilogue, *algorithm});
}

bool Gemm::is_fused() const { return plan_->epilogue == EpilogueOf(shape_); }

void Gemm::Run(Stream* stream, const void* x, int64_t rows, const void* w, const void* bias,
               void* y) const {
  if (rows == 0) return;
  cublasLtMatmulDescOpaque_t descriptor = DescriptorOf(plan_->epilogue, shape_.y_type, bias);
  Layout w_layout(shape_.type, shape_.in, shape_.out, shape_.in);
  Layout x_layout(shape_.type, shape_.in, rows, shape_.x_stride);
  Layout y_layout(shape_.y_type, shape_.out, rows, shape_.y_stride);
  const float alpha = 1;
  const float beta = shape_.finish == Finish::kAdd ? 1 : 0;
  const cublasStatus_t status = cublasLtMatmul(
      static_cast<cublasLtHandle_t>(plan_->library->handle()), &descriptor, &alpha, w,
      &w_layout.opaque, x, &x_layout.opaque, &beta, y, &y_layout.opaque, y, &y_layout.opaque,
      &plan_->algorithm, stream->scratch().data(), static_cast<size_t>(kGemmScratchBytes),
      static_cast<cudaStream_t>(stream->handle()));
  Require(status == CUBLAS_STATUS_SUCCESS, ErrorCode::kInternal,
          "cuBLASLt: a product of {} rows, {} inputs and {} outputs: {}", rows, shape_.in,
          shape_.out, cublasLtGetStatusString(status));
  if (is_fused()) return;
  const Activation activation = shape_.finish == Finish::kGelu   ? Activation::kGelu
                                : shape_.finish == Finish::kRelu ? Activation::kRelu
                                                                 : Activation::kNone;
  if (!shape_.has_bias && activation == Activation::kNone) return;
  FinishProduct(stream, shape_.y_type, y, rows, shape_.out, shape_.y_stride,
                shape_.has_bias ? bias : nullptr, activation);
}

}  // namespace blockformer::cuda
