# `make install`: the programs, the public headers, one shared library with the engine, a CMake
# package and a file for pkg-config that need nothing else, and the shell completion.
include(CMakePackageConfigHelpers)

install(TARGETS blockformer_shared EXPORT blockformerTargets)
install(DIRECTORY include/blockformer TYPE INCLUDE)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/blockformer)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/blockformerConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(EXPORT blockformerTargets FILE blockformerConfig.cmake NAMESPACE blockformer::
        DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/blockformerConfigVersion.cmake DESTINATION ${package_dir})

# Of relative folders, so that an installation may be moved.
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH prefix_from_pc /${pc_dir} /)
configure_file(${CMAKE_CURRENT_LIST_DIR}/blockformer.pc.in ${PROJECT_BINARY_DIR}/blockformer.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/blockformer.pc DESTINATION ${pc_dir})

foreach(program blockformer blockformer-train)
  if(TARGET ${program})
    install(TARGETS ${program})
    install(FILES scripts/completion.bash RENAME ${program}
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  endif()
endforeach()
