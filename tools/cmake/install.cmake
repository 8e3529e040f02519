# What `cmake --install build` puts where. gpuq finds gpuq-worker as ../libexec/gpuqueue beside itself or beside the library,
# so that the whole tree may be moved.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/gpuqueue)

# --- programs ----------------------------------------------------------------------------------------------------------
install(TARGETS gpuq RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS gpuq-worker gpuq-rivals RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/gpuqueue)

# --- the library: shared, and as an archive for programs that carry it with them ------------------------------------------
install(TARGETS gpuqueue EXPORT gpuqueue-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES $<TARGET_FILE:gpuqueue_all> DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME libgpuqueue.a)
install(FILES include/gpuqueue.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES
  include/gpuqueue/control.h
  include/gpuqueue/layout.h
  include/gpuqueue/plugin.h
  include/gpuqueue/runtime.h
  include/gpuqueue/status.h
  include/gpuqueue/swap.h
  include/gpuqueue/version.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gpuqueue)

# --- for those who build against it ----------------------------------------------------------------------------------------
file(RELATIVE_PATH prefix_from_pkgconfig /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
configure_file(tools/cmake/gpuqueue.pc.in gpuqueue.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/gpuqueue.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(EXPORT gpuqueue-targets NAMESPACE gpuqueue:: DESTINATION ${package_folder})
configure_package_config_file(tools/cmake/gpuqueue-config.cmake.in gpuqueue-config.cmake INSTALL_DESTINATION ${package_folder}
  PATH_VARS CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(gpuqueue-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/gpuqueue-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/gpuqueue-config-version.cmake
  DESTINATION ${package_folder})

# --- for those who read and try ----------------------------------------------------------------------------------------------
install(FILES docs/reference/gpuq.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES tools/completion/gpuq.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME gpuq)
install(DIRECTORY configs plugins DESTINATION ${CMAKE_INSTALL_DATADIR}/gpuqueue)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
