// The line that shows how far a run is: rewritten in place on a terminal, logged each half minute elsewhere.
#pragma once

#include <cstdint>
#include <string>

#include "memcap/sched/manager.hpp"

namespace memcap::app {

/// "1h 02m", "3m 04s", "12s"; "unknown" for what is not finite.
std::string duration_text(double seconds);

class LiveLine {
  public:
    LiveLine();
    /// Shows progress; `steps` are the evaluations of all ended trials. Cheap if the line is not due.
    void show(const sched::Progress& progress, std::int64_t steps);
    /// Ends the line on a terminal.
    void finish();

  private:
    bool terminal_;
    bool shown_ = false;
    double last_s_ = 0.0;
};

}  // namespace memcap::app
