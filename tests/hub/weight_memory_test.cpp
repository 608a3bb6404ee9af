// Weight files over bytes in memory: the same tensors, waited for one by one, and one reading a node.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <memory>

#include "hub/model_folder.hpp"
#include "memcap/base/input_file.hpp"
#include "memcap/hub/safetensors.hpp"
#include "support/mapping.hpp"

namespace memcap::hub::testing {
namespace {

std::string two_tensors() {
    return safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                       std::string("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40", 12));
}

/// Notes what is waited for; nothing behind `arrived` bytes of a file ever comes.
class PartialMemory final : public FileMemory {
  public:
    PartialMemory(std::string bytes, std::size_t arrived)
        : bytes_(std::move(bytes)),
          arrived_(arrived),
          files_{{"model.safetensors", std::as_bytes(std::span(bytes_))}} {}
    const std::vector<File>& files() const override { return files_; }
    const std::string& identity() const override { return identity_; }
    void wait_for(std::span<const std::byte> part) const override {
        const auto end = static_cast<std::size_t>(part.data() + part.size() - files_.front().bytes.data());
        if (end > arrived_)
            throw TransportError({.what = "it will not come", .where = {}, .why = {}, .advice = {}});
    }

  private:
    std::string bytes_;
    std::size_t arrived_;
    std::vector<File> files_;
    std::string identity_ = "of this test";
};

float first_value(const TensorView& view) {
    float value = 0.0F;
    std::memcpy(&value, view.data.data(), sizeof(value));
    return value;
}

WeightFiles over(std::size_t missing_bytes) {
    const std::string bytes = two_tensors();
    return WeightFiles::over("folder", std::make_shared<PartialMemory>(bytes, bytes.size() - missing_bytes));
}

TEST(WeightMemory, HoldsTheTensorsOfAFile) {
    const WeightFiles files = over(0);
    EXPECT_EQ(files.tensors().size(), 2U);
    EXPECT_EQ(first_value(files.require("b", std::vector<std::int64_t>{2})), 2.0F);
    EXPECT_EQ(files.size_bytes(), static_cast<std::int64_t>(two_tensors().size()));
    EXPECT_EQ(files.fingerprint(), "of this test");
    EXPECT_EQ(files.files().front(), std::filesystem::path("folder") / "model.safetensors");
    files.forget(files.tensors().at("b"));
    EXPECT_EQ(first_value(files.tensors().at("b")), 2.0F);
}

TEST(WeightMemory, IsWaitedForTensorByTensor) {
    const WeightFiles files = over(1);
    EXPECT_EQ(first_value(files.require("a", std::vector<std::int64_t>{1})), 1.0F);
    EXPECT_THROW(files.require("b", std::vector<std::int64_t>{2}), TransportError);
}

TEST(WeightMemory, IsNotReadBeforeItsHeadersAreThere) {
    EXPECT_NO_THROW(over(12));
    EXPECT_THROW(over(13), TransportError);
    EXPECT_THROW(over(two_tensors().size() - 7), TransportError);
}

TEST(NodeMemory, IsReadOnceForAllProcesses) {
    const ModelFolder folder;
    folder.write("model.safetensors", two_tensors());
    const auto memory = read_once_a_node(folder.path());
    const WeightFiles files = WeightFiles::over(folder.path(), memory);
    EXPECT_EQ(first_value(files.require("a", std::vector<std::int64_t>{1})), 1.0F);
    const std::string inode = test::mapped_inode(memory->files().front().bytes.data());
    const pid_t child = fork();
    if (child == 0) {
        const auto again = read_once_a_node(folder.path());
        const bool same_memory = test::mapped_inode(again->files().front().bytes.data()) == inode;
        _exit(same_memory && again->identity() == memory->identity() ? 0 : 1);
    }
    int status = 1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST(NodeMemory, IsReadAgainOnceTheFileHasOtherBytesUnderItsOldSizeAndTime) {
    const ModelFolder folder;
    folder.write("model.safetensors", two_tensors());
    const auto before = read_once_a_node(folder.path());
    const auto changed = std::filesystem::last_write_time(folder.file("model.safetensors"));
    std::string other = two_tensors();
    other.back() = 'x';
    folder.write("model.safetensors", other);
    std::filesystem::last_write_time(folder.file("model.safetensors"), changed);
    const auto after = read_once_a_node(folder.path());
    EXPECT_EQ(after->files().front().bytes.back(), std::byte{'x'});
    EXPECT_NE(before->files().front().bytes.back(), std::byte{'x'});
}

TEST(NodeMemory, SaysWhatCannotBeRead) {
    const ModelFolder folder;
    EXPECT_THROW(WeightFiles::over(folder.path(), read_once_a_node(folder.path())), DataError);
    std::filesystem::create_directory(folder.file("model.safetensors"));
    EXPECT_THROW(read_once_a_node(folder.path()), DataError);
}

}  // namespace
}  // namespace memcap::hub::testing
