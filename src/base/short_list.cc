#include "base/short_list.h"

#include <fmt/format.h>

#include <algorithm>

namespace blockformer {

std::string ShortList(const std::vector<std::string>& names) {
  constexpr size_t kNamesShown = 8;
  const size_t shown = std::min(names.size(), kNamesShown);
  const std::string list = fmt::format("{}", fmt::join(names.begin(), names.begin() + shown, ", "));
  return shown == names.size() ? list : fmt::format("{} and {} more", list, names.size() - shown);
}

}  // namespace blockformer
