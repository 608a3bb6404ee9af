// A growing list without equals.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "memcap/base/contracts.hpp"

namespace memcap::plan::detail {

/// Appends to a vector what is not in it yet. It takes 6 to 12 bytes an entry beside the entries themselves.
///
/// `Rules::hash(entry)` and `Rules::same(a, b)` say what equal entries are.
template <class Entry, class Rules>
class DistinctList {
  public:
    /// `entries` must outlive the list, be empty, and be appended to by it alone.
    explicit DistinctList(std::vector<Entry>& entries) : entries_(entries) {}

    /// The place of the entry's equal, and whether it is new.
    std::pair<std::uint32_t, bool> add(const Entry& entry) {
        if (3 * (entries_.size() + 1) > 2 * places_.size()) grow();
        const std::size_t slot = slot_of(entry);
        if (places_[slot] != kFree) return {places_[slot], false};
        MEMCAP_EXPECT(entries_.size() < kFree);
        places_[slot] = static_cast<std::uint32_t>(entries_.size());
        entries_.push_back(entry);
        return {places_[slot], true};
    }

  private:
    static constexpr std::uint32_t kFree = std::numeric_limits<std::uint32_t>::max();
    static constexpr std::size_t kFirstPlaces = 1024;  // a power of two, as all sizes are

    /// Where the entry's equal is remembered, or would be.
    std::size_t slot_of(const Entry& entry) const {
        const std::size_t mask = places_.size() - 1;
        std::size_t slot = static_cast<std::size_t>(Rules::hash(entry)) & mask;
        while (places_[slot] != kFree && !Rules::same(entries_[places_[slot]], entry))
            slot = (slot + 1) & mask;
        return slot;
    }

    void grow() {
        places_.assign(places_.empty() ? kFirstPlaces : 2 * places_.size(), kFree);
        for (std::size_t place = 0; place < entries_.size(); ++place)
            places_[slot_of(entries_[place])] = static_cast<std::uint32_t>(place);
    }

    std::vector<Entry>& entries_;
    std::vector<std::uint32_t> places_;
};

}  // namespace memcap::plan::detail
