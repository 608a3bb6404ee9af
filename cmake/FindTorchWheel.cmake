# Finds libtorch inside the PyPI wheel of .venv/torch and offers it as torch::wheel.
# The wheel's own CMake package demands a CUDA toolkit, so its libraries are linked directly; libtorch.so is
# left out because it drags in libtorch_cuda; where there is CUDA, torch::cuda adds that for those executables that
# want it.
set(TORCH_ENVIRONMENT ${CMAKE_SOURCE_DIR}/.venv/torch CACHE PATH "Python environment that holds the torch wheel")
file(GLOB TorchWheel_SITE ${TORCH_ENVIRONMENT}/lib/python3*/site-packages)
set(TorchWheel_ROOT ${TorchWheel_SITE}/torch)
find_library(TorchWheel_CPU torch_cpu PATHS ${TorchWheel_ROOT}/lib NO_DEFAULT_PATH)
find_library(TorchWheel_C10 c10 PATHS ${TorchWheel_ROOT}/lib NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TorchWheel REQUIRED_VARS TorchWheel_CPU TorchWheel_C10
  REASON_FAILURE_MESSAGE "No torch wheel in ${TORCH_ENVIRONMENT}: run ./quickstart, which makes it")

if(TorchWheel_FOUND AND NOT TARGET torch::wheel)
  add_library(torch::wheel INTERFACE IMPORTED)
  target_include_directories(torch::wheel SYSTEM INTERFACE
    ${TorchWheel_ROOT}/include ${TorchWheel_ROOT}/include/torch/csrc/api/include)
  target_link_libraries(torch::wheel INTERFACE ${TorchWheel_CPU} ${TorchWheel_C10})
  # at::parallel_for is a template that stays serial in code compiled without OpenMP; the wheel's own run time
  # serves both, since two of them in one process would fight for the cores.
  find_library(TorchWheel_OPENMP NAMES libgomp.so.1 PATHS ${TorchWheel_ROOT}/lib NO_DEFAULT_PATH REQUIRED)
  target_compile_options(torch::wheel INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
  target_link_libraries(torch::wheel INTERFACE ${TorchWheel_OPENMP})
  # The wheel's own libraries (OpenMP, CUDA run time, CUPTI) are found at run time by these paths.
  set(TorchWheel_RPATH ${TorchWheel_ROOT}/lib)
  file(GLOB TorchWheel_NVIDIA ${TorchWheel_SITE}/nvidia/*/lib)
  list(APPEND TorchWheel_RPATH ${TorchWheel_NVIDIA})
  list(APPEND CMAKE_BUILD_RPATH ${TorchWheel_RPATH})
  # The wheel brings headers of another fmt, which the system's library cannot link; the system's come first.
  get_target_property(TorchWheel_FMT fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
  file(CREATE_LINK ${TorchWheel_FMT}/fmt ${CMAKE_BINARY_DIR}/generated/fmt SYMBOLIC)
  target_link_options(torch::wheel INTERFACE -Wl,--allow-shlib-undefined)
  if(MEMCAP_HAS_CUDA)
    find_library(TorchWheel_CUDA torch_cuda PATHS ${TorchWheel_ROOT}/lib NO_DEFAULT_PATH REQUIRED)
    find_library(TorchWheel_C10_CUDA c10_cuda PATHS ${TorchWheel_ROOT}/lib NO_DEFAULT_PATH REQUIRED)
    add_library(torch::cuda INTERFACE IMPORTED)
    # Nothing need refer to libtorch_cuda by name: its kernels register themselves when it is loaded.
    target_link_options(torch::cuda INTERFACE
      "LINKER:--no-as-needed,${TorchWheel_CUDA},--as-needed")
    target_link_libraries(torch::cuda INTERFACE torch::wheel ${TorchWheel_C10_CUDA} CUDA::cudart)
  endif()
endif()
