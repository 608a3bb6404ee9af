// A run folder of the small experiment, for tests of the store.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>

#include "memcap/store/run_store.hpp"
#include "store/export_all.hpp"
#include "store/sample_run.hpp"

namespace memcap::store::testing {

class RunFixture : public ::testing::Test {
  protected:
    RunStore open() const { return RunStore::open(root, {}); }
    /// A store that has begun its launch, with the token file in place.
    RunStore begin() const {
        auto store = open();
        store.tokens().save(id_of("tokens"), sample_tokens());
        store.begin_launch(tables);
        return store;
    }
    const record::PlannedRow& row(std::size_t number) const { return tables.rows.at(number); }
    /// All that the journal says.
    RunState recorded() const {
        return replay(
            RunFolder(root), [](const BulkPlace&) { return ArraysState::whole; }, TornTails::keep);
    }

    TemporaryFolder place;
    std::filesystem::path root = place / "run";
    record::RunTables tables = sample_tables();
};

}  // namespace memcap::store::testing
