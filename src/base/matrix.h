#ifndef BLOCKFORMER_BASE_MATRIX_H_
#define BLOCKFORMER_BASE_MATRIX_H_

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <iterator>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace blockformer {

// Rows of equal length, one after the other in memory that somebody else owns. Arguments that do
// not fit are found by assert() alone.
template <typename T>
class MatrixView {
 public:
  MatrixView() = default;  // empty
  MatrixView(T* data, int64_t rows, int64_t columns) : data_(data), rows_(rows), columns_(columns) {
    assert(rows >= 0 && columns >= 0);
  }
  // All of `values`, which fill whole rows.
  MatrixView(std::span<T> values, int64_t columns)
      : MatrixView(values.data(), std::ssize(values) / columns, columns) {
    assert(std::ssize(values) == size());
  }
  // As a pointer to T becomes one to const T.
  template <typename U>
    requires std::is_same_v<const U, T>
  MatrixView(const MatrixView<U>& other)  // NOLINT(google-explicit-constructor)
      : MatrixView(other.data(), other.rows(), other.columns()) {}

  T* data() const { return data_; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t size() const { return rows_ * columns_; }
  bool empty() const { return size() == 0; }

  // All rows, one after the other.
  std::span<T> values() const { return {data_, static_cast<size_t>(size())}; }

  std::span<T> Row(int64_t row) const {
    assert(row >= 0 && row < rows_);
    return {data_ + row * columns_, static_cast<size_t>(columns_)};
  }
  // Rows [begin, begin + count).
  MatrixView Rows(int64_t begin, int64_t count) const {
    assert(begin >= 0 && count >= 0 && begin + count <= rows_);
    return {data_ + begin * columns_, count, columns_};
  }
  // The same values, in the same order, in rows of another length.
  MatrixView Reshaped(int64_t rows, int64_t columns) const {
    assert(rows * columns == size());
    return {data_, rows, columns};
  }

 private:
  T* data_ = nullptr;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
};

// Rows of equal length in memory of its own.
template <typename T>
class Matrix {
 public:
  Matrix() = default;  // empty
  Matrix(int64_t rows, int64_t columns) { Resize(rows, columns); }
  // `values` fill whole rows.
  Matrix(std::vector<T> values, int64_t columns)
      : values_(std::move(values)), rows_(std::ssize(values_) / columns), columns_(columns) {
    assert(std::ssize(values_) == rows_ * columns_);
  }

  // Afterwards it holds arbitrary values: those of earlier sizes, or new ones T(). Memory only
  // grows, so that scratch memory which serves many sizes is not filled again for each.
  void Resize(int64_t rows, int64_t columns) {
    assert(rows >= 0 && columns >= 0);
    if (rows * columns > std::ssize(values_)) values_.resize(rows * columns);
    rows_ = rows;
    columns_ = columns;
  }

  MatrixView<T> view() { return {values_.data(), rows_, columns_}; }
  MatrixView<const T> view() const { return {values_.data(), rows_, columns_}; }
  operator MatrixView<T>() { return view(); }              // NOLINT(google-explicit-constructor)
  operator MatrixView<const T>() const { return view(); }  // NOLINT(google-explicit-constructor)

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  bool empty() const { return view().empty(); }
  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  std::span<T> values() { return view().values(); }
  std::span<const T> values() const { return view().values(); }
  std::span<T> Row(int64_t row) { return view().Row(row); }
  std::span<const T> Row(int64_t row) const { return view().Row(row); }
  MatrixView<T> Rows(int64_t begin, int64_t count) { return view().Rows(begin, count); }
  MatrixView<const T> Rows(int64_t begin, int64_t count) const { return view().Rows(begin, count); }

 private:
  std::vector<T> values_;  // at least all rows
  int64_t rows_ = 0;
  int64_t columns_ = 0;
};

// Moves the rows that `kept` lists, in ascending order, to the front, and returns them.
template <typename T>
MatrixView<T> KeepRows(MatrixView<T> matrix, std::span<const int64_t> kept) {
  for (int64_t i = 0; i < std::ssize(kept); ++i) {
    if (kept[i] != i) std::ranges::copy(matrix.Row(kept[i]), matrix.Row(i).begin());
  }
  return matrix.Rows(0, std::ssize(kept));
}

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_MATRIX_H_
