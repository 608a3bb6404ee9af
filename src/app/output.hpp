// The process's stdout: results that nobody could get must not end with status 0.
#pragma once

namespace memcap::app {

/// Opens those of stdin, stdout and stderr that were closed, so that no file of a run gets their numbers.
/// What is then written to stdout fails.
void open_standard_streams();

/// Writes out what stdout still holds. Returns `status`, or after saying so kDefect in the place of kDone
/// where not all could be written; `known_error` is the errno of a failure seen before, 0 if there was none.
/// A reader that has gone, as head does, is no news.
int finish_output(int status, int known_error);

}  // namespace memcap::app
