// Mistakes in an experiment file: each with its place, all reported at once.
#pragma once

#include <string>
#include <vector>

#include "memcap/base/errors.hpp"

namespace memcap::config {

/// A place in an experiment file, or the --set option that a value came from.
struct Location {
    std::string file;  ///< path as the user gave it, or "--set key=value"
    int line = 0;      ///< from 1; 0 where there is no line (options, the file as a whole)
    int column = 0;    ///< from 1, in bytes

    /// "file:line:column", or the file alone where there is no line.
    std::string text() const;
};

/// One mistake: where it is, what was found there, what is allowed instead.
struct Diagnostic {
    Location where;
    std::string found;
    std::string allowed;     ///< empty where `found` says it all
    std::string suggestion;  ///< the name that was probably meant; empty if none is near

    /// "file:line:column: found; allowed: ...; did you mean '...'?"
    std::string text() const;
};

/// An experiment that cannot be run as it is written; exit status 2. what() has one line a mistake.
class ConfigError : public Error {
  public:
    explicit ConfigError(std::vector<Diagnostic> diagnostics);
    /// In the order of the file, then of the options.
    const std::vector<Diagnostic>& diagnostics() const noexcept { return diagnostics_; }

  private:
    std::vector<Diagnostic> diagnostics_;
};

}  // namespace memcap::config
