// The functions of cuBLASLt that need a device, on the host. The linker puts them in the place of
// the library's (-Wl,--wrap); descriptors, layouts and preferences are the library's own, and are
// read back through its getters. What a device would refuse ends the process with a message.
#include "cuda/emulation/lt_emulated.h"

#include <cublasLt.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cuda/emulation/emulation.h"

namespace blockformer::cuda::emulation {
namespace {

// Stands in an algorithm that the heuristics chose, with what it was chosen for.
struct ChosenAlgorithm {
  uint64_t magic;
  int32_t types[3];
  int32_t epilogue;
  uint64_t out;
  uint64_t in;
  uint32_t alignments[3];
  uint32_t unused;
};
static_assert(sizeof(ChosenAlgorithm) <= sizeof(cublasLtMatmulAlgo_t));
constexpr uint64_t kMagic = 0x626c6f636b666f72;

bool refuses_epilogues = false;

[[noreturn]] void Stop(const std::string& problem) {
  std::fprintf(stderr, "emulation: cuBLASLt: %s\n", problem.c_str());
  std::abort();
}

void Expect(bool condition, const char* problem) {
  if (!condition) Stop(problem);
}

struct Matrix {
  int32_t type = 0;
  uint64_t rows = 0;  // in columns' order
  uint64_t columns = 0;
  int64_t stride = 0;

  explicit Matrix(cublasLtMatrixLayout_t layout) {
    Get(layout, CUBLASLT_MATRIX_LAYOUT_TYPE, &type);
    Get(layout, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows);
    Get(layout, CUBLASLT_MATRIX_LAYOUT_COLS, &columns);
    Get(layout, CUBLASLT_MATRIX_LAYOUT_LD, &stride);
    int32_t order = -1;
    int32_t batches = -1;
    Get(layout, CUBLASLT_MATRIX_LAYOUT_ORDER, &order);
    Get(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batches);
    Expect(order == CUBLASLT_ORDER_COL && batches == 1, "an order or batch that is not emulated");
    Expect(type == CUDA_R_32F || type == CUDA_R_16BF, "a type that is not emulated");
    Expect(stride >= static_cast<int64_t>(rows), "rows overlap");
  }

  template <typename T>
  static void Get(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute,
                  T* value) {
    size_t written = 0;
    Expect(cublasLtMatrixLayoutGetAttribute(layout, attribute, value, sizeof *value, &written) ==
                   CUBLAS_STATUS_SUCCESS &&
               written == sizeof *value,
           "a layout cannot be read");
  }
};

template <typename T>
T Attribute(cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t attribute) {
  T value = {};
  size_t written = 0;
  Expect(cublasLtMatmulDescGetAttribute(descriptor, attribute, &value, sizeof value, &written) ==
                 CUBLAS_STATUS_SUCCESS &&
             written == sizeof value,
         "a descriptor cannot be read");
  return value;
}

float Read(const void* numbers, int32_t type, int64_t index) {
  if (type == CUDA_R_32F) return static_cast<const float*>(numbers)[index];
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(numbers)[index]) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void WriteNumber(void* numbers, int32_t type, int64_t index, float value) {
  if (type == CUDA_R_32F) {
    static_cast<float*>(numbers)[index] = value;
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = std::isnan(value) ? bits | 0x400000 : bits + 0x7FFF + ((bits >> 16) & 1);
  static_cast<uint16_t*>(numbers)[index] = static_cast<uint16_t>(rounded >> 16);
}

float TanhGelu(float x) {
  constexpr float kRoot = 0.7978845608F;  // of 2 / pi
  return 0.5F * x * (1 + std::tanh(kRoot * (x + 0.044715F * x * x * x)));
}

bool HasBias(int32_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_BIAS ||
         epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}
bool HasRelu(int32_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_RELU || epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
}
bool HasGelu(int32_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_GELU || epilogue == CUBLASLT_EPILOGUE_GELU_BIAS;
}

// A product whose parts all are known. a is [out, in] and b [rows, in], by rows.
struct Product {
  const void* a;
  const void* b;
  void* d;
  Matrix a_matrix;
  Matrix b_matrix;
  Matrix d_matrix;
  const void* bias;
  int32_t epilogue;
  float beta;

  void Multiply() const {
    const int64_t in = static_cast<int64_t>(a_matrix.rows);
    for (int64_t row = 0; row < static_cast<int64_t>(b_matrix.columns); ++row) {
      for (int64_t o = 0; o < static_cast<int64_t>(a_matrix.columns); ++o) {
        double sum = 0;
        for (int64_t i = 0; i < in; ++i) {
          sum += static_cast<double>(Read(a, a_matrix.type, o * a_matrix.stride + i)) *
                 Read(b, b_matrix.type, row * b_matrix.stride + i);
        }
        const int64_t index = row * d_matrix.stride + o;
        float value = static_cast<float>(sum);
        if (beta != 0) value += beta * Read(d, d_matrix.type, index);
        if (HasBias(epilogue)) value += Read(bias, d_matrix.type, o);
        if (HasGelu(epilogue)) value = TanhGelu(value);
        if (HasRelu(epilogue)) value = value < 0 ? 0 : value;
        WriteNumber(d, d_matrix.type, index, value);
      }
    }
  }
};

void CheckAligned(const void* pointer, uint32_t alignment) {
  Expect(reinterpret_cast<uintptr_t>(pointer) % alignment == 0,
         "memory is not aligned as the heuristics were told");
}

}  // namespace

void RefuseEpilogues(bool refuse) { refuses_epilogues = refuse; }

extern "C" {

cublasStatus_t __wrap_cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(uintptr_t{1});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t __wrap_cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t __wrap_cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t, cublasLtMatmulDesc_t descriptor, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int, cublasLtMatmulHeuristicResult_t results[],
    int* found) {
  const int32_t epilogue = Attribute<int32_t>(descriptor, CUBLASLT_MATMUL_DESC_EPILOGUE);
  *found = 0;
  if (refuses_epilogues && epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const Matrix a_matrix(a);
  ChosenAlgorithm chosen = {};
  chosen.magic = kMagic;
  chosen.types[0] = a_matrix.type;
  chosen.types[1] = Matrix(b).type;
  chosen.types[2] = Matrix(d).type;
  chosen.epilogue = epilogue;
  chosen.in = a_matrix.rows;
  chosen.out = a_matrix.columns;
  constexpr cublasLtMatmulPreferenceAttributes_t kAlignments[] = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  for (int i = 0; i < 3; ++i) {
    size_t written = 0;
    cublasLtMatmulPreferenceGetAttribute(preference, kAlignments[i], &chosen.alignments[i],
                                         sizeof chosen.alignments[i], &written);
  }
  results[0] = {};
  std::memcpy(&results[0].algo, &chosen, sizeof chosen);
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t __wrap_cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t descriptor,
                                     const void* alpha, const void* a, cublasLtMatrixLayout_t a_of,
                                     const void* b, cublasLtMatrixLayout_t b_of, const void* beta,
                                     const void* c, cublasLtMatrixLayout_t c_of, void* d,
                                     cublasLtMatrixLayout_t d_of, const cublasLtMatmulAlgo_t* algo,
                                     void*, size_t, cudaStream_t stream) {
  Product product = {a, b, d, Matrix(a_of), Matrix(b_of), Matrix(d_of), nullptr, 0, 0};
  ChosenAlgorithm chosen;
  std::memcpy(&chosen, algo, sizeof chosen);
  product.epilogue = Attribute<int32_t>(descriptor, CUBLASLT_MATMUL_DESC_EPILOGUE);
  Expect(chosen.magic == kMagic, "an algorithm that the heuristics did not choose");
  Expect(chosen.types[0] == product.a_matrix.type && chosen.types[1] == product.b_matrix.type &&
             chosen.types[2] == product.d_matrix.type && chosen.epilogue == product.epilogue &&
             chosen.in == product.a_matrix.rows && chosen.out == product.a_matrix.columns,
         "an algorithm of another shape");
  Expect(Attribute<int32_t>(descriptor, CUBLASLT_MATMUL_DESC_TRANSA) == CUBLAS_OP_T &&
             Attribute<int32_t>(descriptor, CUBLASLT_MATMUL_DESC_TRANSB) == CUBLAS_OP_N,
         "an orientation that is not emulated");
  Expect(Attribute<int32_t>(descriptor, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE) == CUBLAS_COMPUTE_32F,
         "a type of sums that is not emulated");
  const Matrix c_matrix(c_of);
  Expect(c == d && c_matrix.stride == product.d_matrix.stride, "c and d differ");
  Expect(product.a_matrix.rows == product.b_matrix.rows &&
             product.a_matrix.columns == product.d_matrix.rows &&
             product.b_matrix.columns == product.d_matrix.columns,
         "shapes contradict each other");
  Expect(*static_cast<const float*>(alpha) == 1, "alpha is not emulated");
  product.beta = *static_cast<const float*>(beta);
  CheckAligned(a, chosen.alignments[0]);
  CheckAligned(b, chosen.alignments[1]);
  CheckAligned(d, chosen.alignments[2]);
  if (HasBias(product.epilogue)) {
    product.bias = Attribute<const void*>(descriptor, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
    Expect(product.bias != nullptr, "there is no bias");
    Expect(Attribute<int32_t>(descriptor, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE) ==
               product.d_matrix.type,
           "the bias has another type than the result");
  }
  Enqueue(stream, [product] {
    ++CountsSoFar().products;
    CountsSoFar().product_flops += 2.0 * static_cast<double>(product.a_matrix.rows) *
                                   static_cast<double>(product.a_matrix.columns) *
                                   static_cast<double>(product.b_matrix.columns);
    product.Multiply();
  });
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"

}  // namespace blockformer::cuda::emulation
