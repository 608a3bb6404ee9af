// The process's one logger, on spdlog.
#include "memcap/base/log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "memcap/base/errors.hpp"

namespace memcap::log {

namespace {

spdlog::logger& logger() {
    static const std::shared_ptr<spdlog::logger> instance = [] {
        auto made = std::make_shared<spdlog::logger>("memcap",
                                                     std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
        made->set_pattern("[%H:%M:%S] %^%l%$: %v");
        made->flush_on(spdlog::level::info);
        return made;
    }();
    return *instance;
}

}  // namespace

void open_file(const std::filesystem::path& file) {
    try {
        auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
        sink->set_pattern("[%Y-%m-%dT%H:%M:%S%z] %l: %v");
        logger().sinks().push_back(std::move(sink));
    } catch (const spdlog::spdlog_ex& problem) {
        throw StoreError(
            file, {.what = "cannot open the log file", .where = {}, .why = problem.what(), .advice = {}});
    }
}

void set_rank(int rank, int ranks) {
    if (ranks > 1)
        logger().sinks().front()->set_pattern(fmt::format("[%H:%M:%S] [rank {}] %^%l%$: %v", rank));
}

void info(std::string_view message) {
    logger().info("{}", message);
}
void warning(std::string_view message) {
    logger().warn("{}", message);
}
void error(std::string_view message) {
    logger().error("{}", message);
}

}  // namespace memcap::log
