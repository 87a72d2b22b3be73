// Any text as a task file, and what stands after the line "---" as a record of its data: an Error,
// or requests with something to score.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "blockformer/error.h"
#include "eval/task.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr std::string_view kLine = "\n---\n";
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find(kLine);
  if (end == std::string_view::npos) return 0;
  try {
    const blockformer::Task task = blockformer::ParseTask(text.substr(0, end), "fuzz.yaml", "");
    const blockformer::Json record =
        blockformer::ParseJson(text.substr(end + kLine.size()), "fuzz.jsonl:1");
    const blockformer::TaskItem item = blockformer::MakeItem(task, record, "fuzz.jsonl:1");
    const bool is_choice = task.output_type == blockformer::OutputType::kMultipleChoice;
    const auto requests = static_cast<int64_t>(item.requests.size());
    if (requests == 0 || (is_choice && (item.target < 0 || item.target >= requests))) std::abort();
  } catch (const blockformer::Error&) {
  }
  return 0;
}
