// Boost.Program_options behind parse_options.
#include "app/options.hpp"

#include <fmt/format.h>

#include <sstream>

#include "memcap/base/errors.hpp"
#include "memcap/base/utf8.hpp"

namespace memcap::app {

namespace po = boost::program_options;

namespace {

/// Names and values end up in journals, HDF5 and JSON, all of which hold UTF-8.
void require_utf8(const Arguments& arguments) {
    for (const std::string& argument : arguments) {
        if (!find_invalid_utf8(argument)) continue;
        throw UsageError(
            {.what = fmt::format("the argument '{}' is not UTF-8", printable(argument)),
             .where = {},
             .why = "files of results hold names as UTF-8",
             .advice = "Rename the file or folder, e.g. with convmv -f latin1 -t utf8, or reach it by a "
                       "link with another name"});
    }
}

}  // namespace

std::optional<ParsedCommand> parse_options(const CommandSyntax& syntax, const Arguments& arguments) {
    po::options_description shown("Options");
    shown.add(syntax.options).add_options()("help", "print this help");
    po::options_description all;
    all.add(shown).add_options()("file", po::value<std::vector<std::string>>());
    po::positional_options_description positional;
    positional.add("file", -1);
    const auto wrong = [&syntax](std::string what) {
        return UsageError({.what = std::move(what),
                           .where = {},
                           .why = {},
                           .advice = fmt::format("Usage: {}; more with --help", syntax.usage)});
    };
    require_utf8(arguments);
    ParsedCommand parsed;
    try {
        po::store(po::command_line_parser(arguments)
                      .options(all)
                      .positional(positional)
                      .style(po::command_line_style::unix_style & ~po::command_line_style::allow_guessing)
                      .run(),
                  parsed.values);
        // Help is for those who do not know yet what is required.
        if (!parsed.has("help")) po::notify(parsed.values);
    } catch (const po::error& problem) {
        throw wrong(problem.what());
    }
    if (parsed.has("help")) {
        std::ostringstream text;
        text << shown;
        fmt::print("usage: {}\n\n{}\n\n{}\n{}\n", syntax.usage, syntax.purpose, text.str(), kExitStatuses);
        return std::nullopt;
    }
    if (parsed.has("file")) parsed.files = parsed.values["file"].as<std::vector<std::string>>();
    if (parsed.files.size() < syntax.fewest_files) throw wrong("a file or folder is missing");
    if (parsed.files.size() > syntax.most_files) {
        throw wrong(fmt::format("unexpected argument '{}'", parsed.files[syntax.most_files]));
    }
    return parsed;
}

std::optional<std::uint64_t> ParsedCommand::count(const std::string& name) const {
    if (!has(name)) return std::nullopt;
    const auto number = values[name].as<std::int64_t>();
    if (number < 0) {
        throw UsageError({.what = fmt::format("--{} {} is negative", name, number),
                          .where = {},
                          .why = {},
                          .advice = "Give 0 or more, or leave it out for all"});
    }
    return static_cast<std::uint64_t>(number);
}

}  // namespace memcap::app
