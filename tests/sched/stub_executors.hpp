// Executors and sinks for tests: they do what a test tells them, and remember what was done to them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "memcap/base/errors.hpp"
#include "memcap/sched/executor.hpp"
#include "memcap/sched/manager.hpp"
#include "memcap/sched/result_sink.hpp"
#include "memcap/sched/worker.hpp"

namespace memcap::sched::testing {

inline void sleep_s(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

inline Bytes bytes_of(const std::string& text) {
    Bytes bytes(text.size());
    if (!text.empty()) std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
}

inline std::string text_of(std::span<const std::byte> bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// Tasks with costs 1..9 and `affinities` different affinities; the payload is the task's number.
inline std::vector<Task> make_tasks(std::uint32_t count, std::uint64_t affinities = 1) {
    std::vector<Task> tasks;
    for (std::uint32_t i = 0; i < count; ++i) {
        Task task;
        task.id = TaskIndex{i};
        task.key = Id128{77, i};
        task.affinity = i % affinities;
        task.cost = 1.0 + i % 9;
        task.payload = bytes_of(std::to_string(i));
        tasks.push_back(std::move(task));
    }
    return tasks;
}

/// Answers each task by calling a function; several slots, all filled whenever they can be.
class StubExecutor final : public Executor {
  public:
    using Compute = std::function<TaskResult(const LeasedTask&)>;
    StubExecutor(std::size_t slots, Compute compute) : slots_(slots), compute_(std::move(compute)) {}

    void run(WorkPort& port) override {
        std::vector<LeasedTask> running;
        while (!port.closed()) {
            if (running.size() < slots_) {
                for (LeasedTask& task : port.take(slots_ - running.size(), running.empty() ? 0.1 : 0.0)) {
                    running.push_back(std::move(task));
                }
            }
            if (running.empty() || port.stop_requested()) continue;
            port.finish(compute_(running.back()));
            running.pop_back();
        }
    }

  private:
    std::size_t slots_;
    Compute compute_;
};

/// The result of an honest computation: "result of <payload>".
inline TaskResult honest(const LeasedTask& leased) {
    return {leased.task.id, leased.attempt, std::nullopt,
            bytes_of("result of " + text_of(leased.task.payload))};
}

inline ExecutorFactory honest_factory(std::size_t slots = 4, double seconds = 0.0) {
    return [=](std::span<const std::byte>) {
        return std::make_unique<StubExecutor>(slots, [=](const LeasedTask& leased) {
            if (seconds > 0.0) sleep_s(seconds);
            return honest(leased);
        });
    };
}

/// Keeps results in memory; counts what was appended before the last sync.
class MemorySink final : public ResultSink {
  public:
    void append(const Task& task, const TaskResult& result) override {
        if (appended >= fail_after) throw StoreError("disk", {"no space left", "journal", "", "free some"});
        ++appended;
        unsynced.push_back(task.id.value);
        results[task.id.value].push_back(result);
    }
    void checkpoint(const Task& task, std::span<const std::byte> state) override {
        checkpoints[task.id.value].emplace_back(text_of(state));
    }
    void crashed(const Task& task, const std::string& reason) override {
        if (appended >= fail_after) throw StoreError("disk", {"no space left", "journal", "", "free some"});
        crashes.emplace_back(task.id.value, reason);
    }
    void attempted(const AttemptNote& note) override {
        for (const auto& attempt : note.attempts) attempts.emplace_back(note.event, attempt.task);
    }
    void sync() override {
        ++syncs;
        unsynced.clear();
    }

    std::map<std::uint32_t, std::vector<TaskResult>> results;
    std::map<std::uint32_t, std::vector<std::string>> checkpoints;
    std::vector<std::pair<std::uint32_t, std::string>> crashes;
    std::vector<std::pair<AttemptEvent, Id128>> attempts;
    std::vector<std::uint32_t> unsynced;
    std::uint64_t appended = 0;
    std::uint64_t syncs = 0;
    std::uint64_t fail_after = std::uint64_t(-1);
};

/// Short times, so that tests of losses take less than a second.
inline Options quick_options() {
    Options options;
    options.heartbeat_s = 0.02;
    options.worker_deadline_s = 1.0;
    options.drain_s = 1.0;
    options.finish_s = 2.0;
    options.progress_s = 0.01;
    return options;
}

}  // namespace memcap::sched::testing
