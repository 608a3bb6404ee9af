// Writes the sample experiment into a run folder, for readers in other languages: `write_sample_run FOLDER`.
#include <cstdio>

#include "memcap/store/run_store.hpp"
#include "store/export_all.hpp"
#include "store/sample_run.hpp"

int main(int count, char** arguments) {
    using namespace memcap;
    if (count != 2) {
        std::fputs("usage: write_sample_run FOLDER\n", stderr);
        return 2;
    }
    const auto tables = store::testing::sample_tables();
    auto store = store::RunStore::open(arguments[1], {});
    store.tokens().save(store::testing::id_of("tokens"), store::testing::sample_tokens());
    store.begin_launch(tables);
    // Row 3 fails, the last row has no record yet; the vectors end up in two segments.
    for (std::size_t row = 0; row + 1 < tables.rows.size(); ++row) {
        store.append(row == 3 ? store::testing::sample_failure(tables.rows[row])
                              : store::testing::sample_record(tables.rows[row]));
        if (row == 20) {
            store.sync();
            store::testing::snapshot(store);
        }
    }
    store.sync();
    auto launch = store::testing::sample_launch();
    launch.ended_utc = "2026-03-01T13:00:00Z";
    store.update_launch(launch);
    store::testing::snapshot(store);
    store.close();
    return 0;
}
