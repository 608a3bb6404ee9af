// A line that is rewritten in place on a terminal, and logged now and then elsewhere.
#pragma once

#include <string_view>

namespace memcap::app {

/// One thread at a time may use it.
class StatusLine {
  public:
    /// How often the line is shown in a log; on a terminal it is five times a second.
    explicit StatusLine(double log_interval_s);
    /// Whether the interval is over. The first one begins with the first call.
    bool due();
    /// Shows the line now.
    void show(std::string_view line);
    /// Takes the line away from a terminal.
    void finish();

  private:
    double interval_s_;
    bool terminal_;
    bool shown_ = false;
    double last_s_ = 0.0;
};

}  // namespace memcap::app
