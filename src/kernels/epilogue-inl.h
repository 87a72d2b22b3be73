// Included once for every instruction set, so it has no ordinary header guard.
#if defined(BLOCKFORMER_KERNELS_EPILOGUE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BLOCKFORMER_KERNELS_EPILOGUE_INL_H_
#undef BLOCKFORMER_KERNELS_EPILOGUE_INL_H_
#else
#define BLOCKFORMER_KERNELS_EPILOGUE_INL_H_
#endif

#include <cstring>

#include "kernels/gelu-inl.h"
#include "kernels/gemm.h"

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace epilogue_hn = hwy::HWY_NAMESPACE;
using EpilogueTag = epilogue_hn::CappedTag<float, 16>;

enum class GeluForm { kExact, kFast };

template <Epilogue kEpilogue, GeluForm kGelu, class V>
V Finish(EpilogueTag tag, V z, const float* before) {
  if constexpr (kEpilogue == Epilogue::kGelu) {
    if constexpr (kGelu == GeluForm::kExact) return ExactGelu(tag, z);
    return FastGelu(tag, z);
  }
  // Max would lose a NaN.
  if constexpr (kEpilogue == Epilogue::kRelu) {
    return epilogue_hn::IfThenZeroElse(epilogue_hn::Lt(z, epilogue_hn::Zero(tag)), z);
  }
  if constexpr (kEpilogue == Epilogue::kAdd) {
    return epilogue_hn::Add(z, epilogue_hn::LoadU(tag, before));
  }
  return z;
}

// Passes the z of `rows` rows and `columns` columns through the epilogue into y, whose rows are
// `stride` apart. `vector_z(r, c)` computes z of row r for the vector of columns from c on; it may
// read up to a whole vector behind the last column.
template <Epilogue kEpilogue, GeluForm kGelu, class VectorZ>
void FinishTile(int64_t rows, int64_t columns, const VectorZ& vector_z, float* y, int64_t stride) {
  const EpilogueTag tag;
  const int64_t lanes = static_cast<int64_t>(epilogue_hn::Lanes(tag));
  const int64_t whole = columns / lanes * lanes;
  // Row by row: rows of y may lie at distances that share few places in the first cache.
  for (int64_t r = 0; r < rows; ++r, y += stride) {
    for (int64_t c = 0; c < whole; c += lanes) {
      epilogue_hn::StoreU(Finish<kEpilogue, kGelu>(tag, vector_z(r, c), y + c), tag, y + c);
    }
    if (whole == columns) continue;
    // The last columns do not fill a vector, and behind them lies another row.
    const size_t bytes = (columns - whole) * sizeof(float);
    HWY_ALIGN float rest[16] = {};
    std::memcpy(rest, y + whole, bytes);
    epilogue_hn::StoreU(Finish<kEpilogue, kGelu>(tag, vector_z(r, whole), rest), tag, rest);
    std::memcpy(y + whole, rest, bytes);
  }
}

// FinishTile<epilogue, kGelu>.
template <GeluForm kGelu, class VectorZ>
void FinishTile(Epilogue epilogue, int64_t rows, int64_t columns, const VectorZ& vector_z, float* y,
                int64_t stride) {
  switch (epilogue) {
    case Epilogue::kStore:
      return FinishTile<Epilogue::kStore, kGelu>(rows, columns, vector_z, y, stride);
    case Epilogue::kGelu:
      return FinishTile<Epilogue::kGelu, kGelu>(rows, columns, vector_z, y, stride);
    case Epilogue::kRelu:
      return FinishTile<Epilogue::kRelu, kGelu>(rows, columns, vector_z, y, stride);
    case Epilogue::kAdd:
      return FinishTile<Epilogue::kAdd, kGelu>(rows, columns, vector_z, y, stride);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#endif
