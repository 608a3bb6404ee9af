// Which variables are left out. That a program starts without them is tested end to end.
#include "memcap/base/environment.hpp"

#include <gtest/gtest.h>

namespace memcap {
namespace {

TEST(Environment, WhatSteersThreadsAndArithmeticIsForeign) {
    for (const char* variable :
         {"OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true", "OMP_NUM_THREADS=", "GOMP_CPU_AFFINITY=0-3",
          "KMP_AFFINITY=compact", "MKL_NUM_THREADS=1", "MKL_CBWR=COMPATIBLE",
          "ONEDNN_DEFAULT_FPMATH_MODE=BF16", "DNNL_MAX_CPU_ISA=AVX2", "ATEN_CPU_CAPABILITY=default",
          "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1", "NVIDIA_TF32_OVERRIDE=0", "GOMP_SPINCOUNT=5"})
        EXPECT_TRUE(is_foreign(variable)) << variable;
}

TEST(Environment, WhatMakesPythonLoadOtherModulesIsForeign) {
    for (const char* variable : {"PYTHONPATH=/opt/conda", "PYTHONHOME=/opt/python3.6", "PYTHONSTARTUP=a.py",
                                 "PYTHONWARNINGS=error", "PYTHONUTF8=0"})
        EXPECT_TRUE(is_foreign(variable)) << variable;
}

TEST(Environment, WhatExperimentsAndLaunchersNameStays) {
    for (const char* variable :
         {"PATH=/bin", "HOME=/root", "OMPI_COMM_WORLD_RANK=1", "PMIX_RANK=1", "SLURM_JOB_ID=7",
          "MKLROOT=/opt/intel", "TORCH_HOME=/models", "PYTHON=python3", "PYTHON_ROOT=/opt",
          "LD_LIBRARY_PATH=/opt/lib", "MODELS=OMP_DYNAMIC=1", "PYTHONUNBUFFERED=1",
          "PYTHONDONTWRITEBYTECODE=1", "CUDA_VISIBLE_DEVICES=0"})
        EXPECT_FALSE(is_foreign(variable)) << variable;
}

TEST(Environment, MemcapsOwnSettingsStay) {
    EXPECT_FALSE(is_foreign("GOMP_SPINCOUNT=30000"));
    EXPECT_FALSE(is_foreign("PYTHONUTF8=1"));
}

}  // namespace
}  // namespace memcap
