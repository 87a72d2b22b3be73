#include "runner/runner.h"

#include <algorithm>

namespace blockformer {

std::vector<uint8_t> UnitMask(const std::vector<uint8_t>& mask, int64_t unit_length,
                              int64_t units) {
  std::vector<uint8_t> unit_mask(units, 1);
  bool any_masked = false;
  for (int64_t unit = 0; unit < std::ssize(mask) / unit_length; ++unit) {
    const auto tokens = mask.begin() + unit * unit_length;
    const bool is_seen =
        std::any_of(tokens, tokens + unit_length, [](uint8_t m) { return m != 0; });
    unit_mask[unit] = is_seen;
    any_masked |= !is_seen;
  }
  if (!any_masked) unit_mask.clear();
  return unit_mask;
}

}  // namespace blockformer
