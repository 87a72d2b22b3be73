# Files of the repository that a program carries with it.
#
# blockformer_embed(FOLDER NAME file...)
#
# Adds to the library of src/FOLDER the contents of the files, whose paths are relative to the
# project's root: `std::span<const EmbeddedFile> NAME()` of base/embedded_file.h's kind, to be
# declared by a header of the folder. A file that changes is embedded anew at the next build.
function(blockformer_embed folder name)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  list(TRANSFORM ARGN PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE files)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -Dname=${name} -Doutput=${output} "-Dfiles=${files}" -P
            ${PROJECT_SOURCE_DIR}/cmake/WriteEmbeddedFiles.cmake
    DEPENDS ${files} ${PROJECT_SOURCE_DIR}/cmake/WriteEmbeddedFiles.cmake
    COMMENT "Embedding the files of ${name}"
    VERBATIM)
  target_sources(blockformer_${folder} PRIVATE ${output})
endfunction()
