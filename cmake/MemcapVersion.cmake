# Writes memcap/base/build_info.hpp: version, git revision, compiler and flags of this build.
execute_process(COMMAND git -C ${CMAKE_SOURCE_DIR} describe --always --dirty --abbrev=12
  OUTPUT_VARIABLE MEMCAP_GIT_REVISION OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT MEMCAP_GIT_REVISION)
  set(MEMCAP_GIT_REVISION unknown)
endif()
configure_file(${CMAKE_SOURCE_DIR}/cmake/build_info.hpp.in
  ${CMAKE_BINARY_DIR}/generated/memcap/base/build_info.hpp @ONLY)
