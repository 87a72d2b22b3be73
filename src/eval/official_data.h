#ifndef BLOCKFORMER_EVAL_OFFICIAL_DATA_H_
#define BLOCKFORMER_EVAL_OFFICIAL_DATA_H_

#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"

namespace blockformer {

// An evaluation set that its authors offer in a form of their own. Converting turns the official
// files into records of the form that evaluation reads:
//   multiple choice  {"ctx": text, "choices": [texts], "label": index}, with ARC's "id" before it
//   LAMBADA          {"text": text}
//   WikiText         {"page": text}
// with the texts that EleutherAI's lm-evaluation-harness 0.4.7 gets from its copies of the sets.
struct OfficialSet {
  std::string name;
  std::vector<std::string> inputs;  // the official files' names
  std::string output;               // the converted file's usual name
  std::vector<OrderedJson> (*convert)(const std::vector<std::string>& paths);
};

const std::vector<OfficialSet>& OfficialSets();

// Throws Error(kInvalidArgument) that lists the names if there is no such set.
const OfficialSet& FindOfficialSet(const std::string& name);

// The records of the official files, at least one. There are as many `paths` as the set has inputs,
// in any order and under any names of the same kind (.jsonl, or .lst for labels), and .zst may
// follow. All records are in memory. Throws Error that names FILE:LINE and the field.
std::vector<OrderedJson> ConvertOfficialSet(const OfficialSet& set,
                                            const std::vector<std::string>& paths);

// The pages of a file of raw WikiText, as views into it. A page begins at a line that stands
// between single "=", as titles do (" = Title = "); so does a formula on a line of its own, and the
// harness counts its rest as a page too. The line end before a page belongs to none; blank text
// before the first page is dropped.
std::vector<std::string_view> SplitWikiTextPages(std::string_view text);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_OFFICIAL_DATA_H_
