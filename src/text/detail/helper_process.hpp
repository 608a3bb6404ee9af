// A child process that is spoken to in lines: start, exchange with a deadline, end without leaving a zombie.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "memcap/text/helper_paths.hpp"

namespace memcap::text::detail {

/// A file descriptor that is closed at the end.
class Descriptor {
  public:
    explicit Descriptor(int number = -1) noexcept : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor();
    int number() const noexcept { return number_; }

  private:
    int number_;
};

/// `python script` in a process group of its own, its stdin and stdout one socket, its stderr a file in
/// memory.
class HelperProcess {
  public:
    /// Starts the process; throws ToolError if that is impossible. `finish_s` as in HelperDeadlines.
    HelperProcess(const HelperCommand& command, double finish_s);
    HelperProcess(const HelperProcess&) = delete;
    HelperProcess& operator=(const HelperProcess&) = delete;
    /// Ends the input of the process, waits for it, and kills it and its children if it does not leave in
    /// time.
    ~HelperProcess();

    /// Sends one line (without its line end) and returns the next line of the process. Throws ToolError if
    /// the process ends, stays silent until the deadline, or sends more than 256 MiB without a line end.
    std::string exchange(std::string_view line, double deadline_s);

    /// The last lines it wrote to stderr.
    std::string last_messages() const;

  private:
    bool take_line(std::string& line);
    std::size_t send_some(std::string_view rest);
    void receive_some();
    bool wait_for_end(double deadline_s);
    [[noreturn]] void fail_ended();
    [[noreturn]] void fail_silent(double deadline_s);
    std::string why(std::string cause) const;

    HelperCommand command_;
    double finish_s_;
    Descriptor socket_;
    Descriptor messages_;
    pid_t pid_ = -1;
    std::optional<int> status_;
    std::string received_;
    std::size_t searched_ = 0;  ///< bytes of received_ known to hold no line end
};

}  // namespace memcap::text::detail
