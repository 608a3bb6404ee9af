// The executable: everything is in the app layer.
#include "memcap/app/command_line.hpp"

int main(int argc, char** argv) {
    return memcap::app::run_command_line(argc, argv);
}
