#include "cli/line_errors.h"

#include <cstdint>
#include <fstream>

#include "base/error.h"

namespace blockformer {

void RequireNoErrors(const std::string& path,
                     const std::function<bool(const OrderedJson& line)>& failed) {
  std::ifstream stream(path);
  std::string first;
  int64_t lines = 0;
  int64_t errors = 0;
  for (std::string text; std::getline(stream, text);) {
    ++lines;
    if (text.find("\"error\"") == std::string::npos) continue;  // spares parsing it
    const OrderedJson line = OrderedJson::parse(text);
    if (!failed(line)) continue;
    if (errors++ == 0) first = fmt::format("line {}: {}", lines, line["error"].get<std::string>());
  }
  Require(errors == 0, ErrorCode::kCorrupt, "{}: {} of {} texts failed; the first, {}", path,
          errors, lines, first);
}

}  // namespace blockformer
