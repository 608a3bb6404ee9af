// RFC 4180, read strictly: a lenient reader would guess where a damaged text ends.
#include "text/detail/csv_reader.hpp"

namespace memcap::text::detail {

bool CsvReader::next(std::vector<std::string>& fields) {
    while (at_ < content_.size() && at_line_end()) skip_line_end();
    if (at_ == content_.size()) return false;
    fields.clear();
    record_offset_ = at_;
    while (true) {
        const bool quoted = at_ < content_.size() && content_[at_] == '"';
        fields.push_back(quoted ? quoted_field() : plain_field());
        if (at_ == content_.size() || at_line_end()) break;
        ++at_;  // the comma
    }
    skip_line_end();
    return true;
}

std::string CsvReader::quoted_field() {
    const std::size_t opened = at_++;
    std::string field;
    while (true) {
        const std::size_t quote = content_.find('"', at_);
        if (quote == std::string_view::npos) {
            throw file_.error_at(opened, {.what = "the quote that opens here is never closed",
                                          .where = {},
                                          .why = "the file ends first",
                                          .advice = "Close it, or write a quote inside a field twice"});
        }
        field.append(content_, at_, quote - at_);
        at_ = quote + 1;
        if (at_ == content_.size() || content_[at_] != '"') break;
        field += '"';
        ++at_;
    }
    if (at_ < content_.size() && content_[at_] != ',' && !at_line_end()) {
        throw file_.error_at(at_, {.what = "a closing quote is followed by more text",
                                   .where = {},
                                   .why = "after it only a comma or the end of the line may come",
                                   .advice = "Write a quote inside a field twice"});
    }
    return field;
}

std::string CsvReader::plain_field() {
    const std::size_t begin = at_;
    while (at_ < content_.size() && content_[at_] != ',' && !at_line_end()) {
        if (content_[at_] == '"') {
            throw file_.error_at(at_,
                                 {.what = "a quote stands inside a field that does not begin with one",
                                  .where = {},
                                  .why = {},
                                  .advice = "Put the whole field in quotes and write the inner ones twice"});
        }
        ++at_;
    }
    return std::string(content_.substr(begin, at_ - begin));
}

bool CsvReader::at_line_end() const {
    const auto rest = content_.substr(at_);
    return rest.starts_with('\n') || rest.starts_with("\r\n") || rest == "\r";
}

void CsvReader::skip_line_end() {
    if (at_ < content_.size() && content_[at_] == '\r') ++at_;
    if (at_ < content_.size() && content_[at_] == '\n') ++at_;
}

}  // namespace memcap::text::detail
