#include "kernels/logit_kernels.h"

#include <algorithm>
#include <limits>

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/logit_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, 16>;
using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;
using Floats = hn::Vec<F32>;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

// Calls body(logits, index of the first) for whole vectors; behind the last logit stand `filler`s.
template <class Body>
void ForVectors(const float* logits, int64_t count, float filler, const Body& body) {
  const F32 tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(hn::LoadU(tag, logits + i), i);
  if (i == count) return;
  HWY_ALIGN float rest[16];
  std::fill_n(rest, 16, filler);
  std::copy(logits + i, logits + count, rest);
  body(hn::LoadU(tag, rest), i);
}

void ScanRowsImpl(const float* logits, int64_t rows, int64_t count, int64_t stride,
                  const float* thresholds, LogitScan* scans) {
  const F32 tag;
  for (int64_t r = 0; r < rows; ++r, logits += stride) {
    auto sum = hn::Zero(tag);  // of 0 * logit, which is NaN for what is not finite
    auto largest = hn::Set(tag, kNothing);
    ForVectors(logits, count, count > 0 ? logits[0] : 0, [&](Floats v, int64_t) HWY_ATTR {
      sum = hn::MulAdd(v, hn::Zero(tag), sum);
      largest = hn::Max(largest, v);
    });
    scans[r].all_finite = hn::AllTrue(tag, hn::Eq(sum, hn::Zero(tag)));
    scans[r].any_from = !hn::AllFalse(tag, hn::Ge(largest, hn::Set(tag, thresholds[r])));
  }
}

// The first by rank of score(logits, index); lanes keep their first largest.
template <class Score>
RankedToken FindFirst(const float* logits, int64_t count, int32_t first_id, const Score& score) {
  const F32 tag;
  const I32 integers;
  auto best = hn::Set(tag, kNothing);
  auto where = hn::Zero(integers);
  ForVectors(logits, count, kNothing, [&](Floats v, int64_t i) {
    const auto scores = score(v, i);
    const auto better = hn::Gt(scores, best);
    best = hn::IfThenElse(better, scores, best);
    where = hn::IfThenElse(hn::RebindMask(integers, better),
                           hn::Set(integers, static_cast<int32_t>(i)), where);
  });
  HWY_ALIGN float scores[16];
  HWY_ALIGN int32_t places[16];
  hn::StoreU(best, tag, scores);
  hn::StoreU(where, integers, places);
  RankedToken first;
  for (int32_t lane = 0; lane < static_cast<int32_t>(hn::Lanes(tag)); ++lane) {
    if (places[lane] + lane >= count) continue;  // all of this lane's scores are minus infinity
    const RankedToken token = {scores[lane], first_id + places[lane] + lane};
    if (token.Before(first)) first = token;
  }
  return first;
}

RankedToken FindLargestImpl(const float* logits, int64_t count, int32_t first_id) {
  return FindFirst(logits, count, first_id, [](Floats v, int64_t) { return v; });
}

// 32 random bits for each id: a finaliser with little bias (Wellons, "Prospecting for Hash
// Functions", 2018), with the key's halves added before and between its rounds.
hn::Vec<U32> RandomBits(hn::Vec<U32> ids, uint64_t key) {
  const U32 tag;
  auto x = hn::Add(ids, hn::Set(tag, static_cast<uint32_t>(key)));
  x = hn::Xor(x, hn::ShiftRight<16>(x));
  x = hn::Mul(x, hn::Set(tag, 0x7feb352dU));
  x = hn::Add(x, hn::Set(tag, static_cast<uint32_t>(key >> 32)));
  x = hn::Xor(x, hn::ShiftRight<15>(x));
  x = hn::Mul(x, hn::Set(tag, 0x846ca68bU));
  return hn::Xor(x, hn::ShiftRight<16>(x));
}

RankedToken FindLargestWithNoiseImpl(const float* logits, int64_t count, int32_t first_id,
                                     float inverse_temperature, uint64_t key) {
  const F32 tag;
  const I32 integers;
  const U32 bits_tag;
  return FindFirst(logits, count, first_id, [&](Floats v, int64_t i) {
    const auto ids = hn::Iota(integers, first_id + static_cast<int32_t>(i));
    const auto bits = hn::ShiftRight<1>(RandomBits(hn::BitCast(bits_tag, ids), key));
    // Uniform in (0, 1]. Small ones make the noise large, and are the most exact.
    const auto uniform =
        hn::Mul(hn::Add(hn::ConvertTo(tag, hn::BitCast(integers, bits)), hn::Set(tag, 0.5f)),
                hn::Set(tag, 0x1.0p-31f));
    const auto exponential = hn::Neg(hn::Log1p(tag, hn::Neg(uniform)));
    return hn::MulSub(v, hn::Set(tag, inverse_temperature), hn::Log(tag, exponential));
  });
}

int64_t CollectAboveImpl(const float* logits, int64_t count, int32_t first_id, float threshold,
                         RankedToken* out) {
  const F32 tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  int64_t collected = 0;
  ForVectors(logits, count, kNothing, [&](Floats v, int64_t i) {
    if (hn::AllFalse(tag, hn::Gt(v, hn::Set(tag, threshold)))) return;
    for (int64_t j = i; j < std::min(i + lanes, count); ++j) {
      if (logits[j] > threshold) out[collected++] = {logits[j], first_id + static_cast<int32_t>(j)};
    }
  });
  return collected;
}

float SumOfExponentialsImpl(const float* logits, int64_t count, float reference,
                            float inverse_temperature) {
  const F32 tag;
  constexpr int64_t kPiece = 128;  // longer sums in f32 would lose digits
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kPiece) {
    auto sum = hn::Zero(tag);
    // Exp is exact enough down to where it underflows to 0.
    ForVectors(logits + begin, std::min(kPiece, count - begin),
               std::numeric_limits<float>::lowest(), [&](Floats v, int64_t) {
                 const auto exponent = hn::Mul(hn::Sub(v, hn::Set(tag, reference)),
                                               hn::Set(tag, inverse_temperature));
                 sum = hn::Add(sum, hn::Exp(tag, hn::Max(exponent, hn::Set(tag, -100.0f))));
               });
    total += hn::GetLane(hn::SumOfLanes(tag, sum));
  }
  return static_cast<float>(total);
}

// The exponent, which is 0 or less, and the bucket that it belongs to.
Floats ExponentOf(Floats logits, float largest, float inverse_temperature) {
  const F32 tag;
  return hn::Mul(hn::Sub(logits, hn::Set(tag, largest)), hn::Set(tag, inverse_temperature));
}
hn::Vec<I32> BucketOf(Floats exponent) {
  const F32 tag;
  const auto place = hn::Mul(exponent, hn::Set(tag, -1.0f * kBucketsPerNat));
  return hn::ConvertTo(I32(), hn::Min(place, hn::Set(tag, kWeightBuckets - 1.0f)));
}

void FillWeightBucketsImpl(const float* logits, int64_t count, float largest,
                           float inverse_temperature, WeightBuckets* buckets) {
  // One sum would wait for the one before where many tokens share a bucket.
  constexpr int kBanks = 2;
  const F32 tag;
  double sums[kWeightBuckets][kBanks] = {};
  int32_t counts[kWeightBuckets] = {};
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  ForVectors(logits, count, kNothing, [&](Floats v, int64_t i) {
    const auto exponent = ExponentOf(v, largest, inverse_temperature);
    HWY_ALIGN float weights[16];
    HWY_ALIGN int32_t places[16];
    // Exp is exact enough down to where it underflows to 0.
    hn::StoreU(hn::Exp(tag, hn::Max(exponent, hn::Set(tag, -100.0f))), tag, weights);
    hn::StoreU(BucketOf(exponent), I32(), places);
    const int64_t end = std::min(lanes, count - i);
    for (int64_t lane = 0; lane < end; ++lane) {
      sums[places[lane]][lane % kBanks] += weights[lane];
      ++counts[places[lane]];
    }
  });
  for (int b = 0; b < kWeightBuckets; ++b) {
    buckets->sums[b] = sums[b][0] + sums[b][1];
    buckets->counts[b] = counts[b];
  }
}

int64_t CollectBucketImpl(const float* logits, int64_t count, float largest,
                          float inverse_temperature, int bucket, RankedToken* out) {
  const I32 integers;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(integers));
  const auto wanted = hn::Set(integers, bucket);
  int64_t collected = 0;
  ForVectors(logits, count, kNothing, [&](Floats v, int64_t i) {
    const auto places = BucketOf(ExponentOf(v, largest, inverse_temperature));
    if (hn::AllFalse(integers, hn::Eq(places, wanted))) return;
    HWY_ALIGN int32_t stored[16] = {};
    hn::StoreU(places, integers, stored);
    for (int64_t j = i; j < std::min(i + lanes, count); ++j) {
      if (stored[j - i] == bucket) out[collected++] = {logits[j], static_cast<int32_t>(j)};
    }
  });
  return collected;
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {

HWY_EXPORT(ScanRowsImpl);
HWY_EXPORT(FindLargestImpl);
HWY_EXPORT(FindLargestWithNoiseImpl);
HWY_EXPORT(CollectAboveImpl);
HWY_EXPORT(SumOfExponentialsImpl);
HWY_EXPORT(FillWeightBucketsImpl);
HWY_EXPORT(CollectBucketImpl);

void ScanRows(const float* logits, int64_t rows, int64_t count, int64_t stride,
              const float* thresholds, LogitScan* scans) {
  HWY_DYNAMIC_DISPATCH(ScanRowsImpl)(logits, rows, count, stride, thresholds, scans);
}

LogitScan ScanLogits(const float* logits, int64_t count, float threshold) {
  LogitScan scan;
  ScanRows(logits, 1, count, count, &threshold, &scan);
  return scan;
}

RankedToken FindLargest(const float* logits, int64_t count, int32_t first_id) {
  return HWY_DYNAMIC_DISPATCH(FindLargestImpl)(logits, count, first_id);
}

RankedToken FindLargestWithNoise(const float* logits, int64_t count, int32_t first_id,
                                 float inverse_temperature, uint64_t key) {
  return HWY_DYNAMIC_DISPATCH(FindLargestWithNoiseImpl)(logits, count, first_id,
                                                        inverse_temperature, key);
}

int64_t CollectAbove(const float* logits, int64_t count, int32_t first_id, float threshold,
                     RankedToken* out) {
  return HWY_DYNAMIC_DISPATCH(CollectAboveImpl)(logits, count, first_id, threshold, out);
}

float SumOfExponentials(const float* logits, int64_t count, float reference,
                        float inverse_temperature) {
  return HWY_DYNAMIC_DISPATCH(SumOfExponentialsImpl)(logits, count, reference, inverse_temperature);
}

void FillWeightBuckets(const float* logits, int64_t count, float largest, float inverse_temperature,
                       WeightBuckets* buckets) {
  HWY_DYNAMIC_DISPATCH(FillWeightBucketsImpl)(logits, count, largest, inverse_temperature, buckets);
}

int64_t CollectBucket(const float* logits, int64_t count, float largest, float inverse_temperature,
                      int bucket, RankedToken* out) {
  return HWY_DYNAMIC_DISPATCH(CollectBucketImpl)(logits, count, largest, inverse_temperature,
                                                 bucket, out);
}

}  // namespace blockformer
#endif  // HWY_ONCE
