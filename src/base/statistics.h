#ifndef BLOCKFORMER_BASE_STATISTICS_H_
#define BLOCKFORMER_BASE_STATISTICS_H_

#include <vector>

namespace blockformer {

// The median of at least one value: of an even number, the mean of the two in the middle.
double Median(std::vector<double> values);

// By what share the largest of at least one positive value exceeds the smallest: 0 if they are all
// the same.
double Spread(const std::vector<double>& values);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_STATISTICS_H_
