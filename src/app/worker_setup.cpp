// Codec of WorkerSetup.
#include "app/worker_setup.hpp"

#include <utility>

namespace memcap::app {

namespace {
constexpr std::int32_t kAutomatic = 0;

std::optional<std::int32_t> chosen(std::int32_t value) {
    return value == kAutomatic ? std::nullopt : std::optional(value);
}

void write(ByteWriter& writer, const hub::ModelIdentity& identity) {
    writer.text(identity.config_sha256);
    writer.text(identity.weights_sha256);
    writer.number(static_cast<std::uint32_t>(identity.files.size()));
    for (const auto& file : identity.files) {
        writer.text(file.name);
        writer.text(file.sha256);
        writer.number(file.facts.device);
        writer.number(file.facts.inode);
        writer.number(file.facts.size_bytes);
        writer.number(file.facts.modified_ns);
        writer.number(file.facts.changed_ns);
        writer.text(file.place);
    }
}

hub::ModelIdentity read_identity(ByteReader& reader) {
    hub::ModelIdentity identity;
    identity.config_sha256 = reader.text();
    identity.weights_sha256 = reader.text();
    const auto files = reader.number<std::uint32_t>();
    for (std::uint32_t i = 0; i < files; ++i) {
        KnownFile file;
        file.name = reader.text();
        file.sha256 = reader.text();
        file.facts.device = reader.number<std::uint64_t>();
        file.facts.inode = reader.number<std::uint64_t>();
        file.facts.size_bytes = reader.number<std::uint64_t>();
        file.facts.modified_ns = reader.number<std::int64_t>();
        file.facts.changed_ns = reader.number<std::int64_t>();
        file.place = reader.text();
        identity.files.push_back(std::move(file));
    }
    return identity;
}
}  // namespace

Bytes encode(const WorkerSetup& setup) {
    ByteWriter writer;
    writer.number(static_cast<std::uint32_t>(setup.models.size()));
    for (const auto& model : setup.models) {
        writer.text(model.folder);
        write(writer, model.identity);
    }
    writer.text(setup.run_folder);
    writer.number(setup.keep_vectors);
    writer.number(setup.curve_every);
    writer.number(setup.sharers);
    writer.number(setup.slots.value_or(kAutomatic));
    writer.number(setup.threads.value_or(kAutomatic));
    writer.number(setup.weights);
    return std::move(writer).bytes();
}

WorkerSetup decode_setup(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    WorkerSetup setup;
    const auto models = reader.number<std::uint32_t>();
    for (std::uint32_t i = 0; i < models; ++i) {
        std::string folder = reader.text();
        setup.models.push_back({std::move(folder), read_identity(reader)});
    }
    setup.run_folder = reader.text();
    setup.keep_vectors = reader.number<bool>();
    setup.curve_every = reader.number<std::int32_t>();
    setup.sharers = reader.number<std::int32_t>();
    setup.slots = chosen(reader.number<std::int32_t>());
    setup.threads = chosen(reader.number<std::int32_t>());
    setup.weights = reader.number<config::WeightsChoice>();
    reader.expect_end();
    return setup;
}

}  // namespace memcap::app
