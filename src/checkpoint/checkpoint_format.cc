#include "checkpoint/checkpoint_format.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "checkpoint/formats/format.h"
#include "checkpoint/model_directory.h"

namespace blockformer {
namespace {

constexpr const FormatEntry* kFormats[] = {&kBlockformerFormat, &kHuggingFaceFormat, &kGgufFormat,
                                           &kPublishedBlockFormat};

}  // namespace

std::span<const FormatEntry* const> CheckpointFormats() { return kFormats; }

const FormatEntry& EntryOf(CheckpointFormat format) {
  return **std::ranges::find(kFormats, format, &FormatEntry::format);
}

const char* FormatName(CheckpointFormat format) { return EntryOf(format).name; }

CheckpointFormat RecogniseFormat(const std::string& source) {
  std::vector<const FormatEntry*> found;
  std::ranges::copy_if(kFormats, std::back_inserter(found),
                       [&](const FormatEntry* entry) { return entry->recognises(source); });
  Require(!found.empty(), ErrorCode::kNotFound,
          "{}: is not recognised: it is no GGUF file, and there is neither {} nor the trainer YAML "
          "of a published checkpoint, which `config` can name",
          source, kConfigFile);
  if (found.size() > 1) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: may be {} or {} by its files; say which is meant with `from` {} or `from` {}", source,
         found[0]->name, found[1]->name, found[0]->name, found[1]->name);
  }
  return found[0]->format;
}

}  // namespace blockformer
