#ifndef BLOCKFORMER_BASE_STATISTICS_H_
#define BLOCKFORMER_BASE_STATISTICS_H_

#include <vector>

namespace blockformer {

// Of at least one value. The mean of the two in the middle where their number is even.
double Median(std::vector<double> values);

// By what share the largest of at least one positive value exceeds the smallest: 0 if they are all
// the same.
double Spread(const std::vector<double>& values);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_STATISTICS_H_
