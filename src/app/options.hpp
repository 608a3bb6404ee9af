// Options of a subcommand, before or after its files, with errors that say what is allowed.
#pragma once

#include <boost/program_options.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/subcommands.hpp"

namespace memcap::app {

/// What the exit status says, for each --help.
inline constexpr std::string_view kExitStatuses =
    "Exit status: 0 everything done; 1 a defect, or a machine that cannot be used; 2 wrong usage or "
    "configuration; "
    "3 done,\nbut some trials failed for good; 75 work remains: the same command goes on.";

/// What a subcommand takes.
struct CommandSyntax {
    std::string usage;                                    ///< e.g. "memcap run FILE.yaml [options]"
    std::string purpose;                                  ///< one or two sentences for --help
    boost::program_options::options_description options;  ///< without --help and files
    std::size_t fewest_files = 0;
    std::size_t most_files = 0;
};

/// What the user gave.
struct ParsedCommand {
    boost::program_options::variables_map values;
    std::vector<std::string> files;

    bool has(const std::string& name) const { return values.count(name) > 0; }
    std::string text(const std::string& name) const {
        return has(name) ? values[name].as<std::string>() : "";
    }
    /// The value of an option that counts, added as std::int64_t; nothing if it was not given. Throws
    /// UsageError if it is negative.
    std::optional<std::uint64_t> count(const std::string& name) const;
};

/// Parses; after printing the help for --help, returns nothing. Throws UsageError.
std::optional<ParsedCommand> parse_options(const CommandSyntax& syntax, const Arguments& arguments);

}  // namespace memcap::app
