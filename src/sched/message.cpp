// The byte form of messages: version, kind, fields in the order in which they are declared.
#include "memcap/sched/message.hpp"

#include <fmt/format.h>

#include <type_traits>
#include <utility>

#include "memcap/base/errors.hpp"

namespace memcap::sched {

namespace {

[[noreturn]] void refuse(std::string why) {
    throw TransportError({.what = "a message cannot be understood",
                          .where = {},
                          .why = std::move(why),
                          .advice = "Start the same memcap executable on all ranks"});
}

// One function per type lists its fields once; Writer and Reader both go through it, so they cannot disagree.
class Writer {
  public:
    template <class T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void field(const T& value) { bytes.number(value); }
    template <class Tag, class Value>
    void field(const StrongId<Tag, Value>& id) {
        bytes.number(id.value);
    }
    void field(const Id128& id) { bytes.id(id); }
    void field(const std::string& text) { bytes.text(text); }
    void field(const Bytes& payload) {
        bytes.text({reinterpret_cast<const char*>(payload.data()), payload.size()});
    }
    template <class T>
    void field(const std::optional<T>& value) {
        bytes.number(value.has_value());
        if (value) field(*value);
    }
    template <class T>
    void field(const std::vector<T>& values) {
        bytes.number(static_cast<std::uint64_t>(values.size()));
        for (const T& value : values) field(value);
    }
    template <class T>
    requires(std::is_class_v<T>) void field(const T& value) { fields(*this, const_cast<T&>(value)); }

    ByteWriter bytes;
};

class Reader {
  public:
    explicit Reader(std::span<const std::byte> source) : bytes(source) {}

    template <class T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void field(T& value) { value = bytes.number<T>(); }
    void field(FailureCategory& value) {
        value = bytes.number<FailureCategory>();
        if (value > FailureCategory::host) refuse("it names an unknown category of failure");
    }
    void field(bool& value) { value = bytes.number<std::uint8_t>() != 0; }
    template <class Tag, class Value>
    void field(StrongId<Tag, Value>& id) {
        id.value = bytes.number<Value>();
    }
    void field(Id128& id) { id = bytes.id(); }
    void field(std::string& text) { text = bytes.text(); }
    void field(Bytes& payload) {
        const std::vector<std::uint8_t> raw = bytes.array<std::uint8_t>();
        const auto* first = reinterpret_cast<const std::byte*>(raw.data());
        payload.assign(first, first + raw.size());
    }
    template <class T>
    void field(std::optional<T>& value) {
        value.reset();
        if (bytes.number<std::uint8_t>() != 0) field(value.emplace());
    }
    template <class T>
    void field(std::vector<T>& values) {
        values.clear();
        // No reserve: a damaged count must run out of bytes, not of memory.
        for (auto left = bytes.number<std::uint64_t>(); left > 0; --left) field(values.emplace_back());
    }
    template <class T>
    requires(std::is_class_v<T>) void field(T& value) { fields(*this, value); }

    ByteReader bytes;
};

template <class Archive, class... T>
void all(Archive& archive, T&... values) {
    (archive.field(values), ...);
}

template <class A>
void fields(A& a, Options& o) {
    all(a, o.heartbeat_s, o.worker_deadline_s, o.manager_deadline_s, o.drain_s, o.end_s, o.checkpoint_s,
        o.finish_s, o.prefetch_s, o.poll_min_s, o.poll_max_s, o.progress_s, o.max_strikes, o.bar_after,
        o.alike_failures, o.limit);
}
template <class A>
void fields(A& a, Task& t) {
    all(a, t.id, t.key, t.affinity, t.cost, t.payload, t.strikes);
}
template <class A>
void fields(A& a, LeasedTask& t) {
    all(a, t.task, t.attempt);
}
template <class A>
void fields(A& a, TaskLease& t) {
    all(a, t.task, t.lease);
}
template <class A>
void fields(A& a, TaskFailure& f) {
    all(a, f.category, f.message);
}
template <class A>
void fields(A& a, TaskResult& r) {
    all(a, r.task, r.attempt, r.failure, r.payload);
}
template <class A>
void fields(A& a, Pace& p) {
    all(a, p.affinity, p.work, p.busy_s);
}
template <class A>
void fields(A& a, UnfinishedWork& u) {
    all(a, u.work, u.steps);
}
template <class A>
void fields(A& a, WorkerFacts& f) {
    all(a, f.host, f.device, f.speed, f.device_id);
}
template <class A>
void fields(A& a, message::Join& m) {
    all(a, m.facts);
}
template <class A>
void fields(A& a, message::Status& m) {
    all(a, m.lease_seen, m.free_slots, m.wanted, m.started);
}
template <class A>
void fields(A& a, message::Heartbeat& m) {
    all(a, m.pace, m.unfinished);
}
template <class A>
void fields(A& a, message::Result& m) {
    all(a, m.lease, m.result);
}
template <class A>
void fields(A& a, message::Checkpoint& m) {
    all(a, m.which, m.state);
}
template <class A>
void fields(A& a, message::Returned& m) {
    all(a, m.tasks);
}
template <class A>
void fields(A& a, message::Failed& m) {
    all(a, m.reason);
}
template <class A>
void fields(A& a, message::Note& m) {
    all(a, m.bytes);
}
template <class A>
void fields(A& a, message::Crashed& m) {
    all(a, m.reason);
}
template <class A>
void fields(A& a, message::Welcome& m) {
    all(a, m.options, m.setup);
}
template <class A>
void fields(A& a, message::Lease& m) {
    all(a, m.id, m.tasks);
}
template <class A>
void fields(A& a, message::Acknowledge& m) {
    all(a, m.tasks);
}
template <class A>
void fields(A& a, message::Recall& m) {
    all(a, m.tasks);
}
template <class A, class Empty>
requires(std::is_empty_v<Empty>) void fields(A&, Empty&) {}

template <std::size_t kFirst = 0>
Message read_kind(std::size_t kind, Reader& reader) {
    if constexpr (kFirst < std::variant_size_v<Message>) {
        if (kind != kFirst) return read_kind<kFirst + 1>(kind, reader);
        std::variant_alternative_t<kFirst, Message> value;
        reader.field(value);
        reader.bytes.expect_end();
        return value;
    } else {
        refuse(fmt::format("there is no message of kind {}", kind));
    }
}

template <class Kind>
bool is_of_kind(std::span<const std::byte> bytes) {
    constexpr std::size_t kKindAt = sizeof(kMessageVersion);
    return bytes.size() > kKindAt && std::to_integer<std::size_t>(bytes[kKindAt]) == Message(Kind{}).index();
}

}  // namespace

bool is_result(std::span<const std::byte> bytes) {
    return is_of_kind<message::Result>(bytes);
}
bool is_goodbye(std::span<const std::byte> bytes) {
    return is_of_kind<message::Goodbye>(bytes);
}
bool is_finish(std::span<const std::byte> bytes) {
    return is_of_kind<message::Finish>(bytes);
}
bool is_renew(std::span<const std::byte> bytes) {
    return is_of_kind<message::Renew>(bytes);
}

Bytes encode(const Message& message) {
    Writer writer;
    writer.bytes.number(kMessageVersion);
    writer.bytes.number(static_cast<std::uint8_t>(message.index()));
    std::visit([&](const auto& value) { writer.field(value); }, message);
    return std::move(writer.bytes).bytes();
}

Message decode_message(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    const auto version = reader.bytes.number<std::uint16_t>();
    if (version != kMessageVersion) {
        refuse(fmt::format("it has version {}, this memcap speaks version {}", version, kMessageVersion));
    }
    const auto kind = reader.bytes.number<std::uint8_t>();
    return read_kind(kind, reader);
}

}  // namespace memcap::sched
