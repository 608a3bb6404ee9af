// The line that shows how far a run is.
#pragma once

#include <cstdint>
#include <string>

#include "app/status_line.hpp"
#include "memcap/sched/manager.hpp"

namespace memcap::app {

/// "1,234d 05h", "1h 02m", "3m 04s", "12s"; "unknown" for what is not finite. Days from 48 hours on.
std::string duration_text(double seconds);

class LiveLine {
  public:
    /// Shows progress; `steps` are the evaluations of all ended trials. Cheap if the line is not due.
    void show(const sched::Progress& progress, std::int64_t steps);
    /// Ends the line on a terminal.
    void finish() { line_.finish(); }

  private:
    static constexpr double kLogInterval_s = 30.0;
    StatusLine line_{kLogInterval_s};
};

}  // namespace memcap::app
