# The executables' allocator: memcap_allocator puts tcmalloc (gperftools) in the place of the C library's.
#
# A step takes and frees the same large blocks over and over. The C library merges and splits them, gives those above a
# limit back to the system, and maps and clears them anew: benchmarks/README.md has what that costs.
find_library(TCMALLOC_LIBRARY NAMES tcmalloc_minimal libtcmalloc_minimal.so.4)
if(NOT TCMALLOC_LIBRARY)
  message(FATAL_ERROR "tcmalloc_minimal was not found. Install gperftools (Debian package libtcmalloc-minimal4), or name "
    "the library: -DTCMALLOC_LIBRARY=FILE.")
endif()
add_library(memcap_allocator INTERFACE)
# No symbol refers to it by name alone, so the linker would leave it out.
target_link_options(memcap_allocator INTERFACE
  "LINKER:--push-state,--no-as-needed" ${TCMALLOC_LIBRARY} "LINKER:--pop-state")
