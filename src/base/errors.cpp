// Composition of error messages, and the failure of contracts.
#include "memcap/base/errors.hpp"

#include <fmt/format.h>

#include "memcap/base/contracts.hpp"

namespace memcap {

std::string to_string(const ErrorText& text) {
    std::string message;
    if (!text.where.empty()) message += text.where + ": ";
    message += text.what;
    if (!text.why.empty()) message += " (" + text.why + ")";
    if (!text.advice.empty()) message += ". " + text.advice;
    return message;
}

Error::Error(ErrorText text) : std::runtime_error(to_string(text)), text_(std::move(text)) {}

namespace {
ErrorText located_at(const std::filesystem::path& path, ErrorText text) {
    if (text.where.empty()) text.where = path.string();
    return text;
}
}  // namespace

DataError::DataError(std::filesystem::path path, ErrorText text)
    : Error(located_at(path, std::move(text))), path_(std::move(path)) {}

StoreError::StoreError(std::filesystem::path path, ErrorText text)
    : Error(located_at(path, std::move(text))), path_(std::move(path)) {}

void fail_contract(const char* kind, const char* condition, const char* file, int line) {
    throw ContractViolation(fmt::format("defect in memcap: {} {} at {}:{}. Please report it with the log",
                                        kind, condition, file, line));
}

}  // namespace memcap
