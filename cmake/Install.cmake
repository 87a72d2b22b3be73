# `make install`: the programs, the public headers, one shared library with the engine, a CMake
# package that needs nothing else, and the shell completion.
include(CMakePackageConfigHelpers)

# Internal folders stay static libraries; the shared one carries what the public headers promise.
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/empty.cc CONTENT "")
add_library(blockformer_shared SHARED ${PROJECT_BINARY_DIR}/empty.cc)
target_link_libraries(blockformer_shared
                      PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,blockformer_engine>)
target_include_directories(blockformer_shared INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(blockformer_shared INTERFACE cxx_std_20)
set_target_properties(blockformer_shared PROPERTIES
                      OUTPUT_NAME blockformer EXPORT_NAME blockformer
                      VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})

install(TARGETS blockformer_shared EXPORT blockformerTargets)
install(DIRECTORY include/blockformer TYPE INCLUDE)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/blockformer)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/blockformerConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(EXPORT blockformerTargets FILE blockformerConfig.cmake NAMESPACE blockformer::
        DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/blockformerConfigVersion.cmake DESTINATION ${package_dir})

foreach(program blockformer blockformer-train)
  if(TARGET ${program})
    install(TARGETS ${program})
    install(FILES scripts/completion.bash RENAME ${program}
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  endif()
endforeach()
