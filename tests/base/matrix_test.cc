#include "base/matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace blockformer {
namespace {

using testing::ElementsAre;

std::vector<int> Count(int64_t size) {
  std::vector<int> values(size);
  std::iota(values.begin(), values.end(), 0);
  return values;
}

int64_t SizeOfReadable(MatrixView<const int> view) { return view.size(); }

TEST(MatrixViewTest, GivesRowsOfWhatItPointsAt) {
  std::vector<int> values = Count(6);
  const MatrixView<int> view(values, 2);
  EXPECT_EQ(view.rows(), 3);
  EXPECT_EQ(view.columns(), 2);
  EXPECT_EQ(view.size(), 6);
  EXPECT_EQ(view.data(), values.data());
  EXPECT_THAT(view.Row(2), ElementsAre(4, 5));
  view.Row(1)[1] = 30;
  EXPECT_THAT(values, ElementsAre(0, 1, 2, 30, 4, 5));
  EXPECT_THAT(view.values(), ElementsAre(0, 1, 2, 30, 4, 5));
}

TEST(MatrixViewTest, TakesSomeOfTheRows) {
  std::vector<int> values = Count(12);
  const MatrixView<int> middle = MatrixView<int>(values.data(), 4, 3).Rows(1, 2);
  EXPECT_EQ(middle.rows(), 2);
  EXPECT_EQ(middle.columns(), 3);
  EXPECT_THAT(middle.values(), ElementsAre(3, 4, 5, 6, 7, 8));
  EXPECT_TRUE(middle.Rows(2, 0).empty());
}

TEST(MatrixViewTest, ReadsTheSameValuesInOtherRows) {
  std::vector<int> values = Count(12);
  const MatrixView<int> view = MatrixView<int>(values, 3).Reshaped(2, 6);
  EXPECT_EQ(view.rows(), 2);
  EXPECT_EQ(view.columns(), 6);
  EXPECT_THAT(view.Row(1), ElementsAre(6, 7, 8, 9, 10, 11));
}

TEST(MatrixViewTest, IsEmptyAtFirst) {
  const MatrixView<const int> view;
  EXPECT_TRUE(view.empty());
  EXPECT_EQ(view.data(), nullptr);
  EXPECT_TRUE(view.values().empty());
}

TEST(MatrixViewTest, BecomesOneThatOnlyReads) {
  std::vector<int> values = Count(4);
  EXPECT_EQ(SizeOfReadable(MatrixView<int>(values, 2)), 4);
  EXPECT_EQ(SizeOfReadable(Matrix<int>(2, 3)), 6);
  static_assert(!std::is_convertible_v<MatrixView<const int>, MatrixView<int>>);
  static_assert(!std::is_convertible_v<const Matrix<int>&, MatrixView<int>>);
}

#if !defined(NDEBUG)
TEST(MatrixViewDeathTest, AssertsThatArgumentsFit) {
  std::vector<int> values = Count(6);
  const MatrixView<int> view(values, 2);
  EXPECT_DEATH(view.Row(3), "row < rows_");
  EXPECT_DEATH(view.Rows(2, 2), "begin \\+ count <= rows_");
  EXPECT_DEATH(view.Reshaped(2, 2), "rows \\* columns == size");
  EXPECT_DEATH(MatrixView<int>(values, 4), "size");
}
#endif

TEST(MatrixTest, HoldsRows) {
  Matrix<int> matrix(Count(6), 3);
  EXPECT_EQ(matrix.rows(), 2);
  EXPECT_THAT(matrix.Row(1), ElementsAre(3, 4, 5));
  matrix.Row(0)[2] = 9;
  const MatrixView<int> view = matrix;
  EXPECT_THAT(view.Row(0), ElementsAre(0, 1, 9));
  EXPECT_THAT(std::as_const(matrix).Rows(1, 1).values(), ElementsAre(3, 4, 5));
}

// Scratch memory goes from few rows to many and back at every step.
TEST(MatrixTest, KeepsItsMemoryWhenItShrinks) {
  Matrix<int> matrix(4, 3);
  const int* memory = matrix.data();
  std::ranges::fill(matrix.values(), 7);
  matrix.Resize(1, 2);
  EXPECT_EQ(matrix.rows(), 1);
  EXPECT_EQ(matrix.columns(), 2);
  EXPECT_THAT(matrix.values(), ElementsAre(7, 7));
  matrix.Resize(3, 4);
  EXPECT_EQ(matrix.data(), memory);
  EXPECT_THAT(matrix.Row(2), ElementsAre(7, 7, 7, 7));
  matrix.Resize(5, 3);
  EXPECT_THAT(matrix.Row(4), ElementsAre(0, 0, 0));
}

TEST(KeepRowsTest, MovesRowsToTheFront) {
  std::vector<int> values = Count(10);
  const std::vector<int64_t> kept = {0, 3, 4};
  const MatrixView<int> front = KeepRows(MatrixView<int>(values, 2), kept);
  EXPECT_EQ(front.data(), values.data());
  EXPECT_THAT(front.values(), ElementsAre(0, 1, 6, 7, 8, 9));
  EXPECT_TRUE(KeepRows(front, {}).empty());
}

}  // namespace
}  // namespace blockformer
