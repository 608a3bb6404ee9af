# Warnings, sanitizers and ccache: the flags every memcap target is compiled with.
add_library(memcap_flags INTERFACE)
target_compile_options(memcap_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
if(MEMCAP_WERROR)
  # g++ 12 sees overflows inside libstdc++'s strings and vectors at -O3 that cannot happen (GCC bug 105329 and its relatives);
  # these stay warnings.
  target_compile_options(memcap_flags INTERFACE -Werror -Wno-error=array-bounds -Wno-error=restrict
    -Wno-error=stringop-overflow -Wno-error=stringop-overread)
endif()
if(MEMCAP_SANITIZE)
  target_compile_options(memcap_flags INTERFACE -fsanitize=${MEMCAP_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer -g1
    -Wno-error)  # g++ 12 takes the sanitizers' own checks for uses of what is not set; the other presets are strict
  target_link_options(memcap_flags INTERFACE -fsanitize=${MEMCAP_SANITIZE})
endif()

# By it the ranks of a launch tell whether they run one program.
target_link_options(memcap_flags INTERFACE LINKER:--build-id)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Precompiled headers embed time stamps; the sloppiness lets ccache see through them.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
      ${CCACHE_PROGRAM})
endif()
