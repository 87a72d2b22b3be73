#ifndef BLOCKFORMER_BASE_PLACED_ERROR_H_
#define BLOCKFORMER_BASE_PLACED_ERROR_H_

#include <string>

#include "blockformer/error.h"

namespace blockformer {

// An Error about a place in a file, for those who show the problem to people that are to know
// nothing of the machine's files. what() is "place: problem".
class PlacedError : public Error {
 public:
  PlacedError(ErrorCode code, const std::string& place, const std::string& problem)
      : Error(code, place + ": " + problem), place_(place), problem_(problem) {}

  const std::string& place() const { return place_; }
  const std::string& problem() const { return problem_; }

 private:
  std::string place_;
  std::string problem_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_PLACED_ERROR_H_
