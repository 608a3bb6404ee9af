// Errors with typed fields: what is wrong, where, why, and what the reader can do about it.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

namespace memcap {

/// The parts of an error message; empty parts are left out of it.
struct ErrorText {
    std::string what;    ///< the problem in one clause
    std::string where;   ///< file, line, key, rank: whatever locates it
    std::string why;     ///< the cause, when it is not the problem itself
    std::string advice;  ///< what to do now
};

/// "where: what (why). advice"
std::string to_string(const ErrorText& text);

/// Base of all errors that memcap throws for reasons outside its own code.
class Error : public std::runtime_error {
  public:
    explicit Error(ErrorText text);
    const ErrorText& text() const noexcept { return text_; }

  private:
    ErrorText text_;
};

/// A command line that cannot be understood; exit status 2.
class UsageError : public Error {
  public:
    using Error::Error;
};

/// Input data (model folder, corpus, tokenizer, result file) that cannot be used; exit status 2 before a run.
class DataError : public Error {
  public:
    DataError(std::filesystem::path path, ErrorText text);
    const std::filesystem::path& path() const noexcept { return path_; }

  private:
    std::filesystem::path path_;
};

/// The run folder cannot be read or written: disk full, lock held, damaged beyond use.
class StoreError : public Error {
  public:
    StoreError(std::filesystem::path path, ErrorText text);
    const std::filesystem::path& path() const noexcept { return path_; }

  private:
    std::filesystem::path path_;
};

/// A message could not be sent, received or understood.
class TransportError : public Error {
  public:
    using Error::Error;
};

/// A helper program (tokenizer helper, report) is missing, failed to start or misbehaved.
class ToolError : public Error {
  public:
    using Error::Error;
};

/// The compute device failed or is gone; trials on it are to be retried elsewhere.
class DeviceError : public Error {
  public:
    using Error::Error;
};

}  // namespace memcap
