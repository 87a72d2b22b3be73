# What a wheel of python/ carries beside its Python: libblockformer.so, and the libraries that it needs
# and that a machine may lack. Those of the C++ compiler and the C library are the machine's own.
set_target_properties(blockformer_shared PROPERTIES INSTALL_RPATH $ORIGIN)
set_property(TARGET blockformer_shared PROPERTY VERSION)
set_property(TARGET blockformer_shared PROPERTY SOVERSION)
install(TARGETS blockformer_shared LIBRARY DESTINATION blockformer COMPONENT python)

# Under the names by which the loader looks for them: wheels hold no links.
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/bundle_libraries.cmake @ONLY CONTENT [[
file(GET_RUNTIME_DEPENDENCIES LIBRARIES "@PROJECT_BINARY_DIR@/libblockformer.so"
     PRE_EXCLUDE_REGEXES "^(libc|libm|libdl|libpthread|librt|libstdc\\+\\+|libgcc_s|ld-linux.*)\\.so"
     RESOLVED_DEPENDENCIES_VAR libraries)
foreach(library IN LISTS libraries)
  get_filename_component(name ${library} NAME)
  file(REAL_PATH ${library} real)
  file(COPY_FILE ${real} ${CMAKE_INSTALL_PREFIX}/blockformer/${name})
endforeach()
]])
install(SCRIPT ${PROJECT_BINARY_DIR}/bundle_libraries.cmake COMPONENT python)
