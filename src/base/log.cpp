// The process's one logger, on spdlog.
#include "memcap/base/log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/dist_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "memcap/base/errors.hpp"

namespace memcap::log {

namespace {

/// The logger and where its lines go: to stderr, and to files that may be added while other threads log.
struct Places {
    std::shared_ptr<spdlog::sinks::stderr_color_sink_mt> stderr_sink =
        std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    std::shared_ptr<spdlog::sinks::dist_sink_mt> all = std::make_shared<spdlog::sinks::dist_sink_mt>();
    spdlog::logger logger{"memcap", all};
};

Places& places() {
    static const std::unique_ptr<Places> instance = [] {
        auto made = std::make_unique<Places>();
        made->stderr_sink->set_pattern("[%H:%M:%S] %^%l%$: %v");
        made->all->add_sink(made->stderr_sink);
        made->logger.flush_on(spdlog::level::info);
        return made;
    }();
    return *instance;
}

}  // namespace

void open_file(const std::filesystem::path& file) {
    try {
        auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
        sink->set_pattern("[%Y-%m-%dT%H:%M:%S%z] %l: %v");
        places().all->add_sink(std::move(sink));
    } catch (const spdlog::spdlog_ex& problem) {
        throw StoreError(
            file, {.what = "cannot open the log file", .where = {}, .why = problem.what(), .advice = {}});
    }
}

void set_rank(int rank, int ranks) {
    if (ranks > 1) places().stderr_sink->set_pattern(fmt::format("[%H:%M:%S] [rank {}] %^%l%$: %v", rank));
}

void info(std::string_view message) {
    places().logger.info("{}", message);
}
void warning(std::string_view message) {
    places().logger.warn("{}", message);
}
void error(std::string_view message) {
    places().logger.error("{}", message);
}

}  // namespace memcap::log
