// So many threads for a while.
#pragma once

#include <ATen/Parallel.h>

namespace memcap::test {

/// Sets libtorch's threads, and puts back what they were.
class Threads {
  public:
    explicit Threads(int threads) : was_(at::get_num_threads()) { at::set_num_threads(threads); }
    ~Threads() { at::set_num_threads(was_); }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

  private:
    int was_;
};

}  // namespace memcap::test
