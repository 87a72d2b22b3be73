#ifndef BLOCKFORMER_EVAL_WIKITEXT_H_
#define BLOCKFORMER_EVAL_WIKITEXT_H_

#include <string>
#include <string_view>

namespace blockformer {

// A page of WikiText as it would be typed: "( 1 @,@ 000 km ) ." becomes "(1,000 km)." with the same
// rules in the same order, oddities included, as the task wikitext of lm-evaluation-harness 0.4, so
// that perplexities compare. `page` is valid UTF-8. Takes time in proportion to it.
std::string DetokenizeWikitext(std::string_view page);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_WIKITEXT_H_
