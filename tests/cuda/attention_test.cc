// Attention over pages and within blocks, against plain loops in f64 over what was stored.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/cuda/device_data.h"
#include "tests/cuda/emulated_test.h"

namespace blockformer::cuda {
namespace {

// A row of attention inputs, turned by rotary positions, in f64.
class Turned {
 public:
  Turned(const HeadLayout& layout, int64_t rotary_size, int64_t positions)
      : layout_(layout), size_(rotary_size) {
    for (int64_t p = 0; p < positions; ++p) {
      for (int64_t i = 0; i < size_ / 2; ++i) {
        const double angle = static_cast<double>(p) * std::pow(100, -2.0 * static_cast<double>(i) /
                                                                        static_cast<double>(size_));
        cosines_.push_back(static_cast<float>(std::cos(angle)));
        sines_.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }

  const std::vector<float>& cosines() const { return cosines_; }
  const std::vector<float>& sines() const { return sines_; }

  // The vector that begins at `x`, at a position.
  std::vector<double> At(const float* x, int64_t position, bool turns = true) const {
    std::vector<double> result(x, x + layout_.head_size);
    const int64_t half = size_ / 2;
    for (int64_t i = 0; turns && i < half; ++i) {
      const double c = cosines_[position * half + i];
      const double s = sines_[position * half + i];
      result[i] = x[i] * c - x[i + half] * s;
      result[i + half] = x[i + half] * c + x[i] * s;
    }
    return result;
  }

 private:
  HeadLayout layout_;
  int64_t size_;
  std::vector<float> cosines_;
  std::vector<float> sines_;
};

// The average of values by the softmax of query * keys / sqrt(size); zeros if there are no keys.
std::vector<double> Attend(const std::vector<double>& query,
                           const std::vector<std::vector<double>>& keys,
                           const std::vector<std::vector<double>>& values) {
  std::vector<double> result(query.size(), 0);
  double sum = 0;
  for (size_t k = 0; k < keys.size(); ++k) {
    double score = 0;
    for (size_t d = 0; d < query.size(); ++d) score += query[d] * keys[k][d];
    const double weight = std::exp(score / std::sqrt(static_cast<double>(query.size())));
    sum += weight;
    for (size_t d = 0; d < query.size(); ++d) result[d] += weight * values[k][d];
  }
  for (double& x : result) x = sum == 0 ? 0 : x / sum;
  return result;
}

// What rounding may change: of keys and values to `cache`, of queries and results to `type`.
double ToleranceOf(Element type, Element cache) {
  const double of_cache = cache == Element::kF32    ? 0
                          : cache == Element::kF16  ? 2e-3
                          : cache == Element::kBf16 ? 2e-2
                          : cache == Element::kInt8 ? 3e-2
                                                    : 0.15;
  return std::max(of_cache, type == Element::kF32 ? 2e-5 : 2e-2);
}

struct HeadsShape {
  int64_t heads;
  int64_t kv_heads;
  int64_t size;
  int64_t rotary;
};

class AttentionTest : public OrderTest {
 protected:
  void TestPages(const HeadsShape& shape, Element type, Element cache_type, uint64_t seed);
  void TestBlocks(const HeadsShape& shape, Element type, bool masked, uint64_t seed);

  Stream stream_;
};

void AttentionTest::TestPages(const HeadsShape& shape, Element type, Element cache_type,
                              uint64_t seed) {
  constexpr int64_t kPageSize = 8;
  constexpr int64_t kMaxPages = 6;
  const HeadLayout layout = HeadLayout::Grouped(shape.heads, shape.kv_heads, shape.size);
  const Turned turned(layout, shape.rotary, kPageSize * kMaxPages);
  const OnDevice<float> cosines(&stream_, turned.cosines());
  const OnDevice<float> sines(&stream_, turned.sines());
  // Three sequences of which all units pass at once; the third is masked in part.
  const std::vector<int64_t> lengths = {1, 29, 41};
  std::vector<int32_t> pages;
  for (int32_t i = 0; i < 3 * kMaxPages; ++i) pages.push_back((i * 7 + 3) % (3 * kMaxPages));
  std::vector<uint8_t> mask(3 * kPageSize * kMaxPages, 1);
  const size_t third = 2 * kPageSize * kMaxPages;
  for (const size_t unit : {0, 1, 17}) mask[third + unit] = 0;
  std::vector<DecoderRow> rows;
  std::vector<size_t> first_rows;
  for (int32_t table = 0; table < 3; ++table) {
    first_rows.push_back(rows.size());
    for (int32_t unit = 0; unit < lengths[table]; ++unit) {
      int32_t flags = table == 2 ? DecoderRow::kHasMask : 0;
      if (table == 2 && unit == 17) flags |= DecoderRow::kAttendsIfMasked;
      rows.push_back({table, unit, (unit * 5 + table) % 48, flags});
    }
  }
  const int64_t num_rows = std::ssize(rows);
  const Numbers qkv(&stream_, type, RandomFloats(num_rows * layout.width, seed));
  KvPages cache = {nullptr, cache_type, kPageSize, shape.kv_heads, shape.size};
  const Buffer memory(3 * kMaxPages * cache.PageBytes());
  cache.memory = memory.data();
  const OnDevice<int32_t> device_pages(&stream_, pages);
  const OnDevice<uint8_t> device_mask(&stream_, mask);
  const PageTables tables = {device_pages.data(), kMaxPages, device_mask.data(),
                             kPageSize * kMaxPages};
  const OnDevice<DecoderRow> device_rows(&stream_, rows);
  StoreKeysAndValues(&stream_, type, cache, layout, {cosines.data(), sines.data(), shape.rotary},
                     tables, device_rows.data(), num_rows, qkv.data());
  std::vector<int32_t> list;
  for (int32_t i = 0; i < num_rows; i += 3) list.push_back(num_rows - 1 - i);
  const OnDevice<int32_t> device_list(&stream_, list);
  const int64_t stride = layout.OutputWidth() + 5;
  const Numbers out(type, std::ssize(list) * stride);
  AttendPages(&stream_, type, cache, layout, tables, device_rows.data(), device_list.data(),
              std::ssize(list), qkv.data(), out.data(), stride);
  const std::vector<float> actual = out.Read(&stream_);

  const float* x = qkv.values().data();
  double largest = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    const size_t index = list[i];
    const DecoderRow& row = rows[index];
    const size_t first = first_rows[row.table];
    const auto is_seen = [&](int64_t unit) {
      return row.table != 2 || mask[third + static_cast<size_t>(unit)] != 0;
    };
    const bool attends = is_seen(row.unit) || (row.flags & DecoderRow::kAttendsIfMasked) != 0;
    for (int64_t head = 0; head < shape.heads; ++head) {
      std::vector<std::vector<double>> keys;
      std::vector<std::vector<double>> values;
      for (int64_t unit = 0; attends && unit <= row.unit; ++unit) {
        if (!is_seen(unit)) continue;
        const size_t source = first + static_cast<size_t>(unit);
        const float* from = x + static_cast<int64_t>(source) * layout.width;
        const int64_t kv_head = head / layout.GroupSize();
        keys.push_back(turned.At(from + layout.Key(kv_head), rows[source].rotary));
        values.push_back(turned.At(from + layout.Value(kv_head), 0, false));
      }
      const std::vector<double> query = turned.At(
          x + static_cast<int64_t>(index) * layout.width + layout.Query(head), row.rotary);
      const std::vector<double> expected = Attend(query, keys, values);
      for (int64_t d = 0; d < shape.size; ++d) {
        const float value =
            actual[i * static_cast<size_t>(stride) + static_cast<size_t>(head * shape.size + d)];
        ASSERT_FALSE(std::isnan(value)) << "row " << index;
        largest = std::max(largest, std::abs(value - expected[d]));
      }
    }
  }
  EXPECT_LE(largest, ToleranceOf(type, cache_type));
}

TEST_P(AttentionTest, OverPagesOfEveryTypeAndSize) {
  const std::vector<HeadsShape> shapes = {{2, 2, 12, 6},  {5, 5, 8, 2},   {4, 2, 32, 32},
                                          {3, 3, 64, 16}, {2, 1, 80, 20}, {1, 1, 128, 128},
                                          {2, 2, 256, 64}};
  uint64_t seed = 1;
  for (const HeadsShape& shape : shapes) {
    for (const Element type : {Element::kF32, Element::kBf16}) {
      for (const Element cache :
           {Element::kF32, Element::kF16, Element::kBf16, Element::kInt8, Element::kE4m3}) {
        SCOPED_TRACE(testing::Message() << "heads of " << shape.size << ", types "
                                        << static_cast<int>(type) << static_cast<int>(cache));
        TestPages(shape, type, cache, seed++);
      }
    }
  }
}

// The results of heads hold what is not finite where a query or key does, and others do not.
TEST_P(AttentionTest, OverPagesPassesOnWhatIsNotFinite) {
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    for (const Element cache_type : {Element::kF32, Element::kInt8}) {
      const HeadLayout layout = HeadLayout::Grouped(2, 2, 8);
      std::vector<float> x = RandomFloats(3 * layout.width, 1);
      x[static_cast<size_t>(layout.width + layout.Key(1)) + 3] = bad;  // of row 1
      const Numbers qkv(&stream_, Element::kF32, x);
      KvPages cache = {nullptr, cache_type, 8, 2, 8};
      const Buffer memory(cache.PageBytes());
      cache.memory = memory.data();
      const OnDevice<int32_t> pages(&stream_, {0});
      const PageTables tables = {pages.data(), 1, nullptr, 0};
      const OnDevice<DecoderRow> rows(&stream_, {{0, 0, 0, 0}, {0, 1, 1, 0}, {0, 2, 2, 0}});
      StoreKeysAndValues(&stream_, Element::kF32, cache, layout, {}, tables, rows.data(), 3,
                         qkv.data());
      const Numbers out(Element::kF32, 3 * 16);
      AttendPages(&stream_, Element::kF32, cache, layout, tables, rows.data(), nullptr, 3,
                  qkv.data(), out.data(), 16);
      const std::vector<float> actual = out.Read(&stream_);
      for (size_t i = 0; i < actual.size(); ++i) {
        const bool is_hit = i / 16 >= 1 && i % 16 >= 8;
        EXPECT_EQ(std::isfinite(actual[i]), !is_hit) << i;
      }
    }
  }
}

void AttentionTest::TestBlocks(const HeadsShape& shape, Element type, bool masked, uint64_t seed) {
  constexpr int64_t kBlocks = 3;
  constexpr int64_t kPositions = 5;
  const HeadLayout layout = HeadLayout::Grouped(shape.heads, shape.kv_heads, shape.size);
  const Turned turned(layout, shape.rotary, kPositions);
  const OnDevice<float> cosines(&stream_, turned.cosines());
  const OnDevice<float> sines(&stream_, turned.sines());
  std::vector<uint8_t> mask(kBlocks * kPositions, 1);
  mask[2] = mask[8] = 0;
  const OnDevice<uint8_t> device_mask(&stream_, mask);
  const Buffer cache(kBlocks * shape.kv_heads * kPositions * 2 * shape.size * ElementBytes(type));
  // All inputs; a first step of three positions, of which two are wanted, then one by one.
  const std::vector<float> inputs = RandomFloats(kBlocks * kPositions * layout.width, seed);
  std::vector<float> rounded = inputs;
  const int64_t stride = layout.OutputWidth() + 3;
  for (const int64_t first : {0, 3, 4}) {
    BlockStep step;
    step.blocks = kBlocks;
    step.positions = kPositions;
    step.first = first;
    step.count = first == 0 ? 3 : 1;
    step.wanted = first == 0 ? 2 : 1;
    step.rotary_shift = 1;
    step.key_mask = masked ? device_mask.data() : nullptr;
    std::vector<float> x;
    for (int64_t i = 0; i < kBlocks * step.count; ++i) {
      const auto from =
          inputs.begin() + (i / step.count * kPositions + first + i % step.count) * layout.width;
      x.insert(x.end(), from, from + layout.width);
    }
    const Numbers qkv(&stream_, type, x);
    for (int64_t i = 0; i < kBlocks * step.count; ++i) {
      std::copy_n(
          qkv.values().begin() + i * layout.width, layout.width,
          rounded.begin() + (i / step.count * kPositions + first + i % step.count) * layout.width);
    }
    const Numbers out(type, kBlocks * step.wanted * stride);
    AttendInBlock(&stream_, type, cache.data(), layout,
                  {cosines.data(), sines.data(), shape.rotary}, step, qkv.data(), out.data(),
                  stride);
    const std::vector<float> actual = out.Read(&stream_);
    double largest = 0;
    for (int64_t i = 0; i < kBlocks * step.wanted; ++i) {
      const int64_t block = i / step.wanted;
      const int64_t position = first + step.count - step.wanted + i % step.wanted;
      const auto row = [&](int64_t p) {
        return rounded.data() + (block * kPositions + p) * layout.width;
      };
      const auto turn = [](int64_t p) { return std::max<int64_t>(p - 1, 0); };
      for (int64_t head = 0; head < shape.heads; ++head) {
        std::vector<std::vector<double>> keys;
        std::vector<std::vector<double>> values;
        const int64_t kv_head = head / layout.GroupSize();
        for (int64_t p = 0; p <= position; ++p) {
          if (masked && mask[block * kPositions + p] == 0) continue;
          keys.push_back(turned.At(row(p) + layout.Key(kv_head), turn(p)));
          values.push_back(turned.At(row(p) + layout.Value(kv_head), 0, false));
        }
        const std::vector<double> expected =
            Attend(turned.At(row(position) + layout.Query(head), turn(position)), keys, values);
        for (int64_t d = 0; d < shape.size; ++d) {
          const float value = actual[i * stride + head * shape.size + d];
          ASSERT_FALSE(std::isnan(value));
          largest = std::max(largest, std::abs(value - expected[d]));
        }
      }
    }
    EXPECT_LE(largest, ToleranceOf(type, type));
  }
}

TEST_P(AttentionTest, WithinBlocks) {
  const std::vector<HeadsShape> shapes = {
      {2, 2, 10, 10}, {3, 3, 32, 8}, {4, 2, 64, 16}, {1, 1, 100, 24}, {2, 2, 192, 48}};
  uint64_t seed = 1;
  for (const HeadsShape& shape : shapes) {
    for (const Element type : {Element::kF32, Element::kBf16}) {
      for (const bool masked : {false, true}) {
        SCOPED_TRACE(testing::Message() << "heads of " << shape.size);
        TestBlocks(shape, type, masked, seed++);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, AttentionTest, BothOrders(), OrderName);

}  // namespace
}  // namespace blockformer::cuda
