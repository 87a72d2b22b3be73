#ifndef BLOCKFORMER_RUNNER_TOKEN_CONSTRAINT_H_
#define BLOCKFORMER_RUNNER_TOKEN_CONSTRAINT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace blockformer {

// Which tokens may be generated next in a sequence, given those that were. Has to depend on these
// alone, so that a sequence does not depend on its batch mates.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  // Bit id % 64 of word id / 64 says whether the token may come next; ids without a bit may not.
  // Empty if every id may. Valid until the next call.
  virtual std::span<const uint64_t> Allowed() = 0;

  // Goes on behind a generated token, whatever it is: behind one that may not come, and behind the
  // end of a text, what is generated is of no interest.
  virtual void Take(int32_t id) = 0;
};

// Makes the constraint of a sequence that has generated nothing.
using TokenConstraintFactory = std::function<std::unique_ptr<TokenConstraint>()>;

// Whether an id is among the allowed ones.
inline bool IsAllowed(std::span<const uint64_t> allowed, int32_t id) {
  const auto word = static_cast<size_t>(id) / 64;
  return allowed.empty() || (word < allowed.size() && (allowed[word] >> (id % 64) & 1) != 0);
}

}  // namespace blockformer

#endif  // BLOCKFORMER_RUNNER_TOKEN_CONSTRAINT_H_
