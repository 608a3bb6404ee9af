"""The layer table: which layers a layer may use, and which third-party headers, where."""

# Layer -> layers that its own files may include. `journal` is the part of store that needs no HDF5.
MAY_USE = {
    "base": (),
    "config": ("base",),
    "plan": ("base", "config"),
    "sched": ("base",),
    "agent": ("base", "sched"),
    "record": ("base",),
    "journal": ("base", "record"),
    "store": ("base", "record", "metrics", "journal"),
    "hub": ("base",),
    "text": ("base",),
    "metrics": ("base", "record"),
    "nn": ("base", "hub"),
    "models": ("base", "hub", "nn"),
    "memory": ("base", "plan", "record", "text", "hub", "nn", "models", "metrics"),
    "mpi": ("base", "sched"),
    "weights": ("base", "sched", "hub"),
    "app": ("base", "config", "plan", "sched", "agent", "record", "journal", "store", "mpi", "weights", "hub", "text", "metrics", "nn",
            "models", "memory"),
}

# Layers whose folder is not their name.
FOLDERS = {"journal": "store/journal"}

# Sources of executables, which stand in no layer's folder.
MAINS = ("main.cpp", "main_cuda.cpp")

TORCH_LAYERS = ("nn", "models", "memory", "app")
ALL = tuple(MAY_USE)

# (library, start of the include path, layers whose sources may include it, layers whose headers may).
# Headers of layers without torch name no third-party type, so that whoever includes them needs no library.
THIRD_PARTY = (
    ("fmt", "fmt/", ALL, ()),
    ("spdlog", "spdlog/", ("base",), ()),
    ("xxhash", "xxhash.h", ("base",), ()),
    ("OpenSSL", "openssl/", ("base",), ()),
    ("yaml-cpp", "yaml-cpp/", ("config",), ()),
    ("nlohmann-json", "nlohmann/", ("hub", "text", "app"), ()),
    ("zlib", "zlib.h", ("store", "journal"), ()),
    ("HDF5", "hdf5", ("store",), ()),
    ("HDF5", "H5", ("store",), ()),
    ("MPI", "mpi.h", ("mpi",), ()),
    ("NCCL", "nccl.h", ("weights",), ()),
    ("CUDA", "cuda", ("weights", "nn", "memory"), ()),
    ("Boost.Program_options", "boost/program_options", ("app",), ()),
    ("libtorch", "ATen/core/", TORCH_LAYERS, TORCH_LAYERS),
    ("libtorch", "c10/", TORCH_LAYERS, TORCH_LAYERS),
    ("libtorch", "ATen/", TORCH_LAYERS, ()),
    ("libtorch", "torch/", TORCH_LAYERS, ()),
)

# Headers of the operating system that any layer may include.
SYSTEM_HEADERS = ("alloca.h", "arpa/", "dirent.h", "dlfcn.h", "elf.h", "fcntl.h", "immintrin.h", "link.h", "malloc.h", "netdb.h", "netinet/", "omp.h", "poll.h",
                  "pthread.h", "pwd.h", "sched.h", "signal.h", "spawn.h", "sys/", "syslog.h", "termios.h", "unistd.h")
