// The environment that the process starts with: what of it would steer libraries and helpers is left out.
#pragma once

#include <string>
#include <string_view>

namespace memcap {

/// Whether a variable ("NAME=value") would change the threads, the waiting or the arithmetic of the libraries
/// that memcap computes with, or the modules that its Python helpers load. memcap decides all of these
/// itself.
bool is_foreign(std::string_view variable);

/// Starts the program once more, as the same process, without foreign variables and with memcap's own
/// settings; returns at once where nothing is to be changed. OpenMP reads its variables, and narrows the set
/// of CPUs of the process, when its library is initialised: so this belongs into the `.preinit_array` of an
/// executable, which runs before that, and it calls nothing that needs initialised libraries. Where the
/// system refuses the second start, the foreign variables are taken out of `environment` and the program goes
/// on.
void settle_environment(int argc, char** argv, char** environment);

/// Names of the variables that were left out, by a space each; empty if there were none.
std::string left_out_variables();

}  // namespace memcap
