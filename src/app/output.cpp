// Flushes and checks stdout.
#include "app/output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "memcap/app/command_line.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"

namespace memcap::app {

void open_standard_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(stream, F_GETFD) != -1) continue;
        // The lowest free number is the one that is missing. One cannot write to what is open for reading.
        ::open("/dev/null", stream == STDERR_FILENO ? O_WRONLY : O_RDONLY);
    }
}

int finish_output(int status, int known_error) {
    const bool failed_before = known_error != 0 || std::ferror(stdout) != 0;
    errno = 0;
    const bool flushed = std::fflush(stdout) == 0;
    const int reason = known_error != 0 ? known_error : errno;
    if (flushed && !failed_before) return status;
    const int failed = status == kDone ? kDefect : status;
    if (reason == EPIPE) return failed;
    log::error(to_string({.what = "the results cannot be written to stdout",
                          .where = {},
                          .why = reason == 0 ? "" : std::strerror(reason),
                          .advice = "Give it a file or a pipe with room and run the command again"}));
    return failed;
}

}  // namespace memcap::app
