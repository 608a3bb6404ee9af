# Decides from MEMCAP_CUDA whether there are targets with CUDA, and says so: MEMCAP_HAS_CUDA, whether there are any;
# MEMCAP_CUDA_BY_DEFAULT, whether they belong to the default build.
#
# CUDA is a choice of the link: all layers are compiled once and free of CUDA, and the library memcap_cuda brings the
# kernels to the executables that link it.
find_program(NVCC_PROGRAM nvcc HINTS /usr/local/cuda/bin)
set(MEMCAP_HAS_CUDA OFF)
set(MEMCAP_CUDA_BY_DEFAULT OFF)
if(MEMCAP_CUDA STREQUAL "OFF")
  message(STATUS "CUDA: off (MEMCAP_CUDA=OFF)")
elseif(NOT NVCC_PROGRAM)
  if(MEMCAP_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MEMCAP_CUDA=ON, but nvcc was not found. Put the CUDA 13 toolkit on PATH or choose AUTO.")
  endif()
  message(STATUS "CUDA: off (MEMCAP_CUDA=AUTO and nvcc was not found)")
else()
  set(MEMCAP_HAS_CUDA ON)
  execute_process(COMMAND nvidia-smi -L OUTPUT_VARIABLE gpus ERROR_QUIET RESULT_VARIABLE no_gpu)
  if(MEMCAP_CUDA STREQUAL "ON" OR (no_gpu EQUAL 0 AND gpus MATCHES "GPU"))
    set(MEMCAP_CUDA_BY_DEFAULT ON)
    message(STATUS "CUDA: on (MEMCAP_CUDA=${MEMCAP_CUDA}, ${NVCC_PROGRAM})")
  else()
    message(STATUS "CUDA: on request, target memcap_gpu (MEMCAP_CUDA=AUTO and nvidia-smi lists no GPU)")
  endif()
endif()

# Builds memcap-cuda, its tests and its benchmarks, whether or not they belong to the default build.
add_custom_target(memcap_gpu)

# memcap_gpu_target(TARGET) makes an executable with CUDA part of memcap_gpu.
function(memcap_gpu_target target)
  add_dependencies(memcap_gpu ${target})
  if(NOT MEMCAP_CUDA_BY_DEFAULT)
    set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()

# The libraries that only executables with CUDA link: kernels without ATen, and what joins them to libtorch.
function(memcap_cuda_library)
  file(GLOB kernels CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/nn/cuda/*.cu ${CMAKE_SOURCE_DIR}/src/memory/cuda/*.cu)
  add_library(memcap_cuda_kernels STATIC EXCLUDE_FROM_ALL ${kernels})
  target_include_directories(memcap_cuda_kernels PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  target_compile_options(memcap_cuda_kernels PRIVATE -Xcompiler=-Wall,-Wextra,-Wno-unknown-pragmas
    $<$<BOOL:${MEMCAP_WERROR}>:--Werror=all-warnings>)
  target_link_libraries(memcap_cuda_kernels PUBLIC CUDA::cudart)

  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/nn/cuda/*.cpp ${CMAKE_SOURCE_DIR}/src/memory/cuda/*.cpp)
  add_library(memcap_cuda STATIC EXCLUDE_FROM_ALL ${sources})
  add_library(memcap::cuda ALIAS memcap_cuda)
  target_include_directories(memcap_cuda PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(memcap_cuda PRIVATE memcap_flags PUBLIC memcap_cuda_kernels memcap::memory torch::cuda)
endfunction()

if(MEMCAP_HAS_CUDA)
  set(CMAKE_CUDA_COMPILER ${NVCC_PROGRAM})
  # A100 and H100 or H200 as machine code; newer ones compile the last for themselves.
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
  endif()
  # The run time that libtorch uses as well.
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
  enable_language(CUDA)
  # CMake 3.25 knows no nvcc 13, and so not which flag stands for C++20 there.
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  endif()
  find_package(CUDAToolkit REQUIRED)
endif()
