# Run at every build: writes build_info.cc and build_id.cc, which name the commit, and touches them only
# if that has changed. Wants `source`, `output`, `id_output`, `version`, `compiler` and `flags`.
execute_process(COMMAND git describe --always --dirty WORKING_DIRECTORY ${source}
                OUTPUT_VARIABLE commit RESULT_VARIABLE result ERROR_QUIET
                OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT result EQUAL 0)
  set(commit ${version})
endif()
file(CONFIGURE OUTPUT ${output} CONTENT [[
#include "bench/build_info.h"

namespace blockformer {

const char* const kBuildCommit = "@commit@";
const char* const kBuildCompiler = "@compiler@";
const char* const kBuildFlags = "@flags@";

}  // namespace blockformer
]] @ONLY)
file(CONFIGURE OUTPUT ${id_output} CONTENT [[
#include "base/build_id.h"

namespace blockformer {

const char* const kBuildId = "@version@, @commit@, @compiler@, @flags@";

}  // namespace blockformer
]] @ONLY)
