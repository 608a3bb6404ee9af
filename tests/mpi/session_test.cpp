// Who is here, and how a launch is recognised.
#include "memcap/mpi/session.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "memcap/base/errors.hpp"
#include "mpi/c_api.hpp"
#include "mpi/world.hpp"

namespace memcap::mpi::testing {
namespace {

TEST(Session, KnowsItsPlace) {
    int rank = -1;
    int size = -1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    EXPECT_EQ(session().rank(), rank);
    EXPECT_EQ(session().size(), size);
    // mpirun started all of them on this host.
    EXPECT_EQ(session().local_rank(), rank);
    EXPECT_FALSE(session().host().empty());
    EXPECT_EQ(Session::launched_by_mpi(), size > 1);
}

TEST(Session, GathersTextsInRankOrder) {
    const std::string own(static_cast<std::size_t>(3 * session().rank()),
                          static_cast<char>('a' + session().rank()));
    const std::vector<std::string> all = session().gather(own);
    ASSERT_EQ(all.size(), static_cast<std::size_t>(session().size()));
    for (int rank = 0; rank < session().size(); ++rank) {
        EXPECT_EQ(all[static_cast<std::size_t>(rank)],
                  std::string(static_cast<std::size_t>(3 * rank), static_cast<char>('a' + rank)));
    }
}

/// Sets the launchers' variables to exactly these, and restores them at the end.
class LauncherEnvironment {
  public:
    explicit LauncherEnvironment(const std::map<std::string, std::string>& wanted) {
        for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "PALS_RANKID",
                                 "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}) {
            if (const char* value = std::getenv(name)) saved_[name] = value;
            unsetenv(name);
            names_.emplace_back(name);
        }
        for (const auto& [name, value] : wanted) setenv(name.c_str(), value.c_str(), 1);
    }
    ~LauncherEnvironment() {
        for (const std::string& name : names_) unsetenv(name.c_str());
        for (const auto& [name, value] : saved_) setenv(name.c_str(), value.c_str(), 1);
    }

  private:
    std::vector<std::string> names_;
    std::map<std::string, std::string> saved_;
};

bool launched(const std::map<std::string, std::string>& environment) {
    const LauncherEnvironment guard(environment);
    return Session::launched_by_mpi();
}

TEST(Launch, IsReadFromTheEnvironment) {
    EXPECT_FALSE(launched({}));
    EXPECT_TRUE(launched({{"OMPI_COMM_WORLD_SIZE", "2"}}));
    EXPECT_FALSE(launched({{"OMPI_COMM_WORLD_SIZE", "1"}})) << "one alone needs no MPI";
    EXPECT_FALSE(launched({{"PMIX_RANK", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_STEP_NUM_TASKS", "1"}}));
    EXPECT_TRUE(launched({{"PMIX_RANK", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_STEP_NUM_TASKS", "4"}}));
    EXPECT_TRUE(launched({{"PMI_RANK", "3"}}));
    EXPECT_FALSE(launched({{"SLURM_NTASKS", "1"}}));
    EXPECT_FALSE(launched({{"SLURM_NTASKS", "4"},
                           {"SLURM_STEP_ID", "0"},
                           {"SLURM_PROCID", "0"},
                           {"SLURM_STEP_NUM_TASKS", "1"}}));
}

TEST(Launch, RefusesALoneProcessAmongMany) {
    EXPECT_THROW(launched({{"SLURM_NTASKS", "4"}}), UsageError);
    EXPECT_THROW(launched({{"SLURM_NTASKS", "4"},
                           {"SLURM_STEP_ID", "0"},
                           {"SLURM_PROCID", "2"},
                           {"SLURM_STEP_NUM_TASKS", "4"}}),
                 UsageError);
    try {
        launched({{"SLURM_NTASKS", "4"}});
    } catch (const UsageError& problem) {
        EXPECT_NE(std::string(problem.what()).find("srun --mpi=pmix"), std::string::npos);
    }
}

}  // namespace
}  // namespace memcap::mpi::testing
