// Watches what comes before the first trial: shows how far it is, and lets a signal end it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

namespace memcap::app {

/// A signal ended the preparation; what() is a sentence for the user.
class PreparationStopped : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// While it lives, a thread of its own shows on stderr what the preparation does. A step that cannot be
/// interrupted (a file system that hangs, a tokenizer at work) is ended with the process, as long as nothing
/// is written that this could harm.
class PreparationWatch {
  public:
    /// `stop` is set by a signal and must outlive the watch; `when` completes what is then said: "stopped by
    /// SIGTERM <when>".
    PreparationWatch(const std::atomic<bool>& stop, std::string when);
    ~PreparationWatch() { finish(); }
    PreparationWatch(const PreparationWatch&) = delete;
    PreparationWatch& operator=(const PreparationWatch&) = delete;

    /// Says what is done now, and how much of it: `total` 0 where nothing can be counted. Throws
    /// PreparationStopped if a signal came.
    void at(const std::string& step, std::uint64_t done = 0, std::uint64_t total = 0);
    /// Throws PreparationStopped if a signal came.
    void check() const;
    /// Takes the line away before results are printed; a signal is seen by at() and check() alone from here
    /// on.
    void finish();
    /// From now on files are written: a signal is seen by at() and check() alone.
    void writes_files() { may_exit_ = false; }

  private:
    void watch();
    std::string sentence() const;
    std::string line() const;

    const std::atomic<bool>& stop_;
    std::string when_;
    std::atomic<bool> may_exit_ = true;
    mutable std::mutex mutex_;
    std::condition_variable ended_;
    bool is_ended_ = false;
    std::string step_;
    std::uint64_t done_ = 0;
    std::uint64_t total_ = 0;
    std::thread thread_;
};

}  // namespace memcap::app
