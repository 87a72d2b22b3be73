# Run by blockformer_embed: writes `output`, which defines the function `name` for `files`.
set(arrays "")
set(entries "")
set(index 0)
foreach(file IN LISTS files)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  get_filename_component(file_name ${file} NAME)
  string(APPEND arrays "constexpr unsigned char k${name}${index}[] = {\n${bytes}0};\n")
  string(APPEND entries "    {\"${file_name}\", k${name}${index}, sizeof(k${name}${index}) - 1},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE ${output} "\
// Written by cmake/WriteEmbeddedFiles.cmake.
#include \"base/embedded_file.h\"

namespace blockformer {
namespace {

${arrays}
constexpr EmbeddedFile kFilesOf${name}[] = {
${entries}};

}  // namespace

std::span<const EmbeddedFile> ${name}();
std::span<const EmbeddedFile> ${name}() { return kFilesOf${name}; }

}  // namespace blockformer
")
