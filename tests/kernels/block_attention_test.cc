// Attention within blocks against plain loops in double precision over a paged cache, on every
// instruction set of the processor.
#include "kernels/block_attention.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/aligned_buffer.h"
#include "base/parallel.h"
#include "kernels/kernel_isa.h"
#include "kernels/reference.h"
#include "tests/kernels/random_vector.h"

namespace blockformer {
namespace {

constexpr int64_t kBlocks = 5;
constexpr int64_t kPageSize = 16;

struct BlockShape {
  int64_t num_heads, head_size, rotary_size, positions;
  int64_t kv_heads = 0;  // 0: as many
};

class BlockAttentionTest : public testing::TestWithParam<std::tuple<Isa, BlockShape>> {
 protected:
  BlockAttentionTest()
      : shape_(std::get<BlockShape>(GetParam())),
        layout_(shape_.kv_heads == 0
                    ? HeadLayout::Grouped(shape_.num_heads, shape_.num_heads, shape_.head_size)
                    : HeadLayout::Split(shape_.num_heads, shape_.kv_heads, shape_.head_size)),
        width_(layout_.OutputWidth()),
        rotary_(shape_.positions, {shape_.rotary_size}) {
    // As published models have it: the first two positions are the same.
    for (int64_t p = 0; p < shape_.positions; ++p) {
      rotary_positions_.push_back(static_cast<int32_t>(std::max<int64_t>(p - 1, 0)));
    }
  }

  // A lead of two positions, of which the last attends, then single ones.
  std::vector<BlockStep> Generation() const {
    const int64_t lead = std::min<int64_t>(2, shape_.positions);
    std::vector<BlockStep> steps = {Step(0, lead, 1)};
    for (int64_t p = lead; p < shape_.positions; ++p) steps.push_back(Step(p, 1, 1));
    return steps;
  }

  BlockStep Step(int64_t first, int64_t count, int64_t wanted) const {
    return {kBlocks,
            first,
            count,
            wanted,
            rotary_positions_.data(),
            mask_.empty() ? nullptr : mask_.data()};
  }

  // Hides about a third of the positions, all of block 1, and the first one of block 2.
  void SetMask() {
    Random random(3);
    for (int64_t i = 0; i < kBlocks * shape_.positions; ++i) mask_.push_back(random.Below(3) != 0);
    std::fill_n(mask_.begin() + shape_.positions, shape_.positions, 0);
    mask_[2 * shape_.positions] = 0;
  }

  std::vector<float> QkvOf(const BlockStep& step) const {
    return RandomVector(step.blocks * step.count * layout_.width,
                        static_cast<uint64_t>(step.first));
  }

  // The outputs of several steps, one after the other.
  std::vector<float> Run(const std::vector<BlockStep>& steps) const {
    BlockCache cache = {nullptr, layout_.kv_heads, shape_.head_size, shape_.positions};
    const AlignedBuffer memory = MakeMemory(cache);
    cache.memory = memory.As<float>();
    std::vector<float> all;
    for (const BlockStep& step : steps) {
      std::vector<float> out(step.blocks * step.wanted * width_, NAN);
      AttendInBlock(cache, layout_, rotary_, step, QkvOf(step).data(), out.data());
      all.insert(all.end(), out.begin(), out.end());
    }
    return all;
  }

  // Full of what is not a number.
  static AlignedBuffer MakeMemory(const BlockCache& cache) {
    const int64_t floats = kBlocks * cache.BlockFloats();
    AlignedBuffer memory(floats * static_cast<int64_t>(sizeof(float)));
    std::fill_n(memory.As<float>(), floats, NAN);
    return memory;
  }

  std::vector<float> Reference(const std::vector<BlockStep>& steps) const {
    const int64_t pages = (shape_.positions + kPageSize - 1) / kPageSize;
    KvPages cache = {nullptr, NumberType::kF32, kPageSize, layout_.kv_heads, shape_.head_size};
    const AlignedBuffer memory(kBlocks * pages * cache.PageBytes());
    cache.memory = memory.data();
    std::vector<int32_t> page_lists(kBlocks * pages);
    std::iota(page_lists.begin(), page_lists.end(), 0);
    std::vector<float> all;
    for (const BlockStep& step : steps) {
      std::vector<AttentionRow> rows;
      for (int64_t i = 0; i < kBlocks * step.count; ++i) {
        const int64_t block = i / step.count;
        const int64_t position = step.first + i % step.count;
        const uint8_t* mask = mask_.empty() ? nullptr : mask_.data() + block * shape_.positions;
        rows.push_back(
            {page_lists.data() + block * pages, position, rotary_positions_[position], mask, true});
      }
      std::vector<float> qkv = QkvOf(step);
      const int64_t count = static_cast<int64_t>(rows.size());
      StoreKeysAndValues(cache, layout_, &rotary_, rows.data(), count, qkv.data());
      std::vector<float> out(count * width_);
      reference::Attend(cache, ScaledAttention(layout_), rows.data(), count, qkv.data(),
                        out.data());
      for (int64_t block = 0; block < kBlocks; ++block) {
        const auto end = out.begin() + (block + 1) * step.count * width_;
        all.insert(all.end(), end - step.wanted * width_, end);
      }
    }
    return all;
  }

  // Averages of numbers up to 1. Their weights err by a few roundoffs of exp, and by those of
  // scores of about 1, which come from head_size products divided by their root.
  void ExpectReference(const std::vector<BlockStep>& steps) const {
    EXPECT_LE(MaxDifference(Run(steps), Reference(steps)), 64 * kRoundoff);
  }

  ScopedIsa isa_{std::get<Isa>(GetParam())};
  const BlockShape shape_;
  const HeadLayout layout_;
  const int64_t width_;
  const RotaryTable rotary_;
  std::vector<int32_t> rotary_positions_;
  std::vector<uint8_t> mask_;
};

TEST_P(BlockAttentionTest, MatchesTheReferenceInGeneration) { ExpectReference(Generation()); }

TEST_P(BlockAttentionTest, MatchesTheReferenceInOneStep) {
  ExpectReference({Step(0, shape_.positions, shape_.positions)});
}

TEST_P(BlockAttentionTest, MatchesTheReferenceWithMasks) {
  SetMask();
  ExpectReference(Generation());
  ExpectReference({Step(0, shape_.positions, shape_.positions)});
}

// However the positions are cut into steps, and however many of a step are wanted.
TEST_P(BlockAttentionTest, StepsChangeNothing) {
  SetMask();
  const std::vector<float> qkv = QkvOf(Step(0, shape_.positions, 0));
  const auto run = [&](int64_t step_size, int64_t most_wanted) {
    BlockCache cache = {nullptr, layout_.kv_heads, shape_.head_size, shape_.positions};
    const AlignedBuffer memory = MakeMemory(cache);
    cache.memory = memory.As<float>();
    std::vector<float> result(kBlocks * shape_.positions * width_);
    for (int64_t first = 0; first < shape_.positions; first += step_size) {
      const int64_t count = std::min(step_size, shape_.positions - first);
      const int64_t wanted = std::min(count, most_wanted);
      std::vector<float> part;
      for (int64_t block = 0; block < kBlocks; ++block) {
        const auto rows = qkv.begin() + (block * shape_.positions + first) * layout_.width;
        part.insert(part.end(), rows, rows + count * layout_.width);
      }
      std::vector<float> out(kBlocks * wanted * width_);
      AttendInBlock(cache, layout_, rotary_, Step(first, count, wanted), part.data(), out.data());
      for (int64_t block = 0; block < kBlocks; ++block) {
        const int64_t position = block * shape_.positions + first + count - wanted;
        std::copy_n(out.begin() + block * wanted * width_, wanted * width_,
                    result.begin() + position * width_);
      }
    }
    return result;
  };
  const std::vector<float> whole = run(shape_.positions, shape_.positions);
  EXPECT_EQ(run(1, 1), whole);
  EXPECT_EQ(run(3, 3), whole);
  const std::vector<float> some = run(3, 1);
  for (int64_t i = 0; i < kBlocks * shape_.positions; ++i) {
    const int64_t position = i % shape_.positions;
    if (position % 3 != 2 && position != shape_.positions - 1) continue;
    const auto row = some.begin() + i * width_;
    EXPECT_TRUE(std::equal(row, row + width_, whole.begin() + i * width_))
        << "position " << position;
  }
}

TEST_P(BlockAttentionTest, BlocksDependOnNothingButThemselves) {
  SetMask();
  const BlockStep all = Step(0, shape_.positions, shape_.positions);
  const std::vector<float> together = Run({all});
  const std::vector<float> qkv = QkvOf(all);
  const int64_t rows = shape_.positions * width_;
  for (int64_t block = 0; block < kBlocks; ++block) {
    BlockCache cache = {nullptr, layout_.kv_heads, shape_.head_size, shape_.positions};
    const AlignedBuffer memory = MakeMemory(cache);
    cache.memory = memory.As<float>();
    BlockStep step = all;
    step.blocks = 1;
    step.key_mask += block * shape_.positions;
    std::vector<float> alone(rows);
    AttendInBlock(cache, layout_, rotary_, step,
                  qkv.data() + block * shape_.positions * layout_.width, alone.data());
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + block * rows)) << block;
  }
}

TEST_P(BlockAttentionTest, DoesNotDependOnTheNumberOfThreads) {
  const BlockStep all = Step(0, shape_.positions, shape_.positions);
  const int threads = NumThreads();
  SetNumThreads(1);
  const std::vector<float> one = Run({all});
  SetNumThreads(3);
  const std::vector<float> three = Run({all});
  SetNumThreads(threads);
  EXPECT_EQ(one, three);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, BlockAttentionTest,
    testing::Combine(testing::ValuesIn(SupportedIsas()),
                     testing::Values(BlockShape{4, 32, 16, 6}, BlockShape{3, 64, 16, 70},
                                     BlockShape{2, 80, 80, 17}, BlockShape{3, 7, 2, 9},
                                     BlockShape{2, 12, 12, 33}, BlockShape{1, 256, 64, 16},
                                     BlockShape{1, 1, 0, 1}, BlockShape{4, 16, 16, 9, 2},
                                     BlockShape{9, 7, 6, 20, 3})),
    [](const auto& test) {
      const BlockShape& shape = std::get<BlockShape>(test.param);
      return fmt::format("{}_heads{}_kv{}_size{}_positions{}", IsaName(std::get<Isa>(test.param)),
                         shape.num_heads, shape.kv_heads, shape.head_size, shape.positions);
    });

// The most positions that there may be: exactly one weight is 1, whichever it is.
TEST(BlockAttentionTest, TakesTheMostPositions) {
  constexpr int64_t kSize = 16;
  BlockCache cache = {nullptr, 1, kSize, kMaxBlockPositions};
  const AlignedBuffer memory(cache.BlockFloats() * static_cast<int64_t>(sizeof(float)));
  cache.memory = memory.As<float>();
  const RotaryTable rotary(1, RotaryRule());
  const std::vector<int32_t> positions(kMaxBlockPositions, 0);
  std::vector<float> qkv(kMaxBlockPositions * 3 * kSize);
  for (int64_t p = 0; p < kMaxBlockPositions; ++p) {
    const auto row = qkv.begin() + p * 3 * kSize;
    row[0] = 1;
    row[kSize] = p == kMaxBlockPositions - 2 ? 1e5F : 0.0F;  // its score is far above the others'
    row[2 * kSize] = static_cast<float>(p);
  }
  std::vector<float> out(kSize);
  AttendInBlock(cache, HeadLayout::Grouped(1, 1, kSize), rotary,
                {1, 0, kMaxBlockPositions, 1, positions.data(), nullptr}, qkv.data(), out.data());
  EXPECT_EQ(out[0], static_cast<float>(kMaxBlockPositions - 2));
}

}  // namespace
}  // namespace blockformer
