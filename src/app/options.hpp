// Options of a subcommand, before or after its files, with errors that say what is allowed.
#pragma once

#include <boost/program_options.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/subcommands.hpp"

namespace memcap::app {

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
};

/// Parses; after printing the help for --help, returns nothing. Throws UsageError.
std::optional<ParsedCommand> parse_options(const CommandSyntax& syntax, const Arguments& arguments);

/// Throws DataError unless there is a run in this folder.
void require_run(const std::string& folder);

}  // namespace memcap::app
