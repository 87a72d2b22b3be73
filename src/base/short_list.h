#ifndef BLOCKFORMER_BASE_SHORT_LIST_H_
#define BLOCKFORMER_BASE_SHORT_LIST_H_

#include <string>
#include <vector>

namespace blockformer {

// The first of some names, for a message: "a, b, c and 7 more".
std::string ShortList(const std::vector<std::string>& names);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_SHORT_LIST_H_
