// Contracts: checks that fail only if memcap itself is wrong, never for user input.
#pragma once

#include <stdexcept>

namespace memcap {

/// A broken contract: a defect of memcap.
class ContractViolation : public std::logic_error {
  public:
    using std::logic_error::logic_error;
};

/// Throws ContractViolation; called by the macros below.
[[noreturn]] void fail_contract(const char* kind, const char* condition, const char* file, int line);

}  // namespace memcap

/// What a caller must have ensured.
#define MEMCAP_EXPECT(condition) \
    ((condition) ? void(0) : ::memcap::fail_contract("expected", #condition, __FILE__, __LINE__))
/// What this function promises.
#define MEMCAP_ENSURE(condition) \
    ((condition) ? void(0) : ::memcap::fail_contract("promised", #condition, __FILE__, __LINE__))
