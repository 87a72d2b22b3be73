#ifndef BLOCKFORMER_API_OPTIONS_H_
#define BLOCKFORMER_API_OPTIONS_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "blockformer/blockformer.h"
#include "blockformer/text_generator.h"
#include "engine/engine_loop.h"
#include "engine/scorer.h"

namespace blockformer {

// Reads what callers of the C interface hand over. All throw Error(kInvalidArgument) that names the
// argument or the field.

// The largest structure and array that are believed.
inline constexpr size_t kMaxStructBytes = 4096;
inline constexpr size_t kMaxArrayLength = size_t{1} << 24;

template <typename Pointer>
void RequireNotNull(Pointer pointer, const char* name) {
  Require(pointer != nullptr, ErrorCode::kInvalidArgument, "{}: is NULL", name);
}

template <typename Value>
std::span<const Value> ReadArray(const Value* values, size_t count, const char* name) {
  Require(count <= kMaxArrayLength, ErrorCode::kInvalidArgument, "{}: {} entries are more than {}",
          name, count, kMaxArrayLength);
  if (count > 0) RequireNotNull(values, name);
  return {values, count};
}

std::string_view ReadText(const bf_text& text, const char* name);

// 0 or 1.
bool ReadFlag(int32_t value, const char* name);

// The size that a structure had in the first version of the interface.
template <typename Struct>
inline constexpr size_t kFirstSize = sizeof(Struct);
template <>
inline constexpr size_t kFirstSize<bf_request_options> = offsetof(bf_request_options, format);

// The size of a structure of the caller's, which may be of an older version or of a newer one.
template <typename Struct>
void RequireStructSize(size_t size, const char* name) {
  const bool is_known =
      size == kFirstSize<Struct> || (size >= sizeof(Struct) && size <= kMaxStructBytes);
  Require(is_known, ErrorCode::kInvalidArgument, "{}: struct_size is {}; {} (sizeof) is wanted",
          name, size, sizeof(Struct));
}

// A caller's structure, or `defaults` for NULL. What an older version lacks is as in `defaults`.
// What a newer version has more has to be 0, which is every new field's default.
template <typename Struct>
Struct ReadStruct(const Struct* given, const Struct& defaults, const char* name) {
  if (given == nullptr) return defaults;
  RequireStructSize<Struct>(given->struct_size, name);
  const std::span bytes(reinterpret_cast<const std::byte*>(given), given->struct_size);
  const size_t known = std::min(bytes.size(), sizeof(Struct));
  const auto newer = bytes.subspan(known);
  Require(std::ranges::all_of(newer, [](std::byte byte) { return byte == std::byte{0}; }),
          ErrorCode::kInvalidArgument,
          "{}: sets a field that this version of the library does not have", name);
  Struct read = defaults;
  std::memcpy(&read, given, known);
  return read;
}

// Fills a caller's structure with `value`, as far as it goes, and what a newer version has more
// with 0.
template <typename Struct>
void WriteStruct(const Struct& value, size_t size, const char* name, Struct* target) {
  RequireNotNull(target, name);
  RequireStructSize<Struct>(size, name);
  std::memset(static_cast<void*>(target), 0, size);
  std::memcpy(static_cast<void*>(target), &value, std::min(size, sizeof(Struct)));
  target->struct_size = size;
}

bf_engine_options DefaultEngineOptions();
bf_request_options DefaultRequestOptions();

struct LoadSettings {
  GeneratorOptions generator;
  EngineLoopOptions loop;
  ScorerOptions scorer;
};
LoadSettings ReadEngineOptions(const bf_engine_options* given);

struct RequestSettings {
  TextOptions text;  // its max_tokens holds only if `max_tokens` is set
  std::optional<int64_t> max_tokens;
  std::vector<int32_t> stop_ids;
  std::vector<int32_t> excluded_ids;
  std::optional<int64_t> log_probabilities;
  std::optional<int64_t> left_padding;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  uint64_t stream = 0;
  int32_t priority = 0;
  bool at_end = false;
  bf_callback callback = nullptr;
  void* user = nullptr;
};
RequestSettings ReadRequestOptions(const bf_request_options* given);

}  // namespace blockformer

#endif  // BLOCKFORMER_API_OPTIONS_H_
